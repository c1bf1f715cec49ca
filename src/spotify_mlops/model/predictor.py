"""Predictions from a bundle: the same numbers in the stream, a notebook and the endpoint."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl

from ..domain.labels import LEVELS
from ..domain.schemas import OUTPUT_SCHEMA, PROBABILITIES
from . import bundle, runtime
from .bundle import Bundle

_BLOCK = 8192
"""Rows for one thread."""


class Predictor:
    """A loaded bundle. Safe to call from several threads; a row's answer depends on it alone."""

    def __init__(self, loaded: Bundle, name: str) -> None:
        """Open the graph of a bundle; ``name`` is written beside its predictions."""
        self.bundle = loaded
        self.name = name
        self.features = loaded.features
        self._session = runtime.session(loaded.graph())

    @classmethod
    def load(cls, source: Path | str | Bundle, name: str | None = None) -> Self:
        """Open a bundle, or check and open the one in a directory.

        A registered version's directory is named by its number: ``popularity@3``.

        Raises:
            InputError: the directory is not a bundle.
            IntegrityError: a file is not what its hash says.
        """
        loaded = source if isinstance(source, Bundle) else bundle.load(Path(source))
        version = loaded.path.name if loaded.path.name.isdigit() else "candidate"
        return cls(loaded, name or f"{loaded.model_name}@{version}")

    def predict(self, features: pl.DataFrame) -> pl.DataFrame:
        """Predict each row.

        Args:
            features: has at least the columns ``self.features`` (numbers, neither null nor NaN).

        Returns:
            ``OUTPUT_SCHEMA``, in the order of the rows. Probabilities have six decimals.
        """
        return self.predict_array(features.select(self.features).to_numpy())

    def predict_array(self, x: np.ndarray) -> pl.DataFrame:
        """Predict rows given as an array (rows, ``self.features``)."""
        if len(x) == 0:
            return pl.DataFrame(schema=OUTPUT_SCHEMA)
        x = np.ascontiguousarray(x, dtype=np.float64)
        if np.isnan(x).any():
            raise ValueError("model inputs must be neither null nor NaN")
        level, p = self.run(x)
        return pl.DataFrame(
            {
                "level": np.array(LEVELS)[level],
                "score": p[np.arange(len(p)), level],
                **{name: p[:, i] for i, name in enumerate(PROBABILITIES)},
            },
            schema=OUTPUT_SCHEMA,
        )

    def run(self, x: np.ndarray) -> list[np.ndarray]:
        """Return the graph's outputs; many rows are shared out among the cores.

        Args:
            x: float64 (rows, ``self.features``), without NaN.

        Returns:
            Indices into `LEVELS`, int64 (rows,), and probabilities, float64 (rows, 3).
        """
        blocks = [x[i : i + _BLOCK] for i in range(0, len(x), _BLOCK)]
        if len(blocks) == 1:
            return list(self._session.run(runtime.OUTPUTS, {runtime.INPUT: x}))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            parts = pool.map(
                lambda b: self._session.run(runtime.OUTPUTS, {runtime.INPUT: b}), blocks
            )
            return [np.concatenate(part) for part in zip(*parts, strict=True)]
