"""What the references of the params stand for: read at use, given to the client, kept nowhere.

A value from Secret Manager is remembered by the process for a few minutes, so that a rotated one
takes effect without a restart. Neither values nor clients ever enter params, files or the graph.
"""

from __future__ import annotations

import functools
import os
import time
from typing import TYPE_CHECKING, Any

from . import references
from .errors import IntegrityError, ParamsError, ServiceError, one_line
from .params import Params

if TYPE_CHECKING:
    from google.cloud.secretmanager_v1 import SecretManagerServiceClient

DEFAULT = "default"
_REMEMBERED_SECONDS = 300
_WHERE_TO_PUT_IT = (
    "En un proceso sin tu entorno (un contenedor, un trabajador de Beam) usa secret://NOMBRE."
)


def resolve(params: Params, name: str) -> str:
    """Return the secret that a parameter refers to; a value that is no reference, as it is.

    Args:
        params: which refer to it.
        name: of the parameter, such as ``kafka_password``.

    Raises:
        ParamsError: there is no such variable or secret; the message names it.
        ServiceError: Secret Manager does not answer, or does not let us read.
        IntegrityError: what it answered is damaged.
    """
    reference = str(params.value(name))
    if reference.startswith(references.SECRET_MANAGER):
        resource = resource_name(reference, params.cloud.project)
        turn = int(time.monotonic() // _REMEMBERED_SECONDS)
        patience = params.stream.service_timeout.total_seconds()
        return _access(params.cloud.secret_manager, resource, patience, turn, os.getpid())
    variable = references.variable(reference)
    if variable is None:
        return reference
    if variable not in os.environ:
        raise ParamsError(
            f"Falta la variable de entorno {variable}, que dice «{name}». {_WHERE_TO_PUT_IT}"
        )
    return os.environ[variable]


def variables(params: Params, *names: str) -> dict[str, str]:
    """Return the environment variables that parameters refer to, for a process that needs them."""
    wanted = (references.variable(str(params.value(name))) for name in names)
    return {name: os.environ[name] for name in wanted if name is not None and name in os.environ}


def resource_name(reference: str, project: str) -> str:
    """Return Secret Manager's name of the version that a ``secret://`` reference means.

    >>> resource_name("secret://mongo-uri", "p1")
    'projects/p1/secrets/mongo-uri/versions/latest'
    """
    parts = reference.removeprefix(references.SECRET_MANAGER).split("/")
    if len(parts) < 3:
        parts = [project, *parts]
    if len(parts) < 3:
        parts.append("latest")
    return "projects/{}/secrets/{}/versions/{}".format(*parts)


@functools.lru_cache(maxsize=32)
def _access(address: str, resource: str, patience: float, turn: int, pid: int) -> str:
    import google_crc32c
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError

    try:
        found = _client(address, pid).access_secret_version(name=resource, timeout=patience)
    except (exceptions.NotFound, exceptions.FailedPrecondition) as error:
        raise ParamsError(
            f"No hay ningún secreto {resource} en Secret Manager, o esa versión no está activa."
        ) from error
    except (exceptions.GoogleAPICallError, exceptions.RetryError, GoogleAuthError) as error:
        reason = one_line(error, 160)
        raise ServiceError(f"Secret Manager no da {resource} ({reason}).") from error
    data = found.payload.data
    if found.payload.data_crc32c not in (0, google_crc32c.value(data)):
        raise IntegrityError(f"El secreto {resource} llegó dañado (su CRC no coincide): repite.")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ParamsError(f"El secreto {resource} no es un texto en UTF-8.") from None


@functools.cache
def _client(address: str, pid: int) -> SecretManagerServiceClient:
    from google.api_core.client_options import ClientOptions
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.secretmanager_v1 import SecretManagerServiceClient

    if address == DEFAULT:
        return SecretManagerServiceClient()
    options: dict[str, Any] = {"client_options": ClientOptions(api_endpoint=address)}
    if address.startswith("http://"):
        options |= {"transport": "rest", "credentials": AnonymousCredentials()}
    return SecretManagerServiceClient(**options)
