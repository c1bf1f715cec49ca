"""Google's ``aiplatform_v1`` messages."""

from __future__ import annotations

import importlib
from typing import Any

from ..patches import aiplatform

_MODULES = (
    *("model", "model_service", "model_evaluation", "endpoint", "endpoint_service"),
    *("custom_job", "job_service", "job_state", "operation"),
)


aiplatform.without_clients()


def __getattr__(name: str) -> Any:
    """Return a message, the protobuf class, or an enum."""
    for module in _MODULES:
        found = getattr(importlib.import_module(f"{aiplatform.PACKAGE}.types.{module}"), name, None)
        if found is not None:
            return found.pb() if hasattr(found, "pb") else found
    raise AttributeError(name)
