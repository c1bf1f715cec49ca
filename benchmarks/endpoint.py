"""``bench endpoint``: the prediction server, beside FastAPI with scikit-learn and a constant.

All servers run at once, one process each, on the same rows and the same model; the load comes
from a process of its own (``load.py``) and goes to one of them at a time, in turns. At the end the
project's own stands beside itself with two workers.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import polars as pl
import workload
from workload import figure

from spotify_mlops.config.errors import ServiceError
from spotify_mlops.config.params import Params
from spotify_mlops.config.progress import Progress
from spotify_mlops.config.spanish import exact
from spotify_mlops.io import mongo
from spotify_mlops.io.http import guard, ports
from spotify_mlops.io.local import secret
from spotify_mlops.model import bundle, export
from spotify_mlops.model.promotions import PromotionHistory
from spotify_mlops.operations import apps

EVENTS = 60_000
"""In the log whose rows are asked about."""
ROWS = 1_000
"""Different rows that the requests take in turn; also the instances of a batch."""
RATE = 2_000.0
ROUNDS = 3
TOO_MANY = 100_000
CONNECTIONS = 32
WORKERS = 2
START_SECONDS = 60.0
SWAP_SECONDS = 1.0
_HERE = Path(__file__).parent
SINCE = datetime(2020, 1, 1, tzinfo=UTC)


def run(params: Params, say: Progress, seconds: float = 4.0) -> list[dict[str, Any]]:
    """Measure for ``seconds`` a case and round.

    Raises:
        ServiceError: a server did not start, a request failed, or two servers disagree.
    """
    params = workload.prepare(params, "endpoint", say, simulator_events=EVENTS)
    fitted = workload.fitted(params, say)
    unique = f"bench_endpoint_{os.getpid()}"
    params = params.replace(profile="bench-endpoint", mongo_database=unique)
    rows = workload.plain_features(workload.read(params), params).tail(ROWS)
    features = bundle.load(fitted.with_name("bundle")).features
    bodies = _write_bodies(Path(params.cloud.archive) / "bodies", rows, features)
    with ExitStack() as stack:
        stack.callback(mongo.client(params).drop_database, unique)
        _fill_store(params, rows, features)
        servers = {
            name: stack.enter_context(_serving(command))
            for name, command in _commands(params, fitted).items()
        }
        _compare(servers["project"], servers["idiomatic"], bodies["one"])
        figures = _measure(params, _Bench(servers, bodies, seconds), say)
        # Only now: while the champion changes, these would load each one too.
        several = stack.enter_context(_serving(_project(params, WORKERS)))
        together = {"project": servers["project"], "workers": several}
        return figures + _measure_workers(_Bench(together, bodies, seconds), say)


def _measure(params: Params, bench: _Bench, say: Progress) -> list[dict[str, Any]]:
    say("Una instancia por petición, tantas como se pueda")
    free = bench.rounds(["project", "idiomatic", "constant"], "one", connections=16)
    say(f"Una instancia por petición, {exact(RATE)} por segundo")
    paced = bench.rounds(["project", "constant"], "one", CONNECTIONS, RATE)
    say(f"{ROWS} instancias por petición")
    batch = bench.rounds(["project", "idiomatic"], "batch", connections=2)
    say("Una canción por petición, buscada en MongoDB")
    found = bench.rounds(["project"], "lookup", connections=16)["project"]
    say(f"{exact(RATE)} por segundo mientras el campeón cambia cada {exact(SWAP_SECONDS)} s")
    with _swapping(params):
        swap = bench.load("project", "one", CONNECTIONS, RATE, times=ROUNDS)
    if len(swap["models"]) < 2 or swap["failed"]:
        raise ServiceError(f"El cambio de campeón no fue limpio: {swap}.")
    say(f"{exact(RATE)} por segundo mientras otro cliente envía {TOO_MANY} instancias cada vez")
    with bench.refusing("too_many") as refused:
        beside = bench.load("project", "one", CONNECTIONS, RATE)
    project, constant = paced["project"], paced["constant"]
    return [
        figure("endpoint_rate", free["project"]["rate"], "req/s", free["idiomatic"]["rate"]),
        figure("endpoint_constant", free["project"]["rate"], "req/s", free["constant"]["rate"]),
        _milli("endpoint_p50", project["p50"], constant["p50"]),
        _milli("endpoint_p99", project["p99"], constant["p99"]),
        figure(
            "endpoint_batch",
            batch["project"]["rate"] * ROWS,
            "rows/s",
            batch["idiomatic"]["rate"] * ROWS,
        ),
        figure("endpoint_lookup", found["rate"], "req/s"),
        _milli("endpoint_lookup_p99", found["p99"]),
        figure("endpoint_swap_failed", swap["failed"], "req"),
        figure("endpoint_swap_answered", swap["answers"], "req"),
        _milli("endpoint_swap_p99", swap["p99"]),
        _milli("endpoint_refusal", statistics.median(refused)),
        _milli("endpoint_p99_beside_refusals", beside["p99"]),
    ]


def _measure_workers(bench: _Bench, say: Progress) -> list[dict[str, Any]]:
    """Compare several workers with one, in turns."""
    rates: dict[str, dict[str, float]] = {}
    for body in ("one", "lookup"):
        say(f"{WORKERS} procesos en un puerto, y uno: «{body}»")
        seen = bench.rounds(["project", "workers"], body, connections=16)
        rates[body] = {server: medians["rate"] for server, medians in seen.items()}
    return [
        figure(name, rates[body]["workers"], "req/s", rates[body]["project"])
        for name, body in (("endpoint_workers", "one"), ("endpoint_workers_lookup", "lookup"))
    ]


def _milli(name: str, seconds: float, baseline: float | None = None) -> dict[str, Any]:
    return figure(name, seconds * 1e3, "ms", None if baseline is None else baseline * 1e3, digits=2)


@dataclass(frozen=True)
class _Bench:
    """The servers' base URLs, the files of bodies, and how long a load lasts."""

    servers: dict[str, str]
    bodies: dict[str, Path]
    seconds: float

    def load(
        self, server: str, body: str, connections: int, rate: float | None = None, times: int = 1
    ) -> dict[str, Any]:
        """Load a server from another process; return the summary of ``load.py``.

        Raises:
            ServiceError: a request failed.
        """
        command = [sys.executable, str(_HERE / "load.py"), f"{self.servers[server]}/predict"]
        command += [str(self.bodies[body]), "--connections", str(connections)]
        command += ["--seconds", str(self.seconds * times)]
        command += ["--rate", str(rate)] if rate else []
        environment = os.environ | {guard.VARIABLE: secret.key("serving")}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        summary = json.loads(done.stdout)
        if summary["failed"]:
            raise ServiceError(f"«{server}» no respondió a todo ({body}): {summary}.")
        return summary

    def rounds(
        self, servers: Sequence[str], body: str, connections: int, rate: float | None = None
    ) -> dict[str, dict[str, float]]:
        """Load the servers in turns; return each one's medians."""
        seen: dict[str, list[dict[str, Any]]] = {server: [] for server in servers}
        for _ in range(ROUNDS):
            for server in servers:
                seen[server].append(self.load(server, body, connections, rate))
        return {
            server: {
                name: statistics.median(summary[name] for summary in summaries)
                for name in ("rate", "p50", "p99")
            }
            for server, summaries in seen.items()
        }

    @contextmanager
    def refusing(self, body: str) -> Iterator[list[float]]:
        """Send what is refused again and again meanwhile; give the seconds that each took."""
        content = self.bodies[body].read_bytes()
        stop = threading.Event()
        took: list[float] = []

        def send() -> None:
            while not stop.wait(0.2):
                began = time.perf_counter()
                try:
                    _post(self.servers["project"], content)
                except urllib.error.HTTPError as error:
                    if error.code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                        took.append(time.perf_counter() - began)

        thread = threading.Thread(target=send)
        thread.start()
        try:
            yield took
        finally:
            stop.set()
            thread.join()


