"""Vertex AI's official clients. Nothing else in the project makes one."""

from __future__ import annotations

import functools
import logging
import os
from typing import TYPE_CHECKING, Any, TypeVar

from ...config.params import Params
from ...config.sections import Cloud
from ..addresses import (
    DEFAULT,
    PING_SECONDS,
    address,
    check_way,
    is_plain,
    key,
    own_credentials,
    unreachable,
)
from ..archive.location import archive_root
from ..http import guard

if TYPE_CHECKING:
    from types import ModuleType

ServiceClient = TypeVar("ServiceClient")
READY = "/v1/projects/health/locations/health/models?pageSize=1"
"""A path that says that a local one works and knows the key that was sent."""


def sdk(params: Params) -> ModuleType:
    """Return the ``aiplatform`` module, initialised for the params' project and API.

    Importing it takes seconds (4 s of CPU, 240 MB): call this only where it is used, and prefer
    ``client`` where one of Google's service clients is enough. The module is initialised
    for the whole process: the last call holds.

    ``Model.upload`` takes ``gs://`` artifacts as they are and copies any other to the staging
    bucket. One in a folder is registered in place by ``client``'s ``upload_model``.

    Raises:
        ServiceError: it is the local one and is not up.
    """
    url = address(params.cloud.vertex, "vertex", "url")
    # The SDK tells each call on stdout, where answers go, unless it finds a handler.
    told = logging.getLogger("google.cloud.aiplatform")
    if not told.handlers:
        told.addHandler(logging.StreamHandler())
        told.handlers[0].setLevel(logging.WARNING)
    from google.cloud import aiplatform

    options: dict[str, Any] = {}
    if url != DEFAULT:
        options["api_endpoint"] = url
    if is_plain(url):
        own = own_credentials(url, key(params.cloud.vertex, "vertex"))
        options |= {"api_transport": "rest", "credentials": own}
    aiplatform.init(
        project=params.cloud.project,
        location=params.cloud.location,
        staging_bucket=archive_root(params),  # a job is not made without one
        **options,
    )
    return aiplatform


def parent(cloud: Cloud) -> str:
    """Return what the names of all resources in Vertex AI begin with."""
    return f"projects/{cloud.project}/locations/{cloud.location}"


def client(cloud: Cloud, kind: type[ServiceClient]) -> ServiceClient:
    """Return one of Google's service clients of Vertex AI; one for each process and address.

    Args:
        cloud: where the API is.
        kind: its class, such as ``aiplatform_v1.ModelServiceClient``.

    Raises:
        ServiceError: it is the local one and is not up.
    """
    url = address(cloud.vertex, "vertex", "url")
    own = key(cloud.vertex, "vertex")
    made: ServiceClient = _client(kind, url, cloud.location, os.getpid(), own)  # type: ignore[arg-type]
    return made


def ping(params: Params) -> None:
    """Ask Vertex AI something.

    Raises:
        ServiceError: it does not answer.
    """
    url = address(params.cloud.vertex, "vertex", "url")
    if is_plain(url):  # the clients take seconds to import
        import urllib.request

        request = urllib.request.Request(url + READY)
        if (own := key(params.cloud.vertex, "vertex")) is not None:
            check_way(url)
            request.add_header("authorization", guard.authorization(own))
        try:
            urllib.request.urlopen(request, timeout=PING_SECONDS).close()
        except OSError as error:
            raise unreachable("Vertex AI", url, error) from error
        return
    from google.api_core.exceptions import GoogleAPICallError
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import aiplatform_v1

    request = aiplatform_v1.ListModelsRequest(parent=parent(params.cloud), page_size=1)
    try:
        models = client(params.cloud, aiplatform_v1.ModelServiceClient)
        models.list_models(request, timeout=PING_SECONDS)
    except (GoogleAPICallError, GoogleAuthError) as error:
        raise unreachable("Vertex AI", url, error) from error


@functools.cache
def _client(kind: Any, url: str, location: str, pid: int, own: str | None) -> Any:
    from google.api_core.client_options import ClientOptions

    if url == DEFAULT:
        url = f"{location}-aiplatform.googleapis.com"
    options = ClientOptions(api_endpoint=url)
    if not is_plain(url):
        return kind(client_options=options)
    return kind(transport="rest", client_options=options, credentials=own_credentials(url, own))
