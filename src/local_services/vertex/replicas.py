"""The process of a deployed model: kept running, asked, drained."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import aiohttp

from spotify_mlops.config.spanish import exact
from spotify_mlops.io.http import guard, ports

from ..google_api.errors import ApiError
from . import artifacts, containers

_log = logging.getLogger(__name__)
_POLL = 0.05
_LONGEST_PAUSE = 10.0
_SETTLING = 1.0
DRAIN = 60.0
"""Seconds that requests under way have to end when a model is undeployed."""


@dataclass(frozen=True)
class Plan:
    """What a deployed model needs to run."""

    launch: Callable[[int, str], containers.Launch]
    """Makes the command for a port, and for the key of those who may ask there."""
    health_route: str
    predict_route: str
    artifact_uri: str
    digests: Mapping[str, str]
    timeout: float
    """Seconds until it must be healthy."""


class Replica:
    """One process at a time, started again when it dies."""

    def __init__(self, plan: Plan, session: aiohttp.ClientSession, title: str) -> None:
        """Describe it; ``keep`` starts it."""
        self.plan = plan
        self._session = session
        self._title = title
        self._healthy = asyncio.Event()
        self._stopping = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._under_way = 0
        self._url = ""
        self._headers: dict[str, str] = {}
        self._failure: ApiError | None = None
        self._task: asyncio.Task[None] | None = None
        self._ended: asyncio.Task[int] | None = None

    async def start(self) -> None:
        """Start it and wait until it is healthy.

        Raises:
            ApiError: its artifact changed, it ended, or did not become healthy.
        """
        first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.keep(first)
        await first

    def keep(self, first: asyncio.Future[None] | None = None) -> None:
        """Start it in the background, and again whenever it ends, until ``stop``."""
        self._task = asyncio.create_task(self._keep(first))

    async def stop(self) -> None:
        """End it once the requests under way are answered."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), DRAIN)
        self._stopping.set()
        if self._task is not None:
            await self._task

    async def address(self, patience: float) -> tuple[str, Mapping[str, str]]:
        """Return where it answers predictions, and to which headers.

        Waits for a process that is starting.

        Raises:
            ApiError: it could not be started, or is not healthy in time.
        """
        if not self._healthy.is_set():
            if self._failure is not None:
                raise ApiError("UNAVAILABLE", f"{self._title} no está en marcha. {self._failure}")
            try:
                await asyncio.wait_for(self._healthy.wait(), patience)
            except TimeoutError:
                raise ApiError("UNAVAILABLE", f"{self._title} todavía está arrancando.") from None
        return self._url, self._headers

    async def settle(self) -> None:
        """After a broken connection, give the process's end a moment to be noticed."""
        if self._ended is not None:
            await asyncio.wait({self._ended}, timeout=_SETTLING)

    @contextlib.contextmanager
    def request(self) -> Iterator[None]:
        """Count a request as under way."""
        self._under_way += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    async def _keep(self, first: asyncio.Future[None] | None) -> None:
        pause = 0.0
        while not self._stopping.is_set():
            try:
                await self._run(first)
                pause = 0.5
            except ApiError as error:
                self._failure = error
                if first is not None and not first.done():
                    first.set_exception(error)
                    return
                pause = min(_LONGEST_PAUSE, max(1.0, pause * 2))
                _log.error("%s: %s", self._title, error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    async def _run(self, first: asyncio.Future[None] | None) -> None:
        """Run the process until it ends or ``stop`` is called."""
        plan = self.plan
        await asyncio.to_thread(artifacts.verify, plan.artifact_uri, plan.digests)
        port = ports.choose(["http"], {})["http"]
        key = secrets.token_hex(32)
        launch = plan.launch(port, key)
        process = await containers.start(launch)
        ended = self._ended = asyncio.create_task(process.wait())
        ended.add_done_callback(lambda _: self._healthy.clear())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await self._until_healthy(process, port, launch, ended)
            self._url = f"http://{ports.HOST}:{port}{plan.predict_route}"
            self._headers = {"Authorization": guard.authorization(key)}
            self._failure = None
            self._healthy.set()
            if first is not None and not first.done():
                first.set_result(None)
            await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not self._stopping.is_set():
                _log.error(
                    "%s terminó (código %s); se inicia de nuevo", self._title, ended.result()
                )
        finally:
            self._healthy.clear()
            stopping.cancel()
            await containers.end(process)
            await ended

    async def _until_healthy(
        self,
        process: asyncio.subprocess.Process,
        port: int,
        launch: containers.Launch,
        ended: asyncio.Task[int],
    ) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.plan.timeout
        url = f"http://{ports.HOST}:{port}{self.plan.health_route}"
        while not await self._is_healthy(url):
            # Its end is the event; its absence for a moment means: ask again.
            await asyncio.wait({ended}, timeout=_POLL)
            if ended.done():
                raise ApiError.precondition(
                    f"{self._title} terminó al arrancar (código {ended.result()}). "
                    f"{containers.explain(launch)}"
                )
            if self._stopping.is_set():
                raise ApiError("CANCELLED", f"{self._title} se retiró mientras arrancaba.")
            if loop.time() > deadline:
                raise ApiError(
                    "DEADLINE_EXCEEDED",
                    f"{self._title} no responde en {self.plan.health_route} después de "
                    f"{exact(self.plan.timeout)} s. {containers.explain(launch)}",
                )

    async def _is_healthy(self, url: str) -> bool:
        try:
            async with self._session.get(url, timeout=aiohttp.ClientTimeout(total=5)) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False
