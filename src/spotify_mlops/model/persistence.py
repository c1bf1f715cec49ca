"""Persistence as a model that can serve: every track keeps its level.

It is the baseline that a champion has to beat. Where none does, it is what readers are given: a
registered version like any other, with the probabilities that the past gives to each level.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ..config.errors import IntegrityError
from ..config.params import Params
from . import baselines, bundle, dataset, export, metrics, runtime
from .bundle import Bundle

FAMILY = "persistence"

WriteCard = Callable[[Params, dict[str, Any]], str]
"""What the bundle says to people, from the params and its description."""


def write_bundle(
    params: Params,
    features: pl.DataFrame,
    labels: pl.DataFrame,
    write_card: WriteCard,
    directory: Path,
) -> Bundle:
    """Count how often each level became each other one, and write the model of it.

    Args:
        params: horizon, levels, name of the model.
        features: the features table.
        labels: the labels table; those of ``params.horizon`` are used.
        write_card: of the bundle.
        directory: of the bundle.

    Raises:
        IntegrityError: the ONNX graph does not agree with the baseline on a row.
    """
    rows = dataset.join(features, labels, params.model)
    names = [dataset.score_input(params.windows)]
    graph = export.persistence(baselines.moves(rows), dataset.thresholds(params.model))
    serialized = graph.SerializeToString()
    inputs = {runtime.INPUT: dataset.matrix(rows, names)}
    level, p = runtime.session(serialized).run(runtime.OUTPUTS, inputs)
    expected, likely = baselines.persistence(rows, rows)
    if not np.array_equal(level, expected) or np.abs(p - likely).max() > export.TOLERANCE:
        raise IntegrityError("La persistencia exportada a ONNX no es la línea de base.")
    said = metrics.predicted(rows, p, level)
    scored = metrics.score(said, params).with_columns(model=pl.lit(FAMILY), family=pl.lit(FAMILY))
    description = bundle.describe(
        params,
        family=FAMILY,
        features=names,
        training_end=dataset.bounds(rows, "label_window")[1] + params.windows.window,
        data_sha256=dataset.digest(rows, names),
        metrics=scored.to_dicts(),
        training={"rows_learned_from": rows.height},
    )
    return bundle.write(directory, serialized, write_card(params, description), description)


def is_of(candidate: Bundle, params: Params) -> bool:
    """Tell whether a bundle is persistence as the params would make it now."""
    wanted = bundle.task(params)
    described = candidate.description
    return described["family"] == FAMILY and wanted == {name: described[name] for name in wanted}
