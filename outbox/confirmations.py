"""A yes that waits for a word from the address itself: asked for once a day at most, good for a week.

It stands apart from the states: until the link in the question is confirmed, by a POST, nothing has changed. The token
in the link names the question and nothing else; where the question has expired, it is asked for again. A no that was
said since it was asked for takes it back: whoever, or whatever, comes upon the old link opens nothing with it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from sqlalchemy import insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from consent.states import EVERYTHING, Change, Subject, Wish
from outbox import heed
from outbox.signed import Signed
from profiles.links import holders
from store.engine import Raced
from store.ids import new_id
from store.locks import lock_people
from store.tables import confirmations, consent_states, profile_addresses

GOOD_FOR = timedelta(days=7)
ONCE_IN = timedelta(hours=24)  # at most one question to an address


class ConfirmLinks:
    """Makes the links and reads their tokens. `secrets`: the newest signs, all are believed."""

    def __init__(self, public_url: str, secrets: Sequence[str]) -> None:
        self._base = f"{public_url.rstrip('/')}/confirm/"
        self._signed = Signed(secrets, "optgate.confirm")

    def __call__(self, confirmation_id: str) -> str:
        return self._base + quote(self._signed.sign(confirmation_id), safe="")

    def read(self, token: str) -> str | None:
        """The confirmation's id; None for what we have not signed."""
        return self._signed.read(token)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody asked for, and who they are is not proved."""

    address_id: str
    channel: str
    wishes: tuple[Wish, ...]
    evidence: Mapping[str, Any]  # what was asked for, where and in which words
    at: datetime  # when it was
    profile_id: str | None = None  # whose; None: everyone's who has the address then, or somebody's new
    details: Mapping[str, Any] | None = None  # what else is to be kept then
    form_id: str | None = None
    same_as: str | None = None  # hash of the mailbox it mostly is the same as


@dataclass(frozen=True, slots=True)
class Question:
    """What waits, as it is found."""

    id: str
    address_id: str
    channel: str
    wishes: tuple[Wish, ...]
    evidence: Mapping[str, Any]
    asked_at: datetime
    is_expired: bool  # or taken back
    is_confirmed: bool


async def ask(conn: AsyncConnection, wanted: Sequence[Wanted], *, now: datetime) -> list[str | None]:
    """Keep what was asked for; returns an id for each that the person is to be asked about, None for the others.

    Who was asked within ONCE_IN is not asked again. The caller holds the address rows.
    """
    asked = await _asked_lately(conn, {one.address_id for one in wanted}, now)
    ids: list[str | None] = []
    rows = []
    for one in wanted:
        if one.address_id in asked:
            ids.append(None)
            continue
        asked.add(one.address_id)
        ids.append(new_id("cnf"))
        rows.append(
            {
                "id": ids[-1],
                "address_id": one.address_id,
                "channel": one.channel,
                "wishes": [{"kind": wish.subject.kind, "key": wish.subject.key, "to": wish.to} for wish in one.wishes],
                "profile_id": one.profile_id,
                "details": dict(one.details) if one.details is not None else None,
                "form_id": one.form_id,
                "same_as": one.same_as,
                "evidence": dict(one.evidence),
                "asked_at": one.at,
                "expires_at": now + GOOD_FOR,
            }
        )
    if rows:
        await conn.execute(insert(confirmations), rows)
    return ids


async def _asked_lately(conn: AsyncConnection, address_ids: Collection[str], now: datetime) -> set[str]:
    if not address_ids:
        return set()
    lately = select(confirmations.c.address_id).where(
        confirmations.c.address_id.in_(sorted(address_ids)), confirmations.c.asked_at > now - ONCE_IN
    )
    return set((await conn.execute(lately)).scalars())


async def find(conn: AsyncConnection, confirmation_id: str, *, now: datetime) -> Question | None:
    """The question with this id."""
    row = (await conn.execute(select(confirmations).where(confirmations.c.id == confirmation_id))).one_or_none()
    if row is None:
        return None
    wishes = tuple(Wish(Subject(one["kind"], one["key"]), one["to"]) for one in row.wishes)
    return Question(
        row.id,
        row.address_id,
        row.channel,
        wishes,
        row.evidence,
        row.asked_at,
        is_expired=row.expires_at < now or await _is_taken_back(conn, row, wishes),
        is_confirmed=row.confirmed_at is not None,
    )


async def _is_taken_back(conn: AsyncConnection, row: Any, wishes: Sequence[Wish]) -> bool:
    """Whether anybody who has the address has said no since, to any of this or to more."""
    state, has = consent_states.c, profile_addresses.c
    of_it = [EVERYTHING, Subject("channel", row.channel), Subject("address", row.address_id)]
    of_it += [wish.subject for wish in wishes if wish.to == "yes"]
    said = select(state.profile_id).where(
        has.address_id == row.address_id,
        tuple_(state.kind, state.key).in_([(one.kind, one.key) for one in of_it]),
        state.state == "no",
        state.order_at >= row.asked_at,
    )
    return (
        await conn.execute(said.join(profile_addresses, has.profile_id == state.profile_id).limit(1))
    ).first() is not None


async def confirm(
    conn: AsyncConnection, confirmation_id: str, how: Mapping[str, Any], *, now: datetime
) -> tuple[Question | None, heed.Heeded]:
    """Let the yes stand, for everyone who has the address, unless it is expired or stands already.

    `how`: what is known of whoever confirms. Raises store.engine.Raced.
    """
    found = await find(conn, confirmation_id, now=now)
    if found is None or found.is_expired or found.is_confirmed:
        return found, heed.Heeded()
    people = (await holders(conn, [found.address_id])).get(found.address_id, [])
    held = await lock_people(conn, people, also=[found.address_id])
    found = await find(conn, confirmation_id, now=now)  # a no may have come first
    if found is None or found.is_expired:
        return found, heed.Heeded()
    change_id = new_id("chg")
    taken = await conn.execute(
        update(confirmations)
        .where(confirmations.c.id == found.id, confirmations.c.confirmed_at.is_(None))
        .values(confirmed_at=now, change_id=change_id)
    )
    if taken.rowcount == 0:
        raise Raced("it was confirmed meanwhile")
    heeded = await heed.record(
        conn,
        [
            Change(
                profile_id=profile_id,
                change_id=change_id,
                wishes=found.wishes,
                source="confirmation",
                actor="customer",
                address_id=found.address_id,
                evidence={**found.evidence, "confirmation_id": found.id, "asked_at": found.asked_at.isoformat(), **how},
            )
            for profile_id in people
        ],
        now=now,
        held=held,
    )
    return found, heeded
