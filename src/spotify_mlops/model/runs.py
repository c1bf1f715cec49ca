"""The training runs of a profile on this machine, each with the verdict on it once it has one."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ..config import paths
from ..config.errors import InputError
from ..config.params import Params
from .gate import Verdict

_VERDICT = "verdict.json"


def runs_folder(params: Params) -> Path:
    """Return the folder where a profile's training runs are kept."""
    return paths.training_dir() / params.profile


def save_verdict(verdict: Verdict, folder: Path) -> None:
    """Keep the verdict beside its training run, for the release."""
    (folder / _VERDICT).write_bytes(msgspec.json.encode(verdict))


def load_verdict(folder: Path) -> Verdict:
    """Read the verdict of a training run that `last_evaluated` names."""
    return msgspec.json.decode((folder / _VERDICT).read_bytes(), type=Verdict)


def last_evaluated(runs: Path) -> str:
    """Return the id of the latest training run that has a verdict.

    Raises:
        InputError: there is none.
    """
    evaluated = sorted(path.parent.name for path in runs.glob(f"*/{_VERDICT}"))
    if not evaluated:
        raise InputError(
            "Ningún modelo entrenado se ha evaluado: ejecuta antes el cuaderno 05, o "
            "«spotify-mlops evaluate»."
        )
    return evaluated[-1]
