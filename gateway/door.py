"""The front door: listens, knows who is connected, and closes what keeps us waiting or takes others' room."""

from __future__ import annotations

import asyncio
import resource
from contextlib import suppress

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

from gateway.connections import Connection, Limits, State
from gateway.metrics import METRICS
from store import tasks

DRAIN_SECONDS = 15.0  # for requests under way when the door closes
LOOK_SECONDS = 0.5
BACKLOG = 1024  # that the system holds for us, and that are accepted in one go
AT_A_TIME, PAUSE_SECONDS = 8, 0.005  # connections closed before others have their turn, and for how long
RESERVED_FILES = 256  # for databases, logs, and what is opened for a moment


class Door:
    """The application, listening. `start` it, `listen`, and `close` it, drained."""

    def __init__(self, app: web.Application, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._runner = web.AppRunner(app, shutdown_timeout=DRAIN_SECONDS, handle_signals=False)
        self._metrics = app[METRICS]
        self._metrics.watch_connections(lambda: len(self))
        self._here: dict[State, dict[Connection, None]] = {state: {} for state in State}  # the longest there first
        self._listeners: list[asyncio.Server] = []
        self._closed = asyncio.Event()

    def __len__(self) -> int:
        return sum(map(len, self._here.values()))

    # --- open and closed --------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the application."""
        await self._runner.setup()
        self._watching = tasks.start(self._watch(), "door")

    async def listen(self, host: str, port: int) -> int:
        """Let clients in; returns the port, which the system chooses for 0. Raises OSError."""
        server = self._runner.server
        assert server is not None  # noqa: S101 - it is started
        make = server.request_factory

        def begin(
            message: RawRequestMessage,
            body: StreamReader,
            connection: web.RequestHandler,
            writer: AbstractStreamWriter,
            task: asyncio.Task[None],
        ) -> web.BaseRequest:
            if isinstance(connection, Connection):
                connection.begins(body, writer)
            return make(message, body, connection, writer, task)

        server.request_factory = begin
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(
            lambda: Connection(self, server, self._limits, loop), host, port, backlog=BACKLOG
        )
        self._listeners.append(listener)
        return int(listener.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Let nobody in, finish what is under way, and stop the application."""
        for listener in self._listeners:
            listener.close()
        await self._runner.cleanup()
        self._closed.set()
        await tasks.ended([self._watching])

    # --- who is here ------------------------------------------------------------------------------

    def admits(self, connection: Connection) -> bool:
        """Whether it may stay; where there is no room, whoever has waited longest for nothing makes it.

        A request that is here in full is never turned out: its answer may be a STOP's.
        """
        if len(self) - len(self._here[State.CLOSING]) >= self._limits.connections:
            longest = next(iter(self._here[State.WAITING]), None) or next(iter(self._here[State.RECEIVING]), None)
            if longest is None:
                self._metrics.closed("crowded")
                return False
            self._dismiss(longest, "crowded", at_once=True)
        self._here[connection.state][connection] = None
        return True

    def leaves(self, connection: Connection) -> None:
        self._here[connection.state].pop(connection, None)

    def moves(self, connection: Connection, to: State) -> None:
        """It is at something else now."""
        if connection.state is State.CLOSING:
            return
        self._here[connection.state].pop(connection, None)
        connection.enters(to)
        self._here[to][connection] = None

    # --- who overstays ----------------------------------------------------------------------------

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        looked = loop.time()
        while not self._closed.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), LOOK_SECONDS)
            now = loop.time()
            await self._look(now, now - looked)
            looked = now

    async def _look(self, now: float, elapsed: float) -> None:
        for number, (connection, why) in enumerate(self._overdue(now, elapsed)):
            self._dismiss(connection, why, at_once=why in ("slow_reader", "crowded"))
            if number % AT_A_TIME == AT_A_TIME - 1:
                await asyncio.sleep(PAUSE_SECONDS)

    def _overdue(self, now: float, elapsed: float) -> list[tuple[Connection, str]]:
        everybody = [connection for here in self._here.values() for connection in here]
        found = [(one, why) for one in everybody if (why := one.overstays(now, elapsed)) is not None]
        held = sum(connection.came for connection in self._here[State.RECEIVING])
        for connection in self._here[State.RECEIVING]:
            if held <= self._limits.body_bytes:
                break
            held -= connection.came
            found.append((connection, "crowded"))
        return found

    def _dismiss(self, connection: Connection, why: str, *, at_once: bool) -> None:
        if connection.state is not State.CLOSING:
            self.moves(connection, State.CLOSING)
            self._metrics.closed(why)
        connection.dismiss(at_once=at_once)


def room_for_clients(sends: int) -> int:
    """How many may be connected, so that files never run out: `sends` may be under way beside them.

    Raises what the process may open, as far as the system lets it.
    """
    spare = RESERVED_FILES + sends + 2 * BACKLOG  # those just accepted, and those just turned out
    wanted = Limits().connections + spare
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return Limits().connections if soft == resource.RLIM_INFINITY else max(64, min(Limits().connections, soft - spare))
