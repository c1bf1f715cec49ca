"""Where events come from: the simulator, charts, listening histories."""

from .from_files import ingest_files
from .ingest import ingest_simulator
from .inspecting import inspect_files
from .live import live, paced
from .simulator import Simulator

__all__ = ["Simulator", "ingest_files", "ingest_simulator", "inspect_files", "live", "paced"]
