"""Who serves from the next window on: a new model, or the champion before."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from ..config.errors import ServiceError, UserError
from ..config.params import Params
from ..config.progress import Progress, silent
from ..model import release as releasing
from ..model import runs
from ..model.endpoint import Endpoint
from ..model.gate import Verdict
from ..model.promotions import PromotionHistory, ServingPeriod
from ..model.registry import Registry
from ..model.release import Release
from ..model.training_result import TrainingResult
from ..pipeline.sinks import positions
from . import takeover
from .rewind import rewind


def release(params: Params, say: Progress = silent) -> tuple[Release, Verdict]:
    """Release the last training run that was evaluated; the streaming job may be running.

    Cut off, or given up while Vertex AI deploys, it goes on when it is done again.

    Raises:
        InputError, IntegrityError, UserError: as `promote`.
        ServiceError: a service does not answer, the log was never processed, or the job runs.
    """
    released, verdict = promote(params)
    serve(params, say)
    return released, verdict


def promote(params: Params) -> tuple[Release, Verdict]:
    """Register the last training run that was evaluated, and promote it if the gate approved it.

    A later champion takes over ``promotion_lead`` windows ahead, so that no window is closed
    meanwhile by a job that does not know it yet. For a first one the job has to be stopped.

    Raises:
        InputError: no run was evaluated.
        IntegrityError: the run is not what was saved with this state's secret.
        ServiceError: a service does not answer, the log was never processed, or the job runs.
        UserError: the gate refused the model and there is no champion to go on with.
    """
    folder = runs.runs_folder(params)
    run_id = runs.last_evaluated(folder)
    result = TrainingResult.load(folder, run_id)
    verdict = runs.load_verdict(folder / run_id)
    released = releasing.release(
        result,
        verdict,
        Registry(params),
        folder / run_id,
        _soon(params),
        partial(rewind, params),
    )
    return released, verdict


def rollback(params: Params, say: Progress = silent) -> Release:
    """Make the champion before the present one serve again.

    Raises:
        ServiceError: a service does not answer, or the log was never processed.
        UserError: there is no champion, or no other before it.
    """
    history = [period.version for period in PromotionHistory(params).periods()]
    if not history:
        raise UserError("No hay ningún modelo en servicio: no hay a qué volver.")
    released = releasing.rollback(Registry(params), history, _soon(params))
    serve(params, say)
    return released


def serve(params: Params, say: Progress = silent) -> None:
    """Let who serves the latest windows answer at the endpoint, and no other.

    Raises:
        ServiceError: nobody was promoted, Vertex AI does not answer, or a deployment takes longer
            than ``deploy_timeout`` (doing it again goes on from there).
    """
    Endpoint(params).serve(_latest(params), say)


def is_served(params: Params) -> bool:
    """Tell whether the endpoint does what `serve` would have it do."""
    return Endpoint(params).traffic() == _latest(params).shares


def _latest(params: Params) -> ServingPeriod:
    periods = PromotionHistory(params).periods()
    if not periods:
        raise ServiceError(
            f"No hay ningún campeón de {params.model.name}: nadie puede responder. "
            "«spotify-mlops release» hace uno."
        )
    return periods[-1]


def _soon(params: Params) -> datetime:
    """Return the first window that nobody will have predicted when the job looks again."""
    position = positions.load(params)
    if position is None or position.write_from is None:
        raise ServiceError(
            f"El tema {params.kafka.topic} no se ha procesado todavía: ejecuta antes "
            "«spotify-mlops stream», o el cuaderno 03."
        )
    return takeover.first_window(params, position.write_from)
