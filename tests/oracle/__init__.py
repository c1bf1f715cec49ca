"""What the tables must hold, computed plainly over a whole log at once.

Written from the contract (design and README_TECNICO), apart from the pipeline: records one at a
time with the standard library's JSON, tables by joins. Only names, sets and limits of the
contract are imported. Slow, and simple enough to be checked by reading.
"""

from __future__ import annotations

from .records import Verdict, event_fields, judge
from .rules import Rules
from .tables import Tables, expected

__all__ = ["Rules", "Tables", "Verdict", "event_fields", "expected", "judge"]
