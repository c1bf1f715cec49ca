"""Weekly chart files as events: one row of a chart is one event with its streams as ``count``.

A file is a CSV, plain or gzip, in UTF-8, with the columns of `COLUMNS`. ``Date`` is the first
day of the seven that a row counts; taking it for the last would leak the label.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl

from ..config import paths, untrusted
from ..config.durations import format_duration
from ..config.errors import InputError, ParamsError
from ..config.params import Params
from ..config.progress import Progress, silent
from ..config.sections import Sources
from ..domain.events.schema import MAX_COUNT, UTC_MICROSECONDS
from ..domain.windows import Windowing
from .countries import country_of, split_country
from .found import Found, as_events

COLUMNS = ("Song", "Artist", "Date", "Song ID", "Streams", "Rank")
PERIOD = timedelta(days=7)
SUFFIXES = (".csv", ".csv.gz")
SOURCE = "charts"
_LINE_CHARACTERS = 65_536
_WEEKDAYS = ("lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo")


@dataclass(frozen=True)
class ChartFile:
    """A chart file and the country that its rows are of."""

    path: Path
    country: str


@dataclass(frozen=True)
class ChartSelection:
    """The files to read, and those of the given folders that are not read, with the reason."""

    files: tuple[ChartFile, ...]
    left_out: dict[Path, str] = field(default_factory=dict)


def read(params: Params, arguments: Sequence[str | Path], say: Progress = silent) -> Found:
    """Read the weeks of charts that the arguments, or ``charts_folders``, name.

    Raises:
        InputError: see `read_charts`.
        ParamsError: the weeks are not the windows.
    """
    chosen = list(arguments) or [chart_folder(params.sources, paths.root())]
    selection = select_charts(chosen, params.sources.countries)
    left_out = list(selection.left_out.values())
    for reason in left_out:
        say(f"No se lee: {reason}")
    frames = list(
        read_charts(chosen, params.sources.countries, windowing=Windowing.of(params.windows))
    )
    contents = sorted(
        f"{file.country}:{hashlib.sha256(file.path.read_bytes()).hexdigest()}"
        for file in selection.files
    )
    return Found(frames, contents, {"left_out": left_out})


def select_charts(
    arguments: Sequence[str | Path], countries: Sequence[str] | None = None
) -> ChartSelection:
    """Decide which files to read.

    Args:
        arguments: files, ``PATH=CC``, or folders. A named file is always read, or refused; of a
            folder the files of ``countries`` are taken.
        countries: ISO codes; None takes every country of a folder.

    Raises:
        InputError: a path does not exist, a named file is not of one country, nothing is left.
    """
    files: list[ChartFile] = []
    left_out: dict[Path, str] = {}
    for argument in arguments:
        path, country = split_country(str(argument))
        if path.is_dir():
            if country is not None:
                raise InputError(f"{argument}: un país se dice de un archivo, no de una carpeta.")
            _select_folder(path, countries, files, left_out)
        elif path.is_file():
            files.append(ChartFile(path, country or country_of(path)))
        else:
            raise InputError(f"No existe {path}. Da un archivo CSV de listas o su carpeta.")
    if not files:
        names = " ".join(str(argument) for argument in arguments) or "(nada)"
        wanted = f" de {', '.join(countries)}" if countries else ""
        raise InputError(f"No hay listas CSV{wanted} en {names}.")
    return ChartSelection(tuple(dict.fromkeys(files)), left_out)


def read_charts(
    arguments: Sequence[str | Path],
    countries: Sequence[str] | None = None,
    *,
    windowing: Windowing | None = None,
    rows: int = 50_000,
) -> Iterator[pl.DataFrame]:
    """Read chart files as events, in order of (event time, country, rank) across all files.

    Args:
        arguments: see `select_charts`.
        countries: see `select_charts`.
        windowing: when given, the weeks must be its windows.
        rows: the most rows of a frame.

    Returns:
        Frames of ``EVENT_COLUMNS``; ``event_time`` is the first day at 00:00 UTC and
        ``event_id`` names the chart row, so that the same row is the same event whenever read.

    Raises:
        InputError: a file is missing, empty, not UTF-8, not a chart, or has a bad number or
            date; the message names file and line.
        ParamsError: the weeks are not the windows.
    """
    selection = select_charts(arguments, countries)
    if windowing is not None:
        check_period(windowing)
    frames = [read_chart(file, windowing) for file in selection.files]
    events = pl.concat(frames).sort("event_time", "country", "_rank", maintain_order=True)
    return as_events(events, SOURCE).iter_slices(rows)


def check_period(windowing: Windowing) -> None:
    """Refuse windows that are not of seven days: a week cannot be divided after the fact.

    Raises:
        ParamsError: ``window`` is not 7d.
    """
    if windowing.length != PERIOD:
        raise ParamsError(
            f"Las listas traen semanas enteras y window = {format_duration(windowing.length)}: "
            "usa window: 7d (params/charts.yaml)."
        )


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


def read_chart(file: ChartFile, windowing: Windowing | None = None) -> pl.DataFrame:
    """Read one file: what it says of each event, and ``_rank``, in the order of the file."""
    lines, columns = _parse(file.path, _read_text(file.path))
    schema = dict.fromkeys(COLUMNS, pl.String)
    text = pl.DataFrame(dict(zip(COLUMNS, columns, strict=True)), schema=schema)
    text = text.with_columns(pl.all().str.strip_chars())
    parsed = text.select(
        day=pl.col("Date").str.to_date("%Y-%m-%d", strict=False),
        streams=_number("Streams"),
        rank=_number("Rank"),
        track=pl.when(pl.col("Song ID") != "").then("Song ID"),
    )
    for name, column, wanted in (
        ("day", "Date", "una fecha AAAA-MM-DD"),
        ("streams", "Streams", "un entero mayor que cero"),
        ("rank", "Rank", "un entero mayor que cero"),
        ("track", "Song ID", "un identificador"),
    ):
        if parsed[name].null_count():
            row = parsed[name].is_null().arg_true()[0]
            raise InputError(
                f"{file.path.name}, línea {lines[row]}: {column} = «{text[column][row]}», "
                f"se esperaba {wanted}."
            )
    if windowing is not None:
        _check_weeks(file.path, lines, parsed["day"], windowing)
    code = pl.lit(file.country)
    return pl.concat([text, parsed], how="horizontal").select(
        event_id=pl.format("chart:{}:{}:{}", code, "day", "rank"),
        event_time=pl.col("day").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
        country=code,
        track_id="track",
        track_name=pl.when(pl.col("Song") != "").then("Song"),
        artist_name=pl.when(pl.col("Artist") != "").then("Artist"),
        count="streams",
        _rank="rank",
    )


def _select_folder(
    folder: Path,
    countries: Sequence[str] | None,
    files: list[ChartFile],
    left_out: dict[Path, str],
) -> None:
    for path in sorted(folder.iterdir()):
        if not path.name.lower().endswith(SUFFIXES):
            continue
        try:
            code = country_of(path)
        except InputError as error:
            left_out[path] = str(error)
            continue
        if countries is not None and code not in countries:
            left_out[path] = f"{path.name}: {code} no está en countries."
        else:
            files.append(ChartFile(path, code))


def _read_text(path: Path) -> str:
    try:
        data = untrusted.unpacked(
            untrusted.read(path, untrusted.CHARTS_BYTES), untrusted.CHARTS_BYTES
        )
    except (OSError, untrusted.RefusedError) as error:
        raise InputError(f"No se puede leer {path}: {error}.") from error
    if not data.strip():
        raise InputError(f"{path} está vacío: se esperaba un CSV con {', '.join(COLUMNS)}.")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{path.name} está en UTF-16: guárdelo como UTF-8.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path.name} no está en UTF-8: byte {error.start} (0x{data[error.start]:02x}), "
            f"línea {line}. Guárdelo como UTF-8."
        ) from error


def _parse(path: Path, text: str) -> tuple[list[int], list[tuple[str, ...]]]:
    """Return the last line of each row and the six columns as text."""
    reader = csv.reader(_bounded(path, io.StringIO(text, newline="")))
    lines: list[int] = []
    rows: list[list[str]] = []
    try:
        header = [name.strip() for name in next(reader)]
        missing = [name for name in COLUMNS if name not in header]
        if missing:
            raise InputError(
                f"{path.name}: faltan las columnas {', '.join(missing)} "
                f"(tiene: {', '.join(header)[:200]})."
            )
        for row in reader:
            if len(row) != len(header):
                if not row:
                    continue
                raise InputError(
                    f"{path.name}, línea {reader.line_num}: {len(row)} campos, se esperaban "
                    f"{len(header)}. Revise las comillas."
                )
            lines.append(reader.line_num)
            rows.append(row)
    except csv.Error as error:
        raise InputError(f"{path.name}, línea {reader.line_num}: {error}.") from error
    if not rows:
        raise InputError(f"{path} no tiene filas: solo el encabezado.")
    by_name = dict(zip(header, zip(*rows, strict=True), strict=False))
    return lines, [by_name[name] for name in COLUMNS]


def _bounded(path: Path, lines: Iterable[str]) -> Iterator[str]:
    """Pass lines on; one of thousands of fields would become millions of objects."""
    for number, line in enumerate(lines, 1):
        if len(line) > _LINE_CHARACTERS:
            raise InputError(
                f"{path.name}, línea {number}: tiene más de {_LINE_CHARACTERS} caracteres; se "
                f"esperaba un CSV con {', '.join(COLUMNS)}."
            )
        yield line


def _number(column: str) -> pl.Expr:
    """Parse a whole number with or without thousands separators; what is not one is null."""
    text = pl.col(column)
    shaped = text.str.contains(r"^(\d{1,3}(,\d{3})+|\d+)$")
    digits = pl.when(shaped).then(text.str.replace_all(",", "", literal=True))
    number = digits.cast(pl.Int64, strict=False)
    return pl.when(number.is_between(1, MAX_COUNT)).then(number)


def _check_weeks(path: Path, lines: list[int], days: pl.Series, windowing: Windowing) -> None:
    times = days.cast(UTC_MICROSECONDS)
    starts = times.to_frame("t").select(windowing.start_expr("t"))["t"]
    wrong = (times != starts).arg_true()
    if wrong.is_empty():
        return
    row = wrong[0]
    day: date = days[row]
    expected: datetime = starts[row]
    raise ParamsError(
        f"{path.name}, línea {lines[row]}: la semana empieza en {_WEEKDAYS[day.weekday()]} "
        f"({day}) y las ventanas en {_WEEKDAYS[expected.weekday()]}: cambia window_offset."
    )
