"""Errors that a user can mend, each with the exit status that the command line returns."""

from __future__ import annotations

import errno

_OUTAGES = {
    "cimpl.KafkaException",
    "google.api_core.exceptions.RetryError",
    "google.api_core.exceptions.ServerError",
    "pymongo.errors.PyMongoError",
    "requests.exceptions.ConnectionError",
    "requests.exceptions.Timeout",
}
"""What client libraries raise when a service is away or fails, by name: they are not imported."""


class UserError(Exception):
    """Something outside the code is wrong: input, parameters, a service, the disk.

    The message (in Spanish, one or two lines) says what was wrong, where, and what to do. The
    command line prints it without a traceback, unless ``--debug``, and exits with ``exit_code``.
    """

    exit_code = 1


class ParamsError(UserError):
    """A parameter is unknown, of the wrong type or out of range."""

    exit_code = 2


class InputError(UserError):
    """An input file is missing, empty or not of the declared shape."""

    exit_code = 3


class ServiceError(UserError):
    """A service does not answer, or answered with an error that a retry did not mend."""

    exit_code = 4


class NotebookError(UserError):
    """A notebook cell raised; the message names the notebook, the cell and the error."""

    exit_code = 5


class IntegrityError(UserError):
    """Something is not what its hash or the log says it is."""

    exit_code = 6


def one_line(error: object, longest: int | None = None) -> str:
    """Return the words of an error, or of what is said of it, in one line of so many letters."""
    return " ".join(str(error).split())[:longest]


def is_full_disk(error: BaseException) -> bool:
    """Tell whether the system refused a write for want of space."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def is_outage(error: BaseException) -> bool:
    """Tell whether it may pass by itself, or by what its user does: a service, or a full disk."""
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
    return isinstance(error, ServiceError) or is_full_disk(error) or bool(names & _OUTAGES)
