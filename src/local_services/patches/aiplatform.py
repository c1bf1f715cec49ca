"""google-cloud-aiplatform 1.165: its messages without its clients.

The package's ``__init__`` imports every client of Vertex AI (0.7 s of CPU, 132 MB); the stand-in
needs a few message modules (0.1 s, 25 MB). There is no other way in: the messages are modules of
that package (``google/cloud/aiplatform_v1/__init__.py``).
"""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
from types import ModuleType

PACKAGE = "google.cloud.aiplatform_v1"


def without_clients() -> None:
    """Put the bare packages in place, unless this process has the clients anyway."""
    for name in (PACKAGE, f"{PACKAGE}.types"):
        if name not in sys.modules:
            _bare(name)


def _bare(name: str) -> None:
    """Make a package importable from without running its ``__init__``."""
    parent, _, last = name.rpartition(".")
    for folder in importlib.import_module(parent).__path__:
        spec = importlib.machinery.PathFinder.find_spec(name, [folder])
        if spec is not None:
            module = ModuleType(name)
            module.__path__ = list(spec.submodule_search_locations or ())
            sys.modules[name] = module
            setattr(sys.modules[parent], last, module)
            return
    raise ModuleNotFoundError(name)
