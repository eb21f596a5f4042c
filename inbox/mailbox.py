"""Messages as they are read: what people wrote, and what went to them one by one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Select, cast, func, literal, literal_column, null, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from content import composition
from store.tables import addresses, attempts, broadcasts, deliveries, messages
from store.types import Json, Key


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to send a message."""

    delivery_id: str
    state: str
    error: str | None
    at: datetime
    sent: dict[str, Any] | None  # where it is not the content word for word


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
    content: dict[str, Any]  # {"body"}, or whatsapp's {"template"}: as it was sent, or will be filled in
    provider_id: str | None
    status: str  # received, or as in outbox.statuses
    reason: str | None
    error: str | None
    rule_id: str | None
    in_reply_to: str | None
    created_by: str | None  # who asked for a single message
    resend_of: str | None
    created_at: datetime
    typed: str | None = None  # of an inbound e-mail: what the person wrote
    automatic: str | None = None  # of an inbound one that no person wrote: see store.tables
    attempts: Sequence[Attempt] = ()


def _nothing() -> Any:
    return cast(null(), Key())


def _inbound() -> Select[Any]:
    m = messages.c
    return select(
        m.id, literal_column("'inbound'").label("direction"), _nothing().label("class_"), m.channel, m.connection,
        m.profile_id, m.sender, m.receiver, m.body, m.subject, m.typed, m.automatic,
        cast(null(), Json()).label("content"),
        m.provider_id, literal_column("'received'").label("status"), _nothing().label("reason"),
        _nothing().label("error"), m.rule_id, _nothing().label("in_reply_to"), _nothing().label("created_by"),
        _nothing().label("resend_of"), m.created_at,
    )  # fmt: skip


def _outbound() -> Select[Any]:
    d = deliveries.c
    return select(
        d.id, literal_column("'outbound'").label("direction"), d["class"].label("class_"), d.channel, d.connection,
        d.profile_id, _nothing().label("sender"), func.coalesce(addresses.c.value, d.address).label("receiver"),
        _nothing().label("body"), _nothing().label("subject"), _nothing().label("typed"),
        _nothing().label("automatic"), func.coalesce(d.content, broadcasts.c.content).label("content"), d.provider_id,
        d.status, d.reason, d.error, d.rule_id, d.in_reply_to, d.created_by, d.resend_of, d.created_at,
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
            return (await _as_sent(conn, [_message(row)]))[0]
    return None


async def listed(
    conn: AsyncConnection,
    *,
    profile_ids: Sequence[str],
    direction: str | None,
    status: str | None,
    before: str | None,
    limit: int,
) -> list[Message]:
    """Messages that match, the newest first; broadcasts have deliveries of their own. No `profile_ids`: everybody's."""
    parts = []
    if direction != "outbound" and status in (None, "received"):
        parts.append(_inbound())
    if direction != "inbound" and status != "received":
        parts.append(_outbound().where(deliveries.c.broadcast_id.is_(None)))
    if not parts:
        return []
    both = union_all(*parts).subquery()
    statement = select(both).order_by(both.c.id.desc()).limit(limit)
    if profile_ids:
        statement = statement.where(both.c.profile_id.in_(profile_ids))
    if status is not None:
        statement = statement.where(both.c.status == literal(status, Key()))
    if before is not None:
        statement = statement.where(both.c.id < before)
    return await _as_sent(conn, [_message(row) for row in (await conn.execute(statement)).mappings()])


def _message(row: Any) -> Message:
    values = dict(row)
    body, subject, content = values.pop("body"), values.pop("subject"), values["content"]
    inbound = {"body": body} if subject is None else {"body": body, "subject": subject}
    values["content"] = inbound if content is None else composition.on_channel(content, values["channel"])
    return Message(**values)


async def _as_sent(conn: AsyncConnection, found: Sequence[Message]) -> list[Message]:
    """The messages with their attempts, and what the latest of them sent."""
    tried = await _attempts(conn, [message.id for message in found if message.direction == "outbound"])
    return [_with(message, tried.get(message.id, [])) for message in found]


def _with(message: Message, tried: Sequence[Attempt]) -> Message:
    sent = tried[-1].sent if tried else None
    return replace(message, attempts=tried, content=message.content if sent is None else sent)


async def _attempts(conn: AsyncConnection, ids: Collection[str]) -> dict[str, list[Attempt]]:
    if not ids:
        return {}
    a = attempts.c
    rows = await conn.execute(
        select(a.delivery_id, a.state, a.error, a.at, a.sent).where(a.delivery_id.in_(ids)).order_by(a.at, a.id)
    )
    found: dict[str, list[Attempt]] = defaultdict(list)
    for row in rows:
        found[row.delivery_id].append(Attempt(*row))
    return found
