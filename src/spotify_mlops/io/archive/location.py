"""Where the archive is."""

from __future__ import annotations

from ...config import paths
from ...config.params import Params
from ...config.references import LOCAL


def archive_root(params: Params) -> str:
    """Return the root of the archive: a ``gs://`` URI or a folder, without a final slash."""
    if params.cloud.archive != LOCAL:
        return params.cloud.archive.rstrip("/")
    return str(paths.state_dir() / "archive" / params.profile)
