"""A message once more, by an operator's wish: one of unknown end, or one that failed.

A message, what it repeats and what repeats it are a family: one of them at most is on its way or has arrived, unless
the operator accepts that the person may get it twice. Whoever adds to a family holds its eldest.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from outbox import singles
from outbox.singles import Route, Single
from store.tables import broadcasts, deliveries

OF_UNKNOWN_END = ("in_doubt", "unknown")
NEVER_ARRIVED = ("failed", "undelivered", "skipped", "cancelled")
_WHY_NOT = {
    "queued": "it is queued still",
    "sending": "it is being sent just now",
    "accepted": "the provider has taken it",
    "sent": "it was sent",
    "delivered": "it was delivered",
    "read": "it was read",
    "skipped": "it was not to be sent, for the reason that stands with it; send a new message instead",
    "cancelled": "it was cancelled; send a new message instead",
}


class NotResendable(Exception):
    """The message is not one to send again; the text says why."""


class MayBeDuplicate(Exception):
    """The person may have got it: `accept_duplicate` was not said."""


class Repeated(Exception):
    """Another of its family, which the text names, is on its way or has arrived."""


@dataclass(frozen=True, slots=True)
class Held:
    """An outbound message that nobody else can send again until the transaction ends."""

    id: str
    profile_id: str | None
    address_id: str | None
    channel: str
    connection: str
    class_: str
    preference_id: str | None
    by_address: bool
    content: dict[str, Any]
    not_after: datetime | None
    quiet_hours: Any
    status: str
    elders: dict[str, str]  # what it repeats, and what that repeats: id → status
    others: dict[str, str]  # what else repeats any of these


async def hold(conn: AsyncConnection, message_id: str) -> Held | None:
    """The outbound message with this id, a broadcast's delivery too; None where there is none."""
    elders = await _elders(conn, message_id)
    await conn.execute(
        select(deliveries.c.id)
        .where(deliveries.c.id.in_([message_id, *elders[-1:]]))
        .order_by(deliveries.c.id)
        .with_for_update()
    )
    row = (
        await conn.execute(
            select(
                deliveries,
                broadcasts.c.content.label("shared"),
                func.coalesce(deliveries.c.not_after, broadcasts.c.not_after).label("last"),
                broadcasts.c.quiet_hours.label("hours"),
            )
            .outerjoin(broadcasts, broadcasts.c.id == deliveries.c.broadcast_id)
            .where(deliveries.c.id == message_id)
        )
    ).one_or_none()
    if row is None:
        return None
    family = await _family(conn, row.profile_id, {message_id, *elders})
    return Held(
        row.id,
        row.profile_id,
        row.address_id,
        row.channel,
        row.connection,
        row._mapping["class"],
        row.preference_id,
        row.by_address,
        row.content if row.content is not None else row.shared,
        row.last,
        row.quiet_hours if row.quiet_hours is not None else row.hours,
        row.status,
        elders={id_: family[id_] for id_ in elders},
        others={id_: status for id_, status in family.items() if id_ != message_id and id_ not in elders},
    )


async def _elders(conn: AsyncConnection, message_id: str) -> list[str]:
    """What the message repeats, and what that repeats, up to the first."""
    found: list[str] = []
    at: str | None = message_id
    while at is not None:
        at = (await conn.execute(select(deliveries.c.resend_of).where(deliveries.c.id == at))).scalar_one_or_none()
        if at is not None:
            found.append(at)
    return found


async def _family(conn: AsyncConnection, profile_id: str | None, known: Collection[str]) -> dict[str, str]:
    """Id → status, of these messages and all that repeat them; they are all to one person."""
    rows = await conn.execute(
        select(deliveries.c.id, deliveries.c.resend_of, deliveries.c.status)
        .where(deliveries.c.profile_id == profile_id, deliveries.c.resend_of.is_not(None) | deliveries.c.id.in_(known))
        .order_by(deliveries.c.id)
    )
    status: dict[str, str] = {}
    repeated_by: dict[str, list[str]] = {}
    for row in rows:
        status[row.id] = row.status
        repeated_by.setdefault(row.resend_of, []).append(row.id)
    family: dict[str, str] = {}
    found = [id_ for id_ in status if id_ in known]
    while found:  # by what repeats what, never by time: clocks are set back
        id_ = found.pop()
        if id_ not in family:
            family[id_] = status[id_]
            found += repeated_by.get(id_, [])
    return family


def check(held: Held, *, accept_duplicate: bool, now: datetime) -> None:
    """Raises NotResendable, Repeated or MayBeDuplicate."""
    if held.class_ == "service":
        raise NotResendable("an answer belongs to the message that it answers, and is given once")
    if held.status in _WHY_NOT:
        raise NotResendable(_WHY_NOT[held.status])
    if held.not_after is not None and held.not_after < now:
        raise NotResendable("its broadcast was not to begin any more by now (`not_after`); send a new message instead")
    rivals = [id_ for id_, status in held.others.items() if status not in NEVER_ARRIVED]
    rivals += [id_ for id_, status in held.elders.items() if status not in (*NEVER_ARRIVED, *OF_UNKNOWN_END)]
    if rivals:
        raise Repeated(rivals[0])
    if not accept_duplicate and any(status in OF_UNKNOWN_END for status in (held.status, *held.elders.values())):
        raise MayBeDuplicate


async def send_again(conn: AsyncConnection, held: Held, *, created_by: str, now: datetime) -> str:
    """Queue it once more, to the same address of the same person; returns the new id. Raises singles.NotAllowed."""
    if held.profile_id is None or held.address_id is None:
        raise singles.NotAllowed("no_address")
    again = Single(
        [Route(held.channel, held.connection)],
        held.content,
        held.class_,
        created_by,
        profile_id=held.profile_id,
        address_id=held.address_id,
        preference_id=held.preference_id,
        resend_of=held.id,
        by_address=held.by_address,
        not_after=held.not_after,
        quiet_hours=held.quiet_hours,
    )
    return await singles.queue(conn, again, now=now)
