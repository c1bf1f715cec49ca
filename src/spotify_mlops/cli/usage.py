"""Click's own words, which are English, in Spanish: the frame of the help, the usage errors."""

from __future__ import annotations

import re

import click
from click import exceptions

_WHOLE = 1000
"""Letters of a command's line: all of its first sentence, on as many lines as it takes."""
_RANGE = re.compile(r"\s*\[x[<>]=?[\d.]+\]|;?\s*[\d.]*<?=?x[<>]=?[\d.]+(?=\])")


class Command(click.Command):
    """A command whose help is all in Spanish."""

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """Return ``--help`` with Spanish help."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.help = "Muestra esta ayuda."
        return option

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the usage line."""
        pieces = self.collect_usage_pieces(ctx)
        formatter.write_usage(ctx.command_path, " ".join(pieces), prefix="Uso: ")

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Return the parts of the usage line, placeholders in Spanish."""
        words = {
            "[OPTIONS]": "[OPCIONES]",
            "COMMAND [ARGS]...": "ORDEN [ARGUMENTOS]...",
        }
        return [words.get(piece, piece) for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under a Spanish title."""
        records = [
            (left, _in_spanish(right))
            for parameter in self.get_params(ctx)
            if isinstance(parameter, click.Option)
            if (record := parameter.get_help_record(ctx)) is not None
            for left, right in [record]
        ]
        if records:
            with formatter.section("Opciones"):
                formatter.write_dl(records)


class Group(Command, click.Group):
    """A group of commands whose help is all in Spanish."""

    command_class = Command
    group_class = type

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write options, then commands."""
        super().format_options(ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands with the first line of their help."""
        rows = [
            (name, command.get_short_help_str(_WHOLE))
            for name, command in self.commands.items()
            if not command.hidden
        ]
        if rows:
            with formatter.section("Órdenes"):
                formatter.write_dl(rows)


def _in_spanish(help_text: str) -> str:
    """Return an option's help with Click's own remarks in Spanish, and without its ranges."""
    text = help_text.replace("[default: ", "[por defecto: ").replace("[required]", "[hace falta]")
    return _RANGE.sub("", text)


def explain(error: click.ClickException) -> str:
    """Return what is wrong with a command line, in one Spanish sentence."""
    match error:
        case exceptions.NoSuchOption():
            close = f" ¿Querías decir {error.possibilities[0]}?" if error.possibilities else ""
            return f"No existe la opción {error.option_name}.{close}"
        case exceptions.MissingParameter():
            return f"Falta {_name(error).removesuffix('...')}."
        case exceptions.BadOptionUsage():
            return f"La opción {error.option_name} no lleva ese valor, o le falta uno."
        case exceptions.BadParameter():
            return f"El valor de {_name(error)} no vale{_wanted(error)}."
        case exceptions.UsageError(message=message) if message.startswith("No such command"):
            return f"No existe la orden {message.removeprefix('No such command ').rstrip('.')}."
        case exceptions.UsageError(message=message) if "unexpected extra argument" in message:
            return f"Sobra {message.partition('(')[2].rstrip(').')}."
        case _:
            return error.format_message()


def hint(error: click.ClickException) -> str:
    """Return where to look for help."""
    context = getattr(error, "ctx", None)
    return f"Ayuda: {context.command_path if context else 'spotify-mlops'} --help"


def _name(error: exceptions.BadParameter) -> str:
    parameter = error.param
    if parameter is None:
        return "un argumento"
    if isinstance(parameter, click.Option):
        return max(parameter.opts, key=len)
    if isinstance(parameter.type, click.Choice):
        return "ese argumento"
    return parameter.make_metavar(error.ctx) if error.ctx else str(parameter.name)


def _wanted(error: exceptions.BadParameter) -> str:
    kind = error.param.type if error.param is not None else None
    if isinstance(kind, click.Choice):
        *first, last = (str(choice) for choice in kind.choices)
        return f": se espera {', '.join(first)} o {last}" if first else f": se espera {last}"
    if isinstance(kind, click.IntRange | click.FloatRange):
        number = "un número entero" if isinstance(kind, click.IntRange) else "un número"
        if kind.max is None:
            return f": se espera {number}, {kind.min} o más"
        return f": se espera {number} de {kind.min} a {kind.max}"
    if isinstance(kind, click.types.IntParamType | click.types.FloatParamType):
        return ": se espera un número"
    return ""
