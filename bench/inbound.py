"""How fast a STOP is durable, against a handler that only reads the form and computes the signature.

Both are served by the same process in turn, round by round, over loopback with as many connections; every STOP is from
a new number. The ratio of the medians is the figure.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator

import aiohttp
from aiohttp import web
from twilio.request_validator import RequestValidator

from gateway import app as gateway_app
from gateway.settings import Settings

TOKEN = "0123456789abcdef0123456789abcdef"
ACCOUNT = "AC" + "0" * 32
URL = "http://127.0.0.1:8080/webhooks/sms"
ROUNDS = 4
SECONDS = 2.0
CONCURRENCIES = (1, 8, 64)


def settings_on(database_url: str) -> Settings:
    connection = {"provider": "twilio", "channel": "sms", "account_sid": ACCOUNT, "auth_token": TOKEN}
    return Settings.model_validate(
        {"database": {"url": database_url}, "connections": {"sms": connection | {"from": "+14155550100"}}}
    )


def messages() -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """Form and headers of one STOP after another, each signed, each from a new number."""
    validator = RequestValidator(TOKEN)
    for number in itertools.count():
        form = {
            "MessageSid": f"SM{number:032d}",
            "AccountSid": ACCOUNT,
            "From": f"+1415{number:07d}",
            "To": "+14155550100",
            "Body": "STOP",
            "NumMedia": "0",
        }
        yield form, {"X-Twilio-Signature": validator.compute_signature(URL, form)}


async def limit(request: web.Request) -> web.Response:
    """What any handler must do: read the form, compute the signature."""
    form = await request.post()
    RequestValidator(TOKEN).compute_signature(URL, form)
    return web.Response(text="<Response/>", content_type="application/xml")


async def serve(app: web.Application) -> tuple[web.AppRunner, str]:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}/webhooks/sms"


async def rate(url: str, source: Iterator[tuple[dict[str, str], dict[str, str]]], concurrency: int) -> float:
    """Answers a second."""
    answered = 0
    until = time.perf_counter() + SECONDS

    async def client(session: aiohttp.ClientSession) -> None:
        nonlocal answered
        while time.perf_counter() < until:
            form, headers = next(source)
            async with session.post(url, data=form, headers=headers) as response:
                if response.status != 200:
                    raise RuntimeError(f"answered {response.status}")
                await response.read()
            answered += 1

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency)) as session:
        began = time.perf_counter()
        await asyncio.gather(*(client(session) for _ in range(concurrency)))
        return answered / (time.perf_counter() - began)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        bare = web.Application()
        bare.router.add_post("/webhooks/sms", limit)
        gateway, gateway_url = await serve(gateway_app.build(settings_on(f"sqlite:///{folder}/optgate.db")))
        base, base_url = await serve(bare)
        source = messages()
        print("inbound STOP, durable, SQLite; limit: form and signature alone (client and server share one process)")
        try:
            for concurrency in CONCURRENCIES:
                ours, theirs = [], []
                for _ in range(ROUNDS):
                    theirs.append(await rate(base_url, source, concurrency))
                    ours.append(await rate(gateway_url, source, concurrency))
                median, bound = statistics.median(ours), statistics.median(theirs)
                print(f"concurrency {concurrency:3}: {median:6.0f}/s of {bound:6.0f}/s = {median / bound:.2f}")
        finally:
            await gateway.cleanup()
            await base.cleanup()
