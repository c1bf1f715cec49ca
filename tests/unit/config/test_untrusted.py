"""Small files that would become gigabytes, or exhaust the stack, are refused within bounds."""

from __future__ import annotations

import gzip
import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from spotify_mlops.config import params, untrusted
from spotify_mlops.config.errors import InputError, ParamsError
from spotify_mlops.sources import charts, history

MIB = 1 << 20
LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a}]\n"
    for a, b in zip("abcdefghi", "bcdefghij", strict=True)
)
DEEP = "[" * 20_000
HEADER = "Song,Artist,Date,Song ID,Streams,Rank\n"


def bomb(path: Path, size: int, content: bytes = b" ") -> Path:
    """Write a gzip file that unpacks to ``size`` bytes."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(size // MIB):
            file.write(content * (MIB // len(content)))
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
    file = bomb(tmp_path / "co.csv.gz", 512 * MIB)
    assert file.stat().st_size < 4 * MIB
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from spotify_mlops.sources import charts\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * 4096\n"
        f"resource.setrlimit(resource.RLIMIT_AS, (used + {400 * MIB}, -1))\n"
        "try:\n"
        "    charts.read_chart(charts.ChartFile(Path(sys.argv[1]), 'CO'))\n"
        "except charts.InputError as error:\n"
        "    sys.exit(f'{error.exit_code} {error}')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(file)], capture_output=True, text=True, check=False
    )
    assert done.stderr == f"3 No se puede leer {file}: ocupa más de 64 MiB.\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("," * 200_000 + "\n", "línea 1"),
        (HEADER + "," * 200_000 + "\n", "línea 2"),
        (HEADER + '"' + "a\n" * 200_000, "línea"),
    ],
)
def test_a_chart_of_one_endless_row_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "co.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=reason):
        charts.read_chart(charts.ChartFile(file, "CO"))


@pytest.mark.parametrize(
    "text",
    [DEEP, DEEP + "]" * 20_000, '{"items": ' + DEEP, '{"ts": 1}\n' + DEEP, "[" + '{"a":' * 20_000],
)
def test_a_deep_history_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "endsong_0.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"endsong_0\.json"):
        history.read(params.load("local"), [file])


def test_a_history_has_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "endsong_0.json"
    with file.open("wb") as handle:
        handle.truncate(untrusted.HISTORY_BYTES + 1)  # a hole: no bytes on the disk
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match="128 MiB"):
        history.read(params.load("local"), [file])
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 2 * untrusted.HISTORY_BYTES >> 10


@pytest.mark.parametrize("text", [DEEP, '{"a":' * 20_000, "9" * 5000, "{", b"\xff"])
def test_json_that_cannot_be_read_is_one_error(text: str | bytes) -> None:
    with pytest.raises(untrusted.RefusedError):
        untrusted.parse_json(text)
    assert untrusted.parse_json(json.dumps({"a": [1]})) == {"a": [1]}


def test_gzip_in_parts_is_read_whole_and_damaged_gzip_is_refused() -> None:
    parts = gzip.compress(b"one\n") + gzip.compress(b"two\n")
    assert untrusted.unpacked(parts, MIB) == b"one\ntwo\n"
    assert untrusted.unpacked(b"plain", MIB) == b"plain"
    for damaged in (parts[:-3], parts[:10], b"\x1f\x8b" + b"x" * 20):
        with pytest.raises(untrusted.RefusedError):
            untrusted.unpacked(damaged, MIB)
