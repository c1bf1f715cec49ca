"""References to secrets: a parameter says where a password is, never which.

``env:NAME`` is an environment variable; ``secret://NAME``, ``secret://NAME/VERSION`` and
``secret://PROJECT/NAME/VERSION`` are secrets of Google Secret Manager. Params are written to files,
shown, and handed to other processes; what they refer to is read where it is used
(``credentials.resolve``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

from pydantic import BeforeValidator

ENVIRONMENT, SECRET_MANAGER = "env:", "secret://"
LOCAL = "local"
"""Value of an endpoint parameter that means: the server that ``up`` started."""

_PART = r"[A-Za-z0-9_-]{1,255}"
_REFERENCE = re.compile(
    rf"env:(?P<variable>[A-Za-z_][A-Za-z0-9_]*)"
    rf"|secret://({_PART}|{_PART}/{_PART}|[a-z][a-z0-9.:-]{{1,62}}/{_PART}/{_PART})"
)
_HOW = "env:NOMBRE (una variable de entorno) o secret://NOMBRE (Google Secret Manager)"

# user:password@ after the scheme, or without one (the digest of an image is no host).
_PASSWORD = re.compile(r"://[^@]*:[^@]*@|^(?![\w+.-]+://)[^@]*:[^@]*@(?!sha\d+:)")
_SECRET_OPTION = re.compile(r"[?&][^=&]*(pass|secret|token|key)[^=&]*=|session_token:", re.I)


class UndisclosedError(ValueError):
    """What is wrong with a value that may be a secret: whoever tells it must not show the value."""


def is_reference(value: object) -> bool:
    """Tell whether a parameter's value is a reference."""
    return isinstance(value, str) and _REFERENCE.fullmatch(value) is not None


def variable(value: str) -> str | None:
    """Return the environment variable that a reference names; None when it names none."""
    match = _REFERENCE.fullmatch(value)
    return match["variable"] if match else None


def check_no_secret(name: str, value: object) -> None:
    """Refuse an address with a password in it, as a parameter's value or within it.

    Raises:
        UndisclosedError: there is one.
    """
    for text in _texts(value):
        if is_reference(text):
            continue
        if _PASSWORD.search(text) or _SECRET_OPTION.search(text):
            whole = "escríbelo entero" if name == "mongo_uri" else "ponlo"
            raise UndisclosedError(
                f"«{name}» lleva una contraseña, y los parámetros se escriben y se enseñan: "
                f"{whole} en otro sitio y di aquí cuál, {_HOW}"
            )


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        yield from _texts([*value, *value.values()])


def _reference(value: object) -> object:
    if not is_reference(value):
        raise UndisclosedError(f"es un secreto: se dice dónde está, {_HOW}, y no cuál es")
    return value


def _mongo_uri(value: object) -> object:
    plain = isinstance(value, str) and value.startswith(("mongodb://", "mongodb+srv://"))
    if value != LOCAL and not plain and not is_reference(value):
        raise UndisclosedError(
            f"debe ser local, mongodb://..., mongodb+srv://..., o dónde está: {_HOW}"
        )
    return value


def _file_or_reference(value: object) -> object:
    if isinstance(value, str) and value.startswith((ENVIRONMENT, SECRET_MANAGER)):
        return _reference(value)
    if isinstance(value, str) and "-----BEGIN" in value:
        raise UndisclosedError(f"es un certificado entero: di en qué archivo está, o {_HOW}")
    return value


SecretReference = Annotated[str, BeforeValidator(_reference)]
"""Where a secret is."""
MongoURI = Annotated[str, BeforeValidator(_mongo_uri)]
"""``local``, an address without a password, or where the address with its password is."""
FileOrReference = Annotated[str, BeforeValidator(_file_or_reference)]
"""A file of the machine where it is read, or where what it would hold is."""
