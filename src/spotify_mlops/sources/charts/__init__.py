"""Charts in the shapes in which people have them, as events: one row is one event.

Its ``count`` is the streams of the row, its time the first day that it counts. A chart with
popularity and no streams gives events of ``count`` 1 with ``popularity``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl

from ...config import paths
from ...config.errors import InputError
from ...config.params import Params
from ...config.progress import Progress, silent
from ...config.sections import Sources
from ...domain.windows import Windowing
from ..account import Account
from ..countries import WORLD, FileName, read_name
from ..files import NotRead, Part, expand
from ..found import Found
from ..tables import find_header, first_names, plain_header
from .calendar import PERIODS, Calendar
from .reading import SOURCE, ChartFile, read_file
from .shapes import OWN, nearest, recognise

__all__ = ["SOURCE", "chart_folder", "read", "read_parts", "recognise"]

_SHOWN = 20
"""Files that a message lists with their reasons."""


def read(params: Params, arguments: Sequence[str | Path], say: Progress = silent) -> Found:
    """Read the charts that the arguments, or ``charts_folders``, name.

    A named file, or a zip, is read whole or refused; of a folder the files of charts of
    ``countries`` are taken, and of the others it is told why they are not. The frames are read
    as they are asked for; what is wrong with a file is raised there.

    Raises:
        InputError: a path does not exist, or nothing in it is a chart.
        ParamsError: the windows are neither days nor weeks.
    """
    chosen = list(arguments) or [chart_folder(params.sources, paths.root())]
    return read_parts(*expand(chosen), params, Windowing.of(params.windows))


def read_parts(
    parts: Sequence[Part], not_read: list[NotRead], params: Params, windowing: Windowing | None
) -> Found:
    """Read chart files; without ``windowing`` nothing is asked of their days."""
    account = Account(not_read=not_read)
    calendar = Calendar(windowing, params.sources.chart_dates)
    files = [file for part in parts if (file := _open(part, params.sources, calendar, not_read))]
    if not files:
        names = "; ".join(item.reason.rstrip(".") for item in not_read[:_SHOWN])
        more = f"; y {len(not_read) - _SHOWN} más" if len(not_read) > _SHOWN else ""
        raise InputError(f"No hay ninguna lista que leer: {names or 'no hay archivos'}{more}.")
    return Found(_frames(files, account, calendar), account)


def _frames(
    files: Sequence[ChartFile], account: Account, calendar: Calendar
) -> Iterator[pl.DataFrame]:
    for file in files:
        of_file = account.begin(file.part.name)
        yield from read_file(file, of_file)
        if not of_file.rows:
            raise InputError(f"{file.part.name} no tiene filas: solo el encabezado.")
        period = calendar.check(file.part.name, file.days, file.name, file.country)
        of_file.what = _what(file, PERIODS[period])
        if not file.has_streams and _POPULARITY not in account.notes:
            account.notes.append(_POPULARITY)


_POPULARITY = (
    "Hay listas con popularidad y sin reproducciones: cada fila es un evento con popularity y "
    "count 1. El nivel según las reproducciones no está definido en ellas: usa target: api."
)


def _open(
    part: Part, sources: Sources, calendar: Calendar, not_read: list[NotRead]
) -> ChartFile | None:
    """Return a chart file that can be read; None for another of a folder or a zip, which is told.

    Raises:
        InputError: it cannot, and the user named it.
    """
    try:
        return _recognised(part, sources, calendar)
    except InputError as error:
        if not part.wrapped:
            raise
        not_read.append(NotRead(part.name, str(error)))
        return None


def _recognised(part: Part, sources: Sources, calendar: Calendar) -> ChartFile:
    head = part.head()
    if not head.strip():
        raise InputError(f"{part.name} está vacío: se esperaba un CSV con {', '.join(OWN)}.")
    header = find_header(head, recognise)
    if header is None:
        raise InputError(_no_chart(part, head))
    shape, places = header.shape.shape, header.shape.places
    name = _name(part)
    if shape.daily:
        name = replace(name, period="daily")
    if shape.viral or (name.viral and "chart" not in places):
        raise InputError(f"{part.name}: es una lista viral, que no cuenta reproducciones.")
    country = part.country or name.country
    if "region" in places:
        country = part.country
    elif country == WORLD:
        raise InputError(
            f"{part.name} no es de un país: suma el mundo entero y el nivel se predice por país. "
            "Da los archivos de cada país."
        )
    elif country is None:
        raise InputError(
            f"{part.name}: el nombre no dice el país. Escríbalo así: {part.path.name}=CO "
            "(código ISO de dos letras)."
        )
    if "date" not in places and not name.dates:
        raise InputError(
            f"{part.name}: ni una columna ni el nombre dicen la fecha. Como en la descarga: "
            "regional-co-weekly-2024-01-04.csv."
        )
    wanted = None if part.named else sources.countries
    if country and wanted is not None and country not in wanted and part.country is None:
        raise InputError(f"{part.name}: {country} no está en countries.")
    shift = calendar.first_day(name, by_name="date" not in places)
    return ChartFile(part, header, name, country, wanted, shift, sources.bad_rows)


def _name(part: Part) -> FileName:
    """Return what the name of a file says, or that of the zip that it is in."""
    name = read_name(part.base)
    if part.member and name.country is None:
        outer = read_name(part.path.name)
        return FileName(
            outer.country, name.period or outer.period, name.dates or outer.dates, name.viral
        )
    return name


def _no_chart(part: Part, head: bytes) -> str:
    names = first_names(head)
    shape, missing = nearest([plain_header(name) for name in names])
    if len(missing) >= len(shape.columns) - 1:
        return f"{part.name} no es una lista: se esperaba un CSV con {', '.join(OWN)}."
    own = {plain_header(name): name for name in OWN}
    lacking = ", ".join(own.get(name, name) for name in missing)
    return (
        f"{part.name}: faltan las columnas {lacking} de «{shape.name}» "
        f"(tiene: {', '.join(names)[:200]})."
    )


def _what(file: ChartFile, period: str) -> str:
    """Return what a file was recognised as: ``charts.spotify.com, semanal, CO, 2024-01-04``."""
    written = sorted(day - file.shift for day in file.days)
    countries = sorted(file.found)
    some = ", ".join(countries) if len(countries) <= 5 else f"{len(countries)} países"
    parts = [file.header.shape.shape.name, period, some or "ningún país", _extent(written)]
    return ", ".join(part for part in parts if part)


def _extent(written: Sequence[date]) -> str:
    if not written:
        return ""
    return str(written[0]) if len(written) == 1 else f"{written[0]} a {written[-1]}"


def chart_folder(sources: Sources, root: Path) -> Path:
    """Return the first of ``charts_folders`` that exists; relative ones are of ``root``.

    Raises:
        InputError: none exists.
    """
    for folder in sources.charts_folders:
        if (root / folder).is_dir():
            return root / folder
    raise InputError(
        f"No existe ninguna carpeta de listas: {', '.join(sources.charts_folders)}. "
        "Da los archivos con «spotify-mlops ingest charts RUTA...» o cambia charts_folders."
    )
