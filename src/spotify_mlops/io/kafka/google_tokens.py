"""Tokens for Google's Managed Service for Apache Kafka: who this process is, for OAUTHBEARER.

The broker takes no bare access token but three parts in base64url, joined by dots: a header
``{"typ": "JWT", "alg": "GOOG_OAUTH2_TOKEN"}``, claims (``exp``, ``iat``, ``iss``, ``scope``,
``sub``) and the access token, as Google's own helper for other clients makes it:
https://github.com/googleapis/managedkafka (kafka-auth-local-server).
"""

from __future__ import annotations

import functools
import json
import os
import threading
import time
from base64 import urlsafe_b64encode
from datetime import UTC
from typing import Any

from ...config.errors import ParamsError, ServiceError, one_line
from .. import google_apis

_HEADER = {"typ": "JWT", "alg": "GOOG_OAUTH2_TOKEN"}
_refreshing = threading.Lock()


def token(config: str = "") -> tuple[str, float]:
    """Return a token and until when it holds (seconds since the epoch).

    librdkafka asks again before that (``oauth_cb``), and google-auth for another access token
    when the one that it has is about to end.

    Args:
        config: of ``sasl.oauthbearer.config``, which says nothing here.

    Raises:
        ParamsError: there are no credentials of Google's, or of nobody with an address.
        ServiceError: Google gives no token.
    """
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import Request

    credentials = _credentials(os.getpid())
    try:
        with _refreshing:
            if not credentials.valid:
                credentials.refresh(Request())
            given, until = str(credentials.token), credentials.expiry.replace(tzinfo=UTC)
    except GoogleAuthError as error:
        raise ServiceError(
            f"Google no da un token para Kafka (OAUTHBEARER): {one_line(error, 200)}"
        ) from error
    claims = {
        "exp": until.timestamp(),
        "iat": time.time(),
        "iss": "Google",
        "scope": "kafka",
        "sub": _address(credentials),
    }
    parts = (json.dumps(_HEADER), json.dumps(claims), given)
    whole = ".".join(urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts)
    return whole, until.timestamp()


def _address(credentials: Any) -> str:
    found = google_apis.account(credentials)
    if found:
        return found
    raise ParamsError(
        "Las credenciales de Google no dicen de quién son, y Kafka gestionado lo pide: usa una "
        "cuenta de servicio (GOOGLE_APPLICATION_CREDENTIALS, o «gcloud auth application-default "
        "login --impersonate-service-account=CUENTA»)."
    )


@functools.cache
def _credentials(pid: int) -> Any:
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    try:
        found, _ = google.auth.default(scopes=[google_apis.SCOPE])
    except DefaultCredentialsError as error:
        raise ParamsError(
            "kafka_sasl_mechanism es OAUTHBEARER y no hay credenciales de Google: en la nube, las "
            "de la cuenta de servicio; aquí, «gcloud auth application-default login» o "
            "GOOGLE_APPLICATION_CREDENTIALS."
        ) from error
    return found
