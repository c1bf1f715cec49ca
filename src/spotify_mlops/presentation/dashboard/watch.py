"""The answers to panels, kept fresh beside the page for as long as somebody looks at them.

A page that asks is answered at once with what is known. A thread asks BigQuery: first what
changed (how many rows each table has), then only the panels that read what changed. Nobody asks,
nothing is asked.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import polars as pl
import requests
from google.api_core.exceptions import ClientError, GoogleAPIError

from ...config.errors import UserError, one_line
from ...config.params import Params
from ...io.bigquery import tables
from . import queries
from .panel import Board, Panel
from .panels import panels
from .queries import Extent

REFRESH_SECONDS = 2.0
LOOKED_AT_SECONDS = 10.0
"""A choice that no page asked for in this time is not kept fresh any more."""
_FORGET_SECONDS = 300.0
_MOST_CHOICES = 64
"""That are remembered; those that were asked for last."""
_PATIENCE = timedelta(seconds=4)
"""How long BigQuery is tried before it counts as away."""
_AWAY = (GoogleAPIError, requests.RequestException, UserError)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """What a page asks for; none of a tuple is all of it, and None is all time."""

    board: Board
    countries: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    windows: int | None = None
    """How many, back from the newest."""
    clock: timedelta | None = None


@dataclass(frozen=True)
class Answer:
    """A panel's rows, or why there are none."""

    version: int
    """Rises when the rows change."""
    rows: pl.DataFrame | None
    error: str | None = None


@dataclass(frozen=True)
class Seen:
    """What a page is given."""

    extent: Extent | None
    """None until BigQuery has answered, lately."""
    answers: dict[str, Answer]
    """By panel; those that are known yet."""
    complete: bool
    """Whether all of the board's panels are answered."""
    at: datetime | None
    """When the answers were last found to be up to date."""
    away_since: datetime | None
    """Since when BigQuery has not answered, or does not answer well."""
    failure: str | None = None
    """What went wrong in the page itself when the choice was last looked up."""


@dataclass
class _Kept:
    """The state of one choice."""

    asked: float
    answers: dict[str, Answer] = field(default_factory=dict)
    marks: dict[str, object] = field(default_factory=dict)
    """What each panel's rows were computed from."""
    at: datetime | None = None
    failure: str | None = None


