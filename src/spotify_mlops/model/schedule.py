"""Which version of the model serves from which window on, and the bundles of those versions.

Kept beside the log's archive, ``<archive>/models/<model_name>/``: a folder a version, and one
file with every promotion. The live job, a replay and the prediction server read nothing else, so
the past can be repeated with the models that it had, whatever became of the registry since.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .. import clients, files
from ..errors import InputError, IntegrityError
from ..params import Params
from . import bundle
from .bundle import Bundle

_FILE = "schedule.json"


@dataclass(frozen=True)
class Canary:
    """A version that predicts a part of the tracks while the champion predicts the others."""

    version: str
    share: float
    """Of the tracks, by a hash of country and track: the same ones in every window."""


@dataclass(frozen=True)
class Term:
    """Who predicts the windows that start at ``effective_from`` or later."""

    effective_from: datetime
    version: str
    canary: Canary | None = None


class Schedule:
    """The terms of the champions of ``params.model_name``."""

    def __init__(self, params: Params, root: Path | None = None) -> None:
        """Look under the params' archive, or under the folder ``root``."""
        archive = clients.archive_uri(params) if root is None else str(root)
        self.model_name = params.model_name
        self.uri = f"{archive.removeprefix('file://')}/models/{params.model_name}"

    def keep(self, version: str, bundle_dir: Path | str) -> Bundle:
        """Copy a version's bundle in; one that is there already stays.

        Raises:
            InputError, IntegrityError: it is not a bundle, or not what its hashes say.
            IntegrityError: the version is kept with another content.
        """
        candidate = bundle.load(Path(bundle_dir))
        with self._locked():
            if version in self.versions():
                if bundle.load(self.bundle_path(version)).digest != candidate.digest:
                    raise IntegrityError(
                        f"La versión {version} de {self.model_name} ya está guardada en "
                        f"{self.uri} con otro contenido: no se cambia lo que pudo haber predicho."
                    )
                return candidate
            bundle.publish(candidate, f"{self.uri}/{version}")
        return candidate

    def versions(self) -> list[str]:
        """Return the versions whose bundle is kept, oldest first."""
        kept = files.folders(self.uri)
        return sorted((name for name in kept if name.isdigit() and self._is_kept(name)), key=int)

    def bundle_path(self, version: str) -> Path:
        """Return a directory of this machine with a version's bundle.

        Raises:
            InputError: there is none.
        """
        if not self._is_kept(version):
            raise InputError(
                f"No hay versión {version} de {self.model_name} en {self.uri}; las que hay: "
                f"{', '.join(self.versions()) or 'ninguna'}."
            )
        return files.local_folder(f"{self.uri}/{version}")

    def promote(self, version: str, effective_from: datetime, canary: Canary | None = None) -> None:
        """Make a version the champion of every window that starts at ``effective_from`` or later.

        What an earlier promotion said about those windows no longer holds; about windows before
        them it does.

        Args:
            version: one whose bundle is kept.
            effective_from: start of a window, with a time zone.
            canary: another kept version that predicts a share of the tracks.

        Raises:
            InputError: a bundle is not there.
        """
        for name in (version, *([canary.version] if canary else [])):
            self.bundle_path(name)
        if effective_from.tzinfo is None:
            raise ValueError("effective_from needs a time zone")
        entry: dict[str, Any] = {
            "effective_from": effective_from.astimezone(UTC).isoformat(),
            "version": version,
            "promoted_at": datetime.now(UTC).isoformat(),
        }
        if canary is not None:
            entry["canary"] = {"version": canary.version, "share": canary.share}
        with self._locked():
            text = json.dumps({"promotions": [*self._promotions(), entry]}, indent=2)
            files.write_bytes(f"{self.uri}/{_FILE}", f"{text}\n".encode())

    def champion(self) -> str | None:
        """Return the version that serves the latest windows, if one was promoted."""
        terms = self.terms()
        return terms[-1].version if terms else None

    def terms(self) -> list[Term]:
        """Return the terms in force, by ``effective_from``."""
        terms: list[Term] = []
        for promotion in self._promotions():
            start = datetime.fromisoformat(promotion["effective_from"])
            canary = promotion.get("canary")
            terms = [term for term in terms if term.effective_from < start]
            terms.append(Term(start, promotion["version"], Canary(**canary) if canary else None))
        return terms

    def stamp(self) -> float:
        """Return a number that changes when a promotion is recorded."""
        return files.modified(f"{self.uri}/{_FILE}") or 0.0

    def _is_kept(self, version: str) -> bool:
        return files.exists(f"{self.uri}/{version}/{bundle.DESCRIPTION}")

    def _promotions(self) -> list[dict[str, Any]]:
        content = files.read_bytes(f"{self.uri}/{_FILE}")
        return [] if content is None else list(json.loads(content)["promotions"])

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one writer of this machine at a time change what is kept."""
        if "://" in self.uri:
            yield  # whoever promotes in the cloud is one job on a schedule
            return
        Path(self.uri).mkdir(parents=True, exist_ok=True)
        with open(f"{self.uri}/.lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
