"""Java files of this folder, compiled once into the cache: a JRE has no compiler, ecj is one."""

from __future__ import annotations

import hashlib
import subprocess
from importlib import resources
from pathlib import Path

from spotify_mlops.config.errors import ServiceError
from spotify_mlops.config.progress import Progress, silent

from . import cache, jars
from .java import java


def compiled(name: str, *sources: str, progress: Progress = silent) -> Path:
    """Return the folder of the classes of ``sources``, compiled against a set of jars.

    Args:
        name: the set (``kafka``, ``mongo``) and the folder of the cache.
        sources: file names, such as ``MongoWireServer.java``.
        progress: receives short Spanish messages.

    Raises:
        ServiceError: they do not compile.
    """
    here = resources.files(__package__)
    texts = {source: here.joinpath(source).read_bytes() for source in sources}
    locked = str(sorted((jars.locked_hashes()[name] | jars.locked_hashes()["compiler"]).items()))
    digest = hashlib.sha256(b"".join([*texts.values(), locked.encode()])).hexdigest()[:16]
    target = cache.folder(name) / digest
    if target.is_dir():
        return target
    with cache.locked(name, progress), cache.workspace() as work:
        if target.is_dir():
            return target
        progress(f"Compilando {', '.join(sources)}")
        for source, text in texts.items():
            (work / source).write_bytes(text)
        libraries = ":".join(str(jar) for jar in jars.classpath(name, progress))
        compiler = ":".join(str(jar) for jar in jars.classpath("compiler", progress))
        done = subprocess.run(
            [
                *(str(java()), "-cp", compiler, "org.eclipse.jdt.internal.compiler.batch.Main"),
                *("-17", "-proc:none", "-cp", libraries, "-d", str(work / "classes")),
                *(str(work / source) for source in sources),
            ],
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise ServiceError(f"No compila {', '.join(sources)}: {done.stdout + done.stderr}")
        cache.publish(work / "classes", target)
    return target
