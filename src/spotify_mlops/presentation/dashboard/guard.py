"""What stands before the page: who may ask, and what a browser may do with the answers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import flask
from dash.exceptions import PreventUpdate
from werkzeug.exceptions import BadRequest, HTTPException, InternalServerError
from werkzeug.wrappers import Response

from ...io.http.browsers import Rule

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

P = ParamSpec("P")
T = TypeVar("T")

_RULE = Rule(page=True)
_log = logging.getLogger(__name__)


def content_security_policy(script_hashes: Sequence[str]) -> str:
    """Return what the page may load and run: its own files, and scripts with these hashes.

    Args:
        script_hashes: as the header has them: ``'sha256-...'``.

    Plotly and Dash write styles into elements; no hash can be given for those.
    """
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' {' '.join(script_hashes)}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data:",
            "font-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


class Guarded:
    """A WSGI application behind the rule for browsers, with headers that bind the browser."""

    def __init__(self, application: WSGIApplication, policy: str) -> None:
        """Guard an application; ``policy`` is its Content-Security-Policy."""
        self._application = application
        self._headers = [
            ("Content-Security-Policy", policy),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
        ]

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""

        def start(status: str, headers: list[tuple[str, str]], exc_info=None):  # type: ignore[no-untyped-def]
            return start_response(status, headers + self._headers, exc_info)

        refused = _RULE.refusal(
            environ["REQUEST_METHOD"], environ.get("PATH_INFO", ""), _headers(environ)
        )
        if refused is not None:
            return Response(refused.message, refused.status)(environ, start)
        return self._application(environ, start)


def _headers(environ: WSGIEnvironment) -> dict[str, str]:
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = environ[name]
    return headers


def ours(function: Callable[P, T]) -> Callable[P, T]:
    """Mark what the project does for a request: if it fails, the fault is not the request's."""

    @wraps(function)
    def work(*arguments: P.args, **named: P.kwargs) -> T:
        try:
            return function(*arguments, **named)
        except (HTTPException, PreventUpdate):
            raise
        except Exception as error:
            _log.exception("%s", flask.request.path)
            raise InternalServerError from error

    return work


def bad_input(error: Exception) -> HTTPException:
    """Return what is answered when Dash fails: a body that is not as the page sends it.

    A handler of Flask. Dash looks at no body before it uses it; what fails in the project's own
    functions is an HTTPException already (`ours`).
    """
    if isinstance(error, HTTPException):
        return error
    _log.warning("%s: %r", flask.request.path, error)
    return BadRequest()
