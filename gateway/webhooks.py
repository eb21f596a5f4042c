"""What providers send us: bytes in, values through the inbox, an answer once it is durable."""

from __future__ import annotations

from dataclasses import replace

import structlog
from aiohttp import web

from channels.sandbox import Sandbox
from channels.values import Inbound, WebhookRequest
from gateway.api.base import HOUSE, authenticated
from gateway.metrics import METRICS, Metrics
from gateway.problems import Problem, not_found, unauthorised
from gateway.services import House
from inbox.receive import Answer, receive
from outbox import heed, reports
from outbox.reports import Reported
from store import crash
from store.group import GroupCommit

log = structlog.get_logger("webhooks")

BODY_BYTES = 262_144
INBOX: web.AppKey[GroupCommit[Inbound, Answer]] = web.AppKey("inbox", GroupCommit)


REPORTS: web.AppKey[GroupCommit[Reported, frozenset[str]]] = web.AppKey("reports", GroupCommit)


def open_reports(house: House, metrics: Metrics) -> GroupCommit[Reported, frozenset[str]]:
    """Where delivery reports are kept, together."""
    return GroupCommit(
        house.database,
        lambda conn, batch: reports.apply(conn, batch, now=house.now()),
        apart=True,
        on_commit=metrics.committed("reports"),
    )


def open_inbox(house: House, metrics: Metrics) -> GroupCommit[Inbound, Answer]:
    """The way in: messages that arrive together are kept in one transaction."""
    return GroupCommit(
        house.database,
        lambda conn, batch: receive(conn, batch, desk=house.desk, now=house.now()),
        apart=True,
        on_commit=metrics.committed("inbox"),
    )


async def inbound(request: web.Request) -> web.Response:
    """Keep a message and do what it asks; answered only when it is on disk and no send against it can begin."""
    house = request.app[HOUSE]
    adapter = house.adapters.get(request.match_info["connection"])
    if adapter is None:
        raise not_found("connection")
    if isinstance(adapter, Sandbox) and not house.settings.server.is_loopback:
        # What is posted here speaks as the customer: it takes a key that may do that anyway.
        key = await authenticated(request, house)
        if key is None:
            raise unauthorised()
        if not key.may("consent:write"):
            raise Problem(403, "forbidden", "The key does not open this", "it lacks the scope consent:write")
    raw = WebhookRequest(request.method, request.raw_path, request.headers, await _body(request))
    crash.point("inbound.read")
    received_at = house.now()
    messages = [replace(message, received_at=received_at) for message in adapter.receive(raw)]
    crash.point("inbound.genuine")
    answers = [await request.app[INBOX].submit(message) for message in messages]
    crash.point("inbound.committed")
    request.app[METRICS].kept(adapter.name, adapter.channel, len(answers))
    await heed.settle(house.database, {address_id for answer in answers for address_id in answer.closed})
    crash.point("inbound.settled")
    if not answers:
        return web.Response()
    http = answers[0].http
    if any(not adapter.replies_in_answer for _ in answers):
        house.dispatcher.wake()
    return _Answer(body=http.body, content_type=http.content_type, charset="utf-8")


class _Answer(web.Response):
    """An answer that tells when it is out."""

    async def write_eof(self, data: bytes = b"") -> None:
        await super().write_eof(data)
        crash.point("inbound.answered")


async def status(request: web.Request) -> web.Response:
    """Keep a delivery report; answered when it is on disk, and an opt-out in it is settled."""
    house = request.app[HOUSE]
    adapter = house.adapters.get(request.match_info["connection"])
    if adapter is None:
        raise not_found("connection")
    raw = WebhookRequest(request.method, request.raw_path, request.headers, await _body(request))
    told = adapter.report(raw)
    crash.point("report.genuine")
    closed = [await request.app[REPORTS].submit(Reported(report, adapter.name)) for report in told]
    crash.point("report.committed")
    await heed.settle(house.database, frozenset().union(*closed))
    crash.point("report.settled")
    return web.Response(status=204)


async def _body(request: web.Request) -> bytes:
    """At most BODY_BYTES, decompressed ones counted; raises Problem 413."""
    content = request.content
    received = bytearray(await content.readany())  # mostly the whole
    while len(received) <= BODY_BYTES and not content.at_eof():
        received += await content.readany()
    if len(received) > BODY_BYTES:
        raise Problem(413, "too-large", "The request is too large", f"at most {BODY_BYTES} bytes")
    return bytes(received)


def mount(app: web.Application) -> None:
    app.router.add_post("/webhooks/{connection}", inbound)
    app.router.add_post("/webhooks/{connection}/status", status)
