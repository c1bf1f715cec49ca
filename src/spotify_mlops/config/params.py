"""Every knob of the project, typed. Precedence: override, then environment, then file."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from . import paths, untrusted
from .errors import ParamsError
from .references import LOCAL, MongoURI, SecretReference, UndisclosedError, check_no_secret
from .spanish import exact

ENVIRONMENT_PREFIX = "SPOTIFY_MLOPS_"

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400}
_NAME = re.compile(r"[\w.-]{1,60}")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s|m|h|d)")


def _parse_duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError("una duración se escribe como 500ms, 10s, 10m, 1h o 7d")
    return timedelta(seconds=float(match[1]) * _UNITS[match[2]])


def format_duration(value: timedelta) -> str:
    """Write a duration as the params files do: ``timedelta(minutes=10)`` -> ``10m``."""
    microseconds = value // timedelta(microseconds=1)
    for unit in ("d", "h", "m", "s", "ms"):
        size = int(_UNITS[unit] * 1_000_000)
        if microseconds % size == 0:
            return f"{microseconds // size}{unit}"
    return f"{microseconds}us"


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("debe ser mayor que cero")
    return value


def _sorted_unique(value: list[int]) -> list[int]:
    if sorted(set(value)) != value or any(lag < 1 for lag in value):
        raise ValueError("una lista de enteros mayores que cero, sin repetir, en orden creciente")
    return value


Duration = Annotated[timedelta, BeforeValidator(_parse_duration), PlainSerializer(format_duration)]
PositiveDuration = Annotated[Duration, AfterValidator(_positive)]
Share = Annotated[float, Field(ge=0, le=1)]
CountryCode = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
Lags = Annotated[list[Annotated[int, Field(strict=True)]], AfterValidator(_sorted_unique)]


class Params(BaseModel):
    """The typed content of a params file. Unknown keys are refused.

    Durations are ``timedelta`` here and ``10m``, ``7d``... in files. An endpoint parameter with
    the value ``local`` is read from the state file of the local services. No value is a secret:
    what needs one says where it is (`references`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, hide_input_in_errors=True)

    profile: str = Field(min_length=1, pattern=r"^[a-z][a-z0-9_-]*$")

    # Where things are
    project: str = "spotify-mlops-local"
    location: str = "us-central1"
    kafka_bootstrap: str = LOCAL
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-512", "OAUTHBEARER"] | None = None
    kafka_username: SecretReference = "env:KAFKA_USERNAME"
    kafka_password: SecretReference = "env:KAFKA_PASSWORD"
    topic: str = Field(default="spotify-events", pattern=r"^[A-Za-z0-9._-]+$")
    partitions: int = Field(default=4, ge=1, le=1024)
    bigquery_rest: str = LOCAL
    bigquery_grpc: str = LOCAL
    dataset: str = Field(default="spotify", pattern=r"^[A-Za-z0-9_]+$")
    mongo_uri: MongoURI = LOCAL
    """One with a password is a secret, whole: this says where it is."""
    mongo_database: str = Field(default="spotify_db", pattern=r"^[A-Za-z0-9_]+$")
    archive: str = LOCAL
    vertex: str = LOCAL
    """Address of the Vertex AI API; ``default`` is Google's own for the location."""
    secret_manager: str = "default"
    """Address of Secret Manager's API; ``default`` is Google's own."""
    serving_image: str = "spotify-mlops-serving:0.1.0"
    """Where Vertex AI finds the image of infra/; the local one runs its command as it is."""
    serving_machine: str = "n2-standard-2"
    training_image: str = "spotify-mlops-training:0.1.0"
    training_machine: str = "n2-standard-4"

    # Time and shape of the pipeline
    window: PositiveDuration = timedelta(hours=1)
    window_offset: Duration = timedelta(0)
    allowed_lateness: Duration = timedelta(minutes=2)
    lags: Lags = [1, 2, 3, 6, 24]
    horizon: int = Field(default=24, ge=1)
    shards: int = Field(default=4, ge=1, le=64)
    batch_records: int = Field(default=20_000, ge=1, le=1_000_000)
    bounded_pane: int = Field(default=168, ge=1)
    """Windows that a bounded run handles in one element; the result does not depend on it."""
    idle_timeout: PositiveDuration = timedelta(seconds=10)
    operational_retention: PositiveDuration = timedelta(hours=6)
    observed_retention: PositiveDuration = timedelta(days=30)
    """How long the rows stay that tell how far behind, and how fresh, the live job was."""
    clock_skew: Duration = timedelta(days=1)
    """An event this far in the future of its append time is a dead letter."""
    stream_runner: Literal["prism", "dataflow", "flink"] = "prism"
    predictor: Literal["in_process", "endpoint"] = "in_process"
    """Whom the live job asks: the champion's bundle in its own process, or the endpoint."""

    # Source
    source: Literal["simulator", "charts"] = "simulator"
    countries: list[CountryCode] = Field(default=["CO", "ES", "MX", "US"], min_length=1)
    simulator_seed: int = Field(default=7, ge=0)
    simulator_start: date = date(2026, 1, 5)
    simulator_days: int = Field(default=21, ge=1)
    simulator_events: int = Field(default=1_000_000, ge=1)
    simulator_tracks: int = Field(default=600, ge=10)
    duplicate_share: Share = 0.02
    late_share: Share = 0.01
    malformed_share: Share = 0.01
    simulator_regime_day: float | None = Field(default=None, ge=0)
    """Day of simulated time from which fashions change: what a model learned before it fails."""
    live_clock: float = Field(default=360, gt=0)
    """Simulated seconds per real second in the live part."""
    live_duration: PositiveDuration = timedelta(days=30)
    """Simulated time that the live part publishes before it closes the log."""
    charts_folders: list[str] = ["data/charts"]
    """Folders with chart CSVs; the first that exists is used."""

    # Model
    level_alta: float = Field(default=70, gt=0, lt=100)
    level_media: float = Field(default=40, gt=0, lt=100)
    family: Literal["seed", "dynamics"] = "dynamics"
    model_name: str = Field(default="popularity", pattern=r"^[a-z][a-z0-9_-]*$")
    test_start: date | None = None
    """First day of the test range; without it the last ``test_share`` of the windows."""
    test_share: Share = 0.2
    validation_share: Share = 0.2
    bootstrap_repetitions: int = Field(default=500, ge=20)
    bootstrap_block: PositiveDuration = timedelta(days=1)
    model_seed: int = Field(default=7, ge=0)
    model_members: int = Field(default=2, ge=1, le=32)
    """Models of the ``dynamics`` family, with other random draws, whose scores are averaged."""
    model_iterations: int = Field(default=120, ge=10, le=2000)
    """Most trees a level in one of them; validation may stop it before."""
    model_learning_rate: float = Field(default=0.1, gt=0, le=1)

    # Success criteria and costs (notebook 01 states them, notebook 05 applies them)
    gate_min_accuracy: Share = 0.65
    gate_min_macro_f1: Share = 0.60
    gate_country_regression: Share = 0.03
    gate_max_ece: Share = 0.05
    gate_max_latency: PositiveDuration = timedelta(milliseconds=5)
    """Of processor for a one-row prediction, 99 of 100 times."""
    gate_max_row_time: PositiveDuration = timedelta(microseconds=200)
    """Of processor for a row in a batch."""
    cost_missed_alta: float = Field(default=5, ge=0)
    cost_false_alta: float = Field(default=2, ge=0)
    cost_one_level: float = Field(default=1, ge=0)

    # List prices for the estimate of costs (USD, us-central1; check them before relying on it)
    price_write_gib: float = Field(default=0.025, ge=0)
    """Of a GiB through the Storage Write API, beyond the first 2 TiB of a month."""
    price_storage_gib: float = Field(default=0.02, ge=0)
    """Of a GiB of active logical storage for a month, beyond the first 10 GiB."""

    # The model's life after deployment (numbers of windows)
    monitor_windows: int = Field(default=24, ge=1)
    """The champion's score is judged over this many windows."""
    retrain_min_accuracy: Share | None = None
    """Below this accuracy it is retrained; without it, its held-out score less the margin."""
    retrain_margin: Share = 0.05
    retrain_cooldown: int = Field(default=48, ge=0)
    retrain_history: PositiveDuration | None = None
    """A retraining learns from this much of the past; from all of it without."""
    drift_windows: int = Field(default=24, ge=1)
    """Windows that are compared together with the usual: a day, so that its hours even out."""
    drift_margin: float = Field(default=5, ge=1)
    """An alarm is this many times further from the usual than the usual's own worst."""
    drift_patience: int = Field(default=12, ge=1)
    shadow_windows: int = Field(default=12, ge=1)
    canary_windows: int = Field(default=12, ge=1)
    canary_share: Share = 0.1
    probation_windows: int = Field(default=24, ge=1)
    promotion_regression: Share = 0.02
    """A challenger may lose this much macro-F1 to the champion and go on."""
    promotion_lead: int = Field(default=2, ge=1)
    """A change takes effect this many windows after the last that is written."""

    # Waiting
    service_timeout: PositiveDuration = timedelta(seconds=60)
    sink_deadline: PositiveDuration = timedelta(seconds=60)
    """How long a sink retries before the streaming job fails (and resumes from the log)."""

    @model_validator(mode="before")
    @classmethod
    def _without_secrets(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for name, value in values.items():
                check_no_secret(str(name), value)
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.level_media < self.level_alta:
            raise ValueError("level_media debe ser menor que level_alta")
        if self.window_offset >= self.window:
            raise ValueError("window_offset debe ser menor que window")
        if len(set(self.countries)) != len(self.countries):
            raise ValueError("countries repite un país")
        return self


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
        raise ParamsError(f"No se puede leer {path.name}: {_one_line(error)}.") from error
    if not isinstance(content, dict):
        raise ParamsError(f"{path.name}: se esperaba una lista de «nombre: valor».")
    content |= _from_environment(os.environ)
    content |= {name: value for name, value in overrides.items() if value is not None}
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        # Pydantic's own words have names and values that may be a password in the wrong place.
        raise ParamsError(f"{path.name}: {_explain(error)}") from None


def params_file(params: Params) -> Path:
    """Write the params as they are in force, for a process of their own; return the file."""
    path = paths.state_dir() / "run" / f"{params.profile}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = params.model_dump(mode="json", exclude_defaults=True) | {"profile": params.profile}
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return path


def names() -> frozenset[str]:
    """Return the declared parameter names: what params files and notebooks may use."""
    return frozenset(Params.model_fields)


def unknown(name: str) -> str:
    """Return the Spanish words for a name that is no parameter's, with the nearest one."""
    if not _NAME.fullmatch(name):
        return "un nombre que no es de ningún parámetro"
    close = difflib.get_close_matches(name, sorted(Params.model_fields), 1)
    hint = f" (¿«{close[0]}»?)" if close else ""
    return f"parámetro desconocido «{name}»{hint}"


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    found = {}
    for name in Params.model_fields:
        text = environment.get(ENVIRONMENT_PREFIX + name.upper())
        if text is not None:
            found[name] = parse_value(ENVIRONMENT_PREFIX + name.upper(), text)
    return found


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
            f"El valor de {name} no se puede leer ({_one_line(error)}); escríbelo como en los "
            "archivos de params/."
        ) from error


