"""How transactions open: nothing is lost, readers do not wait, a time has a zone."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, MetaData, Table, insert, literal, select, text, update
from sqlalchemy.exc import IntegrityError, OperationalError, StatementError
from sqlalchemy.ext.asyncio import AsyncConnection

from store import onehop
from store.engine import Database, DatabaseAway, Raced, normalise_url
from store.ids import new_id
from store.tables import settings as settings_table
from store.types import UTCDateTime
from tests.acts import NOON

ROOT = Path(__file__).resolve().parents[2]


async def put(conn: AsyncConnection, value: int) -> None:
    await conn.execute(insert(settings_table).values(key="n", value=value, updated_at=NOON))


async def current(conn: AsyncConnection) -> int:
    locked = select(settings_table.c.value).where(settings_table.c.key == "n").with_for_update()
    return int((await conn.execute(locked)).scalar_one())


# --- updates -----------------------------------------------------------------------------------


async def test_no_update_is_lost(database: Database) -> None:
    """8 tasks × 40 times read, add one, write: with the driver's own transactions 44 of 320 remain on SQLite."""
    async with database.write() as conn:
        await put(conn, 0)

    async def add_one(conn: AsyncConnection) -> None:
        n = await current(conn)
        await asyncio.sleep(0)
        await conn.execute(update(settings_table).values(value=n + 1))

    async def task() -> None:
        for _ in range(40):
            await database.transact(add_one)

    await asyncio.gather(*(task() for _ in range(8)))
    async with database.read() as conn:
        assert await current_read(conn) == 320


async def current_read(conn: AsyncConnection) -> int:
    return int((await conn.execute(select(settings_table.c.value))).scalar_one())


async def test_readers_do_not_wait_for_a_writer(database: Database) -> None:
    async with database.write() as conn:
        await put(conn, 1)
    async with database.write() as writer:
        await writer.execute(update(settings_table).values(value=2))
        began = time.monotonic()
        async with database.read() as reader:
            assert await current_read(reader) == 1
        assert time.monotonic() - began < 8  # who waits for a writer waits ten seconds
    async with database.read() as reader:
        assert await current_read(reader) == 2


async def test_a_reader_cannot_write_on_sqlite(database: Database) -> None:
    if database.dialect == "postgresql":
        return  # one pool, one primary
    with pytest.raises(OperationalError, match="readonly"):
        async with database.read() as conn:
            await put(conn, 1)


async def test_an_exception_takes_everything_back(database: Database) -> None:
    async def work(conn: AsyncConnection) -> None:
        await put(conn, 1)
        raise LookupError

    with pytest.raises(LookupError):
        await database.transact(work)
    async with database.read() as conn:
        assert (await conn.execute(select(settings_table))).first() is None


async def test_a_transaction_that_raced_is_run_once_more(database: Database) -> None:
    tries = []

    async def work(conn: AsyncConnection) -> int:
        tries.append(1)
        await put(conn, len(tries))
        if len(tries) == 1:
            raise Raced("another was quicker")
        return await current_read(conn)

    assert await database.transact(work) == 2
    assert len(tries) == 2


async def test_a_transaction_that_goes_on_racing_for_a_while_is_run_until_it_does_not(database: Database) -> None:
    tries = []

    async def work(conn: AsyncConnection) -> int:
        tries.append(1)
        if len(tries) < 8:
            raise Raced("another was quicker")
        await put(conn, 8)
        return len(tries)

    assert await database.transact(work) == 8


async def test_a_transaction_that_races_again_and_again_is_answered_as_if_the_database_were_away(
    database: Database,
) -> None:
    async def work(conn: AsyncConnection) -> None:
        raise Raced("again")

    with pytest.raises(DatabaseAway) as away:
        await database.transact(work)
    assert isinstance(away.value.__cause__, Raced)


