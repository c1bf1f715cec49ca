"""``monitor --every``: a step that a service spoils is said, and the next one is taken."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from click.testing import CliRunner
from google.api_core import exceptions

from spotify_mlops.cli import monitor
from spotify_mlops.config.errors import ServiceError
from spotify_mlops.operations.monitor import loop


@pytest.fixture(autouse=True)
def own_signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = {ending: signal.getsignal(ending) for ending in (signal.SIGTERM, signal.SIGINT)}
    monkeypatch.setattr(monitor, "require", lambda *_: None)
    yield
    for ending, handler in before.items():
        signal.signal(ending, handler)


def steps(monkeypatch: pytest.MonkeyPatch, *errors: Exception) -> list[Exception]:
    """Make the first steps fail, and the one after them the last; return what is left."""
    left = list(errors)

    def step(*_: object, **__: object) -> loop.StepReport:
        if left:
            raise left.pop(0)
        signal.raise_signal(signal.SIGTERM)
        return loop.StepReport(None, 0, None, None, ())

    monkeypatch.setattr(loop, "step", step)
    return left


def test_a_repeated_step_outlives_what_may_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    left = steps(monkeypatch, ServiceError("Kafka no responde"), exceptions.Unknown("se cayó"))
    done = CliRunner().invoke(monitor.monitor, ["--every", "1"])
    assert (done.exit_code, left) == (0, []), done.output
    assert "Kafka no responde" in done.output and "se cayó" in done.output


@pytest.mark.parametrize(
    ("arguments", "error"),
    [([], exceptions.Unknown("se cayó")), (["--every", "1"], ValueError("un fallo"))],
)
def test_what_no_later_step_mends_ends_it(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], error: Exception
) -> None:
    steps(monkeypatch, error)
    assert CliRunner().invoke(monitor.monitor, arguments).exception is error
