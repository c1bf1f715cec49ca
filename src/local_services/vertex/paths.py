"""The resource names in the paths of its routes, as Starlette's convertors."""

from __future__ import annotations

from starlette.convertors import Convertor, register_url_convertor

_LOCATION = "projects/*/locations/*"


class _Name(Convertor[str]):
    """A resource's name, as in the ``google.api.http`` templates of Google's own transports."""

    def __init__(self, shape: str) -> None:
        self.regex = shape.replace("*", "[^/:]+")  # type: ignore[misc]

    def convert(self, value: str) -> str:
        return value


def register() -> None:
    """Let routes name them: ``{parent:location}``, ``{name:model}``..."""
    register_url_convertor("location", _Name(_LOCATION))
    for kind in ("model", "endpoint", "customJob", "operation"):
        register_url_convertor(kind, _Name(f"{_LOCATION}/{kind}s/*"))
    register_url_convertor("endpointOperation", _Name(f"{_LOCATION}/endpoints/*/operations/*"))
    register_url_convertor("evaluation", _Name(f"{_LOCATION}/models/*/evaluations/*"))
