"""The model as an ONNX graph that computes what scikit-learn computes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from scipy.special import softmax

from ..config.errors import IntegrityError
from ..domain.labels import LEVELS
from . import onnx_scores
from .learner import LevelModel
from .runtime import INPUT, OUTPUTS, session

TOLERANCE = 1e-5
"""Largest accepted difference of a probability from scikit-learn's."""

_DECIMALS = 1e6


def to_onnx(model: LevelModel, features: int) -> onnx.ModelProto:
    """Return the graph of a model.

    The level is decided on the scores, the probabilities are rounded to six decimals: ONNX
    Runtime's softmax gives other last bits to the same row in a batch of another size, and a row
    must get the same answer in a stream, a replay and a request.

    Args:
        model: fitted; its members know only numeric inputs.
        features: number of inputs.
    """
    scores = onnx_scores.part(model.members)
    constants = scores.constants | {
        "slope": np.array(model.calibration.slope),
        "intercepts": np.array([model.calibration.intercepts]),
        "offsets": np.array([model.offsets]),
        "decimals": np.array(_DECIMALS),
    }
    node = helper.make_node
    nodes = [
        *scores.nodes,
        node("Mul", [onnx_scores.SCORES, "slope"], ["scaled"]),
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
