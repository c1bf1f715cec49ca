"""The parameters, by what they are about. A function takes the section that it needs.

In a params file they stand under their section (``gate: {min_accuracy: 0.7}``); the command line,
the environment and notebooks give them by one flat name (``gate_min_accuracy``; see ``flat_name``).
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from . import estimators
from .durations import Duration, PositiveDuration
from .histories import History
from .references import LOCAL, FileOrReference, MongoURI, SecretReference
from .web_addresses import (
    Bootstrap,
    PlaylistId,
    PrivateRange,
    ServiceAddress,
    WebAddress,
    check_way,
)


def _sorted_unique(value: list[int]) -> list[int]:
    if sorted(set(value)) != value or any(lag < 1 for lag in value):
        raise ValueError("una lista de enteros mayores que cero, sin repetir, en orden creciente")
    return value


def _one_or_more(value: Any) -> Any:
    return value if value is None or isinstance(value, list | tuple) else [value]


def _increasing(value: list[float]) -> list[float]:
    if sorted(set(value)) != value:
        raise ValueError("un día, o una lista de días sin repetir, en orden creciente")
    return value


Share = Annotated[float, Field(ge=0, le=1)]


def _without_repeats(value: list[str]) -> list[str]:
    if len(set(value)) != len(value):
        raise ValueError("repite un país")
    return value


CountryCode = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
Countries = Annotated[list[CountryCode], AfterValidator(_without_repeats)]
Lags = Annotated[list[Annotated[int, Field(strict=True)]], AfterValidator(_sorted_unique)]
Days = Annotated[
    list[Annotated[float, Field(ge=0)]],
    Field(min_length=1),
    BeforeValidator(_one_or_more),
    AfterValidator(_increasing),
]
Histories = Annotated[tuple[History, ...], Field(min_length=1)]
Candidates = Annotated[list[float | int | str | None], Field(min_length=1)]


class Section(BaseModel):
    """Some parameters; unknown names are refused.

    ``needs_section`` are the names that say too little alone: their flat name begins with the
    section's. Of two sections, no flat name is the same.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=True
    )
    needs_section: ClassVar[frozenset[str]] = frozenset()


class Cloud(Section):
    """Where the project is, and what of it runs in Google Cloud."""

    project: str = "spotify-mlops-local"
    location: str = "us-central1"
    archive: str = LOCAL
    vertex: ServiceAddress = LOCAL
    """Address of the Vertex AI API; ``default`` is Google's own for the location."""
    secret_manager: WebAddress = "default"
    """Address of Secret Manager's API; ``default`` is Google's own."""
    google_apis: WebAddress = "default"
    """Address of the APIs that only ``cloud`` asks (Service Usage, Compute Engine, Artifact
    Registry...); ``default`` is Google's own of each, any other has them by name in its path."""
    serving_image: str = "spotify-mlops-serving:0.1.0"
    """Where Vertex AI finds the image of infra/; the local one runs its command as it is."""
    serving_machine: str = "n2-standard-2"
    deploy_timeout: PositiveDuration = timedelta(minutes=45)
    """How long a deployment, or its end, is waited for; Vertex AI takes minutes."""
    serving_service_account: str = ""
    """Whose rights a deployed model has; without it, those that Vertex AI gives by itself."""
    training_image: str = "spotify-mlops-training:0.1.0"
    training_machine: str = "n2-standard-4"
    training_service_account: str = ""
    """Whose rights a training job has; without it, those that Vertex AI gives by itself."""


class Kafka(Section):
    """The log."""

    needs_section = frozenset(
        {"bootstrap", "security_protocol", "sasl_mechanism", "username", "password", "ca"}
    )

    bootstrap: Bootstrap = LOCAL
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = None
    """``OAUTHBEARER`` is Google's managed Kafka: tokens of the process's own Google identity."""
    ca: FileOrReference | None = None
    """The authorities that vouch for the brokers (PEM); without it, those of the system."""
    username: SecretReference = "env:KAFKA_USERNAME"
    password: SecretReference = "env:KAFKA_PASSWORD"
    topic: str = Field(default="spotify-events", pattern=r"^[A-Za-z0-9._-]+$")
    partitions: int = Field(default=4, ge=1, le=1024)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        check_way(self.bootstrap, self.security_protocol, self.sasl_mechanism)
        return self


class BigQuery(Section):
    """The warehouse."""

    needs_section = frozenset({"rest", "grpc"})

    rest: ServiceAddress = LOCAL
    grpc: str = LOCAL
    dataset: str = Field(default="spotify", pattern=r"^[A-Za-z0-9_]+$")


