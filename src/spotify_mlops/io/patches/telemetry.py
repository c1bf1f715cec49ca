"""ONNX Runtime's official builds tell Microsoft how they are used, from 1.29 on, on Linux too.

They keep a device's number and their events in the user's cache folder, with names and hashes of
the models among them, and send them. The process that loads the library decides, before it does.
"""

from __future__ import annotations

import os


def tell_nobody() -> None:
    """Turn it off in this process and its children, unless its user has decided otherwise."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