class Watch:
    """Keeps answers fresh. Safe to use from several threads."""

    def __init__(self, params: Params) -> None:
        """Do nothing yet; ``start`` begins."""
        self._params = params.replace(service_timeout=_PATIENCE)
        self._panels = panels(params)
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._kept: dict[Choice, _Kept] = {}
        self._extent: Extent | None = None
        self._refreshed = -LOOKED_AT_SECONDS
        self._counts: dict[str, int] = {}
        self._away_since: datetime | None = None
        self._failure: str | None = None
        self._version = 0
        self._ended = False
        self._asked = 0.0
        self._thread = threading.Thread(target=self._run, name="panels", daemon=True)

    def start(self) -> Watch:
        """Start the thread."""
        self._thread.start()
        return self

    def close(self) -> None:
        """End the thread, after the query that is under way."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join()

    def board(self, board: Board) -> tuple[Panel, ...]:
        """Return a board's panels."""
        return tuple(panel for panel in self._panels if panel.board == board)

    def extent(self, patience: float = 0.0) -> Extent | None:
        """Return what the dataset holds; wait up to ``patience`` seconds for the first answer."""
        with self._changed:
            self._asked = time.monotonic()
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: self._extent or self._away_since or self._failure, patience
            )
            return self._extent

    def look(self, choice: Choice, patience: float = 0.0) -> Seen:
        """Return what is known of a choice, and keep it fresh from now on.

        Args:
            choice: board and filters.
            patience: seconds to wait for a choice that is not answered whole yet.
        """
        wanted = {panel.name for panel in self.board(choice.board)}
        with self._changed:
            kept = self._kept.setdefault(choice, _Kept(time.monotonic()))
            kept.asked = self._asked = time.monotonic()
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: wanted <= kept.answers.keys() or self._away_since or self._failure, patience
            )
            # After a while in which nobody looked, what is known is old, and not complete.
            recent = time.monotonic() - self._refreshed < LOOKED_AT_SECONDS
            return Seen(
                self._extent if recent else None,
                dict(kept.answers),
                recent and wanted <= kept.answers.keys(),
                kept.at,
                self._away_since,
                self._failure or kept.failure,
            )

    # The thread

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ended or self._is_looked_at())
                if self._ended:
                    return
            began = time.monotonic()
            self._refresh()
            spent = time.monotonic() - began
            # At most half of the time is spent asking: others ask the same server.
            rest = max(REFRESH_SECONDS - spent, spent)
            with self._changed:
                self._changed.wait_for(lambda: self._ended or self._is_new_choice(), rest)

    def _is_looked_at(self) -> bool:
        return time.monotonic() - self._asked < LOOKED_AT_SECONDS

    def _is_new_choice(self) -> bool:
        waiting = [
            kept.asked for kept in self._kept.values() if not kept.answers and kept.failure is None
        ]
        recent = time.monotonic() - max(waiting, default=-LOOKED_AT_SECONDS) < LOOKED_AT_SECONDS
        return self._away_since is None and self._failure is None and recent

    def _refresh(self) -> None:
        """Bring all that is looked at up to date. Whatever fails is told, and tried again."""
        away = failure = None
        try:
            counts = queries.row_counts(self._params)
            if any(counts[name] != self._counts.get(name) for name in queries.EXTENT_TABLES):
                extent = queries.extent(self._params)
                with self._changed:
                    self._extent = extent
                    self._changed.notify_all()
            self._counts = counts
            for choice, kept in self._looked_at():
                self._answer_or_tell(choice, kept)
        except _AWAY as error:
            _log.warning("BigQuery: %s", error)
            away = self._away_since or datetime.now(UTC)
        except Exception as error:  # a defect; the thread that dies of it would tell nobody
            _log.exception("The page could not be brought up to date.")
            failure = _told(error)
        with self._changed:
            self._away_since, self._failure = away, failure
            if away is None and failure is None:
                self._refreshed = time.monotonic()
            self._changed.notify_all()

    def _answer_or_tell(self, choice: Choice, kept: _Kept) -> None:
        """Answer a choice; a failure of its own keeps no other from being answered."""
        try:
            self._answer(choice, kept)
            kept.failure = None
        except _AWAY:
            raise
        except Exception as error:
            _log.exception("%s", choice)
            kept.failure = _told(error)

    def _looked_at(self) -> list[tuple[Choice, _Kept]]:
        """Return the choices that pages look at, the last one first; forget the old."""
        now = time.monotonic()
        with self._lock:
            by_age = sorted(self._kept, key=lambda choice: -self._kept[choice].asked)
            old = [c for c in by_age if now - self._kept[c].asked > _FORGET_SECONDS]
            for choice in {*by_age[_MOST_CHOICES:], *old}:
                del self._kept[choice]
            found = [(c, k) for c, k in self._kept.items() if now - k.asked < LOOKED_AT_SECONDS]
        return sorted(found, key=lambda item: -item[1].asked)

    def _answer(self, choice: Choice, kept: _Kept) -> None:
        assert self._extent is not None
        now = datetime.now(UTC)
        selection = self._extent.selection(
            windows=None
            if choice.windows is None
            else self._params.windows.window * (choice.windows - 1),
            clock=choice.clock,
            now=now,
            countries=choice.countries,
            levels=choice.levels,
            models=choice.models,
        )
        for panel in self.board(choice.board):
            mark = self._mark(panel, selection)
            if kept.marks.get(panel.name) == mark:
                continue
            answer = self._ask(panel, selection, kept.answers.get(panel.name))
            with self._changed:
                kept.answers[panel.name] = answer
                kept.marks[panel.name] = mark
                self._changed.notify_all()
            if self._ended:
                return
        with self._lock:
            kept.at = now

    def _mark(self, panel: Panel, selection: queries.Selection) -> object:
        """Return what a panel's rows depend on, as far as it moves."""
        reads = panel.tables
        if "end" in panel.placeholders:
            # Closed windows: their events are all there, whatever comes after them.
            reads = reads - {tables.EVENTS.name, tables.EVENTS.rows}
        counts = tuple(self._counts.get(name) for name in sorted(reads))
        return counts, selection.end, selection.countries, selection.models

    def _ask(self, panel: Panel, selection: queries.Selection, before: Answer | None) -> Answer:
        try:
            rows = queries.run(self._params, panel, selection)
        except ClientError as error:  # BigQuery is there, and does not take this query
            _log.warning("%s: %s", panel.name, error)
            self._version += 1
            return Answer(self._version, None, one_line(error, 300))
        if before is not None and before.rows is not None and before.rows.equals(rows):
            return before
        self._version += 1
        return Answer(self._version, rows)


def _told(error: Exception) -> str:
    """Return an error in one short line."""
    text = one_line(error, 200)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
