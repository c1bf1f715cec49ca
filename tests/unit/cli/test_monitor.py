"""``monitor --every``: a step that a service spoils is said, and the next one is taken."""

from __future__ import annotations

import signal

import pytest
from click.testing import CliRunner
from google.api_core import exceptions

from spotify_mlops.cli import monitor
from spotify_mlops.config.errors import ServiceError
from spotify_mlops.operations.monitor import loop


@pytest.fixture(autouse=True)
def without_services(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "require", lambda *_: None)


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
