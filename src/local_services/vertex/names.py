"""Resource names: ``projects/P/locations/L/models/M@V`` and its kin."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from ..google_api.errors import ApiError

DEFAULT_ALIAS = "default"
_MODEL = re.compile(r"(projects/[^/]+/locations/[^/]+/models/[^/@]+)(?:@([^/@]+))?")
_ENDPOINT_ID = re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?|[1-9][0-9]{0,9}")
_MODEL_ID = re.compile(r"[a-z_][a-z0-9_-]{0,62}")
_ALIAS = re.compile(r"[a-z](?:[a-zA-Z0-9-]{0,126}[a-z0-9])?")
_LABEL = re.compile(r"(?:(?![A-Z])[\w-]){1,64}")


@dataclass(frozen=True)
class ModelName:
    """A model's name and, if one was given, the version's number or alias."""

    model: str
    version: str = ""

    @classmethod
    def parse(cls, text: str, field: str) -> ModelName:
        """Read a name, with ``@version``, ``@alias``, ``@-`` or none.

        Raises:
            ApiError: it is not one.
        """
        match = _MODEL.fullmatch(text)
        if match is None:
            raise ApiError.invalid(
                field,
                f"«{field}» = «{text}» no es un modelo: se espera "
                "projects/P/locations/L/models/M o .../M@VERSIÓN.",
            )
        return cls(match[1], "" if match[2] in (None, "-") else match[2])


def location_of(name: str) -> str:
    """Return the ``projects/P/locations/L`` that a resource name starts with."""
    return "/".join(name.split("/")[:4])


def project_of(name: str) -> str:
    """Return the project of a resource name."""
    return name.split("/")[1]


def last(name: str) -> str:
    """Return a resource's id."""
    return name.rpartition("/")[2]


def new_id(digits: int = 19) -> str:
    """Return a random number that starts with no zero, as Vertex AI's ids."""
    return str(secrets.randbelow(9 * 10 ** (digits - 1)) + 10 ** (digits - 1))


def check_model_id(text: str) -> None:
    """Raise INVALID_ARGUMENT for what cannot be a model's id."""
    form = "hasta 63 minúsculas, cifras, «_» o «-», sin empezar por cifra ni «-»."
    _check(_MODEL_ID, text, "model_id", form)


def check_endpoint_id(text: str) -> None:
    """Raise INVALID_ARGUMENT for what cannot be an endpoint's id."""
    form = (
        "hasta 63 minúsculas, cifras o «-», empezando por letra y acabando en letra o cifra; o un "
        "número de hasta 10 cifras."
    )
    _check(_ENDPOINT_ID, text, "endpoint_id", form)


def check_alias(text: str, field: str) -> None:
    """Raise INVALID_ARGUMENT for what cannot be an alias of a version."""
    form = (
        "un alias tiene hasta 128 letras, cifras o «-», empieza por minúscula y acaba en minúscula "
        "o cifra."
    )
    _check(_ALIAS, text, field, form)


def _check(pattern: re.Pattern[str], text: str, field: str, form: str) -> None:
    if pattern.fullmatch(text) is None:
        raise ApiError.invalid(field, f"«{field}» = «{text}»: {form}")


def check_labels(labels: dict[str, str], field: str) -> None:
    """Raise INVALID_ARGUMENT for labels that Vertex AI would refuse."""
    if len(labels) > 64:
        raise ApiError.invalid(field, f"«{field}» tiene {len(labels)} etiquetas; el máximo es 64.")
    for key, value in labels.items():
        if not _LABEL.fullmatch(key) or not (_LABEL.fullmatch(value) or not value):
            raise ApiError.invalid(
                field,
                f"«{field}.{key}» = «{value}»: claves y valores tienen hasta 64 minúsculas, "
                "cifras, «_» o «-».",
            )


def check_display_name(text: str, field: str) -> None:
    """Raise INVALID_ARGUMENT for a display name that is empty or too long."""
    if not text or len(text) > 128:
        raise ApiError.invalid(field, f"«{field}» es obligatorio y tiene hasta 128 caracteres.")
