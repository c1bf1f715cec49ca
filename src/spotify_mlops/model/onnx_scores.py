"""The part of the graph that computes the scores, for each kind of classifier.

It is written here and not by skl2onnx, whose trees hold thresholds and leaves as float32: a value
between two float32 neighbours then takes the other branch (measured: probabilities off by 0.1). The
operator ``TreeEnsemble`` (ai.onnx.ml 5) takes float64, and so the graph agrees to the last digits
that an addition leaves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline

from ..domain.labels import LEVELS
from .learner import LEAST, Member
from .runtime import INPUT

SCORES = "scores"
"""Name of what the part computes: float64 (rows, 3)."""

_BRANCH_LEQ = 0
_SUM = 1


class Part(NamedTuple):
    """Nodes from `INPUT` to `SCORES`, and the constants that they read."""

    nodes: list[onnx.NodeProto]
    constants: dict[str, np.ndarray]


def part(members: Sequence[Member]) -> Part:
    """Return what computes the mean of the members' scores (`learner.scores_of`).

    Args:
        members: fitted, of one kind; only boosted trees can be several.
    """
    if isinstance(members[0], HistGradientBoostingClassifier):
        return _boosting(members)
    (member,) = members
    return _linear(member) if isinstance(member, Pipeline) else _forest(member)


def _boosting(members: Sequence[Member]) -> Part:
    ensemble = _TreeEnsemble([], [], [], [], [], [], [], [], [])
    for records, target in _records(members):
        ensemble.add(records, target, 1 / len(members))
    baseline = np.mean([m._baseline_prediction.ravel() for m in members], axis=0)
    nodes = [
        ensemble.node(INPUT, "sum_of_trees"),
        helper.make_node("Add", ["sum_of_trees", "baseline"], [SCORES]),
    ]
    return Part(nodes, {"baseline": baseline.reshape(1, -1)})


def _linear(member: Pipeline) -> Part:
    """Return the steps as they are: in one product, an input that hardly varies would be lost."""
    scaler, classifier = (step for _, step in member.steps)
    node = helper.make_node
    nodes = [
        node("Sub", [INPUT, "means"], ["centred"]),
        node("Div", ["centred", "scales"], ["standard"]),
        node("MatMul", ["standard", "weights"], ["weighted"]),
        node("Add", ["weighted", "biases"], [SCORES]),
    ]
    constants = {
        "means": scaler.mean_.reshape(1, -1),
        "scales": scaler.scale_.reshape(1, -1),
        "weights": classifier.coef_.T,
        "biases": classifier.intercept_.reshape(1, -1),
    }
    return Part(nodes, constants)


def _forest(member: Member) -> Part:
    """Return the log of the trees' mean probabilities: one tree, or many."""
    trees = getattr(member, "estimators_", [member])
    ensemble = _TreeEnsemble([], [], [], [], [], [], [], [], [])
    for tree in trees:
        for target in range(len(LEVELS)):
            ensemble.add(_tree_records(tree.tree_, target), target, 1 / len(trees))
    node = helper.make_node
    nodes = [
        # These trees compare float32 inputs with float64 thresholds.
        node("Cast", [INPUT], ["single"], to=TensorProto.FLOAT),
        node("Cast", ["single"], ["rounded_inputs"], to=TensorProto.DOUBLE),
        ensemble.node("rounded_inputs", "shares"),
        node("Max", ["shares", "least"], ["positive"]),
        node("Log", ["positive"], [SCORES]),
    ]
    return Part(nodes, {"least": np.array([[LEAST]])})


def _tree_records(tree: Any, target: int) -> np.ndarray:
    """Return a tree's nodes in the form of boosted trees', with a level's share as value."""
    kinds = [("is_leaf", "?"), ("value", "f8"), ("num_threshold", "f8"), ("feature_idx", "i8"),
             ("left", "i8"), ("right", "i8")]  # fmt: skip
    records = np.zeros(tree.node_count, dtype=kinds)
    records["is_leaf"] = tree.children_left < 0
    records["value"] = tree.value[:, 0, target]
    records["num_threshold"] = tree.threshold
    records["feature_idx"] = tree.feature
    records["left"], records["right"] = tree.children_left, tree.children_right
    return records


def _records(members: Sequence[Member]) -> Iterator[tuple[np.ndarray, int]]:
    for member in members:
        for iteration in member._predictors:
            for target, tree in enumerate(iteration):
                yield tree.nodes, target


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
