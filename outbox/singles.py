"""Single messages: one to one person, asked for by another system, on the first channel whose verdict allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from outbox import asking, composition, lastlook, people
from outbox.asking import Answer, Question
from outbox.composition import Content
from outbox.people import Draft, Wanted
from outbox.queue import SINGLE
from profiles.addresses import Address
from store.ids import new_id
from store.tables import broadcasts, deliveries


@dataclass(frozen=True, slots=True)
class Route:
    """A channel, the connection that carries it, and the address asked for, if not a person."""

    channel: str
    connection: str
    address: Address | None = None


@dataclass(frozen=True, slots=True)
class Single:
    """A message to be sent. `routes` in order of wish; never more than one is taken."""

    routes: Sequence[Route]
    content: Content
    class_: str  # marketing | transactional
    created_by: str  # the key's actor
    profile_id: str | None = None  # or the routes name an address
    preference_id: str | None = None
    resend_of: str | None = None


@dataclass(slots=True)
class NotAllowed(Exception):
    """No route may be taken; nothing was queued. The reason is the first route's."""

    reason: str
    address: str | None = None
    others: dict[str, str] = field(default_factory=dict)  # channel → reason


async def queue(conn: AsyncConnection, single: Single, *, now: datetime) -> str:
    """Queue the message in the caller's transaction; returns its id. Raises NotAllowed.

    The verdict is taken again when it is sent.
    """
    answers = [await _ask(conn, single, route, now) for route in single.routes]
    chosen = asking.first_allowed(answers)
    if not chosen.allowed:
        by_channel = {route.channel: answer.reason for route, answer in zip(single.routes, answers, strict=True)}
        raise NotAllowed(chosen.reason, chosen.address, by_channel)
    route = single.routes[answers.index(chosen)]
    message_id = new_id("msg")
    await conn.execute(insert(deliveries), [_row(message_id, single, route, chosen, now)])
    return message_id


async def _ask(conn: AsyncConnection, single: Single, route: Route, now: datetime) -> Answer:
    question = Question(route.channel, single.class_, single.preference_id)
    if single.profile_id is not None:
        answer = await asking.of_profile(conn, single.profile_id, question, now=now)
    elif route.address is not None:
        answer = await asking.of_address(conn, route.address.hash, question, now=now)
        if answer.reason == "unknown_address" and single.class_ == "transactional":
            # Somebody writes to them for the first time; refused after all, the transaction takes the profile back.
            await people.create(conn, Draft(addresses=[Wanted(route.address)]), now=now)
            answer = await asking.of_address(conn, route.address.hash, question, now=now)
    else:
        raise ValueError("neither a profile nor an address")
    part = composition.on_channel(single.content, route.channel)
    if not answer.allowed or answer.address_id is None or not composition.is_free_form(part, route.channel):
        return answer
    if await lastlook.in_window(conn, [answer.address_id], now=now):
        return answer
    return Answer("window_closed", answer.profile_id, answer.address_id, answer.address)


def _row(message_id: str, single: Single, route: Route, answer: Answer, now: datetime) -> dict[str, Any]:
    return {
        "id": message_id,
        "profile_id": answer.profile_id,
        "address_id": answer.address_id,
        "channel": route.channel,
        "connection": route.connection,
        "class": single.class_,
        "priority": SINGLE,
        "preference_id": single.preference_id,
        "content": dict(single.content),
        "status": "queued",
        "tries": 0,
        "due_at": now,
        "created_at": now,
        "updated_at": now,
        "created_by": single.created_by,
        "resend_of": single.resend_of,
    }


# --- again, by an operator's wish -------------------------------------------------------------

OF_UNKNOWN_END = ("in_doubt", "unknown")
ENDED_BADLY = ("failed", "undelivered")


@dataclass(frozen=True, slots=True)
class Resendable:
    """A message as it could be sent once more."""

    id: str
    profile_id: str | None
    channel: str
    connection: str
    class_: str
    preference_id: str | None
    content: dict[str, Any]
    status: str


async def resendable(conn: AsyncConnection, message_id: str) -> Resendable | None:
    """The outbound message with this id, a broadcast's too; None where there is none, or its person is gone."""
    row = (
        await conn.execute(
            select(deliveries, broadcasts.c.content.label("shared"))
            .outerjoin(broadcasts, broadcasts.c.id == deliveries.c.broadcast_id)
            .where(deliveries.c.id == message_id)
        )
    ).one_or_none()
    if row is None:
        return None
    return Resendable(
        row.id,
        row.profile_id,
        row.channel,
        row.connection,
        row._mapping["class"],
        row.preference_id,
        row.content if row.content is not None else row.shared,
        row.status,
    )
