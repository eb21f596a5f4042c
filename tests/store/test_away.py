"""A database that cannot be asked is away, and one may try again; a statement that it refuses is an error of ours."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from store.engine import Database, DatabaseAway, is_away
from store.tables import settings as settings_table
from tests.acts import NOON


async def put(conn: AsyncConnection, key: str = "n") -> None:
    await conn.execute(insert(settings_table).values(key=key, value=1, updated_at=NOON))


# --- away --------------------------------------------------------------------------------------


async def test_a_server_that_is_not_there_is_away() -> None:
    database = Database("postgresql://optgate@127.0.0.1:1/optgate")
    with pytest.raises(DatabaseAway):
        await database.transact(put)
    await database.dispose()


async def test_a_file_that_cannot_be_opened_is_away(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/missing/optgate.db")
    with pytest.raises(DatabaseAway) as away:
        await database.transact(put)
    assert away.value.__cause__ is not None
    await database.dispose()
    await asyncio.sleep(0.1)  # after a failed connect the driver lets its thread end by itself


async def test_a_connection_that_was_cut_is_away_and_then_back(database: Database) -> None:
    if database.dialect == "sqlite":
        return

    async def cut(conn: AsyncConnection) -> None:
        await conn.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(DatabaseAway):
        await database.transact(cut)
    await database.transact(put)


async def test_a_transaction_that_was_cut_before_its_commit_is_run_again(database: Database) -> None:
    if database.dialect == "sqlite":
        return
    tries: list[int] = []

    async def work(conn: AsyncConnection) -> int:
        tries.append(len(tries))
        await put(conn)
        if len(tries) == 1:  # it stands still until the server takes its locks away
            await conn.execute(text("SET idle_in_transaction_session_timeout = 50"))
            await asyncio.sleep(0.3)
            await conn.execute(text("SELECT 1"))
        return len(tries)

    assert await database.transact(work) == 2
    async with database.read() as conn:
        assert list((await conn.execute(select(settings_table.c.key))).scalars()) == ["n"]


async def test_a_commit_whose_answer_was_lost_is_not_asked_for_twice(database: Database) -> None:
    if database.dialect == "sqlite":
        return
    tries: list[int] = []

    async def work(conn: AsyncConnection) -> None:
        tries.append(len(tries))
        await put(conn)
        pid = (await conn.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        async with database.read() as other:
            await other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})

    with pytest.raises(DatabaseAway, match=r"Error"):
        await database.transact(work)
    assert len(tries) == 1


@pytest.mark.parametrize(
    ("dialect", "before"),
    [
        ("sqlite", "PRAGMA query_only = ON"),
        ("sqlite", "PRAGMA max_page_count = 1"),  # as small as it is: the disk is full
        ("postgresql", "SET TRANSACTION READ ONLY"),  # as on a standby
        ("postgresql", "SET LOCAL statement_timeout = 100; LOCK settings IN SHARE MODE"),
    ],
)
async def test_a_database_that_cannot_write_now_is_away(database: Database, before: str) -> None:
    async def work(conn: AsyncConnection) -> None:
        for statement in before.split("; "):
            await conn.exec_driver_sql(statement)
        if "timeout" in before:
            await conn.exec_driver_sql("SELECT pg_sleep(5)")
        for number in range(500):
            await put(conn, f"{number:01000}")

    with pytest.raises(DatabaseAway):
        await database.transact(work)


async def test_a_file_that_another_has_locked_is_away(database: Database) -> None:
    if database.dialect == "postgresql":
        return
    async with database.write() as conn:
        await conn.exec_driver_sql("PRAGMA busy_timeout = 50")
    rival = sqlite3.connect(str(database.url.database), isolation_level=None)
    rival.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(DatabaseAway):
            await database.transact(put)
    finally:
        rival.close()
    await database.transact(put)


@pytest.mark.parametrize("name", ["SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC", "SQLITE_BUSY_SNAPSHOT", "SQLITE_FULL"])
def test_what_sqlite_says_of_its_disk_is_away_however_exactly_it_says_it(name: str) -> None:
    said = sqlite3.OperationalError(name)
    said.sqlite_errorcode = getattr(sqlite3, name)
    assert is_away(OperationalError("INSERT", None, said))


# --- not away ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    ["SELEC 1", "SELECT 1 FROM nowhere", "SELECT nothing FROM settings", "INSERT INTO settings (key) VALUES (NULL)"],
)
async def test_a_statement_that_the_database_refuses_is_an_error_of_ours(database: Database, statement: str) -> None:
    with pytest.raises(DBAPIError) as error:
        await database.transact(lambda conn: conn.execute(text(statement)))
    assert not is_away(error.value)


async def test_a_statement_with_more_parameters_than_the_database_takes_is_an_error_of_ours(database: Database) -> None:
    many = [str(number) for number in range(40_000 if database.dialect == "postgresql" else 260_000)]
    with pytest.raises(DBAPIError) as error:
        await database.transact(lambda conn: conn.execute(select(settings_table).where(settings_table.c.key.in_(many))))
    assert not is_away(error.value)


async def test_a_file_that_is_no_database_is_a_surprise(tmp_path: Path) -> None:
    file = tmp_path / "optgate.db"
    file.write_text("Dear diary, " * 1000)
    database = Database(f"sqlite:///{file}")
    with pytest.raises(DatabaseError) as error:
        await database.transact(put)
    assert not is_away(error.value)
    await database.dispose()
    await asyncio.sleep(0.1)
