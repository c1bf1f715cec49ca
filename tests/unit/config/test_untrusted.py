"""Small files that would become gigabytes, or exhaust the stack, are refused within bounds."""

from __future__ import annotations

import gzip
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import source_files
from spotify_mlops.config import params, untrusted
from spotify_mlops.config.errors import InputError, ParamsError

MIB = 1 << 20
LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a}]\n"
    for a, b in zip("abcdefghi", "bcdefghij", strict=True)
)
DEEP = "[" * 20_000
HEADER = "Song,Artist,Date,Song ID,Streams,Rank\n"


def bomb(path: Path, size: int, header: str) -> Path:
    """Write a gzip file that unpacks to ``size`` bytes below a header."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(header.encode())
        for _ in range(size // MIB):
            file.write(b" " * MIB)
    return path


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (LAUGHS, "alias"),
        ("profile: own\nlags: " + DEEP, "anida"),
        ("profile: own\nx: " + "a" * (65 << 10), "64 KiB"),
        ("profile: own\ntest_start: 2026-99-99", "imposible"),
        ("profile: own\nhorizon: " + "9" * 5000, "imposible"),
        ("profile: own\nwindows:\n  shards: 0x" + "f" * 9000, "enorme"),
        ("profile: own\nwindows:\n  lags: [" + "1, " * 5000 + "]", "«lags»"),
    ],
)
def test_params_are_bounded(
    text: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ParamsError, match=reason) as caught:
        params.load(file)
    assert len(str(caught.value)) < 400
    value = text.partition(": ")[2] if text != LAUGHS else "&a [*a]"
    with pytest.raises(ParamsError):
        params.load("local", lags=params.parse_value("--set lags", value[-30_000:]))
    monkeypatch.setenv("SPOTIFY_MLOPS_LAGS", value[-30_000:])
    with pytest.raises(ParamsError):
        params.load("local")


def test_a_chart_that_unpacks_to_far_more_is_refused_in_little_memory(tmp_path: Path) -> None:
    """In a process of its own, whose memory the system limits."""
    file = bomb(tmp_path / "co.csv.gz", 512 * MIB, HEADER)
    assert file.stat().st_size < 4 * MIB
    program = (
        "import resource, sys\n"
        "import source_files\n"
        "from spotify_mlops.sources import charts\n"
        "from spotify_mlops.config.errors import InputError\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * 4096\n"
        f"resource.setrlimit(resource.RLIMIT_AS, (used + {400 * MIB}, -1))\n"
        "try:\n"
        "    source_files.read('charts', sys.argv[1])\n"
        "except InputError as error:\n"
        "    sys.exit(f'{error.exit_code} {error}')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(file)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(Path(source_files.__file__).parent)},
    )
    assert done.stderr == (
        "3 co.csv.gz, línea 2: tiene más de 65536 caracteres; se esperaba un CSV.\n"
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("," * 200_000 + "\n", "no es una lista"),
        (HEADER + "," * 200_000 + "\n", "línea 2"),
        (HEADER + '"' + "a\n" * 200_000, "línea"),
    ],
)
def test_a_chart_of_one_endless_row_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "co.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=reason):
        source_files.read("charts", file)


@pytest.mark.parametrize(
    "text",
    [DEEP, DEEP + "]" * 20_000, '{"items": ' + DEEP, '{"ts": 1}\n' + DEEP, "[" + '{"a":' * 20_000],
)
def test_a_deep_history_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "endsong_0.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"endsong_0\.json"):
        source_files.read("history", file, "local")


@pytest.mark.parametrize("start", ['{"items": "', '["', '[{"ts": "'])
def test_a_history_has_a_largest_piece(
    start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(untrusted, "JSON_BYTES", 64 * MIB)
    file = tmp_path / "endsong_0.json"
    with file.open("wb") as handle:
        handle.write(start.encode())
        for _ in range(80):
            handle.write(b" " * MIB)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match="64 MiB"):
        source_files.read("history", file, "local")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 5 * untrusted.JSON_BYTES >> 10


@pytest.mark.parametrize("text", [DEEP, '{"a":' * 20_000, "9" * 5000, "{", b"\xff"])
def test_json_that_cannot_be_read_is_one_error(text: str | bytes) -> None:
    with pytest.raises(untrusted.RefusedError):
        untrusted.parse_json(text)
    assert untrusted.parse_json(json.dumps({"a": [1]})) == {"a": [1]}
