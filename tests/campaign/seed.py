"""Ten thousand people in mixed states, through the one door, in batches; and what a broadcast must make of each."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import defaults, holds
from consent.states import EVERYTHING, Change, Subject, Wish
from gateway import keys
from gateway.prepare import prepare
from gateway.settings import Settings
from outbox import heed
from profiles import links, records
from profiles.addresses import AddressBook
from store.clock import utcnow
from store.engine import Database
from store.ids import new_id
from store.tables import addresses

BATCH = 500
SENT = "sent"  # in the place of a reason
_AREAS = (212, 213, 310, 312, 404, 415, 503, 512, 602, 612, 617, 702, 713, 720, 773, 801, 813, 816, 901, 917, 972)
_NUMBERS = [f"+1{area}555{line:04d}" for area in _AREAS for line in range(10_000)]


@dataclass
class Person:
    """Someone the organisation knows: the numbers, what was said, and what a broadcast by text comes to."""

    numbers: tuple[str, ...]
    acts: tuple[Act, ...]
    comes_to: str  # SENT, or the reason to skip
    sent_at: str | None = None  # the number, where SENT
    profile_id: str = field(default_factory=lambda: new_id("pro"))
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Act:
    """Something said: by text from a number (STOP, START), or recorded by an agent."""

    to: Any
    subject: str = "sms"  # everything | sms | address
    by_text: bool = False
    basis: str | None = None
    expired: bool = False


START, STOP = Act("yes", by_text=True), Act("no", by_text=True)
YES, NO = Act("yes"), Act("no")
NOTHING_MORE, NEVER_AGAIN = Act("no", "everything"), Act("no", "address")


def _kinds() -> list[tuple[int, str, tuple[Act, ...], tuple[str, ...]]]:
    """Of a hundred people: how many, what a broadcast comes to, what they said, what else is true of them."""
    return [
        (44, SENT, (START,), ()),
        (10, SENT, (YES,), ()),
        (4, SENT, (STOP, START), ()),
        (2, SENT, (NOTHING_MORE, YES), ()),  # a later yes on something narrower opens that alone
        (2, SENT, (START,), ("second number",)),  # the first is dead, the second is said yes to as well
        (10, "not_opted_in", (), ()),
        (1, "not_opted_in", (YES,), ("number came later",)),
        (11, "opted_out_channel", (START, STOP), ()),
        (3, "opted_out_channel", (STOP,), ()),
        (2, "opted_out_everything", (START, NOTHING_MORE), ()),
        (2, "opted_out_address", (YES, NEVER_AGAIN), ()),
        (2, "consent_expired", (Act("yes", basis="implied", expired=True),), ()),
        (2, "undeliverable", (START,), ("dead number",)),
        (1, "paused", (START,), ("paused",)),
        (2, "no_address", (), ("no number",)),
        (1, SENT, (START,), ("household: a second yes",)),
        (1, "opted_out_address", (START,), ("household: a no",)),
    ]


def people(count: int) -> list[Person]:
    """So many people, in hundreds alike; the order of kinds is fixed."""
    numbers = iter(_NUMBERS)
    made: list[Person] = []
    for _ in range(count // 100):
        for many, comes_to, acts, marks in _kinds():
            for _ in range(many):
                made += _persons(comes_to, acts, marks, numbers)
    return made[:count] if count % 100 else _of_length(made, count)


def _persons(comes_to: str, acts: tuple[Act, ...], marks: tuple[str, ...], numbers: Iterator[str]) -> Iterator[Person]:
    first = () if "no number" in marks else (next(numbers),)
    if "second number" in marks:
        first = (*first, next(numbers))
    yield Person(first, acts, comes_to, first[-1] if comes_to == SENT else None, marks=marks)
    # Who shares the number comes second: the oldest profile gets the message.
    if "household: a second yes" in marks:
        yield Person(first, (YES,), "duplicate_address")
    if "household: a no" in marks:
        yield Person(first, (NO,), "opted_out_channel")


def _of_length(made: list[Person], count: int) -> list[Person]:
    """Households bring two more per hundred: leave out as many of those never asked."""
    surplus = len(made) - count
    spare = [person for person in made if person.comes_to == "not_opted_in" and not person.acts][:surplus]
    left_out = {person.profile_id for person in spare}
    return [person for person in made if person.profile_id not in left_out]


@dataclass(frozen=True)
class Seeded:
    people: list[Person]
    key: str  # an API key

    def to_be_sent(self) -> list[str]:
        return [person.sent_at for person in self.people if person.sent_at is not None]

    def reasons(self, spared: Collection[str] = ()) -> Counter[str]:
        """Why people are skipped, where those with a number in `spared` texted STOP in time."""
        reasons = Counter(person.comes_to for person in self.people if person.comes_to != SENT)
        for person in self.people:
            if person.sent_at in spared:  # nothing opens the widest no any longer
                reasons["opted_out_everything" if NOTHING_MORE in person.acts else "opted_out_channel"] += 1
        return reasons


async def seed(database: Database, settings: Settings, count: int) -> Seeded:
    """Fill a fresh database before the gateway's first start; the gateway's own first steps are taken here."""
    book = await prepare(database, settings, now=utcnow())
    everyone = people(count)
    for start in range(0, count, BATCH):
        batch = everyone[start : start + BATCH]
        await database.transact(lambda conn, batch=batch: _add(conn, batch, book))  # type: ignore[misc]
    key = await database.transact(lambda conn: keys.create(conn, "campaign", now=utcnow()))
    return Seeded(everyone, key)


async def _add(conn: AsyncConnection, batch: Sequence[Person], book: AddressBook) -> None:
    now = utcnow()
    made = [{"id": person.profile_id} for person in batch]
    await records.make(conn, made, defaults_version=await defaults.current_version(conn), now=now)
    parsed = {number: book.parse("sms", number) for person in batch for number in person.numbers}
    known = await links.ensure_addresses(conn, parsed.values(), now=now)
    ids = {number: known[address.hash] for number, address in parsed.items()}
    given = [
        (links.Link(person.profile_id, ids[number], "sms", primary=place == 0, position=place), person)
        for person in batch
        for place, number in enumerate(person.numbers)
    ]
    early = [link for link, person in given if "number came later" not in person.marks]
    late = [link for link, person in given if "number came later" in person.marks]
    await links.give(conn, early, now=now)
    # What a person said twice, one after the other: as many rounds as the longest story has acts.
    for turn in itertools.count():
        said = [_change(person, person.acts[turn], ids, now) for person in batch if turn < len(person.acts)]
        if not said:
            break
        await heed.record(conn, said, now=now + timedelta(milliseconds=turn))
    await links.give(conn, late, now=now + timedelta(seconds=1))
    dead = [ids[p.numbers[0]] for p in batch if {"dead number", "second number"} & set(p.marks)]
    await conn.execute(update(addresses).where(addresses.c.id.in_(dead)).values(status="undeliverable"))
    for person in batch:
        if "paused" in person.marks:
            await holds.pause(conn, person.profile_id, channel="sms", until=now + timedelta(days=1))


def _change(person: Person, act: Act, ids: dict[str, str], now: datetime) -> Change:
    address_id = ids[person.numbers[-1]] if person.numbers else None
    subject = {"everything": EVERYTHING, "address": Subject("address", address_id or "")}.get(
        act.subject, Subject("channel", "sms")
    )
    expires_at = now - timedelta(days=1) if act.expired else None
    return Change(
        profile_id=person.profile_id,
        change_id=new_id("chg"),
        wishes=(Wish(subject, act.to, act.basis, expires_at),),
        source="keyword" if act.by_text else "portal",
        actor="customer" if act.by_text else "user:sadie",
        address_id=address_id if act.by_text else None,
        with_address=act.by_text,
        evidence={"how": "seed"},
    )
