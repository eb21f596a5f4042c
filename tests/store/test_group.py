"""Group commit: what arrives together is written together, and answered after the commit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

import pytest
from sqlalchemy import event, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from store.engine import Database, DatabaseAway
from store.group import GroupCommit
from store.tables import settings as settings_table
from tests.acts import NOON


async def keep(conn: AsyncConnection, items: Sequence[str]) -> list[str]:
    """Each item is kept as a row; "poison" cannot be."""
    rows = [{"key": item, "value": 1, "updated_at": NOON} for item in items]
    await conn.execute(insert(settings_table), rows)
    if "poison" in items:
        raise LookupError("poison")
    return [item.upper() for item in items]


async def kept(database: Database) -> set[str]:
    async with database.read() as conn:
        return set((await conn.execute(select(settings_table.c.key))).scalars())


class Commits:
    def __init__(self, database: Database) -> None:
        self.count = 0
        event.listen(database._writer.sync_engine, "commit", self._seen)

    def _seen(self, _connection: object) -> None:
        self.count += 1


async def test_what_arrives_together_shares_a_transaction(database: Database) -> None:
    commits = Commits(database)
    group = GroupCommit(database, keep)
    items = [f"item-{n}" for n in range(100)]
    assert await asyncio.gather(*map(group.submit, items)) == [item.upper() for item in items]
    assert commits.count <= 2
    assert await kept(database) == set(items)


async def test_what_arrives_meanwhile_is_the_next_group(database: Database) -> None:
    sizes: list[int] = []
    first_is_in = asyncio.Event()
    go_on = asyncio.Event()

    async def unit(conn: AsyncConnection, items: Sequence[int]) -> Sequence[int]:
        sizes.append(len(items))
        first_is_in.set()
        await go_on.wait()
        return items

    group = GroupCommit(database, unit)
    first = asyncio.create_task(group.submit(0))
    await first_is_in.wait()
    others = [asyncio.create_task(group.submit(n)) for n in range(1, 10)]
    await asyncio.sleep(0)
    go_on.set()
    assert await asyncio.gather(first, *others) == list(range(10))
    assert sizes == [1, 9]


async def test_a_group_that_is_held_up_is_passed_where_the_database_takes_several_writers(database: Database) -> None:
    """Another process holds a row that one item needs; what needs nothing of it does not wait, on PostgreSQL."""
    go_on = asyncio.Event()

    async def unit(conn: AsyncConnection, items: Sequence[int]) -> Sequence[int]:
        if items[0] < 0:
            await go_on.wait()
        return items

    group = GroupCommit(database, unit)
    held = asyncio.create_task(group.submit(-1))
    await asyncio.sleep(0.05)
    for number in range(5):
        passing = asyncio.create_task(group.submit(number))
        done, _ = await asyncio.wait([passing], timeout=30.0 if database.dialect == "postgresql" else 1.0)
        assert bool(done) is (database.dialect == "postgresql")
    assert not held.done()
    go_on.set()
    assert await held == -1
    await group.drain()


async def test_no_more_groups_are_open_than_there_are_lanes(database: Database) -> None:
    running, most = 0, 0

    async def unit(conn: AsyncConnection, items: Sequence[int]) -> Sequence[int]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.4)
        running -= 1
        return items

    group = GroupCommit(database, unit, most=1)
    await asyncio.gather(*(group.submit(n) for n in range(6)))
    assert most == database.lanes


async def test_a_group_is_never_larger_than_its_most(database: Database) -> None:
    sizes: list[int] = []

    async def unit(conn: AsyncConnection, items: Sequence[int]) -> Sequence[int]:
        sizes.append(len(items))
        return items

    group = GroupCommit(database, unit, most=8)
    await asyncio.gather(*(group.submit(n) for n in range(30)))
    assert max(sizes) == 8
    assert sum(sizes) == 30


async def test_where_nobody_waits_groups_follow_each_other_at_intervals(database: Database) -> None:
    """The first begins at once, what comes soon after it gathers, and what is full waits no longer."""
    sizes: list[int] = []

    async def unit(conn: AsyncConnection, items: Sequence[int]) -> Sequence[int]:
        sizes.append(len(items))
        return items

    group = GroupCommit(database, unit, most=8, every_seconds=1.5)
    began = monotonic()
    await group.submit(0)
    assert monotonic() - began < 1.5
    some = [group.hand_in(1)]
    await asyncio.sleep(0.02)
    some.append(group.hand_in(2))
    await asyncio.gather(*some)
    assert monotonic() - began >= 1.5
    assert sizes == [1, 2]
    slow = GroupCommit(database, unit, most=8, every_seconds=60.0)
    async with asyncio.timeout(30.0):
        await asyncio.gather(*(slow.submit(n) for n in range(24)))
    assert sizes[2:] == [8, 8, 8]


async def test_an_item_that_fails_alone_fails_alone(database: Database) -> None:
    group = GroupCommit(database, keep)
    items = ["a", "b", "poison", "c"]
    results = await asyncio.gather(*map(group.submit, items), return_exceptions=True)
    assert [result for result in results if isinstance(result, str)] == ["A", "B", "C"]
    assert isinstance(results[2], LookupError)
    assert await kept(database) == {"a", "b", "c"}


async def test_after_a_failure_the_next_is_taken(database: Database) -> None:
    group = GroupCommit(database, keep)
    with pytest.raises(LookupError):
        await group.submit("poison")
    assert await group.submit("a") == "A"


async def test_all_are_told_when_the_database_is_away(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/missing/optgate.db")
    group = GroupCommit(database, keep)
    results = await asyncio.gather(*(group.submit(f"item-{n}") for n in range(5)), return_exceptions=True)
    assert [type(result) for result in results] == [DatabaseAway] * 5
    await database.dispose()
    await asyncio.sleep(0.1)  # after a failed connect the driver lets its thread end by itself


async def test_a_database_that_goes_away_while_a_group_is_taken_apart_is_asked_once(database: Database) -> None:
    asked: list[int] = []

    async def unit(_conn: AsyncConnection, items: Sequence[int]) -> Sequence[int]:
        asked.append(len(items))
        if len(items) > 1:
            raise LookupError
        if items[0] > 1:
            raise DatabaseAway
        return items

    group = GroupCommit(database, unit)
    results = await asyncio.gather(*map(group.submit, range(1, 10)), return_exceptions=True)
    assert results[0] == 1
    assert [type(result) for result in results[1:]] == [DatabaseAway] * 8
    assert asked == [9, 1, 1]


async def test_an_answer_comes_after_the_commit(database: Database) -> None:
    group = GroupCommit(database, keep)

    async def submit(item: str) -> bool:
        await group.submit(item)
        return item in await kept(database)

    assert all(await asyncio.gather(*(submit(f"item-{n}") for n in range(20))))


async def test_one_who_has_gone_takes_nobody_along(database: Database) -> None:
    group = GroupCommit(database, keep)
    tasks = [asyncio.create_task(group.submit(item)) for item in ("a", "b")]
    await asyncio.sleep(0)
    tasks[0].cancel()
    assert await tasks[1] == "B"
    await group.drain()
    assert await kept(database) == {"a", "b"}


async def test_drain_waits_until_nothing_is_under_way(database: Database) -> None:
    group = GroupCommit(database, keep)
    await group.drain()
    task = asyncio.create_task(group.submit("a"))
    await asyncio.sleep(0)
    await group.drain()
    assert task.done() or await task == "A"
    assert await kept(database) == {"a"}


async def test_whoever_counts_commits_and_fails_has_none_of_them_done_again(database: Database) -> None:
    told: list[int] = []

    def broken(items: int, _seconds: float) -> None:
        told.append(items)
        raise RuntimeError("no luck")

    group = GroupCommit(database, keep, on_commit=broken)
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context["exception"]))
    assert await asyncio.gather(*map(group.submit, ("a", "b", "c"))) == ["A", "B", "C"]
    await group.drain()
    await asyncio.sleep(0)
    assert await kept(database) == {"a", "b", "c"}
    assert sum(told) == 3
    assert len(complaints) == len(told)
