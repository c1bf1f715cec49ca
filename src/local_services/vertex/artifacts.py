"""What an artifact URI holds: the SHA-256 of each file, taken at upload, compared at start."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from ..google_api.errors import ApiError

_FIELD = "model.artifact_uri"
_CHUNK = 1 << 20


def digests(uri: str) -> dict[str, str]:
    """Return the SHA-256 of each file under a folder's path, ``file://`` or ``gs://`` URI.

    Raises:
        ApiError: there is nothing, or it cannot be read.
    """
    found = _of_bucket(uri) if uri.startswith("gs://") else _of_folder(uri)
    if not found:
        raise ApiError.invalid(_FIELD, f"«{_FIELD}»: no hay ningún archivo en {uri}.")
    return found


def verify(uri: str, recorded: Mapping[str, str]) -> None:
    """Check that an artifact is what it was at upload.

    Raises:
        ApiError: FAILED_PRECONDITION that names the first file that is not.
    """
    if not recorded:
        return
    try:
        present = digests(uri)
    except ApiError as error:
        raise ApiError.precondition(f"El artefacto ya no está: {error}") from error
    for name in sorted({*present, *recorded}):
        if present.get(name) == recorded.get(name):
            continue
        what = (
            "falta" if name not in present else "sobra" if name not in recorded else "ha cambiado"
        )
        raise ApiError.precondition(
            f"El artefacto cambió después de registrarlo: {what} «{name}» en {uri}. "
            "Registra el modelo otra vez."
        )


def _of_folder(uri: str) -> dict[str, str]:
    if "://" in uri and not uri.startswith("file://"):
        raise ApiError.invalid(
            _FIELD, f"«{_FIELD}» = «{uri}»: se espera una carpeta, file:// o gs://."
        )
    root = Path(uri.removeprefix("file://"))
    if not root.is_absolute() or not root.is_dir():
        raise ApiError.invalid(
            _FIELD, f"«{_FIELD}» = «{uri}» no es una carpeta de esta máquina (ruta absoluta)."
        )
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_file():
            try:
                with path.open("rb") as file:
                    found[path.relative_to(root).as_posix()] = _digest(file)
            except OSError as error:
                raise ApiError.invalid(
                    _FIELD, f"«{_FIELD}»: no se puede leer {path}: {error.strerror}."
                ) from error
    return found


def _of_bucket(uri: str) -> dict[str, str]:
    from google.api_core.exceptions import GoogleAPICallError
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import storage  # type: ignore[attr-defined]

    bucket, _, prefix = uri.removeprefix("gs://").rstrip("/").partition("/")
    found = {}
    try:
        for blob in storage.Client().list_blobs(bucket, prefix=f"{prefix}/" if prefix else ""):
            if not blob.name.endswith("/"):
                with blob.open("rb") as file:
                    found[blob.name.removeprefix(f"{prefix}/")] = _digest(file)
    except (GoogleAPICallError, GoogleAuthError, OSError) as error:
        raise ApiError.invalid(_FIELD, f"«{_FIELD}»: no se puede leer {uri}: {error}") from error
    return found


def _digest(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
