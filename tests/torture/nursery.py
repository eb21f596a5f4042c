"""Gateways by the thousand: a warm parent that forks each one, so that a life costs no start of Python.

The parent has imported everything and listens on one port for all of them; a gateway that is dead leaves what was not
yet accepted to the next, and its clients keep one address. Each child is the real application on the database it is
named, with a crash point armed.

    stdin   {"settings": {…}, "crash": "claim.committed:1", "ahead": 61.0, "log": "FILE"}    one life
    stdout  {"url": …}   {"born": PID}   {"listens": true}   {"died_at": "claim.committed"}   {"ended": -9}
"""

from __future__ import annotations

import asyncio
import json
import os
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
from channels.values import Inbound, WebhookRequest
from gateway import app as gateway_app
from gateway import logs
from gateway.api.base import HOUSE
from gateway.settings import Settings
from store import crash
from store.clock import utcnow

OFTEN_SECONDS = 0.25  # the sweep and the settlement; in production 5 and more: a life is short
AT = "X-Said-At"
BOX = "box"


class Timed(Sandbox):
    """A provider that tells when a message was written, as some do: the time stands in a header."""

    def receive(self, request: WebhookRequest) -> list[Inbound]:
        (message,) = super().receive(request)
        at = request.headers.get(AT)
        return [replace(message, provider_at=datetime.fromisoformat(at)) if at else message]


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


async def live(settings: Settings, listening: socket.socket, ahead: timedelta) -> None:
    """The gateway, until it is killed."""
    asyncio.get_running_loop().add_reader(0, os._exit, 0)  # nobody asks anything meanwhile: the driver has gone
    app = gateway_app.build(settings, clock=lambda: utcnow() + ahead)
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    adapters: dict[str, Any] = app[HOUSE].adapters  # type: ignore[assignment]
    adapters[BOX] = Timed(name=BOX, channel=adapters[BOX].channel, keep=adapters[BOX]._keep)
    await web.SockSite(runner, listening).start()
    tell(listens=True)
    await asyncio.Event().wait()


def child(asked: dict[str, Any], listening: socket.socket) -> None:
    """What a fork does; it does not return."""
    log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 2)
    gateway_app.SWEEP_SECONDS = gateway_app.ASK_SECONDS = OFTEN_SECONDS  # type: ignore[assignment]
    logs.set_up()
    crash.arm(asked["crash"], lambda name: tell(died_at=name))
    try:
        asyncio.run(live(Settings.model_validate(asked["settings"]), listening, timedelta(seconds=asked["ahead"])))
    except BaseException as error:
        print(json.dumps({"level": "error", "event": f"no gateway: {error!r}"}), file=sys.stderr, flush=True)
    finally:
        os._exit(1)


def serve(fork: Callable[[], int] = os.fork) -> None:
    """One life after another, as asked for on standard input; to its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warm()
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", 0))
    listening.listen(1024)
    listening.setblocking(False)
    tell(url=f"http://127.0.0.1:{listening.getsockname()[1]}")
    while line := sys.stdin.readline():
        pid = fork()
        if pid == 0:
            child(json.loads(line), listening)
        tell(born=pid)
        _, status = os.waitpid(pid, 0)
        tell(ended=os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    serve()
