"""Every knob of the project, typed. Precedence: override, then environment, then file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from . import paths, untrusted
from .errors import ParamsError, one_line
from .explained import explain, unknown_name
from .references import check_no_secret
from .sections import (
    BigQuery,
    Cloud,
    Cost,
    Dataflow,
    Engine,
    Gate,
    Kafka,
    Model,
    Mongo,
    Monitor,
    Platform,
    Promotion,
    Section,
    Simulator,
    Sources,
    Stream,
    Webapi,
    Windows,
)

ENVIRONMENT_PREFIX = "SPOTIFY_MLOPS_"


class Params(Section):
    """The typed content of a params file, in sections. Unknown names are refused.

    Durations are ``timedelta`` here and ``10m``, ``7d``... in files. An endpoint parameter with
    the value ``local`` is read from the state file of the local services. No value is a secret:
    what needs one says where it is (`references`).
    """

    profile: str = Field(min_length=1, pattern=r"^[a-z][a-z0-9_-]*$")
    cloud: Cloud = Cloud()
    kafka: Kafka = Kafka()
    bigquery: BigQuery = BigQuery()
    mongo: Mongo = Mongo()
    windows: Windows = Windows()
    stream: Stream = Stream()
    engine: Engine = Engine()
    dataflow: Dataflow = Dataflow()
    platform: Platform = Platform()
    sources: Sources = Sources()
    webapi: Webapi = Webapi()
    simulator: Simulator = Simulator()
    model: Model = Model()
    gate: Gate = Gate()
    cost: Cost = Cost()
    monitor: Monitor = Monitor()
    promotion: Promotion = Promotion()

    @model_validator(mode="before")
    @classmethod
    def _without_secrets(cls, values: Any) -> Any:
        for place, value in _leaves(values) if isinstance(values, dict) else ():
            check_no_secret(FLAT.get(place, ".".join(place)), value)
        return values

    @model_validator(mode="after")
    def _countries_of_the_model(self) -> Self:
        """Give the model the sources' countries, where it has none of its own.

        They stay as if nobody had said them: params made of these follow their own sources.
        """
        if not self.windows.model_countries:
            found = {"model_countries": list(self.sources.countries)}
            windows = self.windows.model_copy(update=found)
            windows.model_fields_set.discard("model_countries")
            self.__dict__["windows"] = windows
        return self

    def replace(self, **values: Any) -> Self:
        """Return these params with other values, given by their flat names, and checked again.

        Raises:
            ValidationError: a value does not fit.
            KeyError: there is no such name.
        """
        return self.model_validate(nested(values, self.model_dump(exclude_unset=True)))

    def flat(self) -> dict[str, Any]:
        """Return each value, as params files write it, by its flat name."""
        content = self.model_dump(mode="json")
        return {name: reduce(getitem, place, content) for name, place in PLACES.items()}

    def value(self, name: str) -> Any:
        """Return the value of the parameter with this flat name."""
        return reduce(getattr, PLACES[name], self)


def _places() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name, field in Params.model_fields.items():
        section = field.annotation
        if not (isinstance(section, type) and issubclass(section, Section)):
            found[name] = (name,)
            continue
        for leaf in section.model_fields:
            flat = f"{name}_{leaf}" if leaf in section.needs_section else leaf
            found[flat] = (name, leaf)
    return found


PLACES = _places()
"""Where each parameter is, (section, name), by its flat name."""
FLAT = {place: name for name, place in PLACES.items()}
"""The flat name of each parameter, by its place."""


def resolve(profile_or_path: str | Path) -> Path:
    """Return the params file that a profile's name (``local``) or a path names.

    Raises:
        ParamsError: there is no such file.
    """
    text = str(profile_or_path)
    path = Path(text)
    if path.suffix not in (".yaml", ".yml"):
        path = paths.root() / "params" / f"{text}.yaml"
    if not path.is_file() and not path.is_absolute():
        path = paths.root() / path
    if not path.is_file():
        profiles = ", ".join(sorted(p.stem for p in (paths.root() / "params").glob("*.yaml")))
        raise ParamsError(f"No existe el archivo de parámetros {text}. En params/ hay: {profiles}.")
    return path


def load(profile_or_path: str | Path = "local", /, **overrides: Any) -> Params:
    """Read a params file, then apply the environment, then ``overrides`` that are not None.

    The environment variable of ``window`` is ``SPOTIFY_MLOPS_WINDOW``; lists and numbers are
    written in YAML there.

    Raises:
        ParamsError: the file cannot be read, a name is unknown or a value does not fit; the
            message names file, parameter and reason.
    """
    path = resolve(profile_or_path)
    try:
        content = untrusted.parse_yaml(untrusted.read(path, untrusted.PARAMS_BYTES))
    except (OSError, untrusted.RefusedError) as error:
        raise ParamsError(f"No se puede leer {path.name}: {one_line(error)}.") from error
    if not isinstance(content, dict):
        raise ParamsError(f"{path.name}: se esperaba una lista de secciones, «sección: valores».")
    given = _from_environment(os.environ)
    given |= {name: value for name, value in overrides.items() if value is not None}
    problems = [*_misplaced(content), *(unknown(n) for n in overrides if n not in PLACES)]
    if problems:
        raise ParamsError(f"{path.name}: {'; '.join(problems)}.")
    try:
        return Params.model_validate(nested(given, content))
    except ValidationError as error:
        # Pydantic's own words have names and values that may be a password in the wrong place.
        raise ParamsError(f"{path.name}: {explain(error, FLAT)}") from None


def _misplaced(content: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the places of a file's values, a sentence each."""
    sections = {place[0] for place in FLAT if len(place) > 1}
    for name, value in content.items():
        if name not in sections:
            if (name,) not in FLAT:
                yield _place_of(name, "su sección")
        elif isinstance(value, dict):
            yield from (_place_of(x, "otra sección") for x in value if (name, x) not in FLAT)
        else:
            yield f"«{name}» es una sección: se espera «{name}: {{parámetro: valor}}»"


