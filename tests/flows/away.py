"""A database that goes away from under a gateway, and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

from gateway.settings import Settings
from store.engine import Database
from tests.flows.running import Gateway


class Wire:
    """The way to a PostgreSQL server, which can be cut and joined."""

    def __init__(self, url: str) -> None:
        self._there = urlsplit(url)
        self._ends: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._port = 0

    @property
    def url(self) -> str:
        return urlunsplit(self._there._replace(netloc=f"{self._there.username}@127.0.0.1:{self._port}"))

    async def join(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        self._server.close()
        for end in list(self._ends):
            end.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(self._there.hostname, self._there.port)
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        self._ends |= {writer, there_writer}
        try:
            await asyncio.gather(_pump(reader, there_writer), _pump(there_reader, writer))
        finally:
            self._ends -= {writer, there_writer}
            self._tasks.discard(task)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while part := await reader.read(65_536):
            writer.write(part)
            await writer.drain()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


class Away:
    """How the database of a gateway goes away, and comes back."""

    def __init__(self, gateway: Gateway, wire: Wire | None) -> None:
        self._gateway = gateway
        self._wire = wire

    async def go(self) -> None:
        if self._wire is not None:
            await self._wire.cut()
            return
        database: Database = self._gateway.house.database
        async with database.write() as conn:
            await conn.exec_driver_sql("PRAGMA busy_timeout = 100")  # instead of ten seconds
        self._rival = sqlite3.connect(str(database.url.database), isolation_level=None, check_same_thread=False)
        # In a thread: a transaction of the gateway may be open, which only this loop can end.
        await asyncio.to_thread(self._rival.execute, "BEGIN IMMEDIATE")

    async def come_back(self) -> None:
        if self._wire is not None:
            await self._wire.join()
            return
        self._rival.close()


@asynccontextmanager
async def away_and_back(settings: Settings, database_url: str) -> AsyncIterator[tuple[Gateway, Away]]:
    """A gateway, running, and its database."""
    wire = None
    if database_url.startswith("postgresql"):
        wire = Wire(database_url)
        await wire.join()
        settings = settings.model_copy(update={"database": settings.database.model_copy(update={"url": wire.url})})
    gateway = Gateway(settings)
    await gateway.start()
    try:
        yield gateway, Away(gateway, wire)
    finally:
        await gateway.stop()
        if wire is not None:
            await wire.cut()