class Mongo(Section):
    """The operational store."""

    needs_section = frozenset({"uri", "database"})

    uri: MongoURI = LOCAL
    """One with a password is a secret, whole: this says where it is."""
    database: str = Field(default="spotify_db", pattern=r"^[A-Za-z0-9_]+$")


class Windows(Section):
    """Time and shape of what the pipeline writes: these decide its tables."""

    window: PositiveDuration = timedelta(hours=1)
    window_offset: Duration = timedelta(0)
    allowed_lateness: Duration = timedelta(minutes=2)
    lags: Lags = [1, 2, 3, 6, 24]
    model_countries: Countries = []
    """Countries with model inputs of their own, in this order; without any, the sources'."""
    target: Literal["plays", "api"] = "plays"
    """Of what the level is: of a track's plays in its country, or of the API's own popularity."""
    shards: int = Field(default=4, ge=1, le=64)
    clock_skew: Duration = timedelta(days=1)
    """An event this far in the future of its append time is a dead letter."""
    operational_retention: PositiveDuration = timedelta(hours=6)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.window_offset >= self.window:
            raise ValueError("window_offset debe ser menor que window")
        return self


class Stream(Section):
    """How the pipeline runs; its tables do not depend on it."""

    predictor: Literal["in_process", "endpoint"] = "in_process"
    """Whom the live job asks: the champion's bundle in its own process, or the endpoint."""
    batch_records: int = Field(default=20_000, ge=1, le=1_000_000)
    windows_per_element: int = Field(default=168, ge=1)
    """Windows that a bounded run handles in one element."""
    idle_timeout: PositiveDuration = timedelta(seconds=10)
    observed_retention: PositiveDuration = timedelta(days=30)
    """How long the rows stay that tell how far behind, and how fresh, the live job was."""
    service_timeout: PositiveDuration = timedelta(seconds=60)
    sink_deadline: PositiveDuration = timedelta(seconds=60)
    """How long a sink retries before the streaming job fails (and resumes from the log)."""


class Engine(Section):
    """What runs the streaming job, and where; its tables do not depend on it."""

    needs_section = frozenset({"runner", "sources"})

    runner: Literal["prism", "flink", "dataflow"] = "prism"
    sources: int = Field(default=1, ge=1, le=1024)
    """Parts of the log that are read apart, each some partitions."""
    parallelism: int = Field(default=1, ge=1, le=1024)
    """Slots of Flink that each step of the job takes."""
    task_managers: int = Field(default=2, ge=1, le=64)
    """Of the local cluster; each has one slot."""
    flink_rest: ServiceAddress = LOCAL
    """Address of the JobManager (URL)."""
    flink_job_server: str = LOCAL
    """Where Beam's job server takes jobs (host:port)."""
    flink_workers: str = LOCAL
    """Where each TaskManager asks for its Python workers (host:port)."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.flink_rest == LOCAL and self.parallelism > self.task_managers:
            raise ValueError("parallelism no puede ser mayor que task_managers en local")
        return self


class Dataflow(Section):
    """How Dataflow runs the streaming job, where ``engine_runner`` says that."""

    needs_section = frozenset(
        {
            *("endpoint", "image", "staging", "service_account", "subnetwork"),
            *("machine", "workers", "max_workers"),
        }
    )

    endpoint: ServiceAddress = LOCAL
    """Address of its API; ``default`` is Google's own."""
    image: str = "spotify-mlops-pipeline:0.1.0"
    """Of the workers (infra/pipeline.Dockerfile); the local one has workers without an image."""
    staging: str = LOCAL
    """Where the graph is left for it: a folder of this machine, or ``gs://``."""
    service_account: str = ""
    """Whose rights the workers have."""
    subnetwork: str = ""
    """Of the workers, ``regions/REGION/subnetworks/NAME``; they have private addresses alone."""
    machine: str = "n2-standard-2"
    workers: int = Field(default=1, ge=1, le=1000)
    """At the start, and at least."""
    max_workers: int = Field(default=4, ge=1, le=1000)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.max_workers < self.workers:
            raise ValueError("max_workers no puede ser menor que workers")
        if self.endpoint == LOCAL:
            return self
        if not self.staging.startswith("gs://"):
            raise ValueError("staging ha de ser gs://… fuera de esta máquina")
        if "@sha256:" not in self.image:
            raise ValueError("image ha de llevar su huella: …@sha256:…")
        if not self.service_account:
            raise ValueError("service_account no puede faltar: la cuenta por defecto puede de más")
        return self


