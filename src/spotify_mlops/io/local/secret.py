"""The secret of this state directory, shared by the owner's processes and by nobody else.

A random file that only its owner can read. Each use has a key of its own, derived from it, so that
what is given to one server does not open another.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from ...config import paths
from ...config.errors import UserError
from .. import files
from . import state

FILE = "secret"
_BYTES = 32


def key(purpose: str) -> str:
    """Return the key of one use, such as ``bigquery``: 64 hexadecimal digits.

    It is HMAC-SHA-256 of the purpose under the secret, which is made the first time.

    Raises:
        UserError: the secret cannot be read or written, or somebody else could have.
    """
    return hmac.new(_secret(), purpose.encode(), hashlib.sha256).hexdigest()


def matches(purpose: str, given: str) -> bool:
    """Tell, in a time that does not depend on it, whether a key that was sent is the one."""
    return hmac.compare_digest(key(purpose).encode(), given.encode())


def _secret() -> bytes:
    path = paths.state_dir() / FILE
    if not path.exists():
        _make(path)
    try:
        with path.open("rb") as handle:
            found = os.fstat(handle.fileno())
            content = handle.read()
    except OSError as error:
        raise UserError(f"No se puede leer {path}: {error.strerror}.") from error
    if found.st_uid != os.geteuid() or found.st_mode & 0o077 or len(content) != _BYTES:
        raise UserError(
            f"{path} no es de fiar: debe tener {_BYTES} bytes y ser tuyo y solo tuyo (0600). "
            "Bórralo con los servicios parados y repite «spotify-mlops up»."
        )
    return content


def _make(path: Path) -> None:
    state.folder()
    with state.locked("secret"):
        if not path.exists():
            files.replace(path, secrets.token_bytes(_BYTES), 0o600)
