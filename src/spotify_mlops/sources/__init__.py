"""Where events come from: the simulator, weekly charts, listening histories."""

from .ingest import ingest_files, ingest_simulator
from .live import live, paced
from .simulator import Simulator

__all__ = ["Simulator", "ingest_files", "ingest_simulator", "live", "paced"]
