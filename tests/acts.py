"""People and acts for the tests: who there is, and what they say."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import reading
from consent.states import EVERYTHING, Change, Flag, State, Subject, Wish
from outbox import heed, people
from outbox.heed import Heeded
from profiles.addresses import AddressBook
from store.engine import Database
from store.ids import new_id
from store.tables import addresses, profile_addresses

BOOK = AddressBook(key=b"a key for the tests, thirty-two by", region="US")
NOON = datetime(2026, 11, 20, 12, 0, 0, 250_001, tzinfo=UTC)


def later(seconds: float = 1.0, *, than: datetime = NOON) -> datetime:
    return than + timedelta(seconds=seconds)


def about(name: str) -> Subject:
    """`everything`, `sms`, `address:ID`, `preference:ID`."""
    kind, colon, key = name.partition(":")
    if colon:
        return Subject(kind, key)  # type: ignore[arg-type]
    return EVERYTHING if name == "everything" else Subject("channel", name)


def change(profile_id: str, wishes: Mapping[str, State] | Sequence[Wish], **fields: Any) -> Change:
    """One act about one profile; the person's own, by keyword, when nothing else is said."""
    if isinstance(wishes, Mapping):
        wishes = [Wish(about(name), to) for name, to in wishes.items()]
    given: dict[str, Any] = {"source": "keyword", "actor": "customer", "change_id": new_id("chg")} | fields
    return Change(profile_id=profile_id, wishes=tuple(wishes), **given)


async def add_person(
    database: Database, *tagged: str, now: datetime = NOON, external_id: str | None = None, tags: Sequence[str] = ()
) -> str:
    """A new profile with these addresses (`sms:+14155550123`); returns its id."""
    draft = people.Draft(
        names={"external_id": external_id} if external_id else {},
        addresses=[people.Wanted(BOOK.parse_tagged(address)) for address in tagged],
        tags=tags,
    )
    return await database.transact(lambda conn: people.create(conn, draft, now=now))


async def give_addresses(database: Database, profile_id: str, *tagged: str, now: datetime = NOON) -> None:
    """Let the profile have exactly these addresses."""
    draft = people.Draft(addresses=[people.Wanted(BOOK.parse_tagged(address)) for address in tagged])
    await database.transact(lambda conn: people.change(conn, profile_id, draft, now=now))


async def remove_person(database: Database, profile_id: str, *, now: datetime = NOON) -> None:
    await database.transact(lambda conn: people.remove(conn, profile_id, now=now))


async def address_id(database: Database, tagged: str) -> str:
    """The id of an address that is known."""
    digest = BOOK.parse_tagged(tagged).hash
    async with database.read() as conn:
        return str((await conn.execute(select(addresses.c.id).where(addresses.c.hash == digest))).scalar_one())


async def say(
    database: Database,
    profile_id: str,
    wishes: Mapping[str, State] | Sequence[Wish],
    *,
    now: datetime = NOON,
    **fields: Any,
) -> Heeded:
    """Record one act through the one door."""
    said = change(profile_id, wishes, **fields)
    return await database.transact(lambda conn: heed.record(conn, [said], now=now))


async def text_in(database: Database, tagged: str, to: State, *, now: datetime = NOON, **fields: Any) -> Heeded:
    """STOP (`no`) or START (`yes`) from an address, for everybody who has it: the channel and that address."""
    channel = tagged.partition(":")[0]
    came_from = await address_id(database, tagged)

    async def work(conn: AsyncConnection) -> Heeded:
        holders = await conn.execute(
            select(profile_addresses.c.profile_id).where(profile_addresses.c.address_id == came_from)
        )
        one = new_id("chg")
        changes = [
            change(holder, {channel: to}, change_id=one, address_id=came_from, with_address=True, **fields)
            for holder in holders.scalars()
        ]
        return await heed.record(conn, changes, now=now)

    return await database.transact(work)


async def flags(database: Database, profile_id: str) -> dict[Subject, Flag]:
    async with database.read() as conn:
        return (await reading.flags_of(conn, [profile_id]))[profile_id]


async def states(database: Database, profile_id: str) -> dict[str, str]:
    """Subject → state, in the words of `about`."""
    return {spelled(subject): flag.state for subject, flag in (await flags(database, profile_id)).items()}


def spelled(subject: Subject) -> str:
    if subject.kind in ("everything", "channel"):
        return subject.key or "everything"
    return f"{subject.kind}:{subject.key}"


@asynccontextmanager
async def tampering(conn: AsyncConnection) -> AsyncIterator[None]:
    """Let the history be changed in this transaction, as by somebody who owns the database."""
    if conn.dialect.name == "postgresql":
        await conn.execute(text("SET LOCAL session_replication_role = replica"))  # no trigger fires
        yield
        await conn.execute(text("SET LOCAL session_replication_role = DEFAULT"))
        return
    triggers = (await conn.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))).all()
    for name, _ in triggers:
        await conn.execute(text(f"DROP TRIGGER {name}"))
    yield
    for _, statement in triggers:
        await conn.execute(text(statement))
