"""The rows of a chart file as events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Literal

import polars as pl

from ...config.errors import InputError
from ...domain import tracks
from ...domain.events import times
from ...domain.events.schema import MAX_COUNT
from ..account import FileAccount
from ..columns import days, mapped, whole_numbers
from ..countries import WORLD, FileName, code_of
from ..files import Part
from ..found import as_columns
from ..tables import Header, Rows, read_rows
from .shapes import OWN, ROLES, Recognised

SOURCE = "charts"
BadRows = Literal["refuse", "leave_out"]
_MAX_RANK = 10**6
_EXPECTED = {
    "day": ("date", "una fecha AAAA-MM-DD"),
    "count": ("streams", "un entero mayor que cero"),
    "rank": ("rank", "un entero mayor que cero"),
    "track_id": ("track", "un identificador"),
}
"""By value: the role of the column that it is read from, and what was expected there."""


@dataclass
class ChartFile:
    """A chart file that is read, and what is known of all its rows."""

    part: Part
    header: Header[Recognised]
    name: FileName
    country: str | None
    """Of all rows; where there is a column of regions, the only one that is taken."""
    countries: Sequence[str] | None
    """Those that are taken; None takes every one."""
    shift: timedelta
    """From a date as it is written to the first day that a row counts."""
    bad_rows: BadRows
    days: dict[date, int] = field(default_factory=dict)
    """First days that rows count, as found, each with the line where it was first seen."""
    found: set[str] = field(default_factory=set)
    """Countries that rows were of."""

    @property
    def has_streams(self) -> bool:
        """Whether rows say how often they were played."""
        return "streams" in self.header.shape.places

    def column(self, role: str) -> str:
        """Return how the file calls the column of a role."""
        places = self.header.shape.places
        fallback = next((own for own, other in OWN.items() if other == role), role)
        return self.header.names[places[role]] if role in places else fallback


def read_file(file: ChartFile, account: FileAccount) -> Iterator[pl.DataFrame]:
    """Yield the rows of a file as events (``EVENT_COLUMNS``, ``_order`` and ``_where``).

    Raises:
        InputError: the file is broken, or a row cannot be read and ``bad_rows`` refuses it.
    """
    places = file.header.shape.places
    roles = [role for role in ROLES if role in places]
    for rows in read_rows(file.part, file.header, [places[role] for role in roles]):
        account.rows += rows.frame.height + len(rows.bad) + rows.blank
        account.leave_out("blank", rows.blank)
        _bad(file, account, rows)
        frame = rows.frame
        frame.columns = [*roles, "_line"]
        frame = _read(file, account, _of_countries(file, account, frame))
        for day, line in (
            frame.group_by("day", maintain_order=True).agg(pl.col("_line").min()).iter_rows()
        ):
            file.days.setdefault(day, line)
        if frame.height:
            yield _events(file, frame)


def _bad(file: ChartFile, account: FileAccount, rows: Rows) -> None:
    named = [f"línea {row.line}: {row.reason}" for row in rows.bad]
    if named and file.bad_rows == "refuse":
        raise InputError(f"{file.part.name}, {named[0]}.")
    account.leave_out("unreadable", len(named), named)


def _of_countries(file: ChartFile, account: FileAccount, frame: pl.DataFrame) -> pl.DataFrame:
    """Leave out what is of no country that is wanted, or of a viral chart; add ``country``."""
    if "chart" in frame.columns:
        viral = pl.col("chart").str.to_lowercase().str.starts_with("viral").fill_null(False)
        frame = _without(account, frame, "viral", viral)
    if "region" not in frame.columns:
        assert file.country is not None
        file.found.add(file.country)
        return frame.with_columns(country=pl.lit(file.country))
    nothing = WORLD if file.header.shape.shape.empty_region_is_world else ""
    regions = frame["region"].fill_null(nothing)
    codes = mapped(regions, lambda text: text if text == WORLD else code_of(text), pl.String)
    frame = frame.with_columns(country=codes, region=regions)
    unknown = frame.filter(pl.col("country").is_null())
    for region, count in unknown["region"].value_counts().iter_rows():
        account.codes[region] += count
    named = [f"línea {line}: «{region}»" for region, line in _head(unknown, "region")]
    frame = _without(account, frame, "unknown_country", pl.col("country").is_null(), named)
    frame = _without(account, frame, "world", pl.col("country") == WORLD)
    wanted = [file.country] if file.country else file.countries
    if wanted is not None:
        frame = _without(account, frame, "other_country", ~pl.col("country").is_in(list(wanted)))
    file.found.update(frame["country"].unique())
    return frame


def _read(file: ChartFile, account: FileAccount, frame: pl.DataFrame) -> pl.DataFrame:
    """Add the values ``day``, ``count``, ``rank`` and ``track_id``, of rows that can be read."""
    if "date" in frame.columns:
        day = days(frame["date"])
    else:
        day = pl.Series([file.name.dates[0]] * frame.height, dtype=pl.Date)
    if file.has_streams:
        count = whole_numbers(frame["streams"], 1, MAX_COUNT)
    else:
        count = pl.Series([1] * frame.height, dtype=pl.Int64)
    if "track" in frame.columns:
        track = tracks.references(frame["track"])["track_id"]
    else:
        track = tracks.names(frame["artist"], frame["title"])
    frame = frame.with_columns(
        day=day, count=count, rank=whole_numbers(frame["rank"], 1, _MAX_RANK), _rank_text="rank",
        track_id=track,
    )  # fmt: skip
    unread = pl.any_horizontal(pl.col(list(_EXPECTED)).is_null())
    wrong = frame.filter(unread)
    if wrong.height:
        named = [_named(file, row) for row in wrong.head(5).iter_rows(named=True)]
        if file.bad_rows == "refuse":
            raise InputError(f"{file.part.name}, {named[0]}.")
        account.leave_out("unreadable", wrong.height, named)
        frame = frame.filter(~unread)
    return frame.with_columns(pl.col("day") + file.shift)


def _named(file: ChartFile, row: dict[str, object]) -> str:
    for value, (role, expected) in _EXPECTED.items():
        if row[value] is None:
            text = row.get("_rank_text" if role == "rank" else role)
            if role == "track" and role not in file.header.shape.places:
                role, text = "title", f"{row['artist'] or ''} · {row['title'] or ''}"
            shown = str(text or "")[:80]
            return f"línea {row['_line']}: {file.column(role)} = «{shown}», se esperaba {expected}"
    raise AssertionError("a row in which nothing is wrong")


def _events(file: ChartFile, frame: pl.DataFrame) -> pl.DataFrame:
    # One row is one event whatever file it comes in; what counts streams is not what does not.
    kind = "chart" if file.has_streams else "chart-popularity"
    rows = frame.select(
        event_id=pl.format(kind + ":{}:{}:{}", "country", "day", "rank"),
        event_time=pl.col("day").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
        country="country",
        track_id="track_id",
        track_name="title",
        artist_name="artist",
        count="count",
        _order="rank",
        _where=pl.format("línea {}", "_line"),
    )
    if "popularity" in frame.columns:
        rows = rows.with_columns(whole_numbers(frame["popularity"], 0, 100).alias("popularity"))
    if "album" in frame.columns:
        rows = rows.with_columns(frame["album"].alias("album_name"))
    if "released" in frame.columns:
        released = times.parse_dates(frame["released"])
        rows = rows.with_columns(released.alias("release_date"))
    return as_columns(rows, SOURCE)


def _without(
    account: FileAccount,
    frame: pl.DataFrame,
    reason: str,
    which: pl.Expr,
    named: Sequence[str] = (),
) -> pl.DataFrame:
    count = frame.select(which.sum()).item()
    if not count:
        return frame
    account.leave_out(reason, count, named)
    return frame.filter(~which)


def _head(frame: pl.DataFrame, column: str) -> Iterator[tuple[str, int]]:
    yield from frame.head(5).select(column, "_line").iter_rows()