class Platform(Section):
    """What ``infra/platform`` makes in the project, and for how much traffic."""

    needs_section = frozenset({"subnetwork_range", "deletion_protection", "grafana"})

    events_per_second: float = Field(default=100, gt=0)
    """On average: what the platform is sized for, and its cost estimated."""
    monthly_limit: float = Field(default=1000, ge=0)
    """USD: no deployment is begun whose estimate is above it, and the budget warns before."""
    kafka_vcpus: int = Field(default=3, ge=3, le=480)
    """Of the managed cluster, which has at least three."""
    kafka_memory_gib: int = Field(default=12, ge=3, le=3840)
    """Of the whole cluster: from 1 to 8 a vCPU."""
    log_retention: PositiveDuration = timedelta(days=30)
    warehouse_retention: PositiveDuration | None = None
    """How long a partition of the tables stays; for ever without it."""
    subnetwork_range: PrivateRange = "10.20.0.0/20"
    alert_email: str = Field(default="", pattern=r"^([^@\s]+@[^@\s]+)?$")
    """Whom alerts and the budget tell; nobody without it."""
    grafana: str = Field(default="", pattern=r"^(https://[^\s@?#]+)?$")
    """Address of the Grafana that gets the boards and their limits; none without it."""
    atlas_project: str = ""
    """Of MongoDB Atlas, where the platform makes its cluster too; without it, ``mongo_uri`` says
    which one there is."""
    atlas_tier: str = Field(default="M10", pattern=r"^M[1-9][0-9]+$")
    deletion_protection: bool = True
    """Of what holds data."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.kafka_vcpus <= self.kafka_memory_gib <= 8 * self.kafka_vcpus:
            raise ValueError("kafka_memory_gib debe ser de 1 a 8 por cada kafka_vcpus")
        return self


class Sources(Section):
    """What is published, and the faults that are mixed into it."""

    source: Literal["simulator", "charts", "webapi"] = "simulator"
    countries: Countries = Field(default=["CO", "ES", "MX", "US"], min_length=1)
    charts_folders: list[str] = ["data/charts"]
    """Folders with chart CSVs; the first that exists is used."""
    chart_dates: Literal["first", "last"] = "first"
    """Which day of its week a weekly chart's column of dates says."""
    bad_rows: Literal["refuse", "leave_out"] = "refuse"
    """What a row that cannot be read does to its file."""
    late_events: Literal["publish", "leave_out", "refuse"] = "publish"
    """What is done with events of files whose windows the log has closed."""
    duplicate_share: Share = 0.02
    late_share: Share = 0.01
    malformed_share: Share = 0.01


class Webapi(Section):
    """What is asked of Spotify's Web API, for each of ``countries``, and how often."""

    needs_section = frozenset(
        {"address", "client_id", "client_secret", "refresh_token", "queries", "new_releases"}
        | {"playlists", "listener_country", "interval", "requests_per_minute", "max_wait"}
        | {"training_allowed"}
    )

    address: WebAddress = "default"
    """Of the API and of its tokens; ``default`` is Spotify's own."""
    client_id: SecretReference = "env:SPOTIFY_CLIENT_ID"
    client_secret: SecretReference = "env:SPOTIFY_CLIENT_SECRET"
    refresh_token: SecretReference = "env:SPOTIFY_REFRESH_TOKEN"
    """Of a listener: asked for only where ``webapi_listener_country`` is said."""
    queries: list[Annotated[str, Field(min_length=1, max_length=200)]] = []
    """Searches, in the API's own words (``genre:pop``, ``year:2026``)."""
    new_releases: bool = True
    playlists: dict[CountryCode, list[PlaylistId]] = {}
    """By country, the playlists that are read there: identifiers, URIs or addresses."""
    listener_country: CountryCode | None = None
    """Where the listener whose recent plays are read is; without it they are not read."""
    interval: PositiveDuration = timedelta(minutes=15)
    """The time slot of a poll: what is seen in one slot is published once."""
    requests_per_minute: int = Field(default=60, ge=1, le=6000)
    max_wait: Duration = timedelta(minutes=5)
    """The longest wait that the API may ask for; beyond it the poll stops and says so."""
    training_allowed: bool = False
    """Spotify's Developer Policy (III.14) forbids it; whoever has a permission says so here."""


class Simulator(Section):
    """The synthetic market and its history."""

    needs_section = frozenset({"seed", "start", "days", "events", "tracks", "regime_day"})

    seed: int = Field(default=7, ge=0)
    start: date = date(2026, 1, 5)
    days: int = Field(default=21, ge=1)
    events: int = Field(default=1_000_000, ge=1)
    tracks: int = Field(default=600, ge=10)
    regime_day: Days | None = None
    """Day of simulated time from which fashions change: what a model learned before it fails. Of
    several, each changes them back: turns begin at the first and end at the second."""
    live_clock: float = Field(default=360, gt=0)
    """Simulated seconds per real second in the live part."""
    live_duration: PositiveDuration = timedelta(days=30)
    """Simulated time that the live part publishes before it closes the log."""


