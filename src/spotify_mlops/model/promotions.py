"""Which version of the model serves from which window on, and the bundles of those versions.

Kept beside the log's archive, ``<archive>/models/<model_name>/``: a folder a version, and one
file with the digest of every version and every promotion. The live job, a replay and the
prediction server read nothing else, so the past can be repeated with the models that it had,
whatever became of the registry since.

In a folder the file carries a seal (`seal`), and a bundle is what the file says it is; in a bucket
its permissions say who may promote.
"""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec

from ..config.errors import InputError, IntegrityError
from ..config.params import Params
from ..config.untrusted import DESCRIPTION_BYTES, RefusedError, parse_json, within
from ..io import files
from ..io.archive.location import archive_root
from ..io.storage import lease, objects
from . import bundle, seal
from .bundle import Bundle

_FILE = "schedule.json"
_NUMBER = r"^[1-9][0-9]{0,8}$"
_Version = Annotated[str, msgspec.Meta(pattern=_NUMBER)]
"""The number of a version; its bundle's folder is called so."""


@dataclass(frozen=True)
class Canary:
    """A version that predicts a part of the tracks while the champion predicts the others."""

    version: _Version
    share: Annotated[float, msgspec.Meta(ge=0, le=1)]
    """Of the tracks, by a hash of country and track: the same ones in every window."""


@dataclass(frozen=True)
class ServingPeriod:
    """Who predicts the windows that start at ``effective_from`` or later."""

    effective_from: datetime
    version: str
    canary: Canary | None = None

    @property
    def shares(self) -> dict[str, int]:
        """Return the percentage of the requests that each version is to answer."""
        if self.canary is None:
            return {self.version: 100}
        share = round(100 * self.canary.share)
        return {self.version: 100 - share, self.canary.version: share}


class _Promotion(msgspec.Struct, omit_defaults=True):
    effective_from: Annotated[datetime, msgspec.Meta(tz=True)]
    version: _Version
    promoted_at: Annotated[datetime, msgspec.Meta(tz=True)]
    canary: Canary | None = None


class _Record(msgspec.Struct):
    """The file: the digest of each version, and the promotions in the order they were made."""

    promotions: list[_Promotion] = []
    versions: dict[_Version, str] = {}


