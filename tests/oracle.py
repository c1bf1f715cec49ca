"""What the tables must hold, computed plainly over a whole log at once.

Written from the contract (design and README_TECNICO), apart from the pipeline: records one at a
time with the standard library's JSON, tables by joins. Only names, sets and limits of the
contract are imported. Slow, and simple enough to be checked by reading.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl

from spotify_mlops.domain.events.schema import (
    COUNTRIES,
    DUPLICATE_KEY,
    EARLIEST_TIME,
    EVENT_TYPES,
    LATEST_TIME,
    MAX_COUNT,
    MAX_DEPTH,
    MAX_TEXT_BYTES,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
KEY = ["window_start", "country", "track_id"]
COUNTS = {
    "plays": "play",
    "skips": "skip",
    "searches": "search_result",
    "releases": "new_release",
    "recommendations": "recommendation",
}
_REQUIRED = ("event_id", "event_time", "event_type", "country", "track_id", "source")
_NULLABLE = ("track_name", "artist_name", "artist_id", "album_name", "release_date")
_TEXTS = (*_REQUIRED, *_NULLABLE)
_TIME = re.compile(r"([0-9-]{10})[Tt ]([0-9:]{8})(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})")


@dataclass(frozen=True)
class Rules:
    """The parameters that decide what the tables hold."""

    window: timedelta = timedelta(minutes=10)
    window_offset: timedelta = timedelta(0)
    lateness: timedelta = timedelta(minutes=2)
    lags: tuple[int, ...] = (1, 2, 6)
    horizon: int = 2
    alta: float = 70
    media: float = 40
    clock_skew: timedelta = timedelta(days=1)


@dataclass(frozen=True)
class Tables:
    """What the pipeline must give for a log."""

    records: pl.DataFrame
    """Each record: partition, offset, kind, late, and the fields of an event."""
    watermark: datetime | None
    counters: pl.DataFrame
    features: pl.DataFrame
    labels: pl.DataFrame


# Records


class _Members(list):  # an object as its members in order, repeated names too
    pass


@dataclass(frozen=True)
class Verdict:
    """What a record is; ``reasons`` are all that apply to a dead letter."""

    kind: str
    reasons: frozenset[str] = frozenset()
    fields: Mapping[str, Any] | None = None
    time: datetime | None = None


def judge(value: bytes | None, append_time: datetime, rules: Rules) -> Verdict:
    """Read one record by the contract."""
    if value is None or not value.strip():
        return _dead("empty")
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return _dead("not_utf8")
    if _levels(text) > MAX_DEPTH:
        return _dead("not_json")
    try:
        content = json.loads(
            text, object_pairs_hook=_Members, parse_int=_integer, parse_constant=_no_constant
        )
        json.dumps(content, ensure_ascii=False).encode()  # half a surrogate pair is no character
    except (ValueError, UnicodeEncodeError):
        return _dead("not_json")
    if not isinstance(content, _Members):
        return _dead("wrong_type")
    fields = dict(content)
    if "schema_version" not in fields:
        return _dead("missing_field")
    if not _is_integer(fields["schema_version"]):
        return _dead("wrong_type")
    if fields["schema_version"] not in (1, 2):
        return _dead("unsupported_schema_version")
    if fields.get("control") == "heartbeat":
        time = _time(fields.get("event_time"))
        if time is None:
            return _dead("wrong_type")
        if not EARLIEST_TIME <= time <= LATEST_TIME:
            return _dead("out_of_range")
        if time > append_time + rules.clock_skew + rules.window + rules.lateness:
            return _dead("future_heartbeat")
        return Verdict("heartbeat", time=time)
    reasons = _complaints(content, fields, append_time + rules.clock_skew)
    if reasons:
        return _dead(*reasons)
    return Verdict("event", fields=fields, time=_time(fields["event_time"]))


def _dead(*reasons: str) -> Verdict:
    return Verdict("dead_letter", frozenset(reasons))


def _complaints(content: _Members, fields: dict[str, Any], latest: datetime) -> set[str]:
    found = {"missing_field" for name in _REQUIRED if fields.get(name) is None}
    for name, item in content:  # every occurrence of a field has its type, the last one counts
        text = isinstance(item, str)
        if (
            (name in _REQUIRED and not text)
            or (name in _NULLABLE and not text and item is not None)
            or (name in ("count", "schema_version") and not _is_integer(item))
            or (name == "popularity" and not _is_integer(item) and item is not None)
            or (name == "control" and item == "heartbeat")
        ):
            found.add("wrong_type")
        if name in _TEXTS and text and len(item.encode()) > MAX_TEXT_BYTES:
            found.add("out_of_range")
    time = _time(fields.get("event_time"))
    if time is None:
        found.add("wrong_type")
    elif time < EARLIEST_TIME:
        found.add("out_of_range")
    elif time > latest:
        found.add("future_event_time")
    if fields.get("event_type") not in EVENT_TYPES:
        found.add("unknown_event_type")
    if not isinstance(fields.get("country"), str) or fields["country"] not in COUNTRIES:
        found.add("unknown_country")
    if "" in (fields.get("event_id"), fields.get("track_id")):
        found.add("out_of_range")
    for name, low, high in (("count", 1, MAX_COUNT), ("popularity", 0, 100)):
        number = fields.get(name, low)
        if _is_integer(number) and not low <= number <= high:
            found.add("out_of_range")
    released = fields.get("release_date")
    if isinstance(released, str) and _date(released) is None:
        found.add("wrong_type")
    return found


def event_fields(fields: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the columns of an event but its time; all null for what is none."""
    names = (*_TEXTS, "count", "popularity")
    if fields is None:
        return {name: None for name in names if name != "event_time"}
    released = fields.get("release_date")
    return {name: fields.get(name) for name in names if name != "event_time"} | {
        "count": fields.get("count", 1),
        "release_date": None if released is None else _date(released),
    }


