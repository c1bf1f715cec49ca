"""Events to model inputs, as pure functions on columns.

A frame may hold many windows at once; the result is the same as one window at a time, and does
not depend on the order of rows.
"""

from ..schemas import (
    AGGREGATE_SCHEMA,
    CARRIED_SCHEMA,
    DESCRIPTIVE_SCHEMA,
    RANKED_SCHEMA,
    ROW_KEY,
)
from .aggregates import aggregate, dedup
from .building import build, reference
from .names import FAMILIES, Inputs, country_feature
from .ranking import carry, rank

__all__ = [
    "AGGREGATE_SCHEMA",
    "CARRIED_SCHEMA",
    "DESCRIPTIVE_SCHEMA",
    "FAMILIES",
    "RANKED_SCHEMA",
    "ROW_KEY",
    "Inputs",
    "aggregate",
    "build",
    "carry",
    "country_feature",
    "dedup",
    "rank",
    "reference",
]
