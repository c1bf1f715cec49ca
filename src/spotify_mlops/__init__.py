"""Predicts how popular each track will be in each country, live, with one graph for all uses."""

from .io.patches import malloc, telemetry

malloc.keep_polars_memory()  # before anything imports Polars
telemetry.tell_nobody()  # before anything imports ONNX Runtime
