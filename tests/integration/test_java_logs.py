"""What the Java servers print stays small, and no line of it is lost."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from local_services import compiling, jars, java
from spotify_mlops.io import logs

BYTES, KEPT, LINES = 50_000, 40, 20_000
CHATTER = """
public final class Chatter {
    public static void main(String[] arguments) throws Exception {
        int lines = Integer.parseInt(arguments[0]);
        Thread beside = new Thread(() -> print(System.err, "err", lines));
        beside.start();
        print(System.out, "out", lines);
        beside.join();
        if (arguments.length > 1) {
            throw new IllegalStateException(arguments[1]);
        }
    }

    private static void print(java.io.PrintStream output, String name, int lines) {
        for (int number = 0; number < lines; number++) {
            output.println(name + " " + number);
        }
    }
}
"""


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The class path of a program that prints, and of what keeps its log small."""
    folder = tmp_path_factory.mktemp("chatter")
    (folder / "Chatter.java").write_text(CHATTER)
    compiler = ":".join(str(jar) for jar in jars.classpath("compiler"))
    main = "org.eclipse.jdt.internal.compiler.batch.Main"
    subprocess.run(
        [java.java(), "-cp", compiler, main, "-17", "-proc:none", folder / "Chatter.java"],
        check=True,
    )
    return f"{folder}:{compiling.compiled('mongo', java.LOG_SOURCE)}"


def chatter(classes: str, log: Path, kept: int, *arguments: str) -> int:
    variables = {**os.environ, logs.LOG: str(log)}
    variables.pop("JDK_JAVA_OPTIONS")  # of all tests: Java says that it found them
    with log.open("ab") as output:
        return subprocess.run(
            [
                *(java.java(), "-cp", classes, "SmallLog", str(BYTES), str(kept)),
                *("Chatter", str(LINES), *arguments),
            ],
            stdout=output,
            stderr=output,
            env=variables,
        ).returncode


def test_no_line_is_lost_or_cut(classes: str, tmp_path: Path) -> None:
    log = tmp_path / "chatter.log"
    assert chatter(classes, log, KEPT) == 0
    count = len(list(tmp_path.glob("chatter.log.*")))
    assert 3 < count < KEPT
    parts = [*(logs.aside(log, number) for number in range(count, 0, -1)), log]
    found = [line.split() for part in parts for line in part.read_text().splitlines()]
    for name in ("out", "err"):
        assert [int(n) for output, n in found if output == name] == list(range(LINES))


def test_only_the_last_stay_and_an_error_is_told(classes: str, tmp_path: Path) -> None:
    log = tmp_path / "chatter.log"
    assert chatter(classes, log, logs.KEPT, "of its own") == 1
    assert "IllegalStateException: of its own" in log.read_text()
    assert len(list(tmp_path.glob("chatter.log.*"))) == logs.KEPT
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < (logs.KEPT + 2) * BYTES
