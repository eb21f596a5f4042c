"""Broadcasts over the API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncConnection

from audience.lists import Part
from broadcasts import control, forecast, records
from broadcasts.control import WrongState
from broadcasts.records import Broadcast, Counts, Draft
from consent import preferences, verdict
from gateway import audit
from gateway.api import audiences, broadcast_wishes, contents
from gateway.api import broadcast_shapes as shapes
from gateway.api.answers import Done, answer, listing
from gateway.api.base import PAGE, Call, Query, Route
from gateway.api.broadcast_wishes import BroadcastIn
from gateway.problems import Problem, not_found
from outbox.statuses import SKIP_REASONS, STATUSES


async def create(call: Call) -> web.Response:
    """Make a broadcast; it is planned at once, and sent when its time has come to those who said yes. Or try it dry."""
    body = call.body(BroadcastIn)
    now = call.house.now()
    draft = broadcast_wishes.draft(call, body, now)
    channels = [route["channel"] for route in draft.routes]
    audience, parts = await audiences.read(
        body.audience, channel=channels[0], book=call.house.book, database=call.house.database
    )
    draft = replace(draft, audience=audience)
    if body.dry_run:
        return await _tried(call, body, draft, parts)

    async def work(conn: AsyncConnection) -> Done:
        checked = await _checked(conn, body, draft)
        broadcast_id = await records.create(conn, checked, parts=parts, created_by=call.actor, now=now)
        detail = {"audience": audience.kind} | ({} if draft.quiet_hours is None else {"quiet_hours": draft.quiet_hours})
        await audit.note(conn, call.actor, "broadcast.created", broadcast_id, detail, now=now)
        return Done(await _read(conn, broadcast_id), 202)

    response = await call.commit(work)
    call.house.planner.wake()
    return response


async def _tried(call: Call, body: BroadcastIn, draft: Draft, parts: Sequence[Part]) -> web.Response:
    async with call.house.database.read() as conn:
        checked = await _checked(conn, body, draft, dry=True)
    counts = await forecast.count(call.house.database, checked, parts, now=call.house.now())
    told = {"warnings": found} if (found := contents.warnings(draft.content)) else {}
    return answer({"id": None, "status": "dry_run", "counts": _counted(counts)} | told)


async def _checked(conn: AsyncConnection, body: BroadcastIn, draft: Draft, *, dry: bool = False) -> Draft:
    """With the preference that it names; raises Problem for what the database does not know."""
    await contents.check_preferences(conn, draft.content)
    channels = [route["channel"] for route in draft.routes]
    named = await broadcast_wishes.preference_for(conn, body.preference, channels, hold=not dry)
    return replace(draft, preference_id=named)


# --- under way ---------------------------------------------------------------------------------


async def pause(call: Call) -> web.Response:
    """Send nothing more until it is resumed; answered when nothing begins to be sent any more."""
    return await _turn(call, "paused", control.pause)


async def resume(call: Call) -> web.Response:
    """Go on where it was paused."""
    return await _turn(call, "resumed", control.resume)


async def cancel(call: Call) -> web.Response:
    """Send nothing more, ever; answered when nothing begins to be sent any more."""
    return await _turn(call, "cancelled", control.cancel)


async def _turn(call: Call, done: str, act: Callable[..., Awaitable[bool | None]]) -> web.Response:
    now = call.house.now()

    async def work(conn: AsyncConnection) -> Done:
        turned = await act(conn, call.id, now=now)
        if turned is None:
            raise not_found("broadcast")
        if turned:
            await audit.note(conn, call.actor, f"broadcast.{done}", call.id, {}, now=now)
        closed = frozenset() if done == "resumed" else frozenset({call.id})
        return Done(await _read(conn, call.id), closed=closed)

    try:
        response = await call.commit(work)
    except WrongState as error:
        detail = f"it is {error}"
        raise Problem(409, "wrong-state", f"The broadcast cannot be {done}", detail, state=str(error)) from error
    if done == "resumed":
        call.house.dispatcher.wake()
    call.house.planner.wake()
    return response


# --- as it is shown ----------------------------------------------------------------------------


def _found(broadcast: Broadcast | None) -> Broadcast:
    if broadcast is None:
        raise not_found("broadcast")
    return broadcast


async def _read(conn: AsyncConnection, broadcast_id: str) -> dict[str, Any]:
    """One broadcast as it is shown; raises Problem 404."""
    return (await _shown(conn, [_found(await records.read(conn, broadcast_id))]))[0]


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
        "channels": [route["channel"] for route in broadcast.routes],
        "connections": {route["channel"]: route["connection"] for route in broadcast.routes},
        "content": broadcast.content,
        "warnings": contents.warnings(broadcast.content),
        "audience": audiences.shown(broadcast.audience),
        "preference": preference,
        "send_at": broadcast.send_at,
        "not_after": broadcast.not_after,
        "quiet_hours": broadcast.quiet_hours,
        "rate": broadcast.rate,
        "counts": _counted(counts),
        "created_by": broadcast.created_by,
        "created_at": broadcast.created_at,
        "updated_at": broadcast.updated_at,
        "done_at": broadcast.done_at,
    }


def _counted(counts: Counts) -> dict[str, Any]:
    return {
        "planned": counts.planned,
        "skipped": counts.skipped,
        "by_status": counts.by_status,
        "by_reason": counts.by_reason,
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
        return answer(await _read(conn, call.id))


async def deliveries(call: Call) -> web.Response:
    """What became of everyone, with the reason."""
    query = call.query()
    after, limit = call.page()
    async with call.house.database.read() as conn:
        _found(await records.read(conn, call.id))
        found = await records.deliveries_of(
            conn, call.id, status=query.get("status"), reason=query.get("reason"), after=after, limit=limit
        )
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
    Route(
        "POST",
        "/v1/broadcasts",
        create,
        "send",
        BroadcastIn,
        example={
            "name": "Autumn season",
            "channel": "sms",
            "connection": "sms",
            "audience": {"tag": "season-2026"},
            "preference": "Drama",
            "content": {"body": "Hi {{ first_name | default: 'there' }}, the autumn season is on sale."},
            "quiet_hours": {"from": "21:00", "to": "08:00"},
        },
        answers={200: shapes.DryRun, 202: shapes.Broadcast},
    ),
    Route("GET", "/v1/broadcasts", listed, "send", query=PAGE, answers={200: shapes.Broadcasts}),
    Route("GET", "/v1/broadcasts/{id}", get, "send", answers={200: shapes.Broadcast}, problems=(404,)),
    *(
        Route(
            "POST",
            f"/v1/broadcasts/{{id}}/{verb}",
            act,
            "send",
            answers={200: shapes.Broadcast},
            problems=(404, 409),
        )
        for verb, act in (("pause", pause), ("resume", resume), ("cancel", cancel))
    ),
    Route(
        "GET",
        "/v1/broadcasts/{id}/deliveries",
        deliveries,
        "send",
        query=(
            Query("status", "How far they have come.", STATUSES),
            Query("reason", "Why they were skipped.", (*verdict.REASONS, *SKIP_REASONS)),
            *PAGE,
        ),
        answers={200: shapes.Deliveries},
        problems=(404,),
    ),
)
