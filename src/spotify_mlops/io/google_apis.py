"""Google's APIs over REST, for questions that no client of the project's asks.

Whether a project, its APIs, quotas and images are as they should be is asked of half a dozen APIs,
one question each: a client library for each would be more than the questions.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from ..config.errors import one_line
from ..config.params import Params
from .addresses import DEFAULT, PING_SECONDS, is_plain, unreachable

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_NOT_THERE = (401, 403)


class RefusedError(Exception):
    """An API answered that it does not do what was asked."""

    def __init__(self, status: int, message: str) -> None:
        """Keep its status of HTTP and its words."""
        super().__init__(message)
        self.status = status

    @property
    def is_forbidden(self) -> bool:
        """Tell whether who asked may not know."""
        return self.status in _NOT_THERE


def account(credentials: Any) -> str:
    """Return whose credentials these are; empty where they do not say it."""
    for name in ("service_account_email", "account"):
        found = getattr(credentials, name, "")
        if "@" in (found or ""):
            return str(found)
    return ""


class Apis:
    """Google's APIs, asked by one identity, by any number of threads."""

    def __init__(self, params: Params) -> None:
        """Remember where they are; nothing is asked yet."""
        self._params = params
        self._looking = threading.Lock()
        self._credentials: Any = None

    def address(self, api: str) -> str:
        """Return where an API is, such as ``serviceusage``.

        On a stand-in's address its name is the first part of the path.
        """
        own = {
            "secretmanager": self._params.cloud.secret_manager,
            "storage": os.environ.get("STORAGE_EMULATOR_HOST", DEFAULT),
        }.get(api, DEFAULT)
        if own != DEFAULT:
            return own.rstrip("/")
        if self._params.cloud.google_apis == DEFAULT:
            return f"https://{api}.googleapis.com"
        return f"{self._params.cloud.google_apis}/{api}"

    def credentials(self) -> Any:
        """Return the process's own (ADC), with a token.

        Raises:
            google.auth.exceptions.GoogleAuthError: there are none, or they give no token.
        """
        import google.auth
        from google.auth.transport.requests import Request

        with self._looking:
            if self._credentials is None:
                self._credentials, _ = google.auth.default(scopes=[SCOPE])
            if not self._credentials.valid:
                self._credentials.refresh(Request())
        return self._credentials

    def ask(
        self,
        api: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: object = None,
        method: str | None = None,
    ) -> dict[str, Any]:
        """Return what an API answers; with a body it is posted, unless a method is said.

        Raises:
            RefusedError: it answers with an error.
            ServiceError: it does not answer, or what is no JSON.
            google.auth.exceptions.GoogleAuthError: there is no identity to ask with.
        """
        import requests

        where = self.address(api)
        session = self._session(where)
        method = method or ("GET" if body is None else "POST")
        try:
            answer = session.request(
                method, f"{where}/{path}", params=query, json=body, timeout=PING_SECONDS
            )
            content = answer.json() if answer.content else {}
        except (requests.RequestException, ValueError) as error:
            raise unreachable(f"{api}.googleapis.com", where, error) from error
        finally:
            session.close()
        if answer.ok and isinstance(content, dict):
            return content
        raise RefusedError(answer.status_code, _message(content))

    def find(self, api: str, path: str) -> dict[str, Any] | None:
        """Return what `ask` does; None where the API answers that there is no such thing."""
        try:
            return self.ask(api, path)
        except RefusedError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return None

    def _session(self, where: str) -> Any:
        import requests
        from google.auth.transport.requests import AuthorizedSession

        if is_plain(where):
            plain = requests.Session()
            plain.trust_env = False  # of this machine: no proxy
            return plain
        return AuthorizedSession(self.credentials(), refresh_timeout=PING_SECONDS)


def _message(content: Any) -> str:
    error = content.get("error") if isinstance(content, dict) else None
    said = error.get("message", error) if isinstance(error, dict) else error or content
    return one_line(said, 200)
