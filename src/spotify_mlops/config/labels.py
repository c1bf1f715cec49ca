"""By which labels everything of a profile is known in the cloud."""

from __future__ import annotations

from .params import Params

MADE_BY = {"made-by": "spotify-mlops"}
"""Of whatever the project makes."""


def labels(params: Params) -> dict[str, str]:
    """Return the labels of what a profile makes: keys and values as Google Cloud allows them."""
    return MADE_BY | {"profile": params.profile}
