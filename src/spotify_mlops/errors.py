"""Errors that a user can mend, each with the exit status that the command line returns."""

from __future__ import annotations


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
