"""Polls into the log: one, or one each interval for ever."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import polars as pl

from ...config.content import POLICY
from ...config.errors import ServiceError, UserError
from ...config.params import Params
from ...config.progress import Progress, silent
from ...config.spanish import number
from ...domain.windows import EPOCH
from ...io.local.stopping import stopping
from ...io.webapi import AwayError, Client, Clock, StoppedError
from ..from_files import Gathered, gather, keep_summary, tell_files
from ..ordering import Ordered
from ..publishing import Published, publish_new
from .answers import SOURCE
from .memory import Memory
from .polls import Poll, Poller, too_slow


def ingest_webapi(
    params: Params,
    *,
    live: bool = False,
    close: bool = False,
    progress: Progress | None = None,
    clock: Clock | None = None,
    stop_event: threading.Event | None = None,
    pause: float = 1.0,
) -> dict[str, Any]:
    """Publish what the Web API shows now; with ``live``, again each ``webapi_interval``.

    What a poll found is published even where something ended it before its end; the error comes
    after that. Of what was published in the same time slot before, nothing is published again.
    Each poll vouches for its slot in every partition, so that earlier windows close.

    Args:
        params: what is asked, of whom, how often and into which log.
        live: goes on until ``stop_event`` is set (without one: at SIGTERM or SIGINT), until the
            API takes no more or gives nothing of what is asked, or until Kafka does not answer.
        close: of one poll, also closes the window of its last event.
        progress: told how far it is, in Spanish.
        clock: another time than the machine's.
        stop_event: ends it at the next wait.
        pause: of the first retry of a request, in seconds.

    Returns:
        ``source``, ``polls``, ``requests``, ``refused`` (what the API does not give), ``relinked``,
        and the sums of all polls: ``items``, which are ``events`` and all of ``left_out``;
        ``events``, which are ``published``, ``skipped`` and ``late_left_out``. Of one poll, also
        the rest of `Account.to_dict` and `Published.to_dict`.

    Raises:
        ParamsError: nothing is asked for, a secret is missing or not taken.
        ServiceError: the API does not answer, asks for too long a wait, or its quota is used up;
            Kafka does not answer.
    """
    say = progress or silent
    say(POLICY)
    if not live:
        own = clock or Clock()
        with Client(params, own, say, pause=pause) as client:
            return _Run(params, client, own, say).once(close)
    with stopping(stop_event) as stop:
        own = clock or Clock(wait=stop.wait)
        with Client(params, own, say, pause=pause) as client:
            return _Run(params, client, own, say).for_ever(stop)


_NOTHING = "La Web API no ha dado nada de lo que se pide."


@dataclass
class _Totals:
    polls: int = 0
    items: int = 0
    events: int = 0
    published: int = 0
    skipped: int = 0
    late: int = 0
    late_left_out: int = 0
    relinked: int = 0

    def add(self, summary: dict[str, Any]) -> None:
        """Add a poll's numbers."""
        for name in vars(self):
            setattr(self, name, getattr(self, name) + summary[name])


