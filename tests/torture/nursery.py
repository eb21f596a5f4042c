"""Gateways by the thousand: a warm parent that forks each one, so that a life costs no start of Python.

The parent has imported everything and listens on one port for all of them; a gateway that is dead leaves what was not
yet accepted to the next, and its clients keep one address. Each child is the real application on the database it is
named, with a crash point armed. One that has not come to its point is told by SIGUSR1 to die at another: at once, or
some points later.

The first gateway is a rehearsal: the parent is it, until it is told "enough". The statements it has compiled need not
be compiled again by those it forks, which is half of what a short life does.

    stdin   {"settings": {…}, "crash": "claim.committed:1", "instead": "any:7", "ahead": 61.0, "log": "FILE"}   one life
            {"settings": {…}, "rehearsal": true, …}   then any line
    stdout  {"url": …}   {"born": PID}   {"listens": true}   {"died_at": "claim.committed"}   {"ended": -9}
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import phonenumbers
from aiohttp import web

from channels.sandbox import Sandbox
from channels.twilio.client import open_client
from channels.values import Inbound, Outbound, Outcome, WebhookRequest
from gateway import app as gateway_app
from gateway import logs
from gateway.api.base import HOUSE
from gateway.settings import Settings
from store import crash
from store.clock import utcnow
from tests import compiled

OFTEN_SECONDS = 0.25  # the sweep and the settlement; in production 5 s and 1 s: a life is short
AT = "X-Said-At"
BOX = "box"


class Timed(Sandbox):
    """A provider that tells when a message was written, as some do: the time stands in a header."""

    def receive(self, request: WebhookRequest) -> list[Inbound]:
        (message,) = super().receive(request)
        at = request.headers.get(AT)
        return [replace(message, provider_at=datetime.fromisoformat(at)) if at else message]


class Dawdling:
    """A connection that now and then takes its time between claim and send, as a busy process does: within the lease,
    about as long as it lasts, or longer. What comes in meanwhile must be waited for, or stop it.
    """

    def __init__(self, inner: Any, seed: str) -> None:
        self._inner, self._chance = inner, random.Random(seed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def send(self, message: Outbound) -> Outcome:
        kind = self._chance.random()
        await asyncio.sleep(0 if kind < 0.6 else self._chance.uniform(0, 0.3) if kind < 0.95 else 1.1)
        return await self._inner.send(message)  # type: ignore[no-any-return]


def tell(**fact: Any) -> None:
    """One line, written at once and whole."""
    os.write(1, json.dumps(fact).encode() + b"\n")


def warm() -> None:
    """Load what the libraries load when they are first used."""
    open_client(None, "AC" + "0" * 32, "token", seconds=1.0)  # type: ignore[arg-type]
    phonenumbers.parse("+12125550100")
    import aiosqlite
    import asyncpg

    _ = aiosqlite, asyncpg


async def live(asked: dict[str, Any], listening: socket.socket, until: asyncio.Event) -> None:
    """The gateway, until it is killed, or has rehearsed."""
    settings, ahead = Settings.model_validate(asked["settings"]), timedelta(seconds=asked["ahead"])
    app = gateway_app.build(settings, clock=lambda: utcnow() + ahead)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    adapters: dict[str, Any] = app[HOUSE].adapters  # type: ignore[assignment]
    adapters[BOX] = Timed(name=BOX, channel=adapters[BOX].channel, keep=adapters[BOX]._keep)
    adapters["sms"] = Dawdling(adapters["sms"], str(asked["ahead"]))
    site = web.SockSite(runner, listening.dup())
    await site.start()
    tell(listens=True)
    await until.wait()
    await runner.cleanup()


def set_up(asked: dict[str, Any]) -> None:
    log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 2)
    os.close(log)
    gateway_app.SWEEP_SECONDS = gateway_app.LOOK_SECONDS = OFTEN_SECONDS
    logs.set_up()


async def rehearse(asked: dict[str, Any], listening: socket.socket) -> None:
    enough = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, enough.set)
    await live(asked, listening, enough)


async def one_life(asked: dict[str, Any], listening: socket.socket) -> None:
    def died_at(name: str) -> None:
        tell(died_at=name)

    loop = asyncio.get_running_loop()
    loop.add_reader(0, os._exit, 0)  # nobody asks anything meanwhile: the driver has gone
    loop.add_signal_handler(signal.SIGUSR1, crash.arm, asked["instead"], died_at)
    crash.arm(asked["crash"], died_at)
    await live(asked, listening, asyncio.Event())


def child(asked: dict[str, Any], listening: socket.socket) -> None:
    """What a fork does; it does not return."""
    tell(born=os.getpid())  # by itself: what it tells next would come before a word of its parent's
    set_up(asked)
    try:
        asyncio.run(one_life(asked, listening))
    except BaseException as error:
        print(json.dumps({"level": "error", "event": f"no gateway: {error!r}"}), file=sys.stderr, flush=True)
    finally:
        os._exit(1)


def serve(fork: Callable[[], int] = os.fork) -> None:
    """One life after another, as asked for on standard input; to its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warm()
    compiled.share()
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", 0))
    listening.listen(1024)
    listening.setblocking(False)
    tell(url=f"http://127.0.0.1:{listening.getsockname()[1]}")
    while line := sys.stdin.readline():
        asked = json.loads(line)
        if asked.get("rehearsal"):
            set_up(asked)
            tell(born=os.getpid())
            asyncio.run(rehearse(asked, listening))
            sys.stdin.readline()
            gc.collect()
            gc.freeze()  # what is here is here for good: no child need look at it, and thereby copy it
            tell(ended=0)
            continue
        pid = fork()
        if pid == 0:
            child(asked, listening)
        _, status = os.waitpid(pid, 0)
        tell(ended=os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    serve()
