"""Registered versions of the model."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from ..params import Params
from . import bundle
from .schedule import Schedule


class Registry:
    """The versions of ``params.model_name``."""

    def __init__(self, params: Params) -> None:
        """Number what the schedule keeps."""
        self._schedule = Schedule(params)

    def register(self, bundle_dir: Path | str) -> str:
        """Keep a bundle as the next version, or find the version that it is already."""
        digest = bundle.load(Path(bundle_dir)).digest
        known = self._schedule.versions()
        for version in known:
            if bundle.load(self._schedule.bundle_path(version)).digest == digest:
                return version
        version = str(max(map(int, known), default=0) + 1)
        self._schedule.keep(version, bundle_dir)
        return version

    def promote(self, version: str, effective_from: datetime) -> None:
        """Make a version the champion from a window on."""
        self._schedule.promote(version, effective_from)

    def champion(self) -> str | None:
        """Return the version that serves the latest windows, if one was promoted."""
        return self._schedule.champion()
