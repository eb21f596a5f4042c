"""Since when a profile has an address: what a channel's yes covers hangs on it."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select

from profiles import links
from store.engine import Database
from store.tables import profile_addresses
from tests.acts import BOOK, NOON, add_person, later, say

MOBILE, SECOND = "sms:+14155550123", "sms:+14155550124"
TICK = timedelta(microseconds=1)


async def since(database: Database, profile_id: str, tagged: str, *, now: datetime) -> datetime:
    """Give the profile an address as the clock of the transaction has it; returns since when it has it."""

    async def work(conn: object) -> datetime:
        ids = await links.ensure_addresses(conn, [BOOK.parse_tagged(tagged)], now=now)  # type: ignore[arg-type]
        [address_id] = ids.values()
        await links.give(conn, [links.Link(profile_id, address_id, "sms", True, 1)], now=now)  # type: ignore[arg-type]
        mine = profile_addresses.c.address_id == address_id
        return (await conn.execute(select(profile_addresses.c.since).where(mine))).scalar_one()  # type: ignore

    return await database.transact(work)


async def test_an_address_is_had_since_it_was_given(database: Database) -> None:
    ada = await add_person(database, MOBILE)
    await say(database, ada, {"sms": "yes"}, now=later(10))
    assert await since(database, ada, SECOND, now=later(60)) == later(60)


async def test_an_address_given_late_is_had_since_after_what_was_said_meanwhile(database: Database) -> None:
    ada = await add_person(database, MOBILE)
    await say(database, ada, {"sms": "yes"}, now=later(90))
    assert await since(database, ada, SECOND, now=later(60)) == later(90) + TICK


async def test_a_profile_made_meanwhile_was_not_made_with_an_address_given_late(database: Database) -> None:
    ada = await add_person(database, MOBILE, now=later(90))
    assert await since(database, ada, SECOND, now=later(60)) == later(90) + TICK
    ben = await add_person(database, now=NOON)
    assert await since(database, ben, "sms:+14155550125", now=NOON) == NOON
