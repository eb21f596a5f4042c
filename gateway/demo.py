"""`optgate demo`: a throw-away gateway, and what people do with it, told step by step.

It is the real gateway on a port of this machine, asked over HTTP like any other. Its database is in a temporary folder;
its connections are sandboxes: nothing leaves this machine, and nothing stays on it.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.terminal import run, settings_of, with_config

if TYPE_CHECKING:
    from gateway.services import House
    from gateway.settings import Settings

HOST = "127.0.0.1"
STOPPED = 130  # the exit status of who was interrupted before the end


@click.command("demo")
@click.option("--keep-running", is_flag=True, help="Go on serving after the story, until Ctrl-C; tell URL and key.")
@with_config
def demo_command(keep_running: bool, config: Path | None) -> None:
    """Watch a throw-away gateway at work: a START, a broadcast, a STOP, and the proof.

    Of a configuration only [organisation] counts. It leaves nothing behind.
    """
    settings = settings_of(config)
    if not run(settings, _until_stopped(_shown(settings, keep_running))):
        sys.exit(STOPPED)


async def _shown(settings: Settings, keep_running: bool) -> None:
    from gateway.story import Narrator, tell

    with tempfile.TemporaryDirectory(prefix="optgate-demo-") as folder, _port() as listening:
        url = f"http://{HOST}:{listening.getsockname()[1]}"
        async with _gateway(_thrown_away(settings, folder, url), listening) as (house, key):
            await tell(Narrator(url, key), house.database)
            if keep_running:
                _tell_where(url, key)
                with suppress(asyncio.CancelledError):  # that is how it ends
                    await asyncio.Event().wait()


def _tell_where(url: str, key: str) -> None:
    click.echo()
    click.echo("It goes on running until you press Ctrl-C; then all of it is taken away.")
    click.echo(f"  URL  {url}")
    click.echo(f"  key  {key}")
    click.echo("Text it, and see who said what:")
    click.echo(f"""  curl -s {url}/webhooks/sms \\
    -d '{{"from": "+14155550101", "to": "+12025550100", "body": "START"}}'""")
    click.echo(f"  curl -s {url}/v1/consent-events \\\n    -H 'Authorization: Bearer {key}'")


async def _until_stopped(story: Coroutine[Any, Any, None]) -> bool:
    """Whether the story was told before SIGINT or SIGTERM came; either way all is cleaned up."""
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    telling, waiting = asyncio.create_task(story), asyncio.create_task(stopping.wait())
    await asyncio.wait({telling, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    telling.cancel()
    try:
        await telling
    except asyncio.CancelledError:
        return False
    return True


def _thrown_away(settings: Settings, folder: str, url: str) -> Settings:
    """Settings of their own, but for who speaks: no file and no variable leads the demo to a real database."""
    from gateway.settings import DatabaseSettings, Defaults, RuleSettings, Sending, Server, sandboxes

    fresh = {
        "server": Server(host=HOST, public_url=url),
        "database": DatabaseSettings(url=f"sqlite:///{folder}/optgate.db"),
        "defaults": Defaults(),
        "sending": Sending(),
        "rules": RuleSettings(),
        "connections": sandboxes(),
    }
    return settings.model_copy(update=fresh)


def _port() -> socket.socket:
    """A port that was free, and is ours."""
    listening = socket.socket()
    listening.bind((HOST, 0))
    return listening


@asynccontextmanager
async def _gateway(settings: Settings, listening: socket.socket) -> AsyncIterator[tuple[House, str]]:
    """The gateway, serving, and a key that opens it."""
    from aiohttp import web

    from gateway import app as gateway_app
    from gateway import first_steps, logs
    from gateway.api.base import HOUSE

    logs.set_up()
    app = gateway_app.build(settings)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, handle_signals=False)
    await runner.setup()
    try:
        await web.SockSite(runner, listening).start()
        yield app[HOUSE], await first_steps.new_key(app[HOUSE])
    finally:
        await runner.cleanup()
