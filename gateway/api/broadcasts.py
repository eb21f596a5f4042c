"""Broadcasts over the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from broadcasts import records
from broadcasts.records import Broadcast, Counts
from consent import preferences, verdict
from gateway import audit
from gateway.api import audiences
from gateway.api.audiences import AudienceIn
from gateway.api.base import Body, Call, Route, answer, listing
from gateway.problems import invalid, not_found
from outbox.statuses import SKIP_REASONS, STATUSES
from store.tables import preferences as preferences_table


class TemplateIn(Body):
    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    language: str | None = None
    variables: dict[str, str] = Field(default_factory=dict)


class ContentIn(Body):
    body: Annotated[str, StringConstraints(min_length=1, max_length=1600)] | None = None
    template: TemplateIn | None = None


class BroadcastIn(Body):
    """What is not there yet may be named with the value that means nothing."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    channel: Literal["sms", "whatsapp", "email"]
    connection: str | None = None
    content: ContentIn
    audience: AudienceIn
    preference: str | None = None
    send_at: None = None
    quiet_hours: None = None
    rate: None = None
    dry_run: Literal[False] = False


async def create(call: Call) -> web.Response:
    """Make a broadcast; it is planned and sent at once, to those who said yes."""
    body = call.body(BroadcastIn)
    connection = _connection(call, body)
    content = _content(body)
    audience, parts = await audiences.read(
        body.audience, channel=body.channel, book=call.house.book, database=call.house.database
    )
    now = call.house.now()

    async def work(conn: AsyncConnection) -> dict[str, Any]:
        preference_id = await _preference(conn, body)
        broadcast_id = await records.create(
            conn,
            name=body.name,
            channel=body.channel,
            connection=connection,
            content=content,
            audience=audience,
            parts=parts,
            preference_id=preference_id,
            created_by=call.actor,
            now=now,
        )
        await audit.note(conn, call.actor, "broadcast.created", broadcast_id, {"audience": audience.kind}, now=now)
        return (await _shown(conn, [_found(await records.read(conn, broadcast_id))]))[0]

    document = await call.house.database.transact(work)
    call.house.planner.wake()
    return answer(document, status=202)


def _connection(call: Call, body: BroadcastIn) -> str:
    fitting = [name for name, adapter in call.house.adapters.items() if adapter.channel == body.channel]
    if body.connection is not None:
        if body.connection not in fitting:
            raise invalid(
                "connection",
                f"there is no such connection for {body.channel}; known are {', '.join(fitting) or 'none'}",
            )
        return body.connection
    if len(fitting) != 1:
        raise invalid("connection", f"name one: {', '.join(fitting) or f'none is configured for {body.channel}'}")
    return fitting[0]


def _content(body: BroadcastIn) -> dict[str, Any]:
    content = body.content
    if (content.body is None) == (content.template is None):
        raise invalid("content", "give `body`" + (" or `template`, not both" if body.channel == "whatsapp" else ""))
    if content.template is not None and body.channel != "whatsapp":
        raise invalid("content.template", "templates are for whatsapp")
    if content.body is not None and ("{{" in content.body or "{%" in content.body):
        raise invalid("content.body", "personalisation is not there yet: it would be sent as it stands")
    return content.model_dump(exclude_none=True)


async def _preference(conn: AsyncConnection, body: BroadcastIn) -> str | None:
    if body.preference is None:
        return None
    known = await preferences.by_names(conn, [body.preference])
    if body.preference not in known:
        raise invalid("preference", "there is no such preference")
    linked = (
        await conn.execute(
            select(preferences_table.c.linked_channel).where(preferences_table.c.id == known[body.preference])
        )
    ).scalar_one()
    if linked is not None and linked != body.channel:
        raise invalid("preference", f"it is linked to {linked}: a broadcast on {body.channel} cannot name it")
    return known[body.preference]


def _found(broadcast: Broadcast | None) -> Broadcast:
    if broadcast is None:
        raise not_found("broadcast")
    return broadcast


async def _shown(conn: AsyncConnection, found: Sequence[Broadcast]) -> list[dict[str, Any]]:
    counts = await records.counts(conn, [broadcast.id for broadcast in found])
    names = await preferences.names_of(conn, {b.preference_id for b in found if b.preference_id})
    return [_one(b, counts[b.id], names.get(b.preference_id or "")) for b in found]


def _one(broadcast: Broadcast, counts: Counts, preference: str | None) -> dict[str, Any]:
    return {
        "id": broadcast.id,
        "name": broadcast.name,
        "status": broadcast.status,
        "held": broadcast.held,
        "channel": broadcast.channel,
        "connection": broadcast.connection,
        "content": broadcast.content,
        "audience": audiences.shown(broadcast.audience),
        "preference": preference,
        "send_at": broadcast.send_at,
        "counts": {
            "planned": counts.planned,
            "skipped": counts.skipped,
            "by_status": counts.by_status,
            "by_reason": counts.by_reason,
        },
        "created_by": broadcast.created_by,
        "created_at": broadcast.created_at,
        "updated_at": broadcast.updated_at,
        "done_at": broadcast.done_at,
    }


async def listed(call: Call) -> web.Response:
    """Broadcasts, the newest first."""
    call.query()
    before, limit = call.page()
    async with call.house.database.read() as conn:
        found = await records.listed(conn, before=before, limit=limit)
        items = await _shown(conn, found)
    return listing(items, [broadcast.id for broadcast in found], limit)


async def get(call: Call) -> web.Response:
    """A broadcast, and how far it has come."""
    async with call.house.database.read() as conn:
        return answer((await _shown(conn, [_found(await records.read(conn, call.id))]))[0])


async def deliveries(call: Call) -> web.Response:
    """What became of everyone, with the reason."""
    query = call.query("status", "reason")
    after, limit = call.page()
    if (status := query.get("status")) is not None and status not in STATUSES:
        raise invalid("status", f"use one of {', '.join(STATUSES)}")
    if (reason := query.get("reason")) is not None and reason not in (*verdict.REASONS, *SKIP_REASONS):
        raise invalid("reason", f"use one of {', '.join((*verdict.REASONS, *SKIP_REASONS))}")
    async with call.house.database.read() as conn:
        _found(await records.read(conn, call.id))
        found = await records.deliveries_of(conn, call.id, status=status, reason=reason, after=after, limit=limit)
    items = [
        {
            "profile_id": d.profile_id,
            "address": d.address,
            "status": d.status,
            "reason": d.reason,
            "error": d.error,
            "message_id": d.id,
            "attempts": d.attempts,
        }
        for d in found
    ]
    return listing(items, [d.id for d in found], limit)


ROUTES: Sequence[Route] = (
    Route("POST", "/v1/broadcasts", create, "send", BroadcastIn, (202,)),
    Route("GET", "/v1/broadcasts", listed, "send"),
    Route("GET", "/v1/broadcasts/{id}", get, "send", None, (200, 404)),
    Route("GET", "/v1/broadcasts/{id}/deliveries", deliveries, "send", None, (200, 404)),
)
