"""Interactive Beam for notebooks: a slice of the log, and a look at any collection of frames.

``ib.show`` loads scripts from elsewhere and ``ib.collect`` takes a frame apart row by row. Here
the frames come back whole, and nothing but the table is shown.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

import apache_beam as beam
import polars as pl
from apache_beam.runners.interactive import interactive_beam as ib
from apache_beam.runners.interactive import interactive_environment
from apache_beam.runners.interactive.interactive_runner import InteractiveRunner
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.transforms.window import TimestampedValue

from ..config.params import Params
from ..config.sections import Windows
from ..domain import watermark
from ..domain.events import Ahead, decode
from ..io.patches import beam as beam_patch
from ..pipeline import coder as coder  # registers the coder of frames
from ..pipeline import steps, transforms
from .es.countries import COUNTRY_NAMES
from .es.names import EVENT_TYPE_NAMES
from .log_slice import read_slice
from .narrative.show import Table, table


class ReadSlice(beam.PTransform):
    """Reads the beginning of the log as one batch.

    The graph holds only how much to read: records in a ``Create`` would be compressed with the
    graph each time that something is looked at.
    """

    def __init__(self, params: Params, records: int) -> None:
        super().__init__()
        self._params = params
        self._records = records

    def expand(self, pbegin: beam.pvalue.PBegin) -> beam.PCollection:
        """Apply to the beginning of a pipeline."""
        return (
            pbegin
            | beam.Create([self._records], reshuffle=False)
            | beam.Map(_read, self._params).with_output_types(pl.DataFrame)
        )


def pipeline() -> beam.Pipeline:
    """Return an interactive pipeline: collections can be looked at as soon as they are named."""
    beam_patch.apply()
    with _quiet():
        # It would load scripts from elsewhere, in whichever cell first applies a step.
        interactive_environment.current_env()
        # By name: the default runner would fetch one from elsewhere.
        return beam.Pipeline(InteractiveRunner(underlying_runner=FnApiRunner()))


def shape(params: Params) -> steps.Shape:
    """Return how the graph cuts the work here: one bucket for the whole slice."""
    return steps.Shape.of(params.windows, params.stream.windows_per_element)


class DecodeAndMark(beam.PTransform):
    """Decodes a slice that begins where the log does, and says which events are late."""

    def __init__(self, params: Params) -> None:
        super().__init__()
        self._params = params

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        """Apply to the one batch that `ReadSlice` gives."""
        return batches | beam.Map(decode_and_mark, self._params.windows).with_output_types(
            pl.DataFrame
        )


def decode_and_mark(batch: pl.DataFrame, windows: Windows) -> pl.DataFrame:
    """Do what `DecodeAndMark` does, without Beam.

    Args:
        batch: ``LOG_COLUMNS``, from where the log begins.
        windows: how late an event may be.
    """
    decoded = decode(batch, Ahead.of(windows))
    nothing = dict.fromkeys(sorted(batch["partition"].unique().to_list()))
    return watermark.mark(decoded, nothing, windows.allowed_lateness)[0].drop("value")


def _read(records: int, params: Params) -> pl.DataFrame:
    return read_slice(params, records)


class ByShard(beam.PTransform):
    """Cuts a slice by shard, as the source does, and says which of its windows are closed.

    They are all but the last, which the slice cuts.
    """

    def __init__(self, shape: steps.Shape) -> None:
        super().__init__()
        self._shape = shape

    def expand(self, marked: beam.PCollection) -> beam.PCollection:
        """Apply to the one element that `DecodeAndMark` gives."""
        return marked | beam.FlatMap(_by_shard, self._shape).with_output_types(transforms.ByKey)


def _by_shard(marked: pl.DataFrame, shape: steps.Shape) -> Iterator[TimestampedValue]:
    events = steps.events(marked, shape.windowing)
    pieces = list(steps.by_shard(events, shape))
    last: Any = events["window_start"].max()
    sent = steps.count_sent(pieces, {}, shape)
    closed = {window: rows for window, rows in sent.items() if window < last}
    closings = steps.closing(closed, 0, last, shape)
    yield from transforms.stamped((*pieces, *closings), shape)


class Where(beam.PTransform):
    """Keeps the rows for which an expression is true: a step that needs no function of its own."""

    def __init__(self, condition: pl.Expr) -> None:
        super().__init__()
        self._condition = condition

    def expand(self, frames: beam.PCollection) -> beam.PCollection:
        """Apply to frames."""
        return frames | beam.Map(_where, self._condition).with_output_types(pl.DataFrame)


def _where(frame: pl.DataFrame, condition: pl.Expr) -> pl.DataFrame:
    return frame.filter(condition)


def look(collection: beam.PCollection, caption: str, columns: list[str], rows: int = 5) -> Table:
    """Run what a collection needs and return its first rows as a table.

    Args:
        collection: frames, or pairs of a key and a frame.
        caption: what the rows are.
        columns: the columns to show, in this order.
        rows: how many rows.
    """
    shown = _for_reading(gather(collection).head(rows), columns)
    return table(shown, caption, {name: _HEADINGS.get(name, name) for name in columns}, limit=rows)


_HEADINGS = {
    "partition": "Partición",
    "offset": "Posición",
    "append_time": "Llegada (UTC)",
    "value": "Registro",
    "kind": "Qué es",
    "late": "Tarde",
    "event_time": "Ocurrió (UTC)",
    "event_type": "Tipo",
    "country": "País",
    "track_name": "Canción",
    "window_start": "Ventana (UTC)",
    "n": "Total",
    "plays": "Reproducciones",
    "skips": "Saltos",
    "searches": "Búsquedas",
    "play_score": "Puesto (0–100)",
    "hour_of_day": "Hora (UTC)",
    "momentum": "Impulso",
}
_VALUES = {
    "kind": {"event": "evento", "dead_letter": "carta muerta", "heartbeat": "latido"},
    "event_type": EVENT_TYPE_NAMES,
    "country": COUNTRY_NAMES,
}
"""What a reader meets in place of the contract's own names and codes."""

