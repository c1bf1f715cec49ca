"""Clients that send half of something, or open connections without end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from spotify_mlops.io.http.connections import Limits, protocol

WAIT = 30.0
SOON = 0.05
ASK = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 10\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n"
HALF = b"GET / HTTP/1.1\r\nhost: he"


async def echo(scope: Any, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    """Answer how many bytes a request's body has, and how many headers it came with."""
    size = 0
    more = scope["method"] == "POST"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message["body"])
        more = message["more_body"]
    body = b"%d of %d" % (size, len(scope["headers"]))
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Client:
    """A connection of which each byte is in the test's hands."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, content: bytes) -> None:
        self._writer.write(content)

    async def read(self, end: bytes) -> bytes:
        """Read up to some bytes."""
        return await asyncio.wait_for(self._reader.readuntil(end), WAIT)

    async def ask(self, content: bytes = ASK) -> bytes:
        """Send a request and return the body of its answer."""
        self.send(content)
        head = await self.read(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length: ")[2].split(b"\r")[0])
        return await asyncio.wait_for(self._reader.readexactly(size), WAIT)

    async def rest(self) -> bytes:
        """Read until the server closes the connection."""
        try:
            return await asyncio.wait_for(self._reader.read(), WAIT)
        except ConnectionResetError:
            return b""


@asynccontextmanager
async def serving(limits: Limits) -> AsyncIterator[Callable[[], Any]]:
    """Serve with limits; gives what opens a connection."""
    config = uvicorn.Config(
        echo, port=0, http=protocol(limits), ws="none", lifespan="off", log_level="critical"
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0)
    port = server.servers[0].sockets[0].getsockname()[1]
    opened: list[asyncio.StreamWriter] = []

    async def connect() -> Client:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        opened.append(writer)
        return Client(reader, writer)

    try:
        yield connect
    finally:
        for writer in opened:
            writer.close()
        server.should_exit = True
        await running


def run(limits: Limits, scenario: Callable[..., Any]) -> None:
    async def whole() -> None:
        async with serving(limits) as connect:
            await scenario(connect)

    asyncio.run(whole())


@pytest.mark.parametrize("sent", [b"", b"GET", HALF, b"\r\n", HALF + b"\r\na: b\r\n"])
def test_headers_that_do_not_come(sent: bytes) -> None:
    async def scenario(connect: Callable[..., Any]) -> None:
        for before in (b"", ASK):  # in a new connection, and after a request was answered
            client = await connect()
            if before:
                assert await client.ask(before) == b"0 of 1"
                if not sent:
                    continue  # quiet: that is the keep-alive's to end
            client.send(sent)
            assert (await client.rest()).startswith(b"HTTP/1.1 408 ")

    run(Limits(header_seconds=SOON), scenario)


def test_a_body_that_does_not_come() -> None:
    async def scenario(connect: Callable[..., Any]) -> None:
        for head in (POST, CHUNKED + b"a\r\n"):
            client = await connect()
            client.send(head + b"half")
            assert await client.rest() == b""
        assert await (await connect()).ask() == b"0 of 1"

    run(Limits(message_seconds=SOON), scenario)


def test_headers_without_end() -> None:
    async def scenario(connect: Callable[..., Any]) -> None:
        for unit in (b"x" * 1000, b"a: b\r\n" * 200):
            client = await connect()
            client.send(b"GET / HTTP/1.1\r\na: " + unit * 20)
            assert (await client.rest()).startswith(b"HTTP/1.1 431 ")
        # As many after the body: they are not kept, and the answer comes as ever.
        client = await connect()
        trailers = b"a: b\r\n" * 10_000
        assert await client.ask(CHUNKED + b"4\r\nfour\r\n0\r\n" + trailers + b"\r\n") == b"4 of 2"

    run(Limits(header_bytes=8000), scenario)


def test_who_asks_gets_in_however_many_only_connect() -> None:
    async def scenario(connect: Callable[..., Any]) -> None:
        patient = await connect()
        patient.send(POST)
        silent = []
        for number in range(40):
            client = await connect()
            client.send(HALF if number % 2 else b"")
            silent.append(client)
        assert await (await connect()).ask() == b"0 of 1"
        assert await patient.rest() == b""  # of all that owed something, for the longest time
        for client in silent[:30]:
            assert await client.rest() == b""
        assert await silent[-1].ask(b"re\r\n\r\n") == b"0 of 1"  # among the last: still there

    run(Limits(connections=8), scenario)


def test_requests_follow_each_other_in_a_connection() -> None:
    async def scenario(connect: Callable[..., Any]) -> None:
        client = await connect()
        for _ in range(3):
            assert await client.ask() == b"0 of 1"
            assert await client.ask(POST + b"0123456789") == b"10 of 2"
        client.send(ASK * 2 + HALF)  # two whole ones at once, and half of the third
        assert b"0 of 1" in await client.read(b"0 of 1") + await client.read(b"0 of 1")
        assert await client.ask(b"re\r\n\r\n") == b"0 of 1"

    run(Limits(), scenario)