def _place_of(name: str, where: str) -> str:
    """Return where a params file has a parameter that it has elsewhere."""
    if name not in PLACES:
        return unknown(name)
    *section, leaf = PLACES[name]
    written = f"{section[0]}: {{{leaf}: ...}}" if section else f"{leaf}: ..."
    return f"«{name}» va en {where}: «{written}»"


def params_file(params: Params) -> Path:
    """Write the params as they are in force, for a process of their own; return the file."""
    path = paths.state_dir() / "run" / f"{params.profile}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = params.model_dump(mode="json", exclude_unset=True) | {"profile": params.profile}
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return path


def nested(values: Mapping[str, Any], content: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return values of flat names in their sections, over what a params file has there."""
    merged = dict(content or {})
    for name, value in values.items():
        *section, leaf = PLACES[name]
        if section:
            merged[section[0]] = {**merged.get(section[0], {}), leaf: value}
        else:
            merged[leaf] = value
    return merged


def names() -> frozenset[str]:
    """Return the flat names of all parameters: what ``--set`` and notebooks may use."""
    return frozenset(PLACES)


def unknown(name: str) -> str:
    """Return the Spanish words for a name that is no parameter's, with the nearest one."""
    return unknown_name(name, PLACES)


def parse_value(name: str, text: str) -> Any:
    """Read a parameter's value as params files write it (YAML).

    Raises:
        ParamsError: it is not YAML, or too much; the message has ``name``, and not the value,
            which may be a password in the wrong place.
    """
    try:
        return untrusted.parse_yaml(text)
    except untrusted.RefusedError as error:
        raise ParamsError(
            f"El valor de {name} no se puede leer ({one_line(error)}); escríbelo como en los "
            "archivos de params/."
        ) from error


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    found = {}
    for name in PLACES:
        variable = ENVIRONMENT_PREFIX + name.upper()
        if variable in environment:
            found[name] = parse_value(variable, environment[variable])
    return found


def _leaves(content: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield place and value of each parameter of nested content."""
    for name, value in content.items():
        if isinstance(value, Section):
            value = value.model_dump()
        if isinstance(value, dict):
            yield from (((str(name), str(leaf)), item) for leaf, item in value.items())
        else:
            yield (str(name),), value