async def test_a_broken_rule_is_an_error_and_never_taken_for_seen_before(database: Database) -> None:
    async def work(conn: AsyncConnection) -> None:
        await put(conn, 1)
        await put(conn, 2)

    with pytest.raises(IntegrityError):
        await database.transact(work)


async def test_sqlite_writes_ahead_and_waits_for_the_disk(database: Database) -> None:
    if database.dialect == "postgresql":
        return
    async with database.write() as conn:
        assert (await conn.execute(text("PRAGMA journal_mode"))).scalar_one() == "wal"
        assert (await conn.execute(text("PRAGMA synchronous"))).scalar_one() == 2
        assert (await conn.execute(text("PRAGMA foreign_keys"))).scalar_one() == 1
    async with database.read() as conn:
        assert (await conn.execute(text("PRAGMA query_only"))).scalar_one() == 1


# --- addresses of databases --------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg", "postgresql+asyncpg"])
def test_postgresql_means_asyncpg(scheme: str) -> None:
    url = normalise_url(f"{scheme}://optgate:secret@db.example.org:5433/optgate")
    assert url.drivername == "postgresql+asyncpg"
    assert (url.host, url.port, url.database, url.password) == ("db.example.org", 5433, "optgate", "secret")


@pytest.mark.parametrize(
    ("given", "file"), [("sqlite:///optgate.db", "optgate.db"), ("sqlite:////var/o.db", "/var/o.db")]
)
def test_sqlite_means_aiosqlite(given: str, file: str) -> None:
    url = normalise_url(given)
    assert (url.drivername, url.database) == ("sqlite+aiosqlite", file)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite+aiosqlite://"])
def test_sqlite_in_memory_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="needs a file"):
        normalise_url(url)


def test_any_other_database_is_refused() -> None:
    with pytest.raises(ValueError, match="not supported"):
        normalise_url("mysql://localhost/optgate")


# --- times -------------------------------------------------------------------------------------

moments = Table("moments", MetaData(), Column("at", UTCDateTime))


