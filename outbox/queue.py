"""What is put into the queue one by one: replies now, single messages later. Broadcasts plan theirs set-based."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from store import bulk
from store.ids import new_id
from store.tables import deliveries

REPLIES, SINGLE, BULK = 0, 1, 2  # priorities: what a person waits for goes first


@dataclass(frozen=True, slots=True)
class Reply:
    """A rule's answer to a message: class `service`, bound by its own limits and never by consent."""

    profile_id: str
    address_id: str
    channel: str
    connection: str
    body: str
    in_reply_to: str
    rule_id: str | None
    sent: bool  # it went out with the answer to the provider's request
    answers: str | None = None  # the Message-ID of the mail that it answers


async def add_replies(conn: AsyncConnection, replies: Sequence[Reply], *, now: datetime) -> None:
    """Keep replies; those that did not go with the answer are sent next."""
    if not replies:
        return
    await bulk.insert_rows(
        conn,
        deliveries,
        [
            {
                "id": new_id("msg"),
                "profile_id": reply.profile_id,
                "address_id": reply.address_id,
                "channel": reply.channel,
                "connection": reply.connection,
                "class": "service",
                "priority": REPLIES,
                "content": {"body": reply.body} | ({"answers": reply.answers} if reply.answers else {}),
                "status": "accepted" if reply.sent else "queued",
                "rule_id": reply.rule_id,
                "in_reply_to": reply.in_reply_to,
                "tries": 0,
                "due_at": now,
                "created_at": now,
                "updated_at": now,
            }
            for reply in replies
        ],
    )
