"""The commands ``dead-letters list | show | replay``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from ..config.errors import ParamsError
from ..config.params import Params
from ..config.spanish import number
from . import usage
from .options import answer, json_option, require, say, with_params

if TYPE_CHECKING:
    import polars as pl

    from ..operations.dead_letters import Place

_START_BYTES = 120
"""How much of a record the list shows."""
_PLACE = re.compile(r"(\d{1,9}):(\d{1,18})")
_reason = click.option("--reason", metavar="MOTIVO", help="Solo las de este motivo.")


@click.group("dead-letters", cls=usage.Group)
def dead_letters() -> None:
    """Las cartas muertas: registros que no pudieron ser eventos."""


@dead_letters.command("list")
@_reason
@click.option(
    "--limit", default=20, show_default=True, metavar="N", help="Cuántas se enseñan, las últimas."
)
@with_params
@json_option
def show_list(
    reason: str | None,
    limit: int,
    params: Params,
    as_json: bool,
) -> None:
    """Cuántas hay, por motivo y partición, y las últimas."""
    require(params, "bigquery")
    from ..operations import dead_letters as letters

    counts = letters.counts(params, reason)
    total = int(counts["letters"].sum())
    found = [
        row | {"start": letters.readable((row.pop("value") or b"")[:_START_BYTES], whole=False)}
        for row in letters.recent(params, reason, max(limit, 0)).iter_rows(named=True)
    ]
    lines = [f"{number(total)} cartas muertas.", *_by_reason(counts)]
    if found:
        lines += ["", "Las últimas (entera: «spotify-mlops dead-letters show PARTICIÓN:OFFSET»):"]
    for row in found:
        place = letters.place_text((row["partition"], row["offset"]))
        lines.append(f"{place:>12}  {row['reason']:<28}{row['start']}")
    answer(as_json, {"letters": total, "counts": counts.to_dicts(), "rows": found}, lines)


def _by_reason(counts: pl.DataFrame) -> list[str]:
    """Return a line for each reason: how many in each partition, and from when to when."""
    partitions = sorted(counts["partition"].unique())
    titles = "".join(f"{f'P{partition}':>9}" for partition in partitions)
    lines = [f"{'Motivo':<28}{titles}{'Total':>9}  Primera y última llegada"] if partitions else []
    for (reason,), rows in counts.group_by("reason", maintain_order=True):
        found = dict(rows.select("partition", "letters").iter_rows())
        cells = "".join(f"{number(found.get(partition, 0)):>9}" for partition in partitions)
        first, last = rows["first"].min(), rows["last"].max()
        lines.append(
            f"{reason:<28}{cells}{number(sum(found.values())):>9}  {first!s:.19} - {last!s:.19}"
        )
    return lines


@dead_letters.command("show")
@click.argument("place", metavar="PARTICIÓN:OFFSET")
@with_params
@json_option
def show_one(place: str, params: Params, as_json: bool) -> None:
    """Una carta entera, con su motivo y su posición."""
    wanted = _place(place)
    require(params, "bigquery")
    from ..operations import dead_letters as letters

    letter = letters.find(params, wanted)
    size = len(letter.value or b"")
    lines = [
        f"Posición   {place} de {params.kafka.topic}",
        f"Llegada    {letter.append_time:%Y-%m-%d %H:%M:%S.%f} UTC",
        f"Motivo     {letter.reason}",
        f"Detalle    {letters.readable((letter.detail or '').encode(), whole=False)}",
        f"Contenido  {number(size)} bytes" if letter.value is not None else "Contenido  ninguno",
    ]
    if size:
        lines += ["", letters.readable(letter.value, whole=True)]
    answer(as_json, letter.to_dict(), lines)


@dead_letters.command("replay")
@click.argument("places", nargs=-1, metavar="[PARTICIÓN:OFFSET]...")
@_reason
@click.option("--dry-run", is_flag=True, help="Solo dice qué haría.")
@with_params
@json_option
def replay(
    places: tuple[str, ...],
    reason: str | None,
    dry_run: bool,
    params: Params,
    as_json: bool,
) -> None:
    """Publica otra vez, una sola vez, las que ahora sí son eventos (tras actualizar el código)."""
    wanted = [_place(text) for text in places]
    require(params, "kafka", "bigquery")
    from ..operations import dead_letters as letters

    done = letters.replay(params, reason=reason, places=wanted, dry_run=dry_run, say=say)
    verb = "se publicarían" if dry_run else "publicadas otra vez"
    lines = [
        f"{number(done.letters)} cartas: {number(done.published)} {verb}, "
        f"{number(done.already)} ya lo estaban, {number(sum(done.still.values()))} siguen muertas."
    ]
    lines += [
        f"  {why:<28}{number(count):>10}"
        for why, count in sorted(done.still.items(), key=lambda item: (-item[1], item[0]))
    ]
    answer(as_json, done.to_dict(), lines)


def _place(text: str) -> Place:
    match = _PLACE.fullmatch(text)
    if match is None:
        raise ParamsError(f"«{text}»: se espera PARTICIÓN:OFFSET, como 0:1234.")
    return int(match[1]), int(match[2])
