"""One writer at a time among machines that share a bucket.

A lease is an object that says who holds it. Its holder writes it again while it works; one that
was not renewed for its whole length is taken over, and so is at once one that a process of the
same state directory left when it died (the directory's own lock says that it did). It rests on
clocks only to tell that a holder is gone: who was taken for dead and was not is told by the
generation of what it writes next, which must be checked too (`objects.write`).
"""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from ...config.errors import IntegrityError, ServiceError
from .. import files, retry
from ..local import state
from . import objects

LASTS = timedelta(seconds=60)
_WAIT_SECONDS = 600.0
_PAUSE_SECONDS = 0.5
_NAME = "holder"
"""File of the state directory with its name, which is no secret."""


class HeldError(ServiceError):
    """Another holder has it; the message (Spanish) says who."""


class Lease:
    """A lease that is held, and renewed by a thread of its own."""

    def __init__(self, uri: str, lasts: timedelta) -> None:
        """Take it.

        Raises:
            HeldError: another holder has it.
            ServiceError: Cloud Storage does not answer.
        """
        self.uri = uri
        self._lasts = lasts.total_seconds()
        self._nonce = uuid.uuid4().hex
        self._turn = 0
        self._lost = False
        self._ended = threading.Event()
        self._generation = self._write(self._free(lasts))
        self._renewing = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._renewing.start()

    def check(self) -> None:
        """Say whether it is still held.

        Raises:
            IntegrityError: it was lost: what this process knows may not be so any more.
        """
        if self._lost or time.monotonic() > self._until:
            raise IntegrityError(lost(self.uri))

    def release(self) -> None:
        """Give it back."""
        self._ended.set()
        self._renewing.join()
        if not self._lost:
            objects.delete(self.uri, replaces=self._generation)

    def _free(self, lasts: timedelta) -> int:
        """Return the generation that may be replaced."""
        found = objects.read(self.uri)
        if found is None:
            return 0
        try:
            holder = str(json.loads(found.content)["holder"])
        except (ValueError, KeyError, TypeError):
            holder = "?"
        age = datetime.now(UTC) - found.updated
        if holder == _holder() or age > lasts:
            return found.generation
        raise HeldError(
            f"Otro proceso escribe ahí: {holder.partition('/')[0]} tiene {self.uri}, que renovó "
            f"hace {max(0, int(age.total_seconds()))} s. Espera a que acabe; si murió, repite "
            f"pasados {int(lasts.total_seconds())} s."
        )

    def _write(self, replaces: int) -> int:
        self._turn += 1
        began = time.monotonic()
        content = {"holder": _holder(), "nonce": self._nonce, "turn": self._turn}
        try:
            generation = objects.write(self.uri, json.dumps(content).encode(), replaces=replaces)
        except objects.ConflictError:
            raise HeldError(f"Otro proceso acaba de tomar {self.uri}: repite.") from None
        self._until = began + self._lasts
        return generation

    def _renew(self) -> None:
        while not self._ended.wait(self._lasts / 3):
            try:
                self._generation = self._write(self._generation)
            except HeldError:
                self._lost = True
                return
            except ServiceError:
                if time.monotonic() > self._until:
                    self._lost = True
                    return


@contextmanager
def held(uri: str, *, wait: bool, lasts: timedelta = LASTS) -> Iterator[Lease]:
    """Hold a lease while the block runs.

    Args:
        uri: of its object.
        wait: for another holder to end, for some minutes; else it is refused at once.
        lasts: how long after its last renewal it is taken for abandoned.

    Raises:
        HeldError: another holder has it.
        BlockingIOError: another process of this state directory has it, and ``wait`` is False.
        ServiceError: Cloud Storage does not answer.
    """
    name = hashlib.sha256(uri.encode()).hexdigest()[:16]
    with state.locked(f"lease-{name}", wait=wait):
        taken = retry.again(
            lambda: Lease(uri, lasts),
            lambda error: isinstance(error, HeldError),
            _WAIT_SECONDS if wait else 0.0,
            pause=_PAUSE_SECONDS,
        )
        try:
            yield taken
        finally:
            taken.release()


def lost(uri: str) -> str:
    """Return what to say to a process that found another writer at work."""
    return (
        f"Otro proceso tomó {uri} mientras este no respondía: este deja de escribir, y lo escrito "
        "es del otro. Si no debe haber dos, detén uno y repite."
    )


def _holder() -> str:
    """Return the name of this state directory among those of all machines."""
    path = state.folder() / _NAME
    if not path.exists():
        files.replace(path, uuid.uuid4().hex.encode(), 0o600)
    return f"{socket.gethostname()}/{path.read_text(encoding='utf-8')}"
