"""Talks with customers: how one ended changes what that end changes, on the word of whoever of the staff was told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from consent.states import EVERYTHING, Change, State, Subject, Wish
from outbox import heed
from outbox.dispositions import Disposition, Turn
from profiles import links
from profiles.links import Held
from profiles.records import Profile
from store.ids import new_id
from store.tables import addresses, dispositions, interactions

_STRICTER = {"no": 0, "not_asked": 1, "yes": 2}  # of two turns of one subject the first stands


class NeedsAddress(Exception):
    """The disposition is about the address that was contacted, and none was named."""


class Retired(Exception):
    """The disposition is inactive; the message is its name."""


@dataclass(frozen=True, slots=True)
class Talk:
    """A talk, as it is told."""

    disposition: Disposition
    channel: str
    address: Held | None  # of the profile's own, on the channel
    note: str | None
    by: str | None  # who of the staff
    reference: str | None  # of the caller's own records, such as a call's id
    told_by: str  # the actor, such as key:NAME
    evidence: Mapping[str, Any]  # what shows a yes over the person's own no: obtained_at, how
    at: datetime  # when it was told


@dataclass(frozen=True, slots=True)
class Interaction:
    """A talk, as it is kept."""

    id: str
    profile_id: str
    disposition: str  # its name, as it is now
    channel: str
    address: str | None
    note: str | None
    reference: str | None
    by: str | None
    change_id: str | None  # None: nothing was changed
    created_by: str
    created_at: datetime


async def record(conn: AsyncConnection, profile: Profile, talk: Talk, *, now: datetime) -> tuple[str, heed.Heeded]:
    """Keep the talk and do what its end changes, in the caller's transaction; returns its id.

    The caller holds the profile. Raises Retired, NeedsAddress, consent.moves.Refused.
    """
    if not talk.disposition.active:
        raise Retired(talk.disposition.name)
    if talk.disposition.undeliverable and talk.address is None:
        raise NeedsAddress
    interaction_id = new_id("int")
    wishes = wished(talk.disposition.changes, profile.addresses, channel=talk.channel, contacted=talk.address)
    heeded = heed.Heeded()
    if wishes:
        heeded = await heed.record(conn, [_change(profile.id, interaction_id, wishes, talk)], now=now)
    if talk.disposition.undeliverable and talk.address is not None:
        await links.mark_undeliverable(conn, [talk.address.address_id])
        await heed.skip_queued(conn, [talk.address.address_id], now=now)
    row = {
        "id": interaction_id,
        "profile_id": profile.id,
        "disposition_id": talk.disposition.id,
        "channel": talk.channel,
        "address_id": talk.address.address_id if talk.address is not None else None,
        "note": talk.note,
        "reference": talk.reference,
        "by": talk.by,
        "change_id": heeded.lines[0].event.change_id if heeded.lines else None,
        "created_by": talk.told_by,
        "created_at": now,
    }
    await conn.execute(insert(interactions), [row])
    return interaction_id, heeded


def wished(turns: Sequence[Turn], held: Sequence[Held], *, channel: str, contacted: Held | None) -> tuple[Wish, ...]:
    """What these turns come to for a person who has these addresses and was contacted so; raises NeedsAddress.

    Where two are about the same the stricter stands.
    """
    found: dict[Subject, State] = {}
    for turn in turns:
        for subject in _subjects(turn, held, channel, contacted):
            found[subject] = min(found.get(subject, turn.to), turn.to, key=_STRICTER.__getitem__)
    return tuple(Wish(subject, to) for subject, to in found.items())


def _subjects(turn: Turn, held: Sequence[Held], channel: str, contacted: Held | None) -> list[Subject]:
    match turn.kind:
        case "everything":
            return [EVERYTHING]
        case "channel":
            return [Subject("channel", turn.channel or channel)]
        case "preference":
            return [Subject("preference", turn.preference_id or "")]
    if turn.address == "all":
        return [Subject("address", one.address_id) for one in held if one.channel == (turn.channel or channel)]
    if contacted is None:
        raise NeedsAddress
    return [Subject("address", contacted.address_id)]


def _change(profile_id: str, interaction_id: str, wishes: tuple[Wish, ...], talk: Talk) -> Change:
    shown = {
        "disposition": talk.disposition.name,
        "interaction": interaction_id,
        "channel": talk.channel,
        "address": talk.address.value if talk.address is not None else None,
        "reference": talk.reference,
        "by": {"kind": "agent", "name": talk.by} if talk.by is not None else None,
    }
    return Change(
        profile_id=profile_id,
        change_id=new_id("chg"),
        wishes=wishes,
        source="disposition",
        actor=f"{talk.told_by} for agent:{talk.by}" if talk.by is not None else f"{talk.told_by} for agent",
        received_at=talk.at,
        evidence={**talk.evidence, **{name: value for name, value in shown.items() if value is not None}},
    )


async def listed(
    conn: AsyncConnection, profile_ids: Sequence[str], *, before: str | None, limit: int
) -> list[Interaction]:
    """The talks with these profiles, the newest first, from before `before`."""
    statement = _told().where(interactions.c.profile_id.in_(profile_ids)).order_by(interactions.c.id.desc())
    if before is not None:
        statement = statement.where(interactions.c.id < before)
    return [Interaction(**row) for row in (await conn.execute(statement.limit(limit))).mappings()]


async def read(conn: AsyncConnection, interaction_id: str) -> Interaction:
    """The talk with this id, which there is."""
    found = (await conn.execute(_told().where(interactions.c.id == interaction_id))).mappings().one()
    return Interaction(**found)


def changes_by(disposition_id: str) -> Select[tuple[str]]:
    """The ids of the changes that talks with this end have made."""
    of_it = interactions.c.disposition_id == disposition_id, interactions.c.change_id.is_not(None)
    return select(interactions.c.change_id).where(*of_it)


def _told() -> Select[Any]:
    own = [interactions.c[n] for n in Interaction.__dataclass_fields__ if n not in ("disposition", "address")]
    return (
        select(*own, dispositions.c.name.label("disposition"), addresses.c.value.label("address"))
        .join(dispositions, dispositions.c.id == interactions.c.disposition_id)
        .outerjoin(addresses, addresses.c.id == interactions.c.address_id)
    )
