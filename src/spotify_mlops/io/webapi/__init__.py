"""Spotify's Web API: asked within its limits, with what it refuses told in words."""

from .client import Client
from .clock import Clock, StoppedError
from .refusals import AwayError, CredentialsError, LimitError, RefusedError

__all__ = [
    "AwayError",
    "Client",
    "Clock",
    "CredentialsError",
    "LimitError",
    "RefusedError",
    "StoppedError",
]
