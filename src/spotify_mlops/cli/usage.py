"""Commands that speak Spanish: their words by click's own gettext, the rest by these classes."""

from __future__ import annotations

import gettext
import os
from pathlib import Path

import click

_WHOLE = 1000
"""Letters of a command's line: all of its first sentence, on as many lines as it takes."""
_PLACEHOLDERS = {"[OPTIONS]": "[OPCIONES]", "COMMAND [ARGS]...": "ORDEN [ARGUMENTOS]..."}


def speak_spanish() -> None:
    """Have click find the Spanish of its words, whatever the language of the machine."""
    gettext.bindtextdomain("messages", str(Path(__file__).parent / "locale"))
    os.environ["LANGUAGE"] = "es"


class Command(click.Command):
    """A command with Spanish placeholders in its usage line."""

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Return the parts of the usage line."""
        return [_PLACEHOLDERS.get(piece, piece) for piece in super().collect_usage_pieces(ctx)]

    def get_short_help_str(self, limit: int = _WHOLE) -> str:
        """Return the first sentence of the help, whole."""
        return super().get_short_help_str(_WHOLE)


class Group(Command, click.Group):
    """A group of such commands, in the order in which they were added."""

    command_class = Command
    group_class = type

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names."""
        return list(self.commands)


def explain(error: click.ClickException) -> str:
    """Return what is wrong with a command line, on one line, and on another where to look."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "spotify-mlops"
    return f"{' '.join(error.format_message().split())}\nAyuda: {command} --help"
