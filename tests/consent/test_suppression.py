"""A no that was left behind on an address: which word lifts it, and from when it counts."""

from __future__ import annotations

from sqlalchemy import select

from consent import holds
from store.engine import Database
from store.tables import addresses
from tests.acts import add_person, address_id, later, remove_person, text_in

NUMBER = "sms:+14155550123"


async def suppressed_since(database: Database) -> object:
    async with database.read() as conn:
        return (await conn.execute(select(addresses.c.suppressed_at))).scalar_one()


async def test_a_no_left_behind_twice_counts_from_the_second(database: Database) -> None:
    """A START said between the two, and told after both, lifts neither."""
    first = await add_person(database, NUMBER)
    await text_in(database, NUMBER, "no", now=later(1))
    await remove_person(database, first, now=later(2))
    second = await add_person(database, NUMBER, now=later(3))
    await text_in(database, NUMBER, "no", now=later(50))
    await remove_person(database, second, now=later(60))
    await add_person(database, NUMBER, now=later(70))
    await text_in(database, NUMBER, "yes", now=later(80), said_at=later(30))
    assert await suppressed_since(database) == later(60)
    await text_in(database, NUMBER, "yes", now=later(90))
    assert await suppressed_since(database) is None


async def test_a_no_left_behind_never_counts_from_earlier(database: Database) -> None:
    person = await add_person(database, NUMBER)
    await text_in(database, NUMBER, "no", now=later(1))
    await remove_person(database, person, now=later(60))
    of = [await address_id(database, NUMBER)]
    await database.transact(lambda conn: holds.suppress_unheld(conn, of, now=later(30)))
    assert await suppressed_since(database) == later(60)
    await database.transact(lambda conn: holds.suppress_unheld(conn, of, now=later(90)))
    assert await suppressed_since(database) == later(90)


async def test_a_no_from_a_suppressed_address_counts_for_whoever_has_it_besides(database: Database) -> None:
    """Its new owner says STOP, somebody else is given it, and a START from before the STOP arrives last."""
    person = await add_person(database, NUMBER)
    await text_in(database, NUMBER, "no", now=later(1))
    await remove_person(database, person, now=later(2))
    await add_person(database, NUMBER, now=later(3))
    await text_in(database, NUMBER, "no", now=later(50))
    assert await suppressed_since(database) == later(50)
    await add_person(database, NUMBER, now=later(55))
    await text_in(database, NUMBER, "yes", now=later(80), said_at=later(30))
    assert await suppressed_since(database) == later(50)


async def test_a_no_from_an_address_that_is_not_suppressed_suppresses_nothing(database: Database) -> None:
    await add_person(database, NUMBER)
    await text_in(database, NUMBER, "no", now=later(1))
    assert await suppressed_since(database) is None
