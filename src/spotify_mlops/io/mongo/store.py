"""The online feature store: the latest features of each track, in MongoDB."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pymongo
from pymongo.errors import PyMongoError

from ...config.errors import ServiceError
from ...config.params import Params
from .clients import database

Store = Callable[[Sequence[str]], Mapping[str, Any]]
"""Finds documents of ``tracks`` by ``_id``; unknown ones are absent from the answer."""

_MANY_KEYS = 64
_MOST_REQUESTS = 64
"""Whose tracks go into one question."""


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
            tracks = database(self._params)["tracks"]
            with pymongo.timeout(self._params.stream.service_timeout.total_seconds()):
                found = list(tracks.find({"_id": {"$in": list(keys)}}, {"features": 1}))
        except PyMongoError as error:
            raise ServiceError(
                "MongoDB no responde: no se pueden buscar canciones. Comprueba «spotify-mlops "
                "status» o envíe las variables en la petición."
            ) from error
        return {document["_id"]: document for document in found}


class Questions:
    """Asks a store, from a thread, for the tracks of all requests that wait: one at a time.

    While a question is under way the requests that come gather for the next one. A request
    alone is asked for at once; under load one question serves many, at a fraction of the cost.
    A request for many tracks is asked for apart, so that it keeps nobody waiting.
    """

    def __init__(self, store: Store) -> None:
        """Begin with nothing asked. Belongs to one event loop."""
        self._store = store
        self._thread = ThreadPoolExecutor(1, "store")
        self._apart = ThreadPoolExecutor(1, "store-many")
        self._waiting: list[tuple[Sequence[str], asyncio.Future[Mapping[str, Any]]]] = []
        self._asking: asyncio.Task[None] | None = None

    async def find(self, keys: Sequence[str]) -> Mapping[str, Any]:
        """Return the documents that exist of these keys, perhaps among others.

        Raises:
            ServiceError: the store does not answer.
        """
        loop = asyncio.get_running_loop()
        if len(keys) > _MANY_KEYS:
            return await loop.run_in_executor(self._apart, self._store, keys)
        answer: asyncio.Future[Mapping[str, Any]] = loop.create_future()
        self._waiting.append((keys, answer))
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        return await answer

    async def _ask(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            asked = self._waiting[:_MOST_REQUESTS]
            del self._waiting[:_MOST_REQUESTS]
            keys = list(dict.fromkeys(key for keys, _ in asked for key in keys))
            found: Mapping[str, Any] | Exception
            try:
                found = await loop.run_in_executor(self._thread, self._store, keys)
            except Exception as error:  # whatever it is, it is for those who asked
                found = error
            for _, answer in asked:
                if answer.done():  # given up meanwhile
                    continue
                if isinstance(found, Exception):
                    answer.set_exception(found)
                else:
                    answer.set_result(found)
        self._asking = None
