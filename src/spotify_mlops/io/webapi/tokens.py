"""Access tokens: of the application, or of a listener who gave it a refresh token."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import httpx

from .clock import Clock
from .refusals import AwayError, CredentialsError
from .sending import Answer, Sender

_EARLY = 60.0
"""A token is renewed so many seconds before it ends."""
_HOUR = 3600.0


class Token:
    """An access token, asked for when it is needed."""

    def __init__(
        self,
        sender: Sender,
        make_request: Callable[[Mapping[str, str]], httpx.Request],
        grant: Mapping[str, str],
        clock: Clock,
    ) -> None:
        self._sender = sender
        self._make_request = make_request
        self._grant = dict(grant)
        self._clock = clock
        self._value: str | None = None
        self._until = 0.0

    def value(self) -> str:
        """Return one that is good for now.

        Raises:
            AwayError: nobody gives one.
            CredentialsError: the secrets are not taken.
        """
        if self._value is None or self._clock.monotonic() >= self._until:
            return self.renew()
        return self._value

    def renew(self) -> str:
        """Ask for another, whatever the present one is worth.

        Raises:
            AwayError: nobody gives one.
            CredentialsError: the secrets are not taken.
        """
        self._value = None
        answer = self._sender.send(self._make_request(self._grant))
        if answer.status != httpx.codes.OK:
            raise CredentialsError(self._refusal(answer))
        content = answer.content()
        found, lasts = content.get("access_token"), content.get("expires_in")
        if not isinstance(found, str) or not found:
            raise AwayError("La Web API de Spotify contesta sin token de acceso.")
        seconds = float(lasts) if isinstance(lasts, (int, float)) else _HOUR
        self._until = self._clock.monotonic() + max(seconds - _EARLY, 0.0)
        rotated = content.get("refresh_token")
        if "refresh_token" in self._grant and isinstance(rotated, str) and rotated:
            self._grant["refresh_token"] = rotated
        self._value = found
        return found

    def _refusal(self, answer: Answer) -> str:
        which = (
            "SPOTIFY_REFRESH_TOKEN (webapi_refresh_token)"
            if "refresh_token" in self._grant
            else "SPOTIFY_CLIENT_ID y SPOTIFY_CLIENT_SECRET"
        )
        said = ": ".join(filter(None, (f"HTTP {answer.status}", answer.error()[0])))
        return f"Spotify no da un token de acceso ({said}): comprueba {which}."
