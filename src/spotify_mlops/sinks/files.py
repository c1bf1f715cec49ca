"""Whole files on any file system that Beam opens: there entirely, or not at all.

A local path needs no Beam, whose import takes seconds.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import polars as pl

from ..errors import ServiceError


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
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with partial.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)  # a full disk must not keep what is of no use
            raise
    except OSError as error:
        raise ServiceError(f"No se puede escribir {uri}: {error.strerror or error}.") from error


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


def modified(uri: str) -> float:
    """Return when a file was last written, in seconds since the epoch."""
    if "://" not in uri:
        return Path(uri).stat().st_mtime
    from apache_beam.io.filesystems import FileSystems

    return float(FileSystems.match([uri])[0].metadata_list[0].last_updated_in_seconds)


def write_parquet(uri: str, rows: pl.DataFrame) -> None:
    """Write rows as one Parquet file (Zstandard)."""
    buffer = io.BytesIO()
    rows.write_parquet(buffer, compression="zstd", compression_level=1)
    write_bytes(uri, buffer.getvalue())
