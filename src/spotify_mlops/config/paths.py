"""Where things live on this machine: the checkout, its local state, the user's cache."""

from __future__ import annotations

import os
from pathlib import Path


def root() -> Path:
    """Return the checkout's folder (``SPOTIFY_MLOPS_HOME`` overrides)."""
    configured = os.environ.get("SPOTIFY_MLOPS_HOME")
    return Path(configured) if configured else Path(__file__).resolve().parents[3]


def state_dir() -> Path:
    """Return the folder of this checkout's local services (``SPOTIFY_MLOPS_STATE`` overrides).

    It holds the services' data, logs and ``state.json``; ``down`` keeps it.
    """
    configured = os.environ.get("SPOTIFY_MLOPS_STATE")
    return Path(configured) if configured else root() / ".local"


def training_dir() -> Path:
    """Return the folder of training runs (``SPOTIFY_MLOPS_TRAINING`` overrides).

    A run that is tried beside others is kept apart: the latest of a profile is what is evaluated.
    """
    configured = os.environ.get("SPOTIFY_MLOPS_TRAINING")
    return Path(configured) if configured else state_dir() / "training"


def cache_dir() -> Path:
    """Return the folder of built tools and resolved jars, shared by all clones of this user."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "spotify-mlops"