async def test_a_time_comes_back_in_utc_with_microseconds(database: Database) -> None:
    at = datetime(2026, 11, 20, 14, 30, 0, 123_456, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    async with database.write() as conn:
        await conn.execute(insert(settings_table).values(key="n", value=1, updated_at=at))
        found = (await conn.execute(select(settings_table.c.updated_at))).scalar_one()
    assert found == at
    assert (found.tzinfo, found.microsecond, found.hour) == (UTC, 123_456, 9)


async def test_times_of_different_precision_are_compared_as_times(database: Database) -> None:
    times = [NOON.replace(microsecond=n) for n in (0, 1, 1000, 250_000, 999_999)]
    async with database.write() as conn:
        for n, at in enumerate(times):
            await conn.execute(insert(settings_table).values(key=str(n), value=n, updated_at=at))
        ordered = await conn.execute(select(settings_table.c.updated_at).order_by(settings_table.c.updated_at))
        assert list(ordered.scalars()) == times
        below = select(settings_table.c.key).where(settings_table.c.updated_at < times[2])
        assert sorted((await conn.execute(below)).scalars()) == ["0", "1"]


async def test_the_two_times_of_an_hour_that_comes_twice_are_two(database: Database) -> None:
    first = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    second = first.replace(fold=1)
    assert first == second  # on the wall
    async with database.write() as conn:
        for key, at in (("first", first), ("second", second)):
            await conn.execute(insert(settings_table).values(key=key, value=1, updated_at=at))
        kept = await conn.execute(select(settings_table.c.updated_at).order_by(settings_table.c.key))
        assert [at.isoformat() for at in kept.scalars()] == ["2026-10-25T00:30:00+00:00", "2026-10-25T01:30:00+00:00"]


async def test_a_time_without_a_zone_is_refused(database: Database) -> None:
    naive = datetime(2026, 11, 20, 12, 0)  # noqa: DTZ001 - that is the point
    with pytest.raises(StatementError, match="without a time zone"):
        async with database.write() as conn:
            await conn.execute(insert(settings_table).values(key="n", value=1, updated_at=naive))
    with pytest.raises(StatementError, match="without a time zone"):
        async with database.read() as conn:
            await conn.execute(select(literal(naive, UTCDateTime())))


@settings(deadline=None)
@given(st.datetimes(timezones=st.integers(-1439, 1439).map(lambda n: timezone(timedelta(minutes=n)))))
def test_what_is_bound_is_utc(at: datetime) -> None:
    try:
        bound = UTCDateTime().process_bind_param(at, None)  # type: ignore[arg-type]
    except OverflowError:  # the first and last days of the calendar
        return
    assert bound == at
    assert bound is not None
    assert bound.tzinfo is UTC


# --- ids ---------------------------------------------------------------------------------------


def test_ids_ascend_in_the_order_of_their_making() -> None:
    ids = [new_id("pro") for _ in range(10_000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert all(len(one) == 30 and one.startswith("pro_") for one in ids)


async def test_the_databases_sort_ids_in_that_order_too(database: Database) -> None:
    keys = ["a_1", "a_B", "a_b", "aa", "Z", "é"]
    async with database.write() as conn:
        for key in keys:
            await conn.execute(insert(settings_table).values(key=key, value=1, updated_at=NOON))
        found = list((await conn.execute(select(settings_table.c.key).order_by(settings_table.c.key))).scalars())
    assert found == sorted(keys, key=str.encode)


# --- the end -----------------------------------------------------------------------------------

PROGRAM = """
import asyncio, sys
from sqlalchemy import text
from store.engine import Database
from store.migrate import migrate

async def main():
    database = Database(sys.argv[1])
    await migrate(database)
    async with database.read() as conn:
        await conn.execute(text("SELECT 1"))
    await database.dispose()

asyncio.run(main())
print("done")
"""


async def test_the_process_ends_after_dispose(make_database_url) -> None:
    """The driver's thread is no daemon: what it leaves open would keep the process from ending."""
    command = [sys.executable, "-W", "error", "-c", PROGRAM, make_database_url(migrated=False)]
    ended = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "done\n", "")


async def test_after_dispose_the_file_is_all_there_is(make_database_url, tmp_path: Path, dialect: str) -> None:
    if dialect == "postgresql":
        return
    database = Database(make_database_url())
    async with database.read() as conn:
        await conn.execute(select(settings_table))
    await database.transact(lambda conn: put(conn, 1))
    await database.dispose()
    assert len(list(tmp_path.iterdir())) == 1  # no -wal, no -shm: the last writer's close has checkpointed


def test_statements_are_shown_without_their_parameters(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/optgate.db")
    assert database._writer.sync_engine.hide_parameters
    assert database._reader.sync_engine.hide_parameters


async def test_who_asks_for_sqlite_first_writes_first(tmp_path: Path) -> None:
    """One who writes again and again lets in whoever asked meanwhile: a planner the message that waits."""
    database = Database(f"sqlite:///{tmp_path / 'turns.db'}")
    order: list[str] = []
    under_way = asyncio.Event()

    async def work(conn: AsyncConnection, name: str) -> None:
        order.append(name)
        under_way.set()
        await conn.execute(text("SELECT 1"))

    async def again_and_again() -> None:
        for _ in range(3):
            await database.transact(lambda conn: work(conn, "planner"))

    async def once() -> None:
        await under_way.wait()
        await database.transact(lambda conn: work(conn, "message"))

    await asyncio.gather(again_and_again(), once())
    await database.dispose()
    assert order == ["planner", "message", "planner", "planner"]


async def test_a_transaction_apart_runs_in_the_connections_thread_on_sqlite(database: Database) -> None:
    where: list[int] = []

    async def work(conn: AsyncConnection) -> int:
        where.append(threading.get_ident())
        await put(conn, 3)
        return await current(conn)

    assert await database.transact(work, apart=True) == 3
    assert await database.transact(current, apart=True) == 3
    assert await database.look(current_read) == 3
    assert (where == [threading.get_ident()]) == (database.dialect == "postgresql")


async def test_what_fails_apart_is_undone_and_told(database: Database) -> None:
    async def fails(conn: AsyncConnection) -> None:
        await put(conn, 1)
        await put(conn, 1)

    with pytest.raises(IntegrityError):
        await database.transact(fails, apart=True)
    await database.transact(lambda conn: put(conn, 2), apart=True)
    async with database.read() as conn:
        assert await current_read(conn) == 2


async def test_who_waits_for_something_else_apart_is_told_so(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'apart.db'}")

    async def waits(conn: AsyncConnection) -> None:
        await conn.execute(text("CREATE TABLE left_over (id INTEGER)"))
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="something else was awaited"):
        await database.transact(waits, apart=True)
    names = await database.look(lambda conn: conn.execute(text("SELECT name FROM sqlite_master")))
    await database.dispose()
    assert names.all() == []


@pytest.mark.parametrize("times", [1, 3])
async def test_who_gives_up_a_transaction_apart_gives_it_up_at_its_end(tmp_path: Path, times: int) -> None:
    database = Database(f"sqlite:///{tmp_path / 'apart.db'}")
    begun, ended = threading.Event(), threading.Event()

    async def slow(conn: AsyncConnection) -> None:
        await conn.execute(text("CREATE TABLE kept (id INTEGER)"))
        begun.set()
        time.sleep(0.2)
        ended.set()

    task = asyncio.create_task(database.transact(slow, apart=True))
    await asyncio.to_thread(begun.wait, 10)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0.01)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
    assert (await database.look(lambda conn: conn.execute(text("SELECT name FROM sqlite_master")))).scalars().all()
    await database.transact(lambda conn: conn.execute(text("DROP TABLE kept")), apart=True)  # and it works again
    await database.dispose()


async def test_an_event_loop_that_is_given_up_leaves_no_half_of_a_transaction_apart(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'apart.db'}")
    begun, ended = threading.Event(), threading.Event()

    async def slow(conn: AsyncConnection) -> None:
        await conn.execute(text("CREATE TABLE first (id INTEGER)"))
        begun.set()
        time.sleep(0.2)
        await conn.execute(text("CREATE TABLE second (id INTEGER)"))
        ended.set()

    others = asyncio.all_tasks()
    task = asyncio.create_task(database.transact(slow, apart=True))
    await asyncio.to_thread(begun.wait, 10)
    for every in asyncio.all_tasks() - others:  # as asyncio.run does when what it runs has raised
        every.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
    names = await database.look(lambda conn: conn.execute(text("SELECT name FROM sqlite_master ORDER BY name")))
    await database.dispose()
    assert names.scalars().all() == ["first", "second"]


async def test_whether_somebody_waits_to_write_is_known_on_sqlite(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'turns.db'}")
    seen: list[bool] = []

    async def look(_conn: AsyncConnection) -> None:
        seen.append(database.is_waited_for)
        await asyncio.sleep(0)
        seen.append(database.is_waited_for)

    await asyncio.gather(database.transact(look), database.transact(look))
    await database.dispose()
    assert seen == [True, True, False, False]
    assert not database.is_waited_for


async def test_who_comes_to_a_closed_connection_is_told_so(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'closed.db'}")

    async def look(conn: AsyncConnection) -> None:
        await conn.execute(text("SELECT 1"))

    async with database._writer.connect() as connection:
        raw = (await connection.get_raw_connection()).driver_connection
        assert raw is not None
        await raw.close()
        async with asyncio.timeout(60):
            with pytest.raises(ValueError, match="no active connection"):
                await onehop.inside(connection, look)
    await database.dispose()
