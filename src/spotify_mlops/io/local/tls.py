"""The key and certificate of this state directory, for servers that know their owner by TLS."""

from __future__ import annotations

import ssl
from pathlib import Path

from ...config import paths

KEY, CERTIFICATE = "flink/keys/key.pem", "flink/keys/certificate.pem"
"""Where they are in the state directory; ``up`` makes them."""


def files() -> tuple[Path, Path]:
    """Return where the key and the certificate are."""
    folder = paths.state_dir().resolve()
    return folder / KEY, folder / CERTIFICATE


def context() -> ssl.SSLContext:
    """Return how a client shows that it is the owner's, and knows a server as the owner's.

    Raises:
        OSError: there is no key yet.
    """
    key, certificate = files()
    found = ssl.create_default_context(cafile=str(certificate))
    found.load_cert_chain(str(certificate), str(key))
    return found
