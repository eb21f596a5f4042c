"""Who holds what until the end of the transaction."""

from __future__ import annotations

from store import locks
from store.engine import Database
from tests.acts import add_person

ANA, BEN = "+14155550101", "+14155550102"


async def test_more_people_can_be_locked_than_a_statement_takes_parameters(database: Database) -> None:
    """A number may be shared by any number of profiles, and a STOP from it is for them all."""
    ana = await add_person(database, f"sms:{ANA}", f"sms:{BEN}")
    crowd = [f"pro_{number:026}" for number in range(40_000)]
    async with database.write() as conn:
        held = await locks.lock_people(conn, [*crowd, ana], also=crowd)
    assert len(held) == 40_001
    assert [channel for _, channel in held[ana]] == ["sms", "sms"]
