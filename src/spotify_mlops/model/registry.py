"""Registered versions of the model and which of them serves from which window on.

This is the directory form: ``<archive>/models/<model_name>/<version>/`` with a schedule beside
the versions. A registry kept elsewhere (Vertex AI) offers the same six methods.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .. import clients
from ..errors import InputError, ServiceError
from ..params import Params
from . import bundle

_SCHEDULE = "schedule.json"


class Registry:
    """The versions of ``params.model_name``."""

    def __init__(self, params: Params, root: Path | None = None) -> None:
        """Look at the registry under the archive, or at the directory ``root``.

        Raises:
            ServiceError: the archive is not a directory of this machine.
        """
        if root is None:
            uri = clients.archive_uri(params)
            if "://" in uri and not uri.startswith("file://"):
                raise ServiceError(
                    f"El registro en carpetas no puede estar en {uri}: use un archivo local "
                    "o el registro de Vertex AI."
                )
            root = Path(uri.removeprefix("file://"))
        self.directory = root / "models" / params.model_name

    def register(self, bundle_dir: Path | str) -> str:
        """Copy a bundle in as the next version and return the version.

        A bundle that is registered already keeps its version.

        Raises:
            InputError, IntegrityError: it is not a bundle, or not what its hashes say.
        """
        candidate = bundle.load(Path(bundle_dir))
        with self._locked():
            for version in self.versions():
                if bundle.load(self.bundle_path(version)).digest == candidate.digest:
                    return version
            version = str(max((int(v) for v in self.versions()), default=0) + 1)
            staged = Path(tempfile.mkdtemp(prefix=".registering-", dir=self.directory))
            try:
                shutil.copytree(candidate.path, staged, dirs_exist_ok=True)
                bundle.load(staged)
                staged.chmod(0o755)
                os.replace(staged, self.directory / version)
            except BaseException:
                shutil.rmtree(staged, ignore_errors=True)
                raise
        return version

    def versions(self) -> list[str]:
        """Return the registered versions, oldest first."""
        if not self.directory.is_dir():
            return []
        return sorted((p.name for p in self.directory.iterdir() if p.name.isdigit()), key=int)

    def promote(self, version: str, effective_from: datetime) -> None:
        """Make a version the champion of every window that starts at ``effective_from`` or later.

        What an earlier promotion said about those windows no longer holds; about windows before
        them it does.

        Args:
            version: a registered one.
            effective_from: start of a window, with a time zone.

        Raises:
            InputError: there is no such version.
        """
        if version not in self.versions():
            raise InputError(
                f"No hay versión {version} de {self.directory.name}; las registradas son: "
                f"{', '.join(self.versions()) or 'ninguna'}."
            )
        if effective_from.tzinfo is None:
            raise ValueError("effective_from needs a time zone")
        entry = {
            "effective_from": effective_from.astimezone(UTC).isoformat(),
            "version": version,
            "promoted_at": datetime.now(UTC).isoformat(),
        }
        with self._locked():
            self._write([*self._promotions(), entry])

    def champion(self) -> str | None:
        """Return the version that serves the latest windows, if one was promoted."""
        schedule = self.schedule()
        return schedule[-1][1] if schedule else None

    def schedule(self) -> list[tuple[datetime, str]]:
        """Return ``(effective_from, version)``, increasing: who is champion from when on."""
        schedule: list[tuple[datetime, str]] = []
        for promotion in self._promotions():
            start = datetime.fromisoformat(promotion["effective_from"])
            schedule = [entry for entry in schedule if entry[0] < start]
            schedule.append((start, promotion["version"]))
        return schedule

    def bundle_path(self, version: str) -> Path:
        """Return the directory of a version's bundle."""
        return self.directory / version

    def stamp(self) -> int:
        """Return a number that changes when a promotion is recorded."""
        try:
            return (self.directory / _SCHEDULE).stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def _promotions(self) -> list[dict[str, Any]]:
        try:
            content = json.loads((self.directory / _SCHEDULE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        return list(content["promotions"])

    def _write(self, promotions: list[dict[str, Any]]) -> None:
        text = json.dumps({"promotions": promotions}, indent=2)
        with tempfile.NamedTemporaryFile(
            "w", dir=self.directory, prefix=".schedule-", delete=False, encoding="utf-8"
        ) as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.chmod(file.name, 0o644)
        os.replace(file.name, self.directory / _SCHEDULE)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one writer at a time pick a version number or change the schedule."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with open(self.directory / ".lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
