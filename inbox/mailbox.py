"""Messages as they are read: what people wrote, and what went to them one by one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, cast, func, literal, literal_column, null, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from store.tables import addresses, broadcasts, deliveries, messages
from store.types import Json, Key


@dataclass(frozen=True, slots=True)
class Message:
    id: str
    direction: str  # inbound | outbound
    class_: str | None  # of an outbound one
    channel: str
    connection: str
    profile_id: str | None
    sender: str | None
    receiver: str | None
    body: str | None
    provider_id: str | None
    status: str  # received, or as in outbox.statuses
    reason: str | None
    error: str | None
    rule_id: str | None
    in_reply_to: str | None
    created_at: datetime


def _nothing() -> Any:
    return cast(null(), Key())


def _inbound() -> Select[Any]:
    m = messages.c
    return select(
        m.id, literal_column("'inbound'").label("direction"), _nothing().label("class_"), m.channel, m.connection,
        m.profile_id, m.sender, m.receiver, m.body, cast(null(), Json()).label("content"),
        m.provider_id, literal_column("'received'").label("status"), _nothing().label("reason"),
        _nothing().label("error"), m.rule_id, _nothing().label("in_reply_to"), m.created_at,
    )  # fmt: skip


def _outbound() -> Select[Any]:
    d = deliveries.c
    return select(
        d.id, literal_column("'outbound'").label("direction"), d["class"].label("class_"), d.channel, d.connection,
        d.profile_id, _nothing().label("sender"), func.coalesce(addresses.c.value, d.address).label("receiver"),
        _nothing().label("body"), func.coalesce(d.content, broadcasts.c.content).label("content"), d.provider_id,
        d.status, d.reason, d.error, d.rule_id, d.in_reply_to, d.created_at,
    ).select_from(
        deliveries.outerjoin(addresses, addresses.c.id == d.address_id)
        .outerjoin(broadcasts, broadcasts.c.id == d.broadcast_id)
    )  # fmt: skip


async def read(conn: AsyncConnection, message_id: str) -> Message | None:
    """The message with this id; a broadcast's delivery is one too."""
    for statement in (
        _inbound().where(messages.c.id == message_id),
        _outbound().where(deliveries.c.id == message_id),
    ):
        row = (await conn.execute(statement)).mappings().one_or_none()
        if row is not None:
            return _message(row)
    return None


async def listed(
    conn: AsyncConnection,
    *,
    profile_id: str | None,
    direction: str | None,
    status: str | None,
    before: str | None,
    limit: int,
) -> list[Message]:
    """Messages that match, the newest first; broadcasts have deliveries of their own."""
    parts = []
    if direction != "outbound" and status in (None, "received"):
        parts.append(_inbound())
    if direction != "inbound" and status != "received":
        parts.append(_outbound().where(deliveries.c.broadcast_id.is_(None)))
    if not parts:
        return []
    both = union_all(*parts).subquery()
    statement = select(both).order_by(both.c.id.desc()).limit(limit)
    if profile_id is not None:
        statement = statement.where(both.c.profile_id == profile_id)
    if status is not None:
        statement = statement.where(both.c.status == literal(status, Key()))
    if before is not None:
        statement = statement.where(both.c.id < before)
    return [_message(row) for row in (await conn.execute(statement)).mappings()]


def _message(row: Any) -> Message:
    values = dict(row)
    content = values.pop("content") or {}
    values["body"] = values["body"] if values["body"] is not None else content.get("body")
    return Message(**values)