def _levels(text: str) -> int:
    level = deepest = 0
    quoted = escaped = False
    for char in text:
        if quoted:
            quoted = escaped or char != '"'
            escaped = char == "\\" and not escaped
        elif char == '"':
            quoted = True
        elif char in "[{":
            level += 1
            deepest = max(deepest, level)
        elif char in "]}":
            level -= 1
    return deepest


def _integer(digits: str) -> int:
    return int(digits[:100])  # Python refuses thousands of digits; beyond every limit either way


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _is_integer(item: object) -> bool:
    return isinstance(item, int) and not isinstance(item, bool)


def _time(text: object) -> datetime | None:
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    day, clock, fraction, zone = match.groups()
    leap = clock.endswith("60")
    clock = clock[:6] + "59" if leap else clock
    try:
        local = datetime.strptime(f"{day}T{clock}", "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
        ahead = timedelta(0)
        if zone not in "Zz":
            hours, minutes = int(zone[1:3]), int(zone[4:6])
            if hours > 23 or minutes > 59:
                return None
            ahead = timedelta(hours=hours, minutes=minutes) * (1 if zone[0] == "+" else -1)
    except ValueError:
        return None
    part = timedelta(microseconds=int((fraction or ".0")[1:7].ljust(6, "0")))
    try:
        time = local + part - ahead + timedelta(seconds=leap)
    except OverflowError:
        return (datetime.min if ahead > timedelta(0) else datetime.max).replace(tzinfo=UTC)
    if leap and time - part != time.replace(day=1, hour=0, minute=0, second=0, microsecond=0):
        return None
    return time


def _date(text: str) -> date | None:
    if not re.fullmatch(r"[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?", text):
        return None
    try:
        return date(*(int(part) for part in (text + "-01-01")[:10].split("-")))
    except ValueError:
        return None


# The log


def expected(log: pl.DataFrame, partitions: int, rules: Rules) -> Tables:
    """Return the tables of a log (``LOG_COLUMNS``, in offset order within a partition)."""
    records, marks = _records(log, partitions, rules)
    known = [mark for mark in marks.values() if mark is not None]
    watermark = min(known) - rules.lateness if len(known) == partitions else None
    timely = records.filter(kind="event", late=False)
    start = timely["event_time"].map_elements(
        lambda time: time - (time - EPOCH - rules.window_offset) % rules.window,
        return_dtype=pl.Datetime("us", "UTC"),
    )
    windowed = timely.with_columns(window_start=start)
    ended = (
        pl.lit(False) if watermark is None else pl.col("window_start") + rules.window <= watermark
    )
    counted = (
        windowed.filter(ended)
        .sort("partition", "offset")
        .with_columns(counted=pl.struct(DUPLICATE_KEY).is_first_distinct())
    )
    counters = (
        counted.group_by("window_start", log_partition="partition")
        .agg(counted=pl.col("counted").sum(), duplicates=(~pl.col("counted")).sum())
        .sort("window_start", "log_partition")
    )
    features = _features(counted.filter("counted"), rules)
    return Tables(records, watermark, counters, features, _labels(features, watermark, rules))


def _records(
    log: pl.DataFrame, partitions: int, rules: Rules
) -> tuple[pl.DataFrame, dict[int, datetime | None]]:
    marks: dict[int, datetime | None] = dict.fromkeys(range(partitions))
    rows = []
    for record in log.rows(named=True):
        verdict = judge(record["value"], record["append_time"], rules)
        mark, time = marks[record["partition"]], verdict.time
        late = bool(verdict.kind == "event" and mark and time and time < mark - rules.lateness)
        if time is not None and (mark is None or time > mark):
            marks[record["partition"]] = time
        rows.append(
            {
                "partition": record["partition"],
                "offset": record["offset"],
                "kind": verdict.kind,
                "late": late,
                "event_time": time,
                **event_fields(verdict.fields),
            }
        )
    return pl.DataFrame(rows, schema=_RECORD_SCHEMA), marks


_RECORD_SCHEMA: dict[str, Any] = {
    "partition": pl.Int32,
    "offset": pl.Int64,
    "kind": pl.String,
    "late": pl.Boolean,
    "event_time": pl.Datetime("us", "UTC"),
    "event_id": pl.String,
    "event_type": pl.String,
    "country": pl.String,
    "track_id": pl.String,
    "source": pl.String,
    "track_name": pl.String,
    "artist_name": pl.String,
    "artist_id": pl.String,
    "album_name": pl.String,
    "release_date": pl.Date,
    "count": pl.Int64,
    "popularity": pl.Int16,
}


# Features


def _features(events: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    rows = events.group_by(KEY).agg(
        n=pl.col("count").sum(),
        **{name: pl.col("count").filter(event_type=kind).sum() for name, kind in COUNTS.items()},
        track_name=pl.col("track_name").min(),
        artist_name=pl.col("artist_name").min(),
        release_date=pl.col("release_date").min(),
    )
    rows = _ranked(rows)
    rows = _own(rows, rules)
    rows = _elsewhere(rows)
    for lag in rules.lags:
        rows = _lagged(rows, lag, rules)
    return _in_each_country(_summaries(rows, rules)).sort(KEY)


def _ranked(rows: pl.DataFrame) -> pl.DataFrame:
    """Add scores within the country's window, and what the artist's other tracks have."""
    group = ["window_start", "country"]
    played = pl.when(pl.col("plays") > 0).then("plays")

    def at_share(share: float) -> pl.Expr:
        ordered = played.drop_nulls().sort()
        index = (share * (played.count() - 1)).floor().cast(pl.Int64).clip(0)
        return ordered.get(index, null_on_oob=True).fill_null(0)

    places = rows.group_by(group).agg(p40=at_share(0.4), p70=at_share(0.7))
    rows = rows.with_columns(
        play_score=100 * played.rank("average").over(group) / played.count().over(group),
        attention_rank=100 * pl.col("n").rank("average").over(group) / pl.len().over(group),
    ).join(places, on=group, how="left")
    rows = rows.with_columns(country_rank=pl.col("play_score").fill_null(0))
    artist = [*group, "artist_name"]
    others = (
        rows.join(rows.select(*artist, "track_id", "country_rank"), on=artist, suffix="_other")
        .filter(pl.col("track_id") != pl.col("track_id_other"))
        .group_by(KEY)
        .agg(others=pl.len(), artist_best_score=pl.col("country_rank_other").max())
    )
    return rows.join(others, on=KEY, how="left").with_columns(
        artist_tracks=pl.col("others").fill_null(0) + 1,
        artist_best_score=pl.col("artist_best_score").fill_null(0),
    )


def _own(rows: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    start = pl.col("window_start")
    angle = (start.dt.ordinal_day() - 1) * 2 * math.pi / 365.25
    plays, skips = pl.col("plays"), pl.col("skips")
    return rows.with_columns(
        *(
            (pl.col("country") == code).cast(pl.Float64).alias(f"country_{code}")
            for code in ("CO", "ES", "MX", "US")
        ),
        hour_of_day=start.dt.hour(),
        event_type_search_result=pl.col("searches") / pl.col("n"),
        day_of_week=start.dt.weekday() - 1,
        year_sin=angle.sin(),
        year_cos=angle.cos(),
        log_plays=_log(plays),
        plays_over_p40=_log(plays) - _log(pl.col("p40")),
        plays_over_p70=_log(plays) - _log(pl.col("p70")),
        skip_rate=pl.when(plays + skips > 0).then(skips / (plays + skips)).otherwise(0),
        log_searches=_log(pl.col("searches")),
        log_recommendations=_log(pl.col("recommendations")),
        log_releases=_log(pl.col("releases")),
    )


def _log(amount: pl.Expr) -> pl.Expr:
    return (amount.cast(pl.Float64) + 1).log()


def _elsewhere(rows: pl.DataFrame) -> pl.DataFrame:
    """Add what the track does in the other countries of the window."""
    return (
        rows.join(_in_other_countries(rows, rows), on=KEY, how="left")
        .with_columns(
            other_countries=pl.col("number").fill_null(0),
            other_best_score=pl.col("best").fill_null(0),
            other_mean_score=pl.col("mean").fill_null(0),
        )
        .drop("number", "best", "mean")
    )


def _in_other_countries(rows: pl.DataFrame, then: pl.DataFrame) -> pl.DataFrame:
    there = then.select("window_start", "track_id", "country", "country_rank")
    return (
        rows.select(KEY)
        .join(there, on=["window_start", "track_id"], suffix="_other")
        .filter(pl.col("country") != pl.col("country_other"))
        .group_by(KEY)
        .agg(
            number=pl.len(),
            best=pl.col("country_rank").max(),
            mean=pl.col("country_rank").mean(),
        )
    )


def _earlier(rows: pl.DataFrame, lag: int, rules: Rules) -> pl.DataFrame:
    """Return the rows under the window that looks ``lag`` windows back at them."""
    return rows.with_columns(pl.col("window_start") + lag * rules.window)


def _lagged(rows: pl.DataFrame, lag: int, rules: Rules) -> pl.DataFrame:
    then = _earlier(rows, lag, rules)
    own = then.select(
        *KEY,
        pl.col("country_rank").alias(f"score_lag_{lag}"),
        pl.col("plays_over_p40").alias(f"plays_lag_{lag}"),
        _log(pl.col("searches") + pl.col("recommendations")).alias(f"signals_lag_{lag}"),
    )
    others = _in_other_countries(rows, then).select(*KEY, pl.col("mean").alias("elsewhere"))
    return (
        rows.join(own, on=KEY, how="left")
        .join(others, on=KEY, how="left")
        .with_columns(
            pl.col("elsewhere").fill_null(0).alias(f"other_score_lag_{lag}"),
            pl.col(f"score_lag_{lag}").is_not_null().alias(f"present_{lag}"),
            pl.col(f"score_lag_{lag}", f"signals_lag_{lag}").fill_null(0),
            pl.col(f"plays_lag_{lag}").fill_null(-_log(pl.col("p40"))),
        )
        .drop("elsewhere")
    )


def _summaries(rows: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    lags = rules.lags
    told = [
        _earlier(rows, lag, rules).select("window_start", "track_id", "release_date")
        for lag in (0, *lags)
    ]
    releases = (
        pl.concat(told)
        .group_by("window_start", "track_id")
        .agg(
            released=pl.col("release_date")
            .min()
            .cast(pl.Datetime("us"))
            .dt.replace_time_zone("UTC")
        )
    )
    scores = [pl.col("country_rank"), *(pl.col(f"score_lag_{lag}") for lag in lags)]
    present = [pl.col(f"present_{lag}").cast(pl.Int64) for lag in lags]
    since = (pl.col("window_start") + rules.window - pl.col("released")).dt.total_microseconds()
    seen = [flag * lag for flag, lag in zip(present, lags, strict=True)]
    first = lags[0] if lags else None
    return rows.join(releases, on=["window_start", "track_id"], how="left").with_columns(
        age=pl.when(pl.col("released").is_not_null())
        .then((since / (rules.window / timedelta(microseconds=1))).clip(0))
        .otherwise(pl.max_horizontal(0, *seen)),
        age_from_release=pl.col("released").is_not_null().cast(pl.Float64),
        lags_present=pl.sum_horizontal(0, *present),
        momentum=pl.col("country_rank") - pl.col(f"score_lag_{first}") if lags else pl.lit(0.0),
        plays_momentum=pl.col("plays_over_p40") - pl.col(f"plays_lag_{first}")
        if lags
        else pl.lit(0.0),
        plays_acceleration=pl.col("plays_over_p40")
        - 2 * pl.col(f"plays_lag_{first}")
        + pl.col(f"plays_lag_{lags[1]}")
        if len(lags) > 1
        else pl.lit(0.0),
        **{
            f"plays_change_{lag}": pl.col("plays_over_p40") - pl.col(f"plays_lag_{lag}")
            for lag in lags
        },
        mean_score=pl.mean_horizontal(*scores),
        peak_score=pl.max_horizontal(*scores),
    )


def _in_each_country(rows: pl.DataFrame) -> pl.DataFrame:
    """Add what the track does in each of the model's countries in the window, this one too."""
    by_place = {
        row[:3]: row[3:] for row in rows.select(*KEY, "plays_over_p40", "plays_momentum").rows()
    }
    found: dict[str, list[float | None]] = {}
    for code in ("CO", "ES", "MX", "US"):
        there = [
            by_place.get((start, code, track), (None, 0.0))
            for start, track in rows.select("window_start", "track_id").rows()
        ]
        found[f"plays_in_{code}"] = [plays for plays, _ in there]
        found[f"plays_momentum_in_{code}"] = [momentum for _, momentum in there]
    added = pl.DataFrame(found, schema=dict.fromkeys(found, pl.Float64))
    plays = pl.col("^plays_in_.*$").fill_null(-_log(pl.col("p40")))
    return rows.hstack(added).with_columns(plays)


# Labels


def _labels(features: pl.DataFrame, watermark: datetime | None, rules: Rules) -> pl.DataFrame:
    scores = {row[:3]: row[3] or 0.0 for row in features.select(*KEY, "play_score").rows()}
    rows = []
    for start, country, track in scores:
        target = start + rules.horizon * rules.window
        if watermark is not None and target + rules.window <= watermark:
            score = scores.get((target, country, track), 0.0)
            level = "Alta" if score >= rules.alta else "Media" if score >= rules.media else "Baja"
            rows.append((start, country, track, level))
    schema = {name: features.schema[name] for name in KEY} | {"level": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row").sort(KEY)
