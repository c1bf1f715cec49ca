"""How the work is cut for a job that begins behind its log: many windows in an element at first.

An element costs some tenths of a second whatever it holds. One window each is right where somebody
waits for every window, and is most of the work where hundreds of them are there already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ...domain.watermark import watermark
from ...io import kafka
from ...pipeline.position import Position
from ...pipeline.restriction import LogPosition
from ...pipeline.source import LogSource
from ...pipeline.steps import Shape
from .. import lag

RECORDS = 30_000
"""In an element, about. With three times as many the job needs half as much memory again, and is no
faster (`bench backlog`)."""


def cut(
    source: LogSource,
    start: Position,
    ends: Mapping[int, int] | None,
    stopped: Callable[[], bool],
) -> Shape:
    """Return the shape for a run from ``start`` on: elements of many windows up to the log's end.

    Args:
        source: that will read, with the shape where nothing waits.
        start: where it begins.
        ends: per partition, where it ends; None goes on for ever.
        stopped: tells whether to give up what takes its time.

    Raises:
        ServiceError: Kafka does not answer.
    """
    params, shape = source.params, source.shape
    ends = ends or {p: high for p, (_, high) in kafka.offsets(params).items()}
    records = sum(ends[p] - first for p, first in start.offsets.items())
    if records <= 0:
        return shape
    newest = lag.newest(params, ends)
    marks = {p: newest.get(p) for p in start.offsets}
    reached = watermark(marks, params.windows.allowed_lateness)
    if reached is None:  # a partition ends in dead letters
        return shape
    first = source.floor(LogPosition.at(start.offsets, start.marks, ends), stopped)
    until = shape.windowing.start(reached)
    windows = 0 if first is None else (until - first) // shape.windowing.length
    number = min(RECORDS * windows // records, params.stream.windows_per_element)
    return shape if number <= 1 else replace(shape, windows_per_element=number, single_from=until)
