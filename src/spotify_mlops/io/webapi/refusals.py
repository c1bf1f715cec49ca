"""What the API says instead of an answer."""

from __future__ import annotations

from ...config.errors import ParamsError, ServiceError


class AwayError(ServiceError):
    """It does not answer, or not with what can be read; asking again may mend it."""


class LimitError(ServiceError):
    """It asks for a longer wait than the params allow, or the quota is used up."""


class CredentialsError(ParamsError):
    """It does not take the client's identifier and secret, the listener's token, or its own."""


class RefusedError(Exception):
    """It refuses one request, and would again: an endpoint that this application does not get.

    Attributes:
        status: of HTTP.
        reason: what it says.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}".strip())
        self.status = status
        self.reason = reason
