"""Objects of a bucket that more than one writer changes: each write says what it replaces.

Cloud Storage numbers the contents of an object (its generation) and refuses with 412 a write that
says another number than the present one; 0 says that there is none yet:
https://cloud.google.com/storage/docs/request-preconditions. Beam's file systems, which `files`
uses for all else, cannot say it.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ...config.errors import ServiceError, one_line
from .. import retry

_READ_SECONDS = 60.0
_SCHEME = "gs://"


class ConflictError(Exception):
    """Another writer was first: the object is not what was to be replaced."""


@dataclass(frozen=True)
class Stored:
    """What an object holds."""

    content: bytes
    generation: int
    updated: datetime
    """When it was written, by the service's clock (aware UTC)."""


def has_generations(uri: str) -> bool:
    """Tell whether a file is an object whose writes can say what they replace."""
    return uri.startswith(_SCHEME)


def read(uri: str) -> Stored | None:
    """Return what an object holds; None when there is no such object.

    Raises:
        ServiceError: Cloud Storage does not answer, or does not let us read.
    """
    from google.api_core import exceptions

    def attempt() -> Stored | None:
        blob = _bucket(uri).get_blob(_name(uri))
        if blob is None:
            return None
        generation, updated = int(blob.generation), blob.updated  # a download may clear them
        content = blob.download_as_bytes(if_generation_match=generation)
        return Stored(content, generation, updated)

    def replaced(error: Exception) -> bool:
        return isinstance(error, (exceptions.PreconditionFailed, exceptions.NotFound))

    with _told("leer", uri):
        return retry.again(attempt, replaced, _READ_SECONDS, pause=0.1)


def write(uri: str, content: bytes, *, replaces: int) -> int:
    """Write an object and return its new generation.

    Args:
        uri: of the object.
        content: all of it; JSON.
        replaces: the generation that is to be there still; 0 for none.

    Raises:
        ConflictError: another content is there.
        ServiceError: Cloud Storage does not answer, or does not let us write.
    """
    from google.api_core import exceptions

    blob = _bucket(uri).blob(_name(uri))
    with _told("escribir", uri):
        try:
            blob.upload_from_string(
                content, content_type="application/json", if_generation_match=replaces
            )
            return int(blob.generation)
        except exceptions.PreconditionFailed:
            pass
    found = read(uri)
    if found is not None and found.content == content and found.generation != replaces:
        return found.generation  # our own write, whose first answer was lost
    raise ConflictError(uri)


def delete(uri: str, *, replaces: int) -> None:
    """Remove an object, if it still has that generation; one that has not stays.

    Raises:
        ServiceError: Cloud Storage does not answer, or does not let us.
    """
    from google.api_core import exceptions

    with _told("borrar", uri):
        try:
            _bucket(uri).blob(_name(uri)).delete(if_generation_match=replaces)
        except (exceptions.PreconditionFailed, exceptions.NotFound):
            return


def is_any(uri: str) -> bool:
    """Tell whether there is an object under a URI.

    Raises:
        ServiceError: Cloud Storage does not answer, or does not let us read.
    """
    with _told("leer", uri):
        return next(iter(_under(uri, max_results=1)), None) is not None


def clear(uri: str) -> int:
    """Remove every object under a URI, older versions too, and return how many there were.

    Raises:
        ServiceError: Cloud Storage does not answer, or does not let us.
    """
    from google.api_core.exceptions import NotFound

    removed = 0
    with _told("borrar", uri):
        for blob in _under(uri, versions=True):
            try:
                blob.delete()
            except NotFound:  # another removed it meanwhile
                continue
            removed += 1
    return removed


@contextmanager
def _told(verb: str, uri: str) -> Iterator[None]:
    import requests
    from google.api_core.exceptions import GoogleAPICallError, NotFound, PreconditionFailed
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except (PreconditionFailed, NotFound) as error:
        raise ServiceError(f"Cloud Storage no deja {verb} {uri}: {one_line(error, 200)}") from error
    except (GoogleAPICallError, GoogleAuthError, requests.RequestException, OSError) as error:
        raise ServiceError(f"No se puede {verb} {uri}: {one_line(error, 200)}") from error


def _under(uri: str, **options: Any) -> Iterator[Any]:
    prefix = _name(uri).rstrip("/")
    return iter(_bucket(uri).list_blobs(prefix=f"{prefix}/" if prefix else None, **options))


def _name(uri: str) -> str:
    return uri.removeprefix(_SCHEME).partition("/")[2]


def _bucket(uri: str) -> Any:
    # The emulator's address is part of the client.
    client = _client(os.getpid(), os.environ.get("STORAGE_EMULATOR_HOST"))
    return client.bucket(uri.removeprefix(_SCHEME).partition("/")[0])


@functools.cache
def _client(pid: int, emulator: str | None) -> Any:
    from google.cloud import storage  # type: ignore[attr-defined]

    return storage.Client(project=None)  # objects are of a bucket, whatever the project
