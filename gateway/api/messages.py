"""Messages over the API: what people wrote, what we answered, what the sandbox sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from gateway.api.base import Call, Route, answer, listing
from gateway.problems import invalid, not_found
from inbox import mailbox
from inbox.mailbox import Message
from outbox import sandbox
from outbox.statuses import STATUSES


def shown(message: Message) -> dict[str, Any]:
    return {
        "id": message.id,
        "direction": message.direction,
        "class": message.class_,
        "channel": message.channel,
        "connection": message.connection,
        "profile_id": message.profile_id,
        "from": message.sender,
        "to": message.receiver,
        "body": message.body,
        "provider_id": message.provider_id,
        "status": message.status,
        "reason": message.reason,
        "error": message.error,
        "rule_id": message.rule_id,
        "in_reply_to": message.in_reply_to,
        "created_at": message.created_at,
    }


async def listed(call: Call) -> web.Response:
    """Messages, the newest first; of broadcasts see their deliveries."""
    query = call.query("profile_id", "direction", "status")
    before, limit = call.page()
    if (direction := query.get("direction")) is not None and direction not in ("inbound", "outbound"):
        raise invalid("direction", "use inbound or outbound")
    if (status := query.get("status")) is not None and status not in (*STATUSES, "received"):
        raise invalid("status", f"use one of {', '.join((*STATUSES, 'received'))}")
    async with call.house.database.read() as conn:
        found = await mailbox.listed(
            conn, profile_id=query.get("profile_id"), direction=direction, status=status, before=before, limit=limit
        )
    return listing([shown(m) for m in found], [m.id for m in found], limit)


async def get(call: Call) -> web.Response:
    """One message, inbound or outbound."""
    async with call.house.database.read() as conn:
        found = await mailbox.read(conn, call.id)
    if found is None:
        raise not_found("message")
    return answer(shown(found))


async def sandbox_messages(call: Call) -> web.Response:
    """What the sandbox connections sent, the newest first."""
    query = call.query("connection", "to")
    before, limit = call.page()
    async with call.house.database.read() as conn:
        kept = await sandbox.listed(
            conn, connection=query.get("connection"), to=query.get("to"), before=before, limit=limit
        )
    items = [
        {"id": k.id, "connection": k.connection, "from": k.sender, "to": k.receiver, "body": k.body, "at": k.at}
        for k in kept
    ]
    return listing(items, [k.id for k in kept], limit)


ROUTES: Sequence[Route] = (
    Route("GET", "/v1/messages", listed, "profiles:read"),
    Route("GET", "/v1/messages/{id}", get, "profiles:read", None, (200, 404)),
    # As for broadcasts' deliveries: whoever sends may see what went out, and to whom.
    Route("GET", "/v1/sandbox/messages", sandbox_messages, "send"),
)