_MESSAGES = {
    "bool": "debe ser true o false",
    "date": "debe ser una fecha como 2026-01-05",
    "float": "debe ser un número",
    "int": "debe ser un número entero",
    "list": "debe ser una lista, como [1, 2, 3]",
    "string": "debe ser un texto (entre comillas si parece un número)",
    "greater_than": "debe ser mayor que {gt}",
    "greater_than_equal": "debe ser {ge} o más",
    "less_than": "debe ser menor que {lt}",
    "less_than_equal": "debe ser {le} o menos",
    "literal_error": "debe ser {expected}",
    "string_pattern_mismatch": "no tiene la forma {pattern}",
    "string_too_short": "no puede estar vacío",
    "too_short": "no puede estar vacía",
}
"""What is wrong, by Pydantic's error type or by the part of it before the first ``_``."""


def _explain(error: ValidationError) -> str:
    problems = []
    for item in error.errors():
        name = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            problems.append(unknown(name))
        elif item["type"] == "missing":
            problems.append(f"falta «{name}»")
        elif name and isinstance(item.get("ctx", {}).get("error"), UndisclosedError):
            problems.append(f"«{name}» {_message(item)}")
        elif name:
            problems.append(f"«{name}» = {_shown(item['input'])}: {_message(item)}")
        else:
            problems.append(_message(item))
    return "; ".join(problems) + "."


def _message(item: ErrorDetails) -> str:
    """Return the Spanish text of one of Pydantic's errors."""
    kind, context = item["type"], item.get("ctx", {})
    if kind == "value_error":  # raised above, in Spanish
        return item["msg"].removeprefix("Value error, ")
    text = _MESSAGES.get(kind) or _MESSAGES.get(kind.partition("_")[0], "valor no admitido")
    if kind == "literal_error":
        context = context | {"expected": context["expected"].replace(" or ", " o ")}
    return text.format(
        **{k: exact(v) if isinstance(v, int | float) else v for k, v in context.items()}
    )


def _shown(value: object) -> str:
    try:
        text = "vacío" if value is None else repr(value)
    except ValueError:  # Python writes no number with thousands of digits
        text = "un número enorme"
    return text if len(text) <= 60 else text[:60] + "…"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