class PromotionHistory:
    """The promotions of ``params.model_name``, and the bundles that they are of."""

    def __init__(self, params: Params, root: Path | None = None) -> None:
        """Look under the params' archive, or under the folder ``root``."""
        archive = archive_root(params) if root is None else str(root)
        self.model_name = params.model.name
        self.windows = params.windows
        self.uri = f"{archive.removeprefix('file://')}/models/{params.model.name}"

    @property
    def is_sealed(self) -> bool:
        """Tell whether what is kept carries a seal: it does in a folder, not in a bucket."""
        return "://" not in self.uri

    def keep(self, version: str, bundle_dir: Path | str) -> Bundle:
        """Copy a version's bundle in; one that is there already stays.

        Raises:
            InputError, IntegrityError: it is not a bundle, or not what its hashes say.
            IntegrityError: the version is kept with another content.
        """
        candidate = bundle.load(Path(bundle_dir))
        with self._changing() as (record, write):
            if version in record.versions:
                if record.versions[version] != candidate.digest:
                    raise IntegrityError(
                        f"La versión {version} de {self.model_name} ya está guardada en "
                        f"{self.uri} con otro contenido: no se cambia lo que pudo haber predicho."
                    )
                return candidate
            if self.is_sealed and Path(f"{self.uri}/{version}").is_symlink():
                raise IntegrityError(f"{self.uri}/{version} es un enlace: no se escribe a través.")
            bundle.publish(candidate, f"{self.uri}/{version}")
            # Last: what the record does not name is not kept.
            record.versions[version] = candidate.digest
            write()
        return candidate

    def versions(self) -> list[str]:
        """Return the versions whose bundle is kept, oldest first."""
        return sorted(self._read().versions, key=int)

    def bundle(self, version: str) -> Bundle:
        """Return a version's bundle, from a directory of this machine that its number names.

        Raises:
            InputError: there is none.
            IntegrityError: it is not what was kept.
        """
        digest = self._digest(self._read(), version)
        loaded = bundle.load(files.local_folder(f"{self.uri}/{version}"))
        if loaded.digest != digest:
            raise IntegrityError(
                f"La versión {version} de {self.model_name} en {self.uri} no es la que se guardó: "
                "alguien la cambió por otra. No se usa: promociona otra versión."
            )
        return loaded

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
        if effective_from.tzinfo is None:
            raise ValueError("effective_from needs a time zone")
        start = effective_from.astimezone(UTC)
        promotion = _Promotion(start, version, datetime.now(UTC), canary)
        with self._changing() as (record, write):
            self._check(record, promotion)
            record.promotions.append(promotion)
            write()

    def champion(self) -> str | None:
        """Return the version that serves the latest windows, if one was promoted."""
        periods = self.periods()
        return periods[-1].version if periods else None

    def periods(self) -> list[ServingPeriod]:
        """Return who serves from when on, by ``effective_from``."""
        periods: list[ServingPeriod] = []
        for promotion in self._read().promotions:
            start = promotion.effective_from
            periods = [period for period in periods if period.effective_from < start]
            periods.append(ServingPeriod(start, promotion.version, promotion.canary))
        return periods

    def stamp(self) -> float:
        """Return a number that changes when a promotion is recorded."""
        return files.modified(self._file) or 0.0

    def adopt(self) -> dict[str, str]:
        """Seal what is kept as it is: from before there were seals, or from another state folder.

        Whoever calls this vouches for the folder; the bundles must still be what their hashes say.

        Returns:
            The digest of each version that the record now has.

        Raises:
            IntegrityError: a bundle, or the record, is not of the shape it should have.
        """
        with self._changing(vouched=True) as (record, write):
            record.versions = {
                name: bundle.load(files.local_folder(f"{self.uri}/{name}")).digest
                for name in files.folders(self.uri)
                if re.fullmatch(_NUMBER, name)
                and files.exists(f"{self.uri}/{name}/{bundle.DESCRIPTION}")
            }
            for promotion in record.promotions:
                self._check(record, promotion)
            if record.versions:
                write()
        return record.versions

    def is_of_before(self) -> bool:
        """Tell whether an earlier release, which had neither digests nor seals, left this."""
        found = self._parsed()
        return bool(files.folders(self.uri)) if found is None else "versions" not in found

    def _check(self, record: _Record, promotion: _Promotion) -> None:
        self._digest(record, promotion.version)
        if promotion.canary is not None:
            self._digest(record, promotion.canary.version)

    def _digest(self, record: _Record, version: str) -> str:
        if version not in record.versions:
            raise InputError(
                f"No hay versión {version} de {self.model_name} en {self.uri}; las que hay: "
                f"{', '.join(sorted(record.versions, key=int)) or 'ninguna'}."
            )
        return record.versions[version]

    def _read(self) -> _Record:
        return self._checked(self._parsed())

    def _checked(self, found: dict[str, Any] | None) -> _Record:
        if found is None:
            return _Record()
        refusal = (
            f"{self._file} no lleva el sello de esta carpeta de estado: lo cambió otro, "
            "viene de otra carpeta o es de una versión anterior. Si los modelos son de fiar, "
            "«spotify-mlops seal» los sella; si no, borra su carpeta y ejecuta «make run»."
        )
        if self.is_sealed:
            found = seal.checked(self._kind, found, refusal)
        elif "versions" not in found:
            raise IntegrityError(refusal)
        return self._converted(found)

    def _text(self, record: _Record) -> bytes:
        content = msgspec.to_builtins(record)
        if self.is_sealed:
            content = seal.sealed(self._kind, content)
        return f"{json.dumps(content, indent=2)}\n".encode()

    @property
    def _kind(self) -> str:
        return f"models/{self.model_name}"

    @property
    def _file(self) -> str:
        return f"{self.uri}/{_FILE}"

    def _parsed(self) -> dict[str, Any] | None:
        return self._parse(files.read_bytes(self._file))

    def _parse(self, content: bytes | None) -> dict[str, Any] | None:
        if content is None:
            return None
        try:
            found = parse_json(within(content, DESCRIPTION_BYTES))
        except RefusedError as error:
            raise IntegrityError(f"{self._file} está dañado: {error}.") from error
        if not isinstance(found, dict):
            raise IntegrityError(f"{self._file} está dañado: no es un objeto.")
        return found

    def _converted(self, content: dict[str, Any]) -> _Record:
        try:
            return msgspec.convert(content, _Record)
        except msgspec.ValidationError as error:
            raise IntegrityError(f"{self._file} está dañado: {error}.") from error

    @contextmanager
    def _changing(self, *, vouched: bool = False) -> Iterator[tuple[_Record, Callable[[], None]]]:
        """Give the record, and what writes it back, to one writer at a time.

        In a folder, of this machine; in a bucket, of all that share it: the lease keeps a bundle
        from being written by two, and the generation keeps the record of one who lost the lease.

        Args:
            vouched: the record is taken without its seal.
        """
        if not objects.has_generations(self.uri):
            if self.is_sealed:
                Path(self.uri).mkdir(parents=True, exist_ok=True)
            with _locked(f"{self.uri}/.lock") if self.is_sealed else nullcontext():
                record = self._given(self._parsed(), vouched)
                yield record, lambda: files.write_bytes(self._file, self._text(record))
            return
        with lease.held(f"{self.uri}/.lease", wait=True) as held:
            found = objects.read(self._file)
            record = self._given(self._parse(found.content if found else None), vouched)

            def write() -> None:
                held.check()
                replaced = found.generation if found else 0
                try:
                    objects.write(self._file, self._text(record), replaces=replaced)
                except objects.ConflictError:
                    raise IntegrityError(lease.lost(self._file)) from None

            yield record, write

    def _given(self, found: dict[str, Any] | None, vouched: bool) -> _Record:
        if not vouched:
            return self._checked(found)
        return self._converted({k: v for k, v in (found or {}).items() if k != seal.FIELD})


@contextmanager
def _locked(path: str) -> Iterator[None]:
    with open(path, "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
