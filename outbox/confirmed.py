"""A confirmed question: what was asked for is so, for everyone who has the address, or for somebody new who gets it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import holds, reading
from consent.states import Change, Flags, Subject, Wish, state_of
from outbox import heed, people
from outbox.confirmations import HEARD, Details, Question, find
from profiles import links, records
from profiles.addresses import Address
from profiles.links import holders
from profiles.merges import merged_into
from profiles.records import Profile
from store.engine import Raced
from store.ids import new_id
from store.locks import lock_people
from store.tables import addresses, confirmations


async def confirm(
    conn: AsyncConnection, confirmation_id: str, how: Mapping[str, Any], *, now: datetime
) -> tuple[Question | None, heed.Heeded]:
    """Let what was asked for be so, unless the question is expired or it is so already; returns the question as it was.

    It is so for everyone who has the address; nobody has it: somebody new gets it. `how`: what is known of whoever
    confirms. Raises store.engine.Raced.
    """
    found = await find(conn, confirmation_id, now=now)
    if found is None or not found.is_open:
        return found, heed.Heeded()
    people_ = await _whose(conn, found)
    held = await lock_people(conn, people_, also=[found.address_id])
    if await _whose(conn, found) != people_:
        raise Raced("the address was given to somebody, or taken, before it was locked")
    found = await find(conn, confirmation_id, now=now)  # a no may have come first
    if found is None or found.is_expired:
        return found, heed.Heeded()
    address = None if people_ else await _nobodys(conn, found)
    if (not people_ and address is None) or (found.details.replaces is not None and not await _is_known(conn, found)):
        return None, heed.Heeded()
    change_id = new_id("chg")
    taken = await conn.execute(
        update(confirmations)
        .where(confirmations.c.id == found.id, confirmations.c.confirmed_at.is_(None))
        .values(confirmed_at=now, change_id=change_id)
    )
    if taken.rowcount == 0:
        raise Raced("it was confirmed meanwhile")
    if address is not None:
        people_ = [await _make(conn, address, found.details, now)]
        changes = await _changes(conn, found, people_, how, change_id)
        return found, await heed.record(conn, changes, now=now)
    await _complete(conn, people_, found, now)
    if found.details.replaces is not None:
        return await _move(conn, found, people_[0], how, change_id, now)
    changes = await _changes(conn, found, people_, how, change_id)
    return found, await heed.record(conn, changes, now=now, held=held)


async def _move(
    conn: AsyncConnection, found: Question, profile_id: str, how: Mapping[str, Any], change_id: str, now: datetime
) -> tuple[Question, heed.Heeded]:
    """Let the address take the place of another of the person's; what they got there, they get here."""
    old = found.details.replaces or ""
    said = await _carried(conn, profile_id, old, found)
    moved = await people.replace_address(conn, profile_id, old, found.address_id, now=now)
    changes = await _changes(conn, replace(found, wishes=said), [profile_id], how, change_id)
    heeded = await heed.record(conn, changes, now=now)
    return found, heed.Heeded(heeded.lines, heeded.closed | moved.closed)


async def _carried(conn: AsyncConnection, profile_id: str, old: str, found: Question) -> tuple[Wish, ...]:
    """The yes by which marketing came to the old address, on its terms, for the new one alone.

    None where none came there: it was closed, or no yes was for it. No other address of theirs gains by it.
    """
    if await holds.at_no(conn, [old], by="any"):
        return ()
    flags = (await reading.flags_of(conn, [profile_id]))[profile_id]
    covered = (await reading.covered(conn, profile_id)).get(found.channel, ())
    theirs = [Subject("address", old), *([Subject("channel", found.channel)] if old in covered else [])]
    yeses = [flags[one] for one in theirs if state_of(flags, one) == "yes"]
    longest = max(yeses, key=lambda flag: (flag.expires_at is None, flag.expires_at or flag.at), default=None)
    if longest is None:
        return ()
    return (Wish(Subject("address", found.address_id), "yes", longest.basis, longest.expires_at),)


async def _whose(conn: AsyncConnection, found: Question) -> list[str]:
    """Those it is about: everyone who has the address, or the one who asked, whoever that one has become.

    Who has lost the address since is not who reads what goes there; and what was asked by a mailbox that was to be
    replaced ends with it: somebody else may have read it, which is why it is gone.
    """
    asked_by = found.details.replaces or found.address_id
    having = (await holders(conn, [asked_by])).get(asked_by, [])
    if found.profile_id is None:
        return having
    those = (found.profile_id, await merged_into(conn, found.profile_id))
    return [one for one in those if one is not None and one in having][:1]


