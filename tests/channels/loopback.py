"""Servers on 127.0.0.1 that say exactly what a test wants, byte for byte, and count what reaches them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_ENDED = (OSError, asyncio.IncompleteReadError)  # the client went away
Behaviour = Callable[["Arrival", asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Arrival:
    """One whole request."""

    number: int  # of all
    on_connection: int  # which one on its connection
    head: bytes
    body: bytes


@dataclass
class Server:
    url: str
    arrivals: list[Arrival] = field(default_factory=list)
    connections: int = 0


@contextlib.asynccontextmanager
async def serving(behave: Behaviour, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Reads whole requests and lets `behave` answer; a connection stays open unless it closes it."""
    server = Server("")

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        count = 0
        while not writer.is_closing():
            head = await reader.readuntil(b"\r\n\r\n")
            length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0")
            body = await reader.readexactly(int(length.partition(b":")[2]))
            count += 1
            server.arrivals.append(Arrival(len(server.arrivals) + 1, count, head, body))
            await behave(server.arrivals[-1], writer)
            await writer.drain()

    async with listening(connected, tls) as port:
        server.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        yield server


@contextlib.asynccontextmanager
async def greeting(words: bytes) -> AsyncIterator[int]:
    """A port where something else than HTTP answers, at once; b"": nothing does."""

    async def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        await asyncio.sleep(0 if words else 30)

    async with listening(connected) as port:
        yield port


@contextlib.asynccontextmanager
async def listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """A port on which each connection is served by a task; all of them end with the block."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(serve(reader, writer))
        tasks.add(task)
        await asyncio.wait({task})
        if not task.cancelled() and not isinstance(task.exception(), _ENDED):
            task.result()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.sleep(0.02)


def says(answer: bytes, then_close: bool = False) -> Behaviour:
    async def behave(_: Arrival, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        if then_close:
            writer.close()

    return behave


def resets(after: bytes = b"") -> Behaviour:
    async def behave(_: Arrival, writer: asyncio.StreamWriter) -> None:
        if after:
            writer.write(after)
            await writer.drain()
            await asyncio.sleep(0.02)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return behave


def hangs(after: bytes = b"") -> Behaviour:
    async def behave(_: Arrival, writer: asyncio.StreamWriter) -> None:
        writer.write(after)
        await asyncio.sleep(30)

    return behave


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
