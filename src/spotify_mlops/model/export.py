"""The model as an ONNX graph that computes what scikit-learn computes.

The graph is written here and not by skl2onnx, whose trees hold thresholds and leaves as float32:
a value between two float32 neighbours then takes the other branch (measured: probabilities off
by 0.1). The operator ``TreeEnsemble`` (ai.onnx.ml 5) takes float64, and so the graph agrees to
the last digits that an addition leaves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from scipy.special import softmax

from ..config.errors import IntegrityError
from ..domain.labels import LEVELS
from .learner import LevelModel
from .runtime import INPUT, OUTPUTS, session

TOLERANCE = 1e-5
"""Largest accepted difference of a probability from scikit-learn's."""

_DECIMALS = 1e6
_BRANCH_LEQ = 0
_SUM = 1


def to_onnx(model: LevelModel, features: int) -> onnx.ModelProto:
    """Return the graph of a model.

    The level is decided on the scores, the probabilities are rounded to six decimals: ONNX
    Runtime's softmax gives other last bits to the same row in a batch of another size, and a row
    must get the same answer in a stream, a replay and a request.

    Args:
        model: fitted; its members know only numeric inputs.
        features: number of inputs.
    """
    baseline = np.mean([m._baseline_prediction.ravel() for m in model.members], axis=0)
    constants = {
        "baseline": baseline.reshape(1, -1),
        "slope": np.array(model.calibration.slope),
        "intercepts": np.array([model.calibration.intercepts]),
        "offsets": np.array([model.offsets]),
        "decimals": np.array(_DECIMALS),
    }
    node = helper.make_node
    nodes = [
        _trees(model).node(INPUT, "sum_of_trees"),
        node("Add", ["sum_of_trees", "baseline"], ["scores"]),
        node("Mul", ["scores", "slope"], ["scaled"]),
        node("Add", ["scaled", "intercepts"], ["calibrated"]),
        node("Add", ["calibrated", "offsets"], ["decided"]),
        node("ArgMax", ["decided"], ["level"], axis=1, keepdims=0),
        node("Softmax", ["calibrated"], ["exact"], axis=1),
        node("Mul", ["exact", "decimals"], ["multiplied"]),
        node("Round", ["multiplied"], ["rounded"]),
        node("Div", ["rounded", "decimals"], ["probabilities"]),
    ]
    return _checked(nodes, features, constants)


def persistence(moves: np.ndarray, thresholds: tuple[float, float]) -> onnx.ModelProto:
    """Return the graph that says of a score the level which it is now.

    Args:
        moves: the probabilities of each level after each level, (3, 3); rounded to six decimals.
        thresholds: the lowest scores of Alta and Media.
    """
    node = helper.make_node
    nodes = [
        node("Less", [INPUT, "thresholds"], ["is_below"]),
        node("Cast", ["is_below"], ["below"], to=TensorProto.INT64),
        node("ReduceSum", ["below", "levels"], ["level"], keepdims=0),
        node("Gather", ["moves", "level"], ["probabilities"]),
    ]
    constants = {
        "thresholds": np.array([thresholds]),
        "levels": np.array([1]),
        "moves": np.round(moves, 6),
    }
    return _checked(nodes, 1, constants)