async def _changes(
    conn: AsyncConnection, found: Question, ids: Sequence[str], how: Mapping[str, Any], change_id: str
) -> list[Change]:
    """One change for each person."""
    flags = await reading.flags_of(conn, ids)
    of_others = ("change_id", HEARD)  # another change's, and of other lines
    asked = {name: value for name, value in found.evidence.items() if name not in of_others}
    evidence = {**asked, "confirmation_id": found.id, "asked_at": found.asked_at.isoformat()}
    return [
        Change(
            profile_id=id_,
            change_id=change_id,
            wishes=_confirmed(found, flags[id_]),
            source="confirmation",
            actor="customer",
            address_id=found.address_id,
            evidence=evidence | {"confirmed": dict(how)},
            # A word from an address opens no other channel by a link; on an own page each channel has its own box.
            opens_only=frozenset() if found.evidence.get("preference_centre") else frozenset({found.channel}),
        )
        for id_ in ids
    ]


def _confirmed(found: Question, flags: Flags) -> tuple[Wish, ...]:
    """What a person has said by it. A no to the very address would outlive the yes: this word comes from it. Not what
    was asked on an own page: there each address has its box, and one left unticked beside its channel stays at no.

    A YES by text takes no yes back: what was asked names what it says yes to, and nothing else.
    """
    own = Subject("address", found.address_id)
    is_own_page = bool(found.evidence.get("preference_centre"))
    opens = Wish(Subject("channel", found.channel), "yes") in found.wishes and not is_own_page
    said = [wish for wish in found.wishes if not (found.is_by_yes and wish.to == "no" and _is_yes(flags, wish.subject))]
    return (*said, *([Wish(own, "yes")] if opens and state_of(flags, own) == "no" else []))


def _is_yes(flags: Flags, subject: Subject) -> bool:
    return state_of(flags, subject) == "yes"


async def _nobodys(conn: AsyncConnection, found: Question) -> Address | None:
    """The address that nobody has; None where it was forgotten with whoever had it, or the one it is about is gone."""
    row = (await conn.execute(select(addresses).where(addresses.c.id == found.address_id))).one()
    if row.value is None or found.profile_id is not None:
        return None
    return Address(row.channel, row.value, row.hash)


async def _is_known(conn: AsyncConnection, found: Question) -> bool:
    """Whether the address was not forgotten meanwhile, with somebody else who had it."""
    return found.address_id in await links.by_ids(conn, [found.address_id])


async def _make(conn: AsyncConnection, address: Address, kept: Details, now: datetime) -> str:
    """A profile for somebody new."""
    draft = people.Draft(
        names=dict(kept.names) | {"locale": kept.locale},
        attributes=kept.attributes,
        tags=kept.tags,
        addresses=[people.Wanted(address, primary=True)],
    )
    return await people.create(conn, draft, now=now)


async def _complete(conn: AsyncConnection, ids: Sequence[str], found: Question, now: datetime) -> None:
    """Keep the details of people who are there already; the caller has locked them."""
    kept = found.details
    await records.add_tags(conn, dict.fromkeys(ids, kept.tags))
    for one in await records.read(conn, ids):
        values: dict[str, Any] = {"locale": kept.locale} if kept.locale is not None and one.locale is None else {}
        if len(ids) == 1:
            names, attributes = _unsaid(one, kept) if found.is_by_yes else (kept.names, kept.attributes)
            values |= names
            # What is too large is left: it must not keep the answer itself from being kept.
            with suppress(records.AttributesTooLarge):
                values |= {"attributes": records.merged(one.attributes, attributes)} if attributes else {}
        if values:
            await records.change(conn, one.id, values, now=now)


def _unsaid(one: Profile, kept: Details) -> tuple[Mapping[str, str | None], Mapping[str, Any]]:
    """Those of the names and attributes that nothing is known of yet: no text shows whoever says YES what was typed."""
    names = {name: given for name, given in kept.names.items() if not getattr(one, name)}
    return names, {name: given for name, given in kept.attributes.items() if one.attributes.get(name) is None}
