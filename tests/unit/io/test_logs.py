"""Logs that stay small: no line is lost while a process goes on writing, and only the last stay."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from spotify_mlops.io import logs
from spotify_mlops.io.local import processes, state

BYTES = 20_000
WRITER = f"""
import os, sys, threading, time
from spotify_mlops.io import logs
logs.BYTES, logs.SECONDS, logs.KEPT = {BYTES}, 0.001, int(sys.argv[2])
logs.keep_small()
beside = threading.Event()
def write(name, output, stop):
    number = 0
    while not stop():
        output.write(f"{{name}} {{number}}\\n")
        output.flush()
        number += 1
    output.write(f"{{name}} {{number}} end\\n")
    output.flush()
other = threading.Thread(target=write, args=("other", sys.stderr, beside.is_set))
other.start()
log = os.environ[logs.LOG]
for turn in range(int(sys.argv[1])):
    file = os.stat(log).st_ino
    write(f"turn{{turn}}", sys.stdout, lambda: os.fstat(1).st_ino != file)
beside.set()
other.join()
"""
"""Writes from two threads, to both outputs, until the log was started anew so many times."""


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path / "state"))
    yield tmp_path / "state"
    processes.sweep()


def written(turns: int, kept: int = logs.KEPT) -> Path:
    """Let a process write until its log was started anew so often; return the log."""
    record = processes.start("writer", [sys.executable, "-c", WRITER, str(turns), str(kept)])
    assert record.log is not None
    log = Path(record.log)
    processes.answers(record, lambda: False, timeout=60)  # until it ends
    assert "Traceback" not in processes.tail(log)
    return log


def lines(*files: Path) -> list[list[str]]:
    """Return the words of the lines; the last file is missing if its process ended as it began."""
    there = [file for file in files if file.exists()]
    return [line.split() for file in there for line in file.read_text().splitlines()]


def test_no_line_is_lost_or_cut_while_the_log_is_started_anew() -> None:
    turns, kept = 5, 200
    log = written(turns, kept)
    count = len(list(log.parent.glob("writer.log.*")))
    parts = [logs.aside(log, number) for number in range(count, 0, -1)]
    assert turns <= count < kept
    assert all(part.stat().st_size >= BYTES for part in parts)
    found = [line for line in lines(*parts, log) if line[0] != "---"]
    for name in ("other", *(f"turn{turn}" for turn in range(turns))):
        mine = [line[1:] for line in found if line[0] == name]
        assert [int(line[0]) for line in mine] == list(range(len(mine)))
        assert mine[-1][1:] == ["end"]


def test_only_the_last_logs_stay() -> None:
    log = written(3 * logs.KEPT)
    aside = set(log.parent.glob("writer.log.*"))
    # One may be missing: the process ends when it likes, also between two renamings.
    assert aside <= {logs.aside(log, number + 1) for number in range(logs.KEPT)}
    assert len(aside) >= logs.KEPT - 1
    assert lines(logs.aside(log, logs.KEPT))[-1][0] != "turn0"


def test_a_full_log_is_put_aside_before_a_process_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "BYTES", 100)
    log = state.folder("logs") / "sleeper.log"
    log.write_text("before\n" * 20)
    processes.start("sleeper", [sys.executable, "-c", "import time; time.sleep(600)"])
    assert logs.aside(log, 1).read_text() == "before\n" * 20
    assert re.fullmatch(r"--- \S+ sleeper\n", log.read_text())


def test_the_end_of_a_log_that_was_just_started_anew_is_that_of_the_one_before() -> None:
    log = state.folder("logs") / "x.log"
    logs.aside(log, 1).write_text("one\ntwo\n")
    assert processes.tail(log, 1) == "two"
    log.write_text("three\n")
    assert processes.tail(log, 2) == "two\nthree"


def test_output_that_goes_elsewhere_is_let_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "another.log"
    log.write_text("full")
    monkeypatch.setenv(logs.LOG, str(log))
    before = [thread.name for thread in threading.enumerate()]
    logs.keep_small()
    assert [thread.name for thread in threading.enumerate()] == before


SEVERAL = f"""
import os, subprocess, sys, threading
from spotify_mlops.io import logs
logs.BYTES, logs.SECONDS = {BYTES}, 0.001
logs.keep_small()
me = sys.argv[1] if len(sys.argv) > 1 else "first"
other = None if sys.argv[1:] else subprocess.Popen([sys.executable, __file__, "second"])
pause = threading.Event()
def follow():
    while not os.path.samestat(os.fstat(1), os.stat(os.environ[logs.LOG])):
        pause.wait(0.001)
if other is None:  # it fills the log and puts it aside
    file = os.fstat(1).st_ino
    while os.fstat(1).st_ino == file:
        print("second", flush=True)
else:
    other.wait()
    follow()
    print(me, "end", flush=True)
"""
"""Two processes with one log, of which one only waits."""


def test_a_log_that_another_process_has_put_aside_is_left_for_the_new_one(tmp_path: Path) -> None:
    script = tmp_path / "several.py"
    script.write_text(SEVERAL, encoding="utf-8")
    record = processes.start("several", [sys.executable, str(script)])
    assert record.log is not None
    processes.answers(record, lambda: False, timeout=60)  # until it ends
    assert Path(record.log).read_text().splitlines()[-1] == "first end"
