"""The gateways that are measured: as it is served, and with one thing done otherwise. All speak Twilio.

    python -m bench.gateways OTHERWISE --config FILE

OTHERWISE is `alone`: each message is written by a transaction of its own, as if there were no group commit; or
`direct`: Twilio is posted to without the twilio library.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from bench.processes import ROOT, Process, running
from gateway.settings import Settings

TOKEN = "0123456789abcdef0123456789abcdef"
ACCOUNT = "AC" + "0" * 32
OUR_NUMBER = "+14155550100"
ORIGIN = "http://127.0.0.1:8080"
PATH = "/webhooks/sms"
URL = ORIGIN + PATH
ALONE_AT_ONCE = 12  # transactions, where the database takes several writers: as many as there are connections


def settings_on(database_url: str) -> Settings:
    connection = {"provider": "twilio", "channel": "sms", "account_sid": ACCOUNT, "auth_token": TOKEN}
    return Settings.model_validate(
        {"database": {"url": database_url}, "connections": {"sms": connection | {"from": OUR_NUMBER}}}
    )


async def serve(app: web.Application) -> tuple[web.AppRunner, str]:
    """Serve an application in this process."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}{PATH}"


def write_config(folder: Path, database_url: str, provider_url: str = "http://127.0.0.1:9") -> Path:
    file = folder / f"{abs(hash((database_url, provider_url)))}.toml"
    file.write_text(
        f"""[server]
port = 0
public_url = "{ORIGIN}"
[database]
url = "{database_url}"
[sending]
quiet_hours = "off"
[connections.sms]
provider = "twilio"
channel = "sms"
account_sid = "{ACCOUNT}"
auth_token = "{TOKEN}"
from = "{OUR_NUMBER}"
rate = 100000
stop_notice = "never"
api_url = "{provider_url}"
"""
    )
    return file


@contextmanager
def gateway(config: Path, otherwise: str | None = None, *, root: Path = ROOT) -> Iterator[Process]:
    """`optgate serve` of the sources in `root`, or the same with one thing done otherwise."""
    words = ("bench.gateways", otherwise) if otherwise else ("gateway.cli", "serve")
    with running(*words, "--config", str(config), sign="Optgate listens on ", root=root) as process:
        yield process


def _alone() -> None:
    """Let whoever submits have a transaction of their own."""
    from store import group

    class Alone(group.GroupCommit[Any, Any]):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            at_once = 1 if self._database.dialect == "sqlite" else ALONE_AT_ONCE
            self._turns = asyncio.Semaphore(at_once)

        async def submit(self, item: Any) -> Any:
            async with self._turns:
                return (await self._database.transact(lambda conn: self._unit(conn, [item]), apart=self._apart))[0]

    from gateway import webhooks

    webhooks.GroupCommit = Alone  # type: ignore[misc]


def _direct() -> None:
    """Post to Twilio by hand: the same request, the same judgement of what was seen on the wire."""
    from urllib.parse import urlencode

    from channels.http import post
    from channels.twilio import adapter
    from channels.twilio.client import authorization
    from channels.twilio.send import _content, _judge, addressed
    from channels.values import Outbound, Outcome

    headers = authorization((ACCOUNT, TOKEN)) | {"Content-Type": "application/x-www-form-urlencoded"}

    async def send(client: Any, message: Outbound, sending_as: dict[str, str], status_callback: str) -> Outcome:
        form = {"To": addressed(message.channel, message.to), "StatusCallback": status_callback}
        form |= {"From": sending_as["from_"], "Body": _content(message)["body"]}
        url = f"{client.api.base_url}/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
        exchange = await post(
            client.http_client._session, url, data=urlencode(form).encode(), headers=headers, seconds=10
        )
        return _judge(exchange, message.to)

    adapter.send = send


if __name__ == "__main__":
    otherwise, *rest = sys.argv[1:]
    {"alone": _alone, "direct": _direct}[otherwise]()
    sys.argv[1:] = ["serve", *rest]
    from gateway.cli import main

    sys.exit(main())
