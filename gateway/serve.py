"""The running process: listen, print where, drain on SIGTERM."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import gc
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from channels.http import open_session
from gateway import app as gateway_app
from gateway import first_steps, mishaps
from gateway.api.base import HOUSE
from gateway.connections import Limits
from gateway.door import Door, room_for_clients
from gateway.errors import CannotServe
from gateway.settings import Settings
from outbox.lines import CONCURRENCY
from outbox.protocol import FROZEN_SECONDS
from store import crash
from store.clock import utcnow
from store.engine import Database, normalise_url

log = structlog.get_logger("gateway")


async def serve(settings: Settings, *, with_first_steps: bool = False) -> None:
    """Serve until SIGTERM or SIGINT, then drain; raises CannotServe."""
    with _only_one(settings):
        app = gateway_app.build(settings)
        door = Door(app, Limits(connections=room_for_clients(CONCURRENCY * len(settings.connections))))
        await door.start()
        try:
            port = await _listen(door, settings)
            _keep_what_is_there()
            stopping = _on_signal()
            shown = f"http://{_bracketed(settings.server.host)}:{port}"
            print(f"Optgate listens on {shown}", flush=True)  # noqa: T201 - where it is, for whoever started it
            if with_first_steps:
                print(first_steps.text(shown, await first_steps.new_key(app[HOUSE])), flush=True)  # noqa: T201
            await stopping.wait()
            app[gateway_app.DRAINING].set()
            log.info("draining")
        finally:
            await door.close()


async def work(settings: Settings) -> None:
    """Dispatcher and scheduler only, until SIGTERM; for more machines on one PostgreSQL."""
    if normalise_url(settings.database.url).get_backend_name() == "sqlite":
        raise CannotServe("a worker needs PostgreSQL: on SQLite the one gateway does all the work")
    database = Database(settings.database.url, idle_seconds=FROZEN_SECONDS)
    try:
        async with open_session(CONCURRENCY * max(1, len(settings.connections)), crash.point) as session:
            house = await gateway_app.open_house(database, settings, session, utcnow)
            scheduler = await gateway_app.start_loops(house)
            _keep_what_is_there()
            print("Optgate's worker is at work", flush=True)  # noqa: T201
            await _on_signal().wait()
            await gateway_app.stop_waking(scheduler)
            await house.stop_work()
    finally:
        await database.dispose()


def _keep_what_is_there() -> None:
    """Let the garbage collector pass by what was made for the life of the process: most of what it would look at."""
    gc.collect()
    gc.freeze()


async def _listen(door: Door, settings: Settings) -> int:
    """Listen; returns the port, which the system chose where 0 was asked for."""
    try:
        return await door.listen(settings.server.host, settings.server.port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CannotServe(
                f"port {settings.server.port} is in use: set [server] port, or OPTGATE_SERVER__PORT"
            ) from error
        raise CannotServe(
            f"cannot listen on {settings.server.host}:{settings.server.port}: {error.strerror}"
        ) from error


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _on_signal() -> asyncio.Event:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    return stopping


@contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    """Hold the SQLite file for one gateway; a second one is refused. PostgreSQL takes as many as come."""
    file = mishaps.sqlite_file(normalise_url(settings.database.url))
    if file is None:
        yield
        return
    lock = Path(f"{os.path.realpath(file)}.lock")  # the same one, by whatever links the file is named
    try:
        held = lock.open("w")
    except OSError as error:
        raise CannotServe(mishaps.blocked(file) or f"{lock}: {error.strerror}") from error
    with held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CannotServe(f"another gateway serves {file}: stop it first, or use PostgreSQL") from error
        yield
