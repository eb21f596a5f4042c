"""More ids than a statement takes parameters."""

from __future__ import annotations

from sqlalchemy import func, insert, select

from consent import reading
from outbox import heed, verdicts
from profiles import links
from store.engine import Database
from store.locks import lock_people
from store.parts import IDS, PART, among, parts, rows_by
from store.tables import profile_tags, profiles
from tests.acts import NOON

MANY = [f"pro_{number:05}" for number in range(33_000)]


def test_each_once_and_in_their_order() -> None:
    found = list(parts([*reversed(MANY), *MANY]))
    assert [id_ for part in found for id_ in part] == MANY
    assert max(map(len, found)) == PART
    assert list(parts([])) == []


async def test_all_their_rows_in_their_order(database: Database) -> None:
    async with database.write() as conn:
        given = {"attributes": {}, "defaults_version": 0, "created_at": NOON, "updated_at": NOON}
        await conn.execute(insert(profiles), [{"id": id_} | given for id_ in MANY])
        await conn.execute(insert(profile_tags), [{"profile_id": id_, "tag": "x"} for id_ in MANY[::3]])
        statement = select(profiles.c.id).where(profiles.c.id.in_(IDS)).order_by(profiles.c.id)
        assert [row.id for row in await rows_by(conn, statement, reversed(MANY))] == MANY
        tagged = select(func.count()).where(profile_tags.c.profile_id.in_(IDS), profile_tags.c.tag == "x")
        assert sum(row[0] for row in await rows_by(conn, tagged, MANY)) == len(MANY[::3])


async def test_what_a_stop_reads_of_all_who_share_a_number(database: Database) -> None:
    async with database.write() as conn:
        assert len(await reading.people(conn, await lock_people(conn, MANY), named=MANY, suppressed={})) == len(MANY)
        assert await links.holders(conn, MANY) == {}
        assert await heed.skip_queued(conn, MANY, now=NOON) == 0
        assert await verdicts.on(conn, MANY, now=NOON) == {}


async def test_among_finds_the_same_rows_by_the_same_index(database: Database) -> None:
    async with database.write() as conn:
        given = {"attributes": {}, "defaults_version": 0, "created_at": NOON, "updated_at": NOON}
        await conn.execute(insert(profiles), [{"id": id_} | given for id_ in MANY[:2000]])
        statement = select(profiles.c.id).where(among(profiles.c.id)).order_by(profiles.c.id)
        assert [row.id for row in await rows_by(conn, statement, MANY[::3])] == MANY[:2000:3]
        assert await rows_by(conn, statement, []) == []
        assert [row.id for row in await rows_by(conn, statement, ["pro_'", 'pro_"', "pro_00001"])] == ["pro_00001"]
        if database.dialect == "sqlite":
            plan = await conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement.compile(dialect=conn.dialect)}", ("[]",))
            assert any("SEARCH profiles USING" in row.detail for row in plan)