class Model(Section):
    """What is predicted, from what, and how it is learned."""

    needs_section = frozenset(
        {"name", "seed", "members", "iterations", "learning_rate", "estimator", "grid"}
        | {"histories"}
    )

    name: str = Field(default="popularity", pattern=r"^[a-z][a-z0-9_-]*$")
    horizon: int = Field(default=24, ge=1)
    level_alta: float = Field(default=70, gt=0, lt=100)
    level_media: float = Field(default=40, gt=0, lt=100)
    family: Literal["seed", "dynamics"] = "dynamics"
    test_start: date | None = None
    """First day of the test range; without it the last ``test_share`` of the windows."""
    test_share: Share = 0.2
    validation_share: Share = 0.2
    bootstrap_repetitions: int = Field(default=500, ge=20)
    bootstrap_block: PositiveDuration = timedelta(days=1)
    seed: int = Field(default=7, ge=0)
    members: int = Field(default=2, ge=1, le=32)
    """Models of the ``dynamics`` family, with other random draws, whose scores are averaged."""
    iterations: int = Field(default=120, ge=10, le=2000)
    """Most trees a level in one of them; validation may stop it before."""
    learning_rate: float = Field(default=0.1, gt=0, le=1)
    estimator: Annotated[str, AfterValidator(estimators.exported)] = estimators.BOOSTING
    """Classifier of scikit-learn that the model of ``family`` is made of."""
    grid: dict[str, Candidates] = {}
    """Hyper-parameters of it -> values: all their combinations are candidates. Without it, few
    that are known to do."""
    histories: Histories = ("all",)
    """What of the past it may learn from: of several, what does best on the newest windows of
    validation."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.level_media < self.level_alta:
            raise ValueError("level_media debe ser menor que level_alta")
        estimators.check_grid(self.estimator, self.grid)
        return self


class Gate(Section):
    """Success criteria: notebook 01 states them, notebook 05 applies them."""

    needs_section = frozenset(
        {"min_accuracy", "min_macro_f1", "country_regression", "max_ece"}
        | {"max_latency", "max_row_time", "min_rise_lift"}
    )

    min_accuracy: Share = 0.65
    min_macro_f1: Share = 0.60
    min_rise_lift: float = Field(default=1.5, ge=0)
    """Average precision of the order of what may rise, in times that of chance."""
    country_regression: Share = 0.03
    max_ece: Share = 0.05
    max_latency: PositiveDuration = timedelta(milliseconds=5)
    """Of processor for a one-row prediction, 99 of 100 times."""
    max_row_time: PositiveDuration = timedelta(microseconds=200)
    """Of processor for a row in a batch."""


class Cost(Section):
    """What an error costs an editor."""

    needs_section = frozenset({"missed_alta", "false_alta", "one_level"})

    missed_alta: float = Field(default=5, ge=0)
    false_alta: float = Field(default=2, ge=0)
    one_level: float = Field(default=1, ge=0)


class Monitor(Section):
    """When a champion is looked at, and when it is trained again (numbers of windows)."""

    needs_section = frozenset({"windows"})

    windows: int = Field(default=24, ge=1)
    """The champion's score is judged over this many windows."""
    retrain_min_accuracy: Share | None = None
    """Below this accuracy it is retrained; without it, its held-out score less the margin."""
    retrain_margin: Share = 0.05
    retrain_cooldown: int = Field(default=48, ge=0)
    retrain_history: PositiveDuration | None = None
    """A retraining learns from this much of the past; from all of it without."""
    retrain_histories: Histories = ("all", "half", "quarter", "fading")
    """What of that a retraining tries to learn from (``model_histories``)."""
    fallback_windows: int = Field(default=48, ge=8)
    """Where it is surely worse than persistence over this many windows, that serves."""
    drift_windows: int = Field(default=24, ge=1)
    """Windows that are compared together with the usual: a day, so that its hours even out."""
    drift_margin: float = Field(default=5, ge=1)
    """An alarm is this many times further from the usual than the usual's own worst."""
    drift_patience: int = Field(default=12, ge=1)


class Promotion(Section):
    """How a challenger comes to serve (numbers of windows)."""

    needs_section = frozenset({"regression", "lead"})

    shadow_windows: int = Field(default=12, ge=1)
    canary_windows: int = Field(default=12, ge=1)
    canary_share: Share = 0.1
    probation_windows: int = Field(default=24, ge=1)
    regression: Share = 0.02
    """A challenger may lose this much macro-F1 to the champion and go on."""
    lead: int = Field(default=2, ge=1)
    """A change takes effect this many windows after the last that is written."""
