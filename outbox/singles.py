"""Single messages: one to one person, asked for by another system, on the first channel whose verdict allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from content import composition
from content.composition import Content
from outbox import asking, lastlook, people
from outbox.asking import Answer, Question
from outbox.people import Draft, Wanted
from outbox.queue import SINGLE
from profiles import links
from profiles.addresses import Address
from store import crash
from store.ids import new_id
from store.tables import deliveries


@dataclass(frozen=True, slots=True)
class Route:
    """A channel, the connection that carries it, and the address asked for, if not a person."""

    channel: str
    connection: str
    address: Address | None = None
    elsewhere: Sequence[Address] = ()  # the same number on other channels


@dataclass(frozen=True, slots=True)
class Single:
    """A message to be sent. `routes` in order of wish; never more than one is taken."""

    routes: Sequence[Route]
    content: Content
    class_: str  # marketing | transactional
    created_by: str  # the key's actor
    profile_id: str | None = None  # or the routes name an address
    address_id: str | None = None  # of the profile's, this one alone
    preference_id: str | None = None
    resend_of: str | None = None
    by_address: bool = False  # of a resend: what it repeats named an address
    not_after: datetime | None = None  # this and the hours: of a resend, its broadcast's
    quiet_hours: Any = None


@dataclass(slots=True)
class NotAllowed(Exception):
    """No route may be taken; nothing was queued. The reason is the first route's."""

    reason: str
    address: str | None = None
    reasons: dict[str, str] = field(default_factory=dict)  # by channel, of every route


async def queue(conn: AsyncConnection, single: Single, *, now: datetime) -> str:
    """Queue the message in the caller's transaction; returns its id. Raises NotAllowed.

    The verdict is taken again when it is sent.
    """
    answers: list[Answer] = []
    for route in single.routes:
        answer = await _ask(conn, single, route, now)
        crash.point("single.asked")
        if answer.allowed:
            message_id = new_id("msg")
            await conn.execute(insert(deliveries), [_row(message_id, single, route, answer, now)])
            crash.point("single.queued")
            return message_id
        answers.append(answer)
    reasons = {route.channel: answer.reason for route, answer in zip(single.routes, answers, strict=True)}
    raise NotAllowed(answers[0].reason, answers[0].address, reasons)


async def _ask(conn: AsyncConnection, single: Single, route: Route, now: datetime) -> Answer:
    question = Question(route.channel, single.class_, single.preference_id)
    if single.profile_id is not None:
        answer = await asking.of_profile(conn, single.profile_id, question, address_id=single.address_id, now=now)
        return await _in_window(conn, single, route, answer, now)
    if route.address is None:
        raise ValueError("neither a profile nor an address")
    answer = await asking.of_address(conn, route.address.hash, question, now=now)
    if answer.reason != "unknown_address" or single.class_ != "transactional":
        return await _in_window(conn, single, route, answer, now)
    # Somebody is written to for the first time; refused after all, they leave no trace.
    introduction = await conn.begin_nested()
    await _introduce(conn, route.address, route.elsewhere, now)
    answer = await asking.of_address(conn, route.address.hash, question, now=now)
    answer = await _in_window(conn, single, route, answer, now)
    await (introduction.commit() if answer.allowed else introduction.rollback())
    return answer


async def _introduce(conn: AsyncConnection, address: Address, elsewhere: Sequence[Address], now: datetime) -> None:
    """Give the address to whoever has the number on another channel, if that is one; else to a new profile.

    So a no to everything, said on one channel, holds on the other. Of two at once the second waits for the first, and
    finds the address given.
    """
    there = set((await links.find_addresses(conn, [a.hash for a in elsewhere])).values())
    owners = {profile_id for holders in (await links.holders(conn, there)).values() for profile_id in holders}
    if len(owners) == 1:
        await people.add_address(conn, owners.pop(), address, elsewhere=there, now=now)
        return
    ids = await links.ensure_addresses(conn, [address], now=now)
    if not await links.holders(conn, ids.values()):
        await people.create(conn, Draft(addresses=[Wanted(address)]), now=now)


async def _in_window(conn: AsyncConnection, single: Single, route: Route, answer: Answer, now: datetime) -> Answer:
    """The answer, unless WhatsApp takes such a message only from who is talking to us."""
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
        "by_address": single.by_address or single.profile_id is None,
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
        "not_after": single.not_after,
        "quiet_hours": single.quiet_hours,
    }
