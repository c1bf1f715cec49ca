"""One request, answered: within the budget, and after the waits that the API asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec

from ...config.errors import one_line
from ...config.progress import Progress, silent
from ...config.sections import Webapi
from ...config.spanish import number
from .budget import Budget
from .clock import Clock
from .refusals import AwayError, LimitError

_TOO_MANY = 429
_DEFAULT_WAIT = 30.0
"""Where a 429 does not say how long: the API counts over the last thirty seconds."""
_LARGEST = 16 << 20
_QUOTA = "QUOTA_EXCEEDED"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def content(self) -> dict[str, Any]:
        """Return the object that the body is.

        Raises:
            AwayError: it is not one: cut off, or not of the API.
        """
        try:
            found = msgspec.json.decode(self.body)
        except (ValueError, RecursionError) as error:
            raise AwayError(
                f"La Web API de Spotify contesta algo que no es JSON ({one_line(error, 80)})."
            ) from error
        if not isinstance(found, dict):
            raise AwayError("La Web API de Spotify contesta un JSON que no es un objeto.")
        return found

    def error(self) -> tuple[str, str]:
        """Return what an error says: its message and its reason, empty where it says none."""
        try:
            found = msgspec.json.decode(self.body)
        except (ValueError, RecursionError):
            return "", ""
        inner = found.get("error") if isinstance(found, dict) else None
        if isinstance(inner, str):  # as of tokens
            return one_line(inner, 80), ""
        if not isinstance(inner, dict):
            return "", ""
        return one_line(inner.get("message") or "", 160), one_line(inner.get("reason") or "", 40)


class Sender:
    """Sends requests one after the other."""

    def __init__(
        self, http: httpx.Client, webapi: Webapi, clock: Clock, say: Progress = silent
    ) -> None:
        self._http = http
        self._max_wait = webapi.max_wait.total_seconds()
        self._clock = clock
        self._say = say
        self.budget = Budget(webapi.requests_per_minute, clock, say)

    def send(self, request: httpx.Request) -> Answer:
        """Send a request; where the API asks for a wait, again after it.

        Raises:
            AwayError: nobody answers, the connection breaks, or the server fails.
            LimitError: the wait is longer than ``webapi_max_wait``.
            StoppedError: it was asked to end while it waited.
        """
        waited = 0.0
        while True:
            self.budget.take()
            answer = self._once(request)
            if answer.status >= 500:
                raise AwayError(f"La Web API de Spotify falla (HTTP {answer.status}).")
            if answer.status != _TOO_MANY:
                return answer
            waited += self._wait(answer, waited)

    def _once(self, request: httpx.Request) -> Answer:
        try:
            response = self._http.send(request, stream=True)
            try:
                body = b""
                for part in response.iter_bytes():
                    body += part
                    if len(body) > _LARGEST:
                        raise AwayError("La Web API de Spotify contesta más de 16 MiB.")
            finally:
                response.close()
        except httpx.HTTPError as error:
            reason = one_line(error, 120) or type(error).__name__
            raise AwayError(
                f"La Web API de Spotify no responde en {request.url.host} ({reason})."
            ) from error
        return Answer(response.status_code, response.headers, body)

    def _wait(self, answer: Answer, waited: float) -> float:
        """Wait as long as a 429 asks for; return how long that was.

        Raises:
            LimitError: it is too long.
        """
        _, reason = answer.error()
        seconds = _retry_after(answer.headers.get("Retry-After"))
        if reason == _QUOTA and (seconds is None or waited + seconds > self._max_wait):
            when = "" if seconds is None else f" Pide esperar {_duration(seconds)}."
            raise LimitError(
                f"La cuota de la aplicación en la Web API está agotada (QUOTA_EXCEEDED).{when}"
            )
        seconds = _DEFAULT_WAIT if seconds is None else max(seconds, 1.0)
        if waited + seconds > self._max_wait:
            raise LimitError(
                f"La Web API pide esperar {_duration(waited + seconds)} (429, Retry-After) y "
                f"webapi_max_wait admite {_duration(self._max_wait)}. Repite la orden entonces, "
                "o pide menos: webapi_requests_per_minute, webapi_queries, webapi_interval."
            )
        self._clock.pause(seconds, self._say, "La Web API pide esperar (429)")
        return seconds


def _retry_after(text: str | None) -> float | None:
    """Return the seconds that ``Retry-After`` says; None where it says none."""
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return seconds if 0 <= seconds < 1e9 else None


def _duration(seconds: float) -> str:
    if seconds < 600:
        return f"{number(seconds)} s"
    return f"{number(seconds / 60)} min" if seconds < 7200 else f"{number(seconds / 3600, 1)} h"
