"""How far a job has come: all that it keeps across a restart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import msgspec


@dataclass(frozen=True)
class Position:
    """Where a job resumes.

    One that is saved while the job runs has the ``offsets`` and ``marks`` at which the run began:
    exact still, and further back than need be (see `operations.resume`).

    Attributes:
        offsets: per partition, the first record to read.
        marks: the marks as they were there, so that lateness comes out the same.
        acknowledged: per partition, records below this are in all the raw sinks already.
        acknowledged_marks: the marks as they were there, or a little before.
        write_from: windows that start earlier are written already; None writes all.
    """

    offsets: Mapping[int, int]
    marks: Mapping[int, datetime | None]
    acknowledged: Mapping[int, int] = field(default_factory=dict)
    write_from: datetime | None = None
    acknowledged_marks: Mapping[int, datetime | None] = field(default_factory=dict)
    log: str | None = None
    """The identity of the topic; None in a position of an older version."""
    witnesses: Mapping[int, tuple[int, datetime]] = field(default_factory=dict)
    """Per partition, a record (offset, append time) that was acknowledged: one of the last."""
    job: str | None = None
    """The run that goes on from here, where what it writes says how far it came."""
    backlog_until: datetime | None = None
    """Windows before this are worked off many at a time: any of them may be predicted already."""

    @property
    def held(self) -> dict[int, int]:
        """Per partition, the record that follows those in all the raw sinks."""
        return dict(self.acknowledged) or dict(self.offsets)

    @property
    def held_marks(self) -> dict[int, datetime | None]:
        """The marks there, or a little before."""
        return dict(self.acknowledged_marks) or dict(self.marks)

    def to_json(self) -> bytes:
        """Return the position as a JSON document."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, content: bytes) -> Position:
        """Read what ``to_json`` wrote.

        Raises:
            msgspec.DecodeError: it is something else.
        """
        return msgspec.json.decode(content, type=cls)


def start_of_log(lows: Mapping[int, int], log: str | None = None) -> Position:
    """Return the position before the first record of each partition; ``log`` names the topic."""
    return Position(dict(lows), {partition: None for partition in lows}, log=log)
