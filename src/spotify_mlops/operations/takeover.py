"""From which window on another model can predict, while the streaming job goes on."""

from __future__ import annotations

from datetime import datetime

from ..config.params import Params
from ..pipeline.sinks import positions


def first_window(params: Params, written: datetime) -> datetime:
    """Return the first window that nobody will have predicted when the job looks again.

    That is ``promotion_lead`` windows ahead; of a backlog, which is worked off many windows at a
    time, the job may have predicted any.

    Args:
        params: whose job.
        written: all windows that start earlier are written.

    Raises:
        ServiceError: the archive does not answer.
        IntegrityError: the saved position is damaged.
    """
    soon = written + params.windows.window * params.promotion.lead
    position = positions.load(params)
    backlog = None if position is None else position.backlog_until
    return soon if backlog is None else max(soon, backlog)
