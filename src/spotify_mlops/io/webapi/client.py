"""Asking the API for JSON: tokens, limits, retries and refusals are dealt with here."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import TracebackType
from typing import Any, Self

import httpx

from ...config import secrets
from ...config.errors import ServiceError
from ...config.params import Params
from ...config.progress import Progress, silent
from ...config.web_addresses import is_loopback
from .. import retry
from ..addresses import DEFAULT
from ..http import peers
from .clock import Clock
from .refusals import AwayError, CredentialsError, RefusedError
from .sending import Answer, Sender
from .tokens import Token

_API = "https://api.spotify.com"
_ACCOUNTS = "https://accounts.spotify.com"
_ATTEMPTS = 5
_LONGEST_PAUSE = 10.0


class Client:
    """A client of the Web API, for one thread.

    Args:
        params: where the API is, its secrets and its limits.
        clock: of the waits.
        say: told of each wait (Spanish).
        pause: of the first retry, in seconds; it doubles.
        transport: another way to the server than the network.

    Raises:
        ParamsError: a secret is not in the environment.
        ServiceError: the address is of this machine, and another user's server is there.
    """

    def __init__(
        self,
        params: Params,
        clock: Clock | None = None,
        say: Progress = silent,
        *,
        pause: float = 1.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._params = params
        self._pause = pause
        self._say = say
        self._clock = clock or Clock()
        own = params.webapi.address
        self._api, self._accounts = (_API, _ACCOUNTS) if own == DEFAULT else (own, own)
        _check_way(self._api)
        secret = (
            secrets.resolve(params, "webapi_client_id"),
            secrets.resolve(params, "webapi_client_secret"),
        )
        self._auth = httpx.BasicAuth(*secret)
        # What goes to this machine passes through no proxy of the environment.
        self._http = httpx.Client(
            timeout=params.stream.service_timeout.total_seconds(),
            transport=transport,
            trust_env=own == DEFAULT or not is_loopback(httpx.URL(own).host),
            headers={"Accept": "application/json", "User-Agent": "spotify-mlops"},
        )
        self._sender = Sender(self._http, params.webapi, self._clock, say)
        self._app = self._token({"grant_type": "client_credentials"})
        self._listener: Token | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._http.close()

    @property
    def requests(self) -> int:
        """How many requests have been sent, those for tokens too."""
        return self._sender.budget.total

    def get(self, path: str, *, as_listener: bool = False, **query: str | int) -> dict[str, Any]:
        """Return what the API answers.

        Args:
            path: below ``/v1/``.
            as_listener: with the listener's token.
            query: of the address.

        Raises:
            AwayError: it does not answer what can be read, however often it is asked.
            LimitError: it asks for a longer wait than ``webapi_max_wait``.
            CredentialsError: it takes no token of ours.
            RefusedError: it does not give this.
            StoppedError: it was asked to end while it waited.
        """
        token = self._listeners() if as_listener else self._app
        attempts = 0

        def is_worth_another(error: Exception) -> bool:
            nonlocal attempts
            attempts += 1
            if not isinstance(error, AwayError) or attempts >= _ATTEMPTS:
                return False
            self._say(f"{error} Se intenta otra vez ({attempts + 1} de {_ATTEMPTS}).")
            return True

        ask = partial(self._ask, f"{self._api}/v1/{path}", query, token)
        return retry.again(ask, is_worth_another, None, pause=self._pause, longest=_LONGEST_PAUSE)

    def _ask(self, url: str, query: Mapping[str, str | int], token: Token) -> dict[str, Any]:
        answer = self._send(url, query, token.value())
        if answer.status == httpx.codes.UNAUTHORIZED:
            answer = self._send(url, query, token.renew())
        if answer.status == httpx.codes.OK:
            return answer.content()
        if answer.status == httpx.codes.NO_CONTENT:
            return {}
        said = ", ".join(filter(None, answer.error()))
        if answer.status == httpx.codes.UNAUTHORIZED:
            raise CredentialsError(
                f"La Web API no acepta ni un token recién pedido (401{said and ': '}{said}): "
                "comprueba la aplicación en el panel de desarrolladores de Spotify."
            )
        raise RefusedError(answer.status, said)

    def _send(self, url: str, query: Mapping[str, str | int], token: str) -> Answer:
        headers = {"Authorization": f"Bearer {token}"}
        return self._sender.send(
            self._http.build_request("GET", url, params=dict(query), headers=headers)
        )

    def _listeners(self) -> Token:
        if self._listener is None:
            given = secrets.resolve(self._params, "webapi_refresh_token")
            self._listener = self._token({"grant_type": "refresh_token", "refresh_token": given})
        return self._listener

    def _token(self, grant: Mapping[str, str]) -> Token:
        return Token(self._sender, self._token_request, grant, self._clock)

    def _token_request(self, grant: Mapping[str, str]) -> httpx.Request:
        request = self._http.build_request("POST", f"{self._accounts}/api/token", data=dict(grant))
        return next(self._auth.auth_flow(request))


def _check_way(address: str) -> None:
    """Refuse to send secrets to another user's server on this machine.

    Raises:
        ServiceError: one is there.
    """
    url = httpx.URL(address)
    if is_loopback(url.host) and url.port and not peers.is_owners_server(url.port):
        raise ServiceError(
            f"En {url.host}:{url.port} escucha un servidor de otro usuario: no se le envía "
            "ninguna clave. Mira webapi_address."
        )
