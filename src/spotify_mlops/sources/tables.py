"""CSV files of other people's tools, as columns of text, in a stream.

Separator and header are recognised, not assumed. Blocks whose quotes are all in order are read by
polars; the others, as they come, by the standard library's reader, which takes what polars does
not and knows the line of each row. Both give the same rows.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import polars as pl

from ..config.errors import InputError
from .ahead import ahead
from .files import BLOCK, Part, not_utf8

LINE_CHARACTERS = 65_536
"""Of a line, or of the lines of a row with line breaks in it."""
_HEADER_LINES = 5
"""The header is one of the first lines: notes may stand above it."""
_LINE_FEED, _QUOTE = ord("\n"), ord('"')
_SEPARATORS = (",", ";", "\t", "|")

S = TypeVar("S")
Recognise = Callable[[list[str]], S | None]
"""Says what a header is of (see `plain_header`), or None."""


@dataclass(frozen=True)
class BadRow:
    """A row that is not one."""

    line: int
    reason: str


@dataclass(frozen=True)
class Rows:
    """Some rows of a table, in the order of the file.

    Attributes:
        frame: the columns asked for (text; null where empty), named by their positions, and
            ``_line`` (of the row's end).
        bad: rows with another number of fields.
        blank: rows without a value in any column of the file.
    """

    frame: pl.DataFrame
    bad: list[BadRow]
    blank: int


@dataclass(frozen=True)
class Header(Generic[S]):
    """A recognised header."""

    names: list[str]
    """As written, without spaces around them."""
    separator: str
    line: int
    shape: S


def plain_header(name: str) -> str:
    """Return a column's name without case, spaces and signs: ``Song ID`` and ``song_id``."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def find_header(head: bytes, recognise: Recognise[S]) -> Header[S] | None:
    """Return the header that a file begins with, after a note or none; None for no table.

    Args:
        head: the file's beginning.
        recognise: says what the plain names of a header are of.
    """
    text = _line_feeds(head).decode(errors="replace")
    for number, line in enumerate(text.split("\n")[:_HEADER_LINES], 1):
        for separator in _SEPARATORS if len(line) <= LINE_CHARACTERS else ():
            names = _fields(line, separator)
            shape = recognise([plain_header(name) for name in names])
            if shape is not None:
                return Header(names, separator, number, shape)
    return None


def first_names(head: bytes) -> list[str]:
    """Return the fields of the first line, by the separator that gives most of them."""
    line = _line_feeds(head).decode(errors="replace").split("\n")[0][:LINE_CHARACTERS]
    return max((_fields(line, separator) for separator in _SEPARATORS), key=len)


def read_rows(part: Part, header: Header[S], wanted: Sequence[int]) -> Iterator[Rows]:
    """Yield the rows below the header, some thousands at a time.

    Args:
        part: the file.
        header: what `find_header` found.
        wanted: positions of the columns to give.

    Raises:
        InputError: it is not UTF-8, a line is endless, or quotes are never closed.
    """
    return ahead(_Reader(part, header, list(wanted)).read())


class _Reader(Generic[S]):
    def __init__(self, part: Part, header: Header[S], wanted: list[int]) -> None:
        self._part = part
        self._width = len(header.names)
        self._wanted = [str(place) for place in wanted]
        self._separator = header.separator
        self.blocks = _Blocks(part, header.line)

    def read(self) -> Iterator[Rows]:
        """Yield the rows."""
        for block, line in self.blocks:
            yield self.fast(block, line) or self.slow(block, line)

    def fast(self, block: bytes, line: int) -> Rows | None:
        """Read a block whose rows are all in order; None for another."""
        rows = block.count(b"\n")
        if self._width < 2 or not _in_order(block, ord(self._separator), rows, self._width):
            return None
        names = [str(place) for place in range(self._width)]
        try:
            frame = pl.read_csv(
                block,
                has_header=False,
                separator=self._separator,
                schema=dict.fromkeys(names, pl.String),
            )
        except pl.exceptions.PolarsError:
            return None
        if frame.height != rows:
            return None
        return self._rows(frame, pl.int_range(line, line + rows, eager=True), [])

    def slow(self, block: bytes, line: int) -> Rows:
        """Read a block row by row, to the end of its last row, which may be in the next one."""
        lines = self.blocks.lines(block, line)
        reader = csv.reader(lines, delimiter=self._separator)
        rows: list[list[str]] = []
        numbers: list[int] = []
        bad: list[BadRow] = []
        last = line + block.count(b"\n") - 1
        try:
            for row in reader:
                number = line + reader.line_num - 1
                if len(row) > self._width and not any(row[self._width :]):
                    row = row[: self._width]
                if len(row) == self._width:
                    rows.append(row)
                    numbers.append(number)
                elif row and not any(field.strip() for field in row):
                    rows.append([""] * self._width)
                    numbers.append(number)
                elif row:
                    bad.append(
                        BadRow(
                            number,
                            f"{len(row)} campos, se esperaban {self._width}. Revise las comillas",
                        )
                    )
                if number >= last:
                    break
        except csv.Error as error:
            number = line + reader.line_num - 1
            raise InputError(f"{self._part.name}, línea {number}: {error}.") from error
        columns = list(zip(*rows, strict=True)) or [()] * self._width
        frame = pl.DataFrame(
            {str(place): pl.Series(column, dtype=pl.String) for place, column in enumerate(columns)}
        )
        return self._rows(frame, pl.Series(numbers, dtype=pl.Int64), bad)

    def _rows(self, frame: pl.DataFrame, lines: pl.Series, bad: list[BadRow]) -> Rows:
        wanted = frame.select(map(_text, self._wanted)).with_columns(lines.alias("_line"))
        empty = wanted.select(pl.all_horizontal(pl.col(self._wanted).is_null())).to_series()
        if not empty.any():
            return Rows(wanted, bad, 0)
        others = frame.select(
            pl.any_horizontal(_text(name).is_not_null() for name in frame.columns)
        )
        blank = empty & ~others.to_series()
        return Rows(wanted.filter(~blank), bad, int(blank.sum()))


def _in_order(block: bytes, separator: int, rows: int, width: int) -> bool:
    """Tell whether each line is a row of so many fields whose quotes are where they belong.

    That is: each quoted field begins at a separator or a line's start and ends at a separator or
    a line's end, no line break is in one, no line is empty, and there are as many separators
    outside as so many rows have. (That no row has more is for polars to say.)
    """
    text = np.frombuffer(block, np.uint8)
    breaks = np.flatnonzero(text == _LINE_FEED)
    separators = np.flatnonzero(text == separator)
    quotes = np.flatnonzero(text == _QUOTE)
    if breaks[0] == 0 or (np.diff(breaks) == 1).any():
        return False
    if quotes.size:
        if quotes.size % 2:
            return False
        begins, ends = quotes[::2], quotes[1::2]
        doubled = begins[1:] == ends[:-1] + 1  # a quote inside of a field, as two
        begins = begins[np.concatenate([[True], ~doubled])]
        ends = ends[np.concatenate([~doubled, [True]])]
        around = (_LINE_FEED, separator)
        before = text[begins[begins > 0] - 1]
        if not (np.isin(before, around).all() and np.isin(text[ends + 1], around).all()):
            return False
        if (np.searchsorted(quotes, breaks) % 2).any():
            return False
        separators = separators[np.searchsorted(quotes, separators) % 2 == 0]
    return separators.size == rows * (width - 1)


def _text(name: str) -> pl.Expr:
    """Return a column without spaces around its values; null where nothing is left."""
    stripped = pl.col(name).str.strip_chars()
    return pl.when(stripped != "").then(stripped)


class _Blocks:
    """The blocks of whole lines below the header, each with the number of its first line."""

    def __init__(self, part: Part, header_line: int) -> None:
        self._part = part
        self._blocks = part.blocks(BLOCK)
        self._pending = b""  # read, and not yet a whole line
        self._ready, self._at = b"", 0  # whole lines; those before ``_at`` are taken
        self._line = 1  # number of the line at ``_at``
        self._read_lines = self._read_bytes = 0
        self._old_mac = False
        for _ in range(header_line):
            self._next_line()

    def __iter__(self) -> Iterator[tuple[bytes, int]]:
        while self._fill():
            block, line = self._ready[self._at :], self._line
            self._ready, self._at = b"", 0
            self._line += block.count(b"\n")
            yield block, line

    def lines(self, block: bytes, line: int) -> Iterator[str]:
        """Yield the lines of a block; and those after it, for a row that is not at its end."""
        for number, text in enumerate(block.decode().split("\n")[:-1], line):
            yield self._bounded(text, number)
        while self._fill():
            yield self._bounded(self._next_line(), self._line - 1)

    def _next_line(self) -> str:
        self._fill()
        end = self._ready.find(b"\n", self._at) + 1
        text = self._ready[self._at : end]
        self._at, self._line = end, self._line + 1
        return text[:-1].decode()

    def _bounded(self, text: str, line: int) -> str:
        if len(text) > LINE_CHARACTERS:
            raise self._endless(line)
        return text + "\n"

    def _fill(self) -> bool:
        """Have whole lines ready, as UTF-8 with line feeds; False at the end."""
        if self._at < len(self._ready):
            return True
        cut = 0
        for block in self._blocks:
            if not self._read_bytes and b"\n" not in block and b"\r" in block:
                self._old_mac = True
            self._pending += block.replace(b"\r", b"\n") if self._old_mac else block
            cut = self._pending.rfind(b"\n") + 1
            if cut:
                break
            if len(self._pending) > LINE_CHARACTERS * 4:
                raise self._endless(self._read_lines + 1)
        if not cut and self._pending:
            self._pending += b"\n"
            cut = len(self._pending)
        taken, self._pending = self._pending[:cut], self._pending[cut:]
        wrong = not_utf8(self._part, taken, self._read_lines + 1, self._read_bytes)
        if wrong is not None:
            raise wrong
        self._read_bytes += len(taken)
        self._ready, self._at = _line_feeds(taken), 0
        self._read_lines += self._ready.count(b"\n")
        return bool(self._ready)

    def _endless(self, line: int) -> InputError:
        return InputError(
            f"{self._part.name}, línea {line}: tiene más de {LINE_CHARACTERS} caracteres; se "
            "esperaba un CSV."
        )


def _fields(line: str, separator: str) -> list[str]:
    try:
        return [name.strip() for name in next(csv.reader([line], delimiter=separator), [])]
    except csv.Error:
        return []


def _line_feeds(head: bytes) -> bytes:
    return head.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in head else head
