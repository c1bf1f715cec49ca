"""Parameters that travel with a job to another machine: all that is in force, and nothing else.

A container has the params files of its image and an environment of its own: a profile's name alone
would lose what was said by ``--set`` or in the environment of who starts the job.
"""

from __future__ import annotations

import argparse
import json

from pydantic import ValidationError

from . import untrusted
from .errors import ParamsError, one_line
from .explained import explain
from .overrides import overrides
from .params import ENVIRONMENT_PREFIX, FLAT, Params, load

OPTION = "--resolved-params"
"""How a container is given them."""


def arguments(params: Params) -> list[str]:
    """Return the arguments by which a container takes these params, whatever its image holds.

    Of secrets they say where they are, as params do. There is no ``$`` in them: platforms
    replace ``$(NAME)`` in the arguments of containers.
    """
    content = params.model_dump(mode="json")
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return [OPTION, text.replace("$", r"\u0024")]


def variables(params: Params) -> dict[str, str]:
    """Return the environment in which any command has these params, whatever file it reads.

    For a command that a platform starts, and that takes its params as people give them.
    """
    return {
        ENVIRONMENT_PREFIX + name.upper(): json.dumps(value).replace("$", r"\u0024")
        for name, value in params.flat().items()
    }


def parse(text: str) -> Params:
    """Return the params that `arguments` wrote: no file and no variable changes them.

    Raises:
        ParamsError: the text is none of these, or from a version with other parameters.
    """
    try:
        content = untrusted.parse_json(untrusted.within(text.encode(), untrusted.PARAMS_BYTES))
    except untrusted.RefusedError as error:
        raise ParamsError(f"{OPTION} no se puede leer: {one_line(error)}.") from error
    if not isinstance(content, dict):
        raise ParamsError(f"{OPTION}: se esperaba un objeto de JSON.")
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise ParamsError(
            f"{OPTION}: {explain(error, FLAT)} Quien lanza la tarea y la imagen deben ser de la "
            "misma versión."
        ) from None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options by which a container's command takes its params (see `chosen`)."""
    given = parser.add_mutually_exclusive_group()
    given.add_argument("--params", metavar="ARCHIVO", help="perfil o archivo de parámetros")
    given.add_argument(OPTION, metavar="JSON", help="los de quien lanza la tarea, todos")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NOMBRE=VALOR",
        help="cambia un parámetro (se puede repetir)",
    )


def chosen(options: argparse.Namespace) -> Params:
    """Return the params that the options of `add_options` say; the ``local`` profile by default.

    Raises:
        ParamsError: they say none, or change what a job was given.
    """
    if options.resolved_params is None:
        return load(options.params or "local", **overrides(options.set))
    if options.set:
        raise ParamsError(f"«--set» no cambia los de {OPTION}, los de quien lanza la tarea.")
    return parse(options.resolved_params)