_gathered: WeakKeyDictionary[beam.PCollection, pl.DataFrame] = WeakKeyDictionary()
"""What was looked at before, for as long as its collection is in use."""


def gather(collection: beam.PCollection) -> pl.DataFrame:
    """Run what a collection needs and return its frames as one."""
    if collection not in _gathered:
        with _quiet():
            elements = ib.collect(collection, raw_records=True)
            # Interactive Beam would go on from its recording, which has lost its windows.
            ib.evict_recorded_data(collection.pipeline)
        frames = [e[-1] if isinstance(e, tuple) else e for e in elements]
        _gathered[collection] = pl.concat(frames, how="diagonal") if frames else pl.DataFrame()
    return _gathered[collection]


def _for_reading(frame: pl.DataFrame, columns: list[str]) -> pl.DataFrame:
    """Write bytes as the beginning of their text, and times in full."""
    shown = frame.select(columns)
    texts = [
        pl.Series(name, [_beginning(value) for value in shown[name].to_list()], pl.String)
        for name, kind in shown.schema.items()
        if kind == pl.Binary
    ]
    times = [
        pl.col(name).dt.strftime("%d/%m/%Y %H:%M:%S")
        for name, kind in shown.schema.items()
        if isinstance(kind, pl.Datetime)
    ]
    words = [pl.col(c).replace(_VALUES[c]) for c in columns if c in _VALUES]
    return shown.with_columns(*texts, *times, *words)


def _beginning(value: bytes | None, length: int = 72) -> str | None:
    """Return the beginning of a record's bytes as text, whatever they are."""
    if value is None:
        return None
    text = value[: 4 * length].decode("utf-8", errors="replace")
    return text if len(text) <= length else text[:length] + "…"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Beam's progress widgets, logs and warnings out of the notebook."""
    from IPython.utils.capture import capture_output

    with (
        warnings.catch_warnings(),
        contextlib.redirect_stderr(io.StringIO()),
        capture_output(stdout=True, stderr=True, display=True),
    ):
        warnings.simplefilter("ignore")
        yield


class Features(beam.PTransform):
    """Takes the features out of the rows of ``transforms.ProcessEvents``."""

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        """Apply to the rows."""
        return rows | beam.Map(_features).with_output_types(pl.DataFrame)


def _features(element: tuple[Any, ...]) -> pl.DataFrame:
    return element[2]
