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
from .names import FAMILIES, MODEL_COUNTRIES, SEED_FEATURES, feature_names
from .ranking import carry, rank

__all__ = [
    "AGGREGATE_SCHEMA",
    "CARRIED_SCHEMA",
    "DESCRIPTIVE_SCHEMA",
    "FAMILIES",
    "MODEL_COUNTRIES",
    "RANKED_SCHEMA",
    "ROW_KEY",
    "SEED_FEATURES",
    "aggregate",
    "build",
    "carry",
    "dedup",
    "feature_names",
    "rank",
    "reference",
]
