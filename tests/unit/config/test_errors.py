"""What a service or the disk is to blame for, and what is a defect of the program."""

from __future__ import annotations

import errno

import pytest
from confluent_kafka import KafkaError, KafkaException
from google.api_core.exceptions import BadRequest, InternalServerError, RetryError
from pymongo.errors import ServerSelectionTimeoutError

from spotify_mlops.config.errors import ParamsError, ServiceError, is_full_disk, is_outage


@pytest.mark.parametrize(
    "error",
    [
        ServiceError(""),
        KafkaException(KafkaError(KafkaError._TRANSPORT)),
        InternalServerError("store is closed"),
        RetryError("", None),
        ServerSelectionTimeoutError(),
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
    ],
)
def test_an_outage(error):
    assert is_outage(error)


@pytest.mark.parametrize(
    "error", [ParamsError(""), BadRequest("SELECT x"), FileNotFoundError(2, ""), KeyError("x")]
)
def test_no_outage(error):
    assert not is_outage(error)
    assert not is_full_disk(error)


def test_the_command_line_says_who_is_to_blame(monkeypatch, capsys):
    from spotify_mlops.cli import main

    for error, status in (
        (InternalServerError("store is closed"), 4),
        (OSError(errno.ENOSPC, "No space left on device"), 4),
        (ZeroDivisionError(), 70),
    ):

        def failing(*arguments, error=error, **options):
            raise error

        monkeypatch.setattr(main.app, "main", failing)
        with pytest.raises(SystemExit) as ended:
            main.main([])
        assert ended.value.code == status
    assert capsys.readouterr().err.count("spotify-mlops up") == 2
