"""Whole files on any file system that Beam opens: there entirely, or not at all.

A local path needs no Beam, whose import takes seconds.
"""

from __future__ import annotations

import atexit
import errno
import io
import os
import shutil
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from ..config.errors import IntegrityError, ServiceError
from ..config.untrusted import RefusedError, within


def write_bytes(uri: str, content: bytes) -> None:
    """Write a file; a reader never sees a part of it.

    Raises:
        ServiceError: the folder cannot be written.
    """
    try:
        if "://" in uri:
            from apache_beam.io.filesystems import FileSystems

            with FileSystems.create(uri) as stream:  # an object appears when it is closed
                stream.write(content)
            return
        path = Path(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, content)
    except OSError as error:
        raise ServiceError(f"No se puede escribir {uri}: {error.strerror or error}.") from error


def replace(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Write a file of this machine, whatever was there before; it is durable on return.

    Args:
        path: in a folder that exists.
        content: all of it.
        mode: who may read it, less what the process's umask takes away.

    Raises:
        OSError: it cannot be written; what was there is there still.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
        _sync(path.parent)  # or what was moved may be gone while what it replaces is too
    except OSError:
        partial.unlink(missing_ok=True)  # a full disk must not keep what is of no use
        raise


def delete(uris: Sequence[str]) -> None:
    """Remove files; one that is gone already is no matter.

    Raises:
        ServiceError: one cannot be removed.
    """
    try:
        if uris and "://" in uris[0]:
            from apache_beam.io.filesystems import FileSystems

            FileSystems.delete(list(uris))
            return
        for uri in uris:
            Path(uri).unlink(missing_ok=True)
    except OSError as error:
        raise ServiceError(f"No se puede borrar {uris[0]}: {error.strerror or error}.") from error


def move(uri: str, target: str) -> None:
    """Give a file another name, in a folder that is made if it is not there.

    Raises:
        ServiceError: it cannot be moved.
    """
    try:
        if "://" in uri:
            from apache_beam.io.filesystems import FileSystems

            FileSystems.rename([uri], [target])
            return
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        Path(uri).replace(target)
    except OSError as error:
        raise ServiceError(f"No se puede mover {uri}: {error.strerror or error}.") from error


def _sync(folder: Path) -> None:
    """Make durable which files are in a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_bytes(uri: str) -> bytes | None:
    """Return a file's content, or None when there is no such file."""
    if "://" not in uri:
        path = Path(uri)
        return path.read_bytes() if path.exists() else None
    from apache_beam.io.filesystems import FileSystems

    if not FileSystems.exists(uri):
        return None
    with FileSystems.open(uri) as stream:
        return stream.read()


def modified(uri: str) -> float | None:
    """Return when a file was last written, in seconds since the epoch; None without a file."""
    if "://" not in uri:
        try:
            return Path(uri).stat().st_mtime
        except FileNotFoundError:
            return None
    from apache_beam.io.filesystems import FileSystems

    found = FileSystems.match([uri])[0].metadata_list
    return float(found[0].last_updated_in_seconds) if found else None


def exists(uri: str) -> bool:
    """Tell whether there is such a file."""
    if "://" not in uri:
        return Path(uri).is_file()
    from apache_beam.io.filesystems import FileSystems

    return bool(FileSystems.exists(uri))


def names(uri: str) -> list[str]:
    """Return the names of the files in a folder; none when it is not there."""
    if "://" not in uri:
        path = Path(uri)
        return sorted(p.name for p in path.iterdir() if p.is_file()) if path.is_dir() else []
    return sorted(name for name in _objects(uri) if "/" not in name)


def folders(uri: str) -> list[str]:
    """Return the names of the folders in a folder; none when it is not there."""
    if "://" not in uri:
        path = Path(uri)
        return sorted(p.name for p in path.iterdir() if p.is_dir()) if path.is_dir() else []
    return sorted({name.partition("/")[0] for name in _objects(uri) if "/" in name})


def local_folder(uri: str) -> Path:
    """Return a folder of this machine with the files of a folder: itself, or a copy.

    The copy carries the folder's own name and lasts as long as the process.

    Raises:
        IntegrityError: an object's name leads out of the folder; nothing is copied.
    """
    if "://" not in uri:
        return Path(uri)
    from apache_beam.io.filesystems import FileSystems

    holder = tempfile.mkdtemp(prefix="spotify-mlops-")
    atexit.register(shutil.rmtree, holder, ignore_errors=True)
    copy = Path(holder) / check_name(uri.rstrip("/").rpartition("/")[2])
    found = [check_name(name) for name in _objects(uri)]
    copy.mkdir()
    for name in found:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        with FileSystems.open(f"{uri}/{name}") as stream:
            (copy / name).write_bytes(stream.read())
    return copy


def check_name(name: str) -> str:
    """Return the name of an object in a bucket if it can be a path below a folder.

    Raises:
        IntegrityError: it leads elsewhere (``..``, absolute) or is no path at all.
    """
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or any(c in name for c in "\\\0"):
        raise IntegrityError(
            f"El objeto {name!r} del archivo no puede ser un fichero de una carpeta: alguien lo "
            "puso ahí. Bórralo y repite."
        )
    return name


def read_regular(path: Path, limit: int | None = None) -> bytes:
    """Return the content of a regular file; a link, which may lead anywhere, is refused.

    Raises:
        RefusedError: it is a link, a folder or a device, or has more than ``limit`` bytes.
        OSError: it cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise RefusedError("es un enlace") from None
        raise
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise RefusedError("no es un fichero")
        content = file.read() if limit is None else file.read(limit + 1)
    return content if limit is None else within(content, limit)


def _objects(uri: str) -> list[str]:
    """Return the names, below a folder in a bucket, of what is in it."""
    from apache_beam.io.filesystems import FileSystems

    prefix = f"{uri}/"
    found = FileSystems.match([f"{prefix}**"])[0].metadata_list
    return [item.path.removeprefix(prefix) for item in found]


def write_parquet(uri: str, rows: pl.DataFrame) -> None:
    """Write rows as one Parquet file (Zstandard)."""
    buffer = io.BytesIO()
    rows.write_parquet(buffer, compression="zstd", compression_level=1)
    write_bytes(uri, buffer.getvalue())


def read_parquet(uri: str, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Return the rows of a Parquet file.

    Args:
        uri: of the file.
        columns: of these, those that it has; all without.

    Raises:
        ServiceError: there is no such file.
    """
    if "://" not in uri:
        source: str | io.BytesIO = uri
    else:
        content = read_bytes(uri)
        if content is None:
            raise ServiceError(f"No está {uri}: alguien lo borró mientras se leía.")
        source = io.BytesIO(content)
    if columns is not None:
        present = pl.read_parquet_schema(source)
        columns = [name for name in columns if name in present]
        if isinstance(source, io.BytesIO):
            source.seek(0)
    return pl.read_parquet(source, columns=columns and list(columns))
