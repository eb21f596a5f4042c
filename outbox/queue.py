"""What is put into the queue one by one: replies now, single messages later. Broadcasts plan theirs set-based."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from store import bulk
from store.ids import new_id
from store.tables import deliveries

REPLIES, SINGLE, BULK = 0, 1, 2  # priorities: what a person waits for goes first


@dataclass(frozen=True, slots=True)
class Notice:
    """What follows from a person's own act: a rule's reply, a question.

    Class `service`: bound by its own limits and never by consent.
    """

    profile_id: str | None  # None: nobody has the address yet
    address_id: str
    channel: str
    connection: str
    content: Mapping[str, Any]
    in_reply_to: str | None = None  # the message
    rule_id: str | None = None
    sent: bool = False  # it went out with the answer to the provider's request
    not_after: datetime | None = None  # it is of no use then
    answers: str | None = None  # the Message-ID of the mail that it answers


async def add_notices(conn: AsyncConnection, notices: Sequence[Notice], *, now: datetime) -> None:
    """Keep notices; those that did not go with the answer are sent next."""
    if not notices:
        return
    await bulk.insert_rows(
        conn,
        deliveries,
        [
            {
                "id": new_id("msg"),
                "profile_id": notice.profile_id,
                "address_id": notice.address_id,
                "channel": notice.channel,
                "connection": notice.connection,
                "class": "service",
                "priority": REPLIES,
                "content": dict(notice.content) | ({"answers": notice.answers} if notice.answers else {}),
                "status": "accepted" if notice.sent else "queued",
                "rule_id": notice.rule_id,
                "in_reply_to": notice.in_reply_to,
                "not_after": notice.not_after,
                "tries": 0,
                "due_at": now,
                "created_at": now,
                "updated_at": now,
            }
            for notice in notices
        ],
    )
