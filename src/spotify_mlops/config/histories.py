"""The histories that a model may learn from, by name."""

from __future__ import annotations

from typing import Literal

History = Literal["all", "half", "quarter", "fading"]
"""All rows before the boundary; those of the last half, or quarter, of the time; or all of them,
the older the less they weigh."""
