"""How often a test range has been looked at: the best of many models seems better than it is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from . import bundle, training_result


def earlier(runs: Path, boundaries: Mapping[str, str], graph: bytes) -> int:
    """Return how many other models were measured on a test range, or on a part of it.

    The same model trained again, as a notebook that is executed twice does, is no other.

    Args:
        runs: of this machine, each as `TrainingResult.save` writes it.
        boundaries: ``test_start`` and ``test_end`` (ISO 8601), and more.
        graph: of the model that is measured now.

    Raises:
        IntegrityError: a model there is not what was saved.
    """
    seen = set()
    for run in training_result.saved(runs):
        described = bundle.load(run / training_result.BUNDLE).description
        if _overlap(described["training"]["boundaries"], boundaries):
            seen.add(described["files"][bundle.GRAPH])
    return len(seen - {hashlib.sha256(graph).hexdigest()})


def _overlap(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    ends = [
        [datetime.fromisoformat(each[name]) for name in ("test_start", "test_end")]
        for each in (one, other)
    ]
    return ends[0][0] < ends[1][1] and ends[1][0] < ends[0][1]