def _commands(params: Params, fitted: Path) -> dict[str, list[str]]:
    """Return how each server is started, but for the port."""
    run = sys.executable
    description = fitted.with_name("bundle") / bundle.DESCRIPTION
    return {
        "project": _project(params, 1),
        "idiomatic": [run, str(_HERE / "idiomatic_endpoint.py"), str(fitted), str(description)],
        "constant": [run, str(_HERE / "constant_endpoint.py")],
    }


def _project(params: Params, workers: int) -> list[str]:
    command = [sys.executable, "-m", "spotify_mlops.serving"]
    return [*command, "--params", str(apps.params_file(params)), "--workers", str(workers)]


@contextmanager
def _serving(command: list[str]) -> Iterator[str]:
    """Run a server until the context ends; give its base URL.

    Raises:
        ServiceError: it does not start, or does not end as it should.
    """
    port = ports.choose(["http"], {})["http"]
    url = f"http://127.0.0.1:{port}"
    environment = os.environ | {"AIP_HTTP_PORT": str(port), "OMP_NUM_THREADS": "1"}
    own = "spotify_mlops.serving" in command
    process = subprocess.Popen([*command, *([] if own else [str(port)])], env=environment)
    try:
        deadline = time.monotonic() + START_SECONDS
        pause = threading.Event()
        while not _is_healthy(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise ServiceError(f"No arranca: {' '.join(command)}.")
            pause.wait(0.1)
        yield url
    finally:
        process.terminate()
        status = process.wait()
    if own and status != 0:
        raise ServiceError(f"El servidor terminó con el código {status}.")


def _is_healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def _post(url: str, body: bytes) -> Any:
    headers = {
        "content-type": "application/json",
        "authorization": guard.authorization(secret.key("serving")),
    }
    request = urllib.request.Request(f"{url}/predict", body, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def _compare(project: str, idiomatic: str, bodies: Path) -> None:
    """Check that two servers give the same predictions, but for the graph's six decimals.

    Raises:
        ServiceError: they do not.
    """
    for body in bodies.read_bytes().splitlines():
        ours, theirs = (
            _post(url, body)["predictions"][0]["probabilities"] for url in (project, idiomatic)
        )
        if any(abs(ours[level] - theirs[level]) > export.TOLERANCE for level in ours):
            raise ServiceError(f"Los servidores no dicen lo mismo: {ours}, {theirs}.")


def _write_bodies(folder: Path, rows: pl.DataFrame, features: list[str]) -> dict[str, Path]:
    """Write the files of bodies, one body a line; return them by name."""
    instances = rows.select(features).to_dicts()
    tracks = rows.select("country", "track_id").to_dicts()
    contents = {
        "one": [[instance] for instance in instances],
        "batch": [instances],
        "lookup": [[track] for track in tracks],
        "too_many": [tracks * (TOO_MANY // ROWS)],
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        lines = [json.dumps({"instances": asked}) for asked in content]
        (folder / name).write_text("\n".join(lines), encoding="utf-8")
    return {name: folder / name for name in contents}


def _fill_store(params: Params, rows: pl.DataFrame, features: list[str]) -> None:
    """Write each track's latest features as the live job does."""
    documents = {
        f"{row['country']}:{row['track_id']}": {name: row[name] for name in features}
        for row in rows.to_dicts()
    }
    mongo.database(params)["tracks"].insert_many(
        {"_id": key, "features": values} for key, values in documents.items()
    )


@contextmanager
def _swapping(params: Params) -> Iterator[None]:
    """Promote one of two versions of the model after the other meanwhile."""
    promotions = PromotionHistory(params)
    loaded = promotions.bundle("1")
    card = (loaded.path / bundle.CARD).read_text(encoding="utf-8")
    other = loaded.description | {"note": "the same model, as another version"}
    again = bundle.write(Path(params.cloud.archive) / "other", loaded.graph(), card, other)
    promotions.keep("2", again.path)
    stop = threading.Event()

    def swap() -> None:
        versions = itertools.cycle(["2", "1"])
        while not stop.wait(SWAP_SECONDS):
            promotions.promote(next(versions), SINCE)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        promotions.promote("1", SINCE)
