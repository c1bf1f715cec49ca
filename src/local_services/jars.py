"""Jars from Maven coordinates: resolved once into ``jars.lock``, then fetched and checked by hash.

``python -m local_services.jars`` resolves again and rewrites the lock.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from concurrent.futures import ThreadPoolExecutor
from functools import cache as memoize
from importlib import resources
from pathlib import Path

from spotify_mlops.config.errors import IntegrityError, ServiceError, one_line
from spotify_mlops.config.progress import Progress, silent

from . import cache

LOCK = "jars.lock"
# Named one by one: the resolver takes others of some from the job service, of other versions.
_BEAM = (
    *("runners-flink-1.19", "runners-core-java", "runners-java-fn-execution", "sdks-java-core"),
    *("sdks-java-harness", "sdks-java-expansion-service", "sdks-java-transform-service-launcher"),
    *("model-pipeline", "model-job-management", "model-fn-execution"),
)
_FLINK = ("clients", "streaming-java", "runtime", "core", "java", "metrics-core")
COORDINATES = {
    # jgo's resolver picks an old kafka-clients and no log binding unless they are named.
    "kafka": (
        "org.apache.kafka:kafka_2.13:4.4.0",
        "org.apache.kafka:kafka-clients:4.4.0",
        "org.xerial.snappy:snappy-java:1.1.10.7",
        "org.apache.logging.log4j:log4j-slf4j-impl:2.25.3",
        "org.apache.logging.log4j:log4j-core:2.25.3",
    ),
    "mongo": (
        "de.bwaldvogel:mongo-java-server-h2-backend:1.47.0",
        "org.slf4j:slf4j-simple:2.0.17",
    ),
    "flink": (
        *(f"org.apache.beam:beam-{name}:2.70.0" for name in _BEAM),
        # The newest that there is; it serves the runner of 2.70.0.
        "org.apache.beam:beam-runners-java-job-service:2.65.0",
        *(f"org.apache.flink:flink-{name}:1.19.3" for name in _FLINK),
        "joda-time:joda-time:2.14.0",
        *(f"org.apache.logging.log4j:log4j-{n}:2.25.3" for n in ("slf4j-impl", "core", "api")),
    ),
    "compiler": ("org.eclipse.jdt:ecj:3.40.0",),
}
_LEFT_OUT = re.compile(
    # What Beam is tested with
    r"(net\.bytebuddy:byte-buddy-agent|com\.google\.guava:guava-testlib|junit|org\.junit\.\w+"
    r"|org\.(hamcrest|mockito|opentest4j|apiguardian)|tools\.profiler"
    # Google Cloud, which Beam's Java classes would reach: here the Python steps do that
    r"|com\.google\.(api|apis|auth|cloud|flogger|http-client|oauth-client|android|re2j)(\.\w+)*"
    r"|com\.google\.(api-client|j2objc)|io\.(grpc|opencensus|perfmark)(\.\w+)*"
    r"|org\.(conscrypt|threeten|codehaus\.mojo|apache\.httpcomponents)|javax\.annotation"
    r"|com\.lmax|commons-logging|org\.checkerframework:checker-compat-qual"
    r"|io\.opentelemetry(\.\w+|:opentelemetry-sdk.*)"
    r"|org\.apache\.beam:beam-sdks-java-extensions-.*):.*"
)
"""Coordinates that POMs ask for and nothing here loads."""
_ATTEMPTS = 3
_DOWNLOADS = 8


@memoize
def locked_hashes() -> dict[str, dict[str, str]]:
    """Return SHA-256 by ``group:artifact:version``, by set of jars."""
    text = resources.files(__package__).joinpath(LOCK).read_text(encoding="utf-8")
    return tomllib.loads(text)


def classpath(name: str, progress: Progress = silent) -> list[Path]:
    """Return the jars of a set of ``COORDINATES``, fetching what is missing.

    A jar is hashed when it arrives; later its size and modification time must still be those
    of that moment, or it is hashed again.

    Raises:
        IntegrityError: a fetched jar does not have the locked hash.
        ServiceError: a jar cannot be fetched.
    """
    hashes = locked_hashes()[name]
    target = cache.folder("jars")
    files = {
        coordinate: target / _file_name(coordinate, hashes[coordinate]) for coordinate in hashes
    }
    if not all(_is_verified(file) for file in files.values()):
        with cache.locked(f"jars-{name}", progress):
            missing = [c for c, file in files.items() if not _verify(file, hashes[c])]
            if missing:
                progress(f"Descargando {len(missing)} bibliotecas de Java ({name})")
                with ThreadPoolExecutor(_DOWNLOADS) as pool:
                    list(pool.map(lambda c: _fetch(c, hashes[c], files[c]), missing))
    return list(files.values())


def _file_name(coordinate: str, sha256: str) -> str:
    _, artifact, version = coordinate.split(":")
    return f"{artifact}-{version}-{sha256[:12]}.jar"


def _stamp(file: Path) -> Path:
    return file.with_suffix(".json")


def _facts(file: Path) -> dict[str, int]:
    stat = file.stat()
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def _is_verified(file: Path) -> bool:
    try:
        return json.loads(_stamp(file).read_text()) == _facts(file)
    except (OSError, ValueError):
        return False


def _verify(file: Path, sha256: str) -> bool:
    if _is_verified(file):
        return True
    if not file.is_file() or _sha256(file) != sha256:
        return False
    _write_stamp(file)
    return True


def _write_stamp(file: Path) -> None:
    with cache.workspace() as work:
        stamp = work / "stamp.json"
        stamp.write_text(json.dumps(_facts(file)))
        cache.publish(stamp, _stamp(file))


def _fetch(coordinate: str, sha256: str, target: Path) -> None:
    with cache.workspace() as work:
        file = _download(coordinate, work)
        found = _sha256(file)
        if found != sha256:
            raise IntegrityError(
                f"La biblioteca {coordinate} no tiene el hash esperado "
                f"({found[:12]}… en vez de {sha256[:12]}…); no se usa."
            )
        cache.publish(file, target)
    _write_stamp(target)


def _download(coordinate: str, work: Path) -> Path:
    import requests
    from jgo.maven import MavenContext

    group, artifact, version = coordinate.split(":")
    for attempt in range(_ATTEMPTS):
        # jgo keeps what it began to write, so each attempt has its own repository.
        context = MavenContext(
            repo_cache=work / str(attempt), timeout=60, remote_repos=_repositories()
        )
        try:
            return context.project(group, artifact).at_version(version).artifact().resolve()
        except (requests.RequestException, OSError, RuntimeError) as error:
            last = error
    raise ServiceError(
        f"No se pudo descargar la biblioteca de Java {coordinate} tras {_ATTEMPTS} intentos: "
        f"{one_line(last, 200)} Comprueba la conexión y repite."
    ) from last


def _repositories() -> dict[str, str] | None:
    """Return the repositories of the user's own jgo configuration; None means Maven Central."""
    from jgo.config import GlobalSettings

    return GlobalSettings.load().repositories or None


def _sha256(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def resolve_lock() -> str:
    """Resolve all coordinates with their dependencies and return the text of the lock."""
    import jgo

    lines = ["# SHA-256 of each jar, by set. Rewritten by: python -m local_services.jars"]
    with cache.workspace() as work:
        for name, coordinates in COORDINATES.items():
            lines += ["", f"[{name}]"]
            artifacts = jgo.resolve("+".join(coordinates))
            named = {f"{a.groupId}:{a.artifactId}:{a.version}" for a in artifacts}
            found = sorted(c for c in named if name != "flink" or not _LEFT_OUT.fullmatch(c))
            with ThreadPoolExecutor(_DOWNLOADS) as pool:
                files = pool.map(lambda c: _download(c, work / c.replace(":", "_")), found)
            lines += [f'"{c}" = "{_sha256(file)}"' for c, file in zip(found, files, strict=True)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name(LOCK).write_text(resolve_lock(), encoding="utf-8")