class _Run:
    def __init__(self, params: Params, client: Client, clock: Clock, say: Progress) -> None:
        self._params = params
        self._client = client
        self._clock = clock
        self._say = say
        self._poller = Poller(params, client, say)
        self._memory = Memory(params)
        self._left_out: dict[str, int] = {}
        self._totals = _Totals()

    def once(self, close: bool) -> dict[str, Any]:
        """Poll once."""
        summary, ended = self._poll(close=close, each=True)
        if ended is not None:
            if summary["events"]:
                self._say(f"{summary['told']}: {number(summary['published'])} publicados")
            raise ended
        if not summary["items"]:
            raise ServiceError(_NOTHING)
        return summary

    def for_ever(self, stop: threading.Event) -> dict[str, Any]:
        """Poll in each time slot until it is to end."""
        slow = too_slow(self._params)
        if slow:
            self._say(slow)
        try:
            while not stop.is_set():
                before = self._client.requests
                summary, ended = self._poll()
                if self._client.requests == before:
                    raise ServiceError(_NOTHING)
                self._tell(summary)
                if isinstance(ended, AwayError):
                    self._say(f"{ended} Se sigue en el próximo intervalo.")
                elif ended is not None:
                    raise ended
                if self._clock.wait(self._until_next(summary["slot"])):
                    break
        except StoppedError:
            pass  # what was not published of this slot is, when it is asked for again
        return self._summary() | vars(self._totals) | {"left_out": self._left_out}

    def _poll(
        self, *, close: bool = False, each: bool = False
    ) -> tuple[dict[str, Any], UserError | None]:
        slot = slot_of(self._clock.now(), self._params)
        poll = self._poller.poll(slot)
        with Ordered() as ordered:
            gathered = gather(poll.found(), ordered, self._params.windows, SOURCE, self._say)
            plays: list[str] = []
            published = self._publish(poll, gathered, ordered, plays, close=close)
            gathered.account.repeated = ordered.repeated
        if published is not None:
            self._memory.keep(slot, plays)
        if each:
            tell_files(gathered.account, self._say)
        done = published or Published(manifest={})
        summary = self._summary() | gathered.to_dict() | done.to_dict()
        summary |= {
            "slot": slot.isoformat(),
            "polls": 1,
            "items": gathered.account.rows,
            "relinked": poll.relinked,
            "told": told(gathered, poll),
        }
        self._totals.add(summary)
        for reason, count in summary["left_out"].items():
            self._left_out[reason] = self._left_out.get(reason, 0) + count
        keep_summary(self._params, SOURCE, summary)
        return summary, poll.ended

    def _publish(
        self,
        poll: Poll,
        gathered: Gathered,
        ordered: Ordered,
        plays: list[str],
        *,
        close: bool,
    ) -> Published | None:
        """Publish what a poll has found; None where that is nothing."""
        if gathered.last is None:
            return None
        known = set(self._memory.plays())
        before = 0

        def frames() -> Iterator[pl.DataFrame]:
            nonlocal before
            before = 0
            plays.clear()
            for frame in ordered.frames():
                plays.extend(frame.filter(pl.col("event_type") == "play")["event_id"].to_list())
                fresh = frame.filter(~pl.col("event_id").is_in(list(known)))
                before += frame.height - fresh.height
                if fresh.height:
                    yield fresh

        done = publish_new(
            self._params,
            SOURCE,
            frames,
            last=gathered.last,
            expected=gathered.account.events,
            close=close,
            progress=self._say,
            vouched=poll.slot,
        )
        return replace(done, skipped=done.skipped + before)

    def _summary(self) -> dict[str, Any]:
        return {
            "source": SOURCE,
            "requests": self._client.requests,
            "refused": self._poller.refusals.told,
        }

    def _tell(self, summary: dict[str, Any]) -> None:
        self._say(
            f"Ronda de {summary['slot'][:16]}: {number(summary['items'])} elementos; "
            f"{summary['told']}; {number(summary['published'])} publicados, "
            f"{number(summary['skipped'])} ya estaban"
        )

    def _until_next(self, slot: str) -> float:
        began = datetime.fromisoformat(slot) + self._params.webapi.interval
        return max((began - self._clock.now()).total_seconds(), 0.0)


def slot_of(moment: datetime, params: Params) -> datetime:
    """Return the beginning of the time slot that a moment is in."""
    return moment - (moment - EPOCH) % params.webapi.interval


def told(gathered: Gathered, poll: Poll) -> str:
    """Return in a line (Spanish) what the items of a poll became."""
    text = gathered.account.told()
    if poll.relinked:
        one = poll.relinked == 1
        text += f" ({number(poll.relinked)} {'enlazada' if one else 'enlazadas'} desde otra)"
    return text
