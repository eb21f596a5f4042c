"""What providers send us: bytes in, values kept by `arrivals`, an answer once they are durable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from aiohttp import web

from channels.sandbox import Sandbox
from channels.values import Adapter, Challenged, Fetching, HttpAnswer, Told, WebhookRequest
from gateway.api.base import HOUSE, authenticated
from gateway.arrivals import ARRIVALS
from gateway.problems import Problem, not_found, unauthorised
from gateway.services import House
from store import crash

LARGE_BYTES = 65_536  # what is read in a thread, so that others are served meanwhile: a mail has up to 25 MB


async def inbound(request: web.Request) -> web.Response:
    """Keep messages and do what they ask; answered only when that is on disk and no send against it can begin."""
    house = request.app[HOUSE]
    adapter = _adapter(request, house)
    await _check_sandbox(request, house, adapter)
    raw = await _read(request, adapter)
    crash.point("inbound.read")
    received_at = house.now()
    told = await _told(adapter, adapter.receive, raw)
    crash.point("inbound.genuine")
    kept = await request.app[ARRIVALS].keep(adapter, told, received_at=received_at)
    crash.point("inbound.committed")
    await kept.settled(house.database)
    crash.point("inbound.settled")
    return _Answer(body=kept.http.body, content_type=kept.http.content_type, charset="utf-8")


async def status(request: web.Request) -> web.Response:
    """Keep what is told of messages and addresses; answered when it is on disk, and an opt-out in it is settled."""
    house = request.app[HOUSE]
    adapter = _adapter(request, house)
    raw = await _read(request, adapter)
    received_at = house.now()
    told = await _told(adapter, adapter.report, raw)
    crash.point("report.genuine")
    kept = await request.app[ARRIVALS].keep(adapter, told, received_at=received_at)
    crash.point("report.committed")
    await kept.settled(house.database)
    crash.point("report.settled")
    return web.Response()


async def challenge(request: web.Request) -> web.Response:
    """Prove to a provider that asks whose webhook this is. What it gets back is no page, whatever is in it."""
    adapter = _adapter(request, request.app[HOUSE])
    if not isinstance(adapter, Challenged):
        raise web.HTTPMethodNotAllowed("GET", ["POST"])
    http: HttpAnswer = adapter.challenge(WebhookRequest(request.method, request.raw_path, request.headers, b""))
    return web.Response(body=http.body, content_type=http.content_type, charset="utf-8")


class _Answer(web.Response):
    """An answer that tells when it is out."""

    async def write_eof(self, data: bytes = b"") -> None:
        await super().write_eof(data)
        crash.point("inbound.answered")


def _adapter(request: web.Request, house: House) -> Adapter:
    adapter = house.adapters.get(request.match_info["connection"])
    if adapter is None:
        raise not_found("connection")
    return adapter


async def _check_sandbox(request: web.Request, house: House, adapter: Adapter) -> None:
    """What is posted to a sandbox speaks as the customer: it takes a key that may do that anyway."""
    if not isinstance(adapter, Sandbox) or house.settings.server.is_loopback:
        return
    key = await authenticated(request, house)
    if key is None:
        raise unauthorised()
    if not key.may("consent:write"):
        raise Problem(403, "forbidden", "The key does not open this", "it lacks the scope consent:write")


async def _read(request: web.Request, adapter: Adapter) -> WebhookRequest:
    """The request with at most `adapter.body_bytes`, decompressed ones counted; raises Problem 413."""
    most, content = adapter.body_bytes, request.content
    received = bytearray(await content.readany())  # mostly the whole
    while len(received) <= most and not content.at_eof():
        received += await content.readany()
    if len(received) > most:
        raise Problem(413, "too-large", "The request is too large", f"at most {most} bytes")
    return WebhookRequest(request.method, request.raw_path, request.headers, bytes(received))


async def _told(
    adapter: Adapter, read: Callable[[WebhookRequest], Sequence[Told]], raw: WebhookRequest
) -> Sequence[Told]:
    """What the request holds; raises Forged or Malformed."""
    if isinstance(adapter, Fetching):
        await adapter.fetch(raw)
    return read(raw) if len(raw.body) <= LARGE_BYTES else await asyncio.to_thread(read, raw)


def mount(app: web.Application) -> None:
    app.router.add_post("/webhooks/{connection}", inbound)
    app.router.add_get("/webhooks/{connection}", challenge)
    app.router.add_post("/webhooks/{connection}/status", status)
