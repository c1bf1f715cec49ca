"""The online feature store: the latest features of each track, in MongoDB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pymongo
from pymongo.errors import PyMongoError

from .. import clients
from ..errors import ServiceError
from ..params import Params


class OnlineStore:
    """Documents of the collection ``tracks`` by ``_id`` (``CO:<track_id>``)."""

    def __init__(self, params: Params) -> None:
        """Remember where the store is; the first question connects."""
        self._params = params

    def __call__(self, keys: Sequence[str]) -> Mapping[str, Any]:
        """Return the documents that exist, by key: one question, whatever their number.

        Raises:
            ServiceError: MongoDB does not answer within ``service_timeout``.
        """
        try:
            tracks = clients.mongo_database(self._params)["tracks"]
            with pymongo.timeout(self._params.service_timeout.total_seconds()):
                found = list(tracks.find({"_id": {"$in": list(keys)}}, {"features": 1}))
        except PyMongoError as error:
            raise ServiceError(
                "MongoDB no responde: no se pueden buscar canciones. Comprueba «spotify-mlops "
                "status» o envíe las variables en la petición."
            ) from error
        return {document["_id"]: document for document in found}
