"""Where events come from: the simulator, weekly charts, listening histories."""

from .charts import read_charts, select_charts
from .history import read_history
from .ingest import ingest_charts, ingest_history, ingest_simulator
from .live import live, paced
from .simulator import Simulator

__all__ = [
    "Simulator",
    "ingest_charts",
    "ingest_history",
    "ingest_simulator",
    "live",
    "paced",
    "read_charts",
    "read_history",
    "select_charts",
]
