"""The commands by their words, without running any: a help that is made is kept as it is."""

from __future__ import annotations

from collections.abc import Iterable

import click

from spotify_mlops.cli.main import app


def command(words: Iterable[str]) -> click.Command:
    """Return the command of a line of words, whose options are left out.

    Raises:
        KeyError: there is none.
    """
    found: click.Command = app
    for word in (word for word in words if not word.startswith("-")):
        if not isinstance(found, click.Group):
            raise KeyError(word)
        found = found.commands[word]
    return found


def options(of: click.Command) -> set[str]:
    """Return the options that a command takes."""
    return {option for param in of.params for option in param.opts}
