"""What files are, and what they would give, without publishing anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..config.errors import InputError
from ..config.params import Params
from ..config.progress import Progress, silent
from ..config.spanish import number
from . import charts, history
from .account import REASONS, FileAccount
from .files import NotRead, Part, expand
from .found import Found
from .from_files import Gathered, gather
from .ordering import Ordered
from .tables import find_header


def inspect_files(
    params: Params, arguments: Sequence[str | Path], progress: Progress | None = None
) -> dict[str, Any]:
    """Say what each file is, and what it would give.

    Args:
        params: ``countries`` (of a folder's charts), ``clock_skew``, ``chart_dates``.
        arguments: files, ``PATH=CC`` or folders, of charts or of histories.
        progress: told which file is read, in Spanish.

    Returns:
        ``files``, each with ``file``, ``source`` (charts, history or null), ``what`` (Spanish),
        ``rows``, ``events``, ``left_out`` by reason, ``named`` rows, ``first`` and ``last`` event
        time, ``countries``, ``told`` and ``problem`` (why it cannot be published as it is, or
        null); and the sums of all of them.

    Raises:
        InputError: a path does not exist.
    """
    say = progress or silent
    parts, not_read = expand(arguments)
    files = [_unread(item.name, None, item.reason) for item in not_read]
    with Ordered() as ordered:
        for part in parts:
            say(f"Se lee {part.name}")
            files.append(_inspect(params, part, ordered))
        for _ in ordered.frames():
            pass
        repeated = ordered.repeated
    return {
        "files": files,
        "rows": sum(file["rows"] for file in files),
        "events": sum(file["events"] for file in files) - repeated,
        "left_out": _sum(files) | ({"repeated": repeated} if repeated else {}),
        "first": min((file["first"] for file in files if file["first"]), default=None),
        "last": max((file["last"] for file in files if file["last"]), default=None),
        "countries": sorted({code for file in files for code in file["countries"]}),
    }


def source_of(part: Part) -> str | None:
    """Return which source reads a file (``charts`` or ``history``), by its content; or None."""
    head = part.head()
    if head.lstrip()[:1] in (b"[", b"{") or history.find_columns(head) is not None:
        return history.SOURCE
    return charts.SOURCE if find_header(head, charts.recognise) is not None else None


def _inspect(params: Params, part: Part, ordered: Ordered) -> dict[str, Any]:
    source = None
    not_read: list[NotRead] = []
    try:
        source = source_of(part)
        lenient = params.replace(bad_rows="leave_out")
        gathered = gather(
            _found(lenient, source, part, not_read), ordered, params.windows, source or part.name
        )
    except InputError as error:
        # What is found among others, and is not taken, has its own reason.
        return _unread(part.name, source, not_read[-1].reason if not_read else str(error))
    return _described(params, source, gathered)


def _found(params: Params, source: str | None, part: Part, not_read: list[NotRead]) -> Found:
    if source == history.SOURCE:
        return history.read_parts([part], not_read, params)
    return charts.read_parts([part], not_read, params, windowing=None)


def _described(params: Params, source: str | None, gathered: Gathered) -> dict[str, Any]:
    (file,) = gathered.account.files
    unreadable = file.left_out["unreadable"]
    problem = None
    if unreadable and params.sources.bad_rows == "refuse":
        problem = (
            f"Se rechaza entero: {number(unreadable)} {REASONS['unreadable'][unreadable != 1]}. "
            "Con «--set bad_rows=leave_out» se dejan fuera."
        )
    content = gathered.to_dict()
    return file.to_dict() | {
        "source": source,
        "first": content["first"],
        "last": content["last"],
        "countries": content["countries"],
        "notes": gathered.account.notes,
        "told": file.told(),
        "problem": problem,
    }


def _unread(name: str, source: str | None, problem: str) -> dict[str, Any]:
    return FileAccount(name).to_dict() | {
        "source": source, "first": None, "last": None, "countries": [], "notes": [], "told": "",
        "problem": problem,
    }  # fmt: skip


def _sum(files: Sequence[dict[str, Any]]) -> dict[str, int]:
    return {
        reason: count
        for reason in REASONS
        if (count := sum(file["left_out"].get(reason, 0) for file in files))
    }


def lines(found: dict[str, Any]) -> list[str]:
    """Return what `inspect_files` found, for people (Spanish)."""
    told = []
    for file in found["files"]:
        if not file["rows"]:
            told.append(f"{file['file']}: no se puede publicar. {file['problem']}")
            continue
        extent = f", del {file['first'][:10]} al {file['last'][:10]}" if file["first"] else ""
        some = file["countries"]
        countries = ", ".join(some) if len(some) <= 8 else f"{len(some)} países"
        of = f" ({countries})" if some else ""
        told.append(f"{file['file']}: {file['what']}")
        told.append(f"  con «ingest {file['source']}» daría {file['told']}{extent}{of}")
        for reason, rows in file["named"].items():
            told.append(f"  {REASONS[reason][1]}: {'; '.join(rows)}")
        told += [f"  {note}" for note in file["notes"]]
        if file["problem"]:
            told.append(f"  {file['problem']}")
    if len(found["files"]) > 1:
        left = sum(found["left_out"].values())
        told.append(
            f"En total: {number(found['rows'])} filas, {number(found['events'])} eventos y "
            f"{number(left)} que se dejan fuera"
        )
    return told
