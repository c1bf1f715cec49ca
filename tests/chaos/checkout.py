"""A checkout of a campaign's own."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from spotify_mlops.config import paths


def own(work: Path) -> None:
    """Keep what the campaign leaves apart from the user's services and reports."""
    folder = work / "checkout"
    folder.mkdir()
    for name in ("notebooks", "params"):
        (folder / name).symlink_to(paths.root() / name)
    os.environ["SPOTIFY_MLOPS_HOME"] = str(folder)
    os.environ["SPOTIFY_MLOPS_STATE"] = str(work / "state")
    (work / "tmp").mkdir()
    os.environ["TMPDIR"] = str(work / "tmp")  # what a library forgets goes with the campaign
    tempfile.tempdir = None
