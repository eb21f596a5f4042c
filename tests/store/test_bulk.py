"""Rows given to the driver by hand are the rows that SQLAlchemy would have given."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import Numeric, bindparam, cast, insert, literal, null, select, update

from store import bulk
from store.engine import Database
from store.tables import profiles
from store.upsert import insert_missing, upsert
from tests.acts import NOON

ODD = [
    {"first_name": "Zoë", "attributes": {"a": [1, None, "ü"]}, "created_at": NOON},
    {"first_name": None, "attributes": {}, "created_at": datetime(1970, 1, 1, tzinfo=UTC)},
    {"first_name": "", "attributes": {"b": True}, "created_at": NOON.astimezone(timezone(timedelta(hours=3)))},
]
RENAME = update(profiles).where(profiles.c.id == bindparam("of")).values(first_name=bindparam("to"), last_name=None)


def _rows(prefix: str) -> list[dict[str, Any]]:
    given = {"defaults_version": 1, "updated_at": NOON + timedelta(microseconds=1)}
    return [{"id": f"{prefix}{place}"} | row | given for place, row in enumerate(ODD)]


async def _kept(conn: Any, prefix: str) -> list[tuple[Any, ...]]:
    rows = await conn.execute(select(profiles).where(profiles.c.id.startswith(prefix)).order_by(profiles.c.id))
    return [tuple(row)[1:] for row in rows]


async def test_many_rows_are_kept_as_one_by_one(database: Database) -> None:
    async with database.write() as conn:
        for row in _rows("a"):
            await conn.execute(insert(profiles).values(**row))
        await bulk.insert_rows(conn, profiles, _rows("b"))
        await upsert(conn, profiles, _rows("c"))
        await upsert(conn, profiles, _rows("c"))
        await insert_missing(conn, profiles, _rows("d"))
        await insert_missing(conn, profiles, _rows("d"))
        as_before = await _kept(conn, "a")
        assert len(as_before) == len(ODD)
        for prefix in ("b", "c", "d"):
            assert await _kept(conn, prefix) == as_before
        if database.dialect == "sqlite":  # and to the letter
            raw = [tuple(r) for r in await conn.exec_driver_sql("SELECT * FROM profiles ORDER BY id")]
            assert [row[1:] for row in raw[:3]] == [row[1:] for row in raw[3:6]]


async def test_a_change_of_many_rows_finds_each(database: Database) -> None:
    async with database.write() as conn:
        await bulk.insert_rows(conn, profiles, _rows("a"))
        await bulk.run(conn, RENAME, [{"of": "a0", "to": "Ana"}, {"of": "a2", "to": None}])
        assert [row[1] for row in await _kept(conn, "a")] == ["Ana", None, None]


async def test_a_query_that_is_kept_gives_what_sqlalchemy_gives(database: Database) -> None:
    """Numbers, times, JSON and NULL; a column whose name is a word of Python's has its place."""
    kinds = {
        "rate": literal(12.5, Numeric(asdecimal=False)),
        "whole": literal(3, Numeric(asdecimal=False)),
        "none": cast(null(), Numeric(asdecimal=False)),
        "class": profiles.c.first_name,
        "at": profiles.c.created_at,
        "attributes": profiles.c.attributes,
    }
    chosen = select(*(column.label(name) for name, column in kinds.items())).order_by(profiles.c.id)
    async with database.write() as conn:
        await bulk.insert_rows(conn, profiles, _rows("a"))
        rows = await bulk.rows(conn, chosen)
        assert [tuple(row) for row in rows] == [tuple(row) for row in await conn.execute(chosen)]
        assert [(row.rate, type(row.whole), row.none, row.attributes) for row in rows[:1]] == [
            (12.5, float, None, ODD[0]["attributes"])
        ]


async def test_no_rows_are_no_statement(database: Database) -> None:
    async with database.write() as conn:
        await bulk.insert_rows(conn, profiles, [])


async def test_a_time_without_a_zone_is_refused_still(database: Database) -> None:
    rows = [row | {"created_at": datetime(2026, 1, 1)} for row in _rows("a")]  # noqa: DTZ001
    async with database.write() as conn:
        with pytest.raises(ValueError, match="without a time zone"):
            await bulk.insert_rows(conn, profiles, rows)
