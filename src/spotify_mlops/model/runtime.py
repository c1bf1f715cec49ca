"""The model's graph as ONNX Runtime executes it: all that serving needs, and no scikit-learn."""

from __future__ import annotations

import onnxruntime

INPUT = "inputs"
"""Name of the graph's input: float64 (rows, features)."""

OUTPUTS = ("level", "probabilities")
"""Names of its outputs: int64 (rows,), index into `LEVELS`; float64 (rows, 3)."""


def session(graph: bytes) -> onnxruntime.InferenceSession:
    """Return a session on one thread: more threads add in another order, and change bits."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
