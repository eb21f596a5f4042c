"""Ordinary messages that go on to where they are read, over the API: how far each has come, and one more try."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway import audit
from gateway.api import message_shapes as shapes
from gateway.api.answers import Done, listing
from gateway.api.base import PAGE, Call, Query, Route
from gateway.problems import Problem, not_found
from inbox import forwards
from inbox.forwards import Forward


def shown(forward: Forward) -> dict[str, Any]:
    return {
        "id": forward.id,
        "message_id": forward.message_id,
        "connection": forward.connection,
        "status": forward.status,
        "tries": forward.tries,
        "error": forward.error,
        "next_try_at": forward.due_at if forward.status == "queued" else None,
        "done_at": forward.done_at,
        "created_at": forward.created_at,
    }


async def listed(call: Call) -> web.Response:
    """Messages that no rule matched, on their way to the `forward_to` of their connection, the newest first.

    One that is not taken is tried for about three days, then `parked`.
    """
    query = call.query()
    before, limit = call.page()
    async with call.house.database.read() as conn:
        found = await forwards.listed(
            conn, status=query.get("status"), connection=query.get("connection"), before=before, limit=limit
        )
    return listing([shown(one) for one in found], [one.id for one in found], limit)


async def retry(call: Call) -> web.Response:
    """Try one now that is parked, or waits for its next try."""

    async def work(conn: AsyncConnection) -> Done:
        now = call.house.now()
        is_queued = await forwards.again(conn, call.id, now=now)
        found = await forwards.read(conn, call.id)
        if found is None:
            raise not_found("forward")
        if not is_queued:
            raise Problem(409, "already-forwarded", "It has arrived already", f"it was taken at {found.done_at}")
        await audit.note(conn, call.actor, "forward.retried", call.id, {}, now=now)
        return Done(shown(found), 202)

    response = await call.commit(work)
    call.house.forwarder.wake()
    return response


ROUTES: Sequence[Route] = (
    Route(
        "GET",
        "/v1/forwards",
        listed,
        "profiles:read",
        query=(
            Query("status", "How far they have come.", forwards.STATUSES),
            Query("connection", "Of which connection."),
            *PAGE,
        ),
        answers={200: shapes.Forwards},
    ),
    Route(
        "POST",
        "/v1/forwards/{id}/retry",
        retry,
        "configure",
        answers={202: shapes.Forward},
        problems=(404, 409),
    ),
)
