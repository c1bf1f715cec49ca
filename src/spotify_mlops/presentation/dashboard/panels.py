"""Every panel, once. The live page and Grafana show these, and nothing else.

What depends on the params (window, lags, prices) is written into their SQL, so that a panel means
the same wherever it is shown.
"""

from __future__ import annotations

from ...config.params import Params
from . import business, operations
from .panel import Panel


def panels(params: Params) -> tuple[Panel, ...]:
    """Return all panels, in the order in which a board shows them."""
    return (*business.panels(params), *operations.panels(params))
