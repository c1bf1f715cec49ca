"""CSV as other tools write it: the fast way and the exact one give the same rows."""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotify_mlops.config.errors import InputError
from spotify_mlops.sources import files, tables
from thorough import examples

Read = tuple[list[tuple[object, ...]], list[tuple[int, str]], int]


def read(path: Path) -> Read:
    (part,), _ = files.expand([path])
    header = tables.find_header(part.head(), lambda names: names if "a" in names else None)
    assert header is not None
    rows, bad, blank = [], [], 0
    for found in tables.read_rows(part, header, range(len(header.names))):
        rows += found.frame.rows()
        bad += [(item.line, item.reason) for item in found.bad]
        blank += found.blank
    return rows, bad, blank


def plainly(text: str, width: int) -> list[tuple[object, ...]]:
    """Read by the standard library alone, in one piece."""
    reader = csv.reader(io.StringIO(text, newline=""))
    next(reader)
    found = []
    for row in reader:
        fits = len(row) >= width and not any(row[width:])  # Excel adds empty fields
        if any(field.strip() for field in row) and fits:
            found.append((*((field.strip() or None) for field in row[:width]), reader.line_num))
    return found


cells = st.text(st.sampled_from('ab",\n ñ;'), max_size=5)


@given(
    st.lists(st.tuples(cells, cells, cells), max_size=12),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from([7, 40, 4 << 20]),
)
@examples(150)
def test_rows_are_those_of_the_standard_library(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]], quoting: int, block: int
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, quoting=quoting, lineterminator="\n")  # type: ignore[arg-type]
    writer.writerows([("a", "b", "c"), *rows])
    path = tmp_path_factory.getbasetemp() / "rows.csv"
    path.write_text(text.getvalue(), encoding="utf-8", newline="")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tables, "BLOCK", block)
        found, bad, blank = read(path)
    assert found == plainly(text.getvalue(), 3)
    assert not bad
    written = [row for row in rows if any(row)]
    assert len(found) + blank >= len(written)


@given(st.text(st.sampled_from('a",\nb\r '), max_size=60), st.sampled_from([5, 4 << 20]))
@examples(300)
def test_whatever_the_quotes_the_two_ways_agree(
    tmp_path_factory: pytest.TempPathFactory, body: str, block: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.csv"
    path.write_text("a,b\n" + body, encoding="utf-8", newline="")
    text = ("a,b\n" + body).replace("\r\n", "\n").replace("\r", "\n")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tables, "BLOCK", block)
        try:
            found, _, _ = read(path)
        except InputError:
            with pytest.raises(csv.Error):
                plainly(text, 2)
            return
    assert found == plainly(text if text.endswith("\n") else text + "\n", 2)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separator_header_and_note_are_recognised(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "t.csv"
    lines = ["note", separator.join("abc"), separator.join("123"), separator * 2, ""]
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert read(path) == ([("1", "2", "3", 3)], [], 1)


def test_old_macintosh_lines_empty_lines_and_rows_of_another_width(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"a,b\r1,2\r3,4\r")
    assert read(path)[0] == [("1", "2", 2), ("3", "4", 3)]
    path.write_bytes(b"a,b\n1,2\n\n3\n4,5,6\n7,8,,\n")
    rows, bad, _ = read(path)
    assert rows == [("1", "2", 2), ("7", "8", 6)]
    assert [line for line, _ in bad] == [4, 5]
    assert bad[0][1] == "1 campos, se esperaban 2. Revise las comillas"


def test_what_it_is_wrapped_in_makes_no_difference(tmp_path: Path) -> None:
    content = b"a,b\n1,2\n"
    plain = tmp_path / "t.csv"
    plain.write_bytes(content)
    packed = tmp_path / "t.csv.gz"
    packed.write_bytes(gzip.compress(content[:3]) + gzip.compress(content[3:]))
    archive = tmp_path / "t.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("inside/t.csv", content)
        zipped.writestr("__MACOSX/inside/._t.csv", b"\0")
    assert read(plain) == read(packed) == read(archive)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04 cut", "No se puede leer"),
        (gzip.compress(b"a,b\n1,2\n" * 9, mtime=0)[:-12], "No se puede leer"),
        (b"\x1f\x8b" + b"x" * 20, "No se puede leer"),
        ("a,b\n".encode("utf-16"), "UTF-16"),
        (b"PAR1xxx", "Parquet"),
        ("a,b\nñ,2\n".encode("latin-1"), r"byte 4 \(0xf1\), línea 2"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read(path)