def _checked(
    nodes: list[onnx.NodeProto], features: int, constants: Mapping[str, np.ndarray]
) -> onnx.ModelProto:
    """Return the graph of nodes that make a model's outputs out of its input."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "popularity_level",
        [value(INPUT, TensorProto.DOUBLE, [None, features])],
        [
            value("level", TensorProto.INT64, [None]),
            value("probabilities", TensorProto.DOUBLE, [None, len(LEVELS)]),
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 5)]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    onnx.checker.check_model(proto)
    return proto


def check(model: LevelModel, graph: onnx.ModelProto, x: np.ndarray) -> float:
    """Compare the graph with the model on every row and return the largest difference.

    Raises:
        IntegrityError: a level differs, or a probability by more than `TOLERANCE`.
    """
    level, probabilities = session(graph.SerializeToString()).run(OUTPUTS, {INPUT: x})
    expected = model.calibrated(x)
    other = int((level != model.decide(expected)).sum())
    worst = float(np.abs(probabilities - softmax(expected, axis=1)).max(initial=0.0))
    if other or worst > TOLERANCE:
        raise IntegrityError(
            f"El modelo exportado a ONNX no es el entrenado: {other} niveles distintos de "
            f"{len(x)}, probabilidades a {worst:.2g} como mucho. No se registra."
        )
    return worst


@dataclass
class _TreeEnsemble:
    """Attributes of the operator ``TreeEnsemble``, filled tree by tree."""

    thresholds: list[float]
    features: list[int]
    true_ids: list[int]
    false_ids: list[int]
    true_leaf: list[int]
    false_leaf: list[int]
    leaf_targets: list[int]
    leaf_values: list[float]
    roots: list[int]

    def add(self, nodes: np.ndarray, target: int, weight: float) -> None:
        """Append one tree of scikit-learn's node records, its leaves multiplied by ``weight``."""
        first_split, first_leaf = len(self.thresholds), len(self.leaf_values)
        is_leaf = nodes["is_leaf"].astype(bool)
        # Splits and leaves are numbered apart, each in the order of the records.
        place = np.where(
            is_leaf, first_leaf + np.cumsum(is_leaf) - 1, first_split + np.cumsum(~is_leaf) - 1
        )
        self.leaf_values += (nodes["value"][is_leaf] * weight).tolist()
        self.leaf_targets += [target] * int(is_leaf.sum())
        self.roots.append(first_split)
        if is_leaf[0]:
            # A tree of one leaf: the operator wants a split, so both its ways lead there.
            self._split(0.0, 0, (first_leaf, first_leaf), (1, 1))
        for record in nodes[~is_leaf]:
            left, right = int(record["left"]), int(record["right"])
            self._split(
                float(record["num_threshold"]),
                int(record["feature_idx"]),
                (int(place[left]), int(place[right])),
                (int(is_leaf[left]), int(is_leaf[right])),
            )

    def _split(
        self, threshold: float, feature: int, ids: tuple[int, int], leaves: tuple[int, int]
    ) -> None:
        self.thresholds.append(threshold)
        self.features.append(feature)
        self.true_ids.append(ids[0])
        self.false_ids.append(ids[1])
        self.true_leaf.append(leaves[0])
        self.false_leaf.append(leaves[1])

    def node(self, source: str, result: str) -> onnx.NodeProto:
        """Return the operator."""
        modes = np.full(len(self.features), _BRANCH_LEQ, np.uint8)
        return helper.make_node(
            "TreeEnsemble",
            [source],
            [result],
            domain="ai.onnx.ml",
            n_targets=len(LEVELS),
            aggregate_function=_SUM,
            post_transform=0,
            nodes_splits=_doubles(self.thresholds),
            nodes_featureids=self.features,
            nodes_modes=numpy_helper.from_array(modes),
            nodes_truenodeids=self.true_ids,
            nodes_falsenodeids=self.false_ids,
            nodes_trueleafs=self.true_leaf,
            nodes_falseleafs=self.false_leaf,
            leaf_targetids=self.leaf_targets,
            leaf_weights=_doubles(self.leaf_values),
            tree_roots=self.roots,
        )


def _doubles(values: list[float]) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, np.float64))


def _trees(model: LevelModel) -> _TreeEnsemble:
    ensemble = _TreeEnsemble([], [], [], [], [], [], [], [], [])
    for nodes, target in _records(model):
        ensemble.add(nodes, target, 1 / len(model.members))
    return ensemble


def _records(model: LevelModel) -> Iterator[tuple[np.ndarray, int]]:
    for member in model.members:
        for iteration in member._predictors:
            for target, tree in enumerate(iteration):
                yield tree.nodes, target
