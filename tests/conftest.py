"""Fixtures for every test: a fresh, migrated database of each kind, and no test that is passed over in silence."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import asyncpg
import pytest

from store.engine import Database
from store.migrate import migrate
from store.tables import metadata
from tests import compiled, postgres

NO_POSTGRESQL = "no PostgreSQL: half of this suite was NOT run (OPTGATE_REQUIRE_PG=1 makes that a failure)"
Result = TypeVar("Result")


def pytest_configure(config: pytest.Config) -> None:
    postgres.share_among_workers(config)
    compiled.share()


def pytest_collection_finish() -> None:
    """What is loaded by now stays: no search for garbage need go through its million objects again."""
    gc.collect()
    gc.freeze()


# --- databases ---------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def server() -> Iterator[postgres.Server | None]:
    """The PostgreSQL server of this run, the same for all workers; None where there can be none."""
    with postgres.running() as server:
        yield server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    file = tmp_path_factory.mktemp("template") / "optgate.db"
    in_a_thread(_migrate(f"sqlite:///{file}"))
    return file


class Shelf:
    """Migrated PostgreSQL databases to lend: to make one takes half a second, to empty one a few milliseconds."""

    # No trigger fires for a session that says it replays what happened elsewhere.
    _EMPTY = "SET session_replication_role = replica; ALTER SEQUENCE consent_event_seq RESTART;" + "".join(
        f'DELETE FROM "{table.name}";' for table in metadata.sorted_tables
    )
    # Its schema in one word, and whether it is still small. The catalogue's rows are the same in every copy.
    _STATE = """WITH ours AS (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
        SELECT pg_database_size(current_database()) < 50000000, md5(string_agg(what, ' ' ORDER BY what))
        FROM (SELECT pg_index::text FROM pg_index WHERE indrelid IN (SELECT oid FROM ours)
            UNION ALL SELECT pg_attribute::text FROM pg_attribute
                WHERE attnum > 0 AND attrelid IN (SELECT oid FROM ours)
            UNION ALL SELECT pg_trigger::text FROM pg_trigger WHERE NOT tgisinternal
            UNION ALL SELECT pg_constraint::text FROM pg_constraint WHERE connamespace = 'public'::regnamespace
            UNION ALL SELECT version_num FROM alembic_version) AS parts (what)"""

    def __init__(self, server: postgres.Server) -> None:
        self.server = server
        self._template = f"optgate_{uuid4().hex[:16]}"
        in_a_thread(_migrate(server.create_database(self._template)))
        self._as_new = in_a_thread(self._emptied(self._template))
        self._free: list[str] = []

    def lend(self) -> str:
        """The name of a database as new."""
        if self._free:
            return self._free.pop()
        name = f"optgate_{uuid4().hex[:16]}"
        self.server.create_database(name, self._template)
        return name

    def take_back(self, name: str) -> None:
        """Empty it for the next test, or drop it when more than its rows was changed."""
        try:
            state = in_a_thread(self._emptied(name))
        except asyncpg.PostgresError:
            state = ()
        if state == self._as_new:
            self._free.append(name)
        else:
            self.server.drop_database(name)

    def close(self) -> None:
        for name in (*self._free, self._template):
            self.server.drop_database(name)

    async def _emptied(self, name: str) -> tuple[object, ...]:
        connection = await asyncpg.connect(self.server.url(name))
        try:
            await connection.execute(self._EMPTY)
            return tuple(await connection.fetchrow(self._STATE))
        finally:
            await connection.close()


@pytest.fixture(scope="session")
def shelf(server: postgres.Server | None) -> Iterator[Shelf]:
    if server is None:
        pytest.skip(NO_POSTGRESQL)
    shelf = Shelf(server)
    yield shelf
    shelf.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def dialect(request: pytest.FixtureRequest) -> str:
    """Each database in its turn."""
    return str(request.param)


@pytest.fixture
def make_database_url(dialect: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., str]]:
    """Make databases, migrated or empty: `make_database_url(migrated=False)` returns the address of a new one."""
    with ExitStack() as ending:

        def make(*, migrated: bool = True) -> str:
            name = f"optgate_{uuid4().hex[:16]}"
            if dialect == "sqlite":
                file = tmp_path / f"{name}.db"
                if migrated:
                    shutil.copyfile(request.getfixturevalue("sqlite_template"), file)
                return f"sqlite:///{file}"
            shelf: Shelf = request.getfixturevalue("shelf")  # skips where there is no server
            if migrated:
                name = shelf.lend()
                ending.callback(shelf.take_back, name)
            else:
                shelf.server.create_database(name)
                ending.callback(shelf.server.drop_database, name)
            return shelf.server.url(name)

        yield make


@pytest.fixture
def database_url(make_database_url: Callable[..., str]) -> str:
    """The address of a fresh, migrated database, as an operator would write it."""
    return make_database_url()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.dispose()


async def _migrate(url: str) -> None:
    database = Database(url)
    try:
        await migrate(database)
    finally:
        await database.dispose()


def in_a_thread(work: Coroutine[Any, Any, Result]) -> Result:
    """Run it in a loop of its own, whoever's loop we are in."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


# --- the long ones first -----------------------------------------------------------------------

# Of their thousands of tests the longest takes a second: what is left at the end is shared out evenly.
QUICK = ("channels", "content", "rules")
# What runs on one worker, one after another, by how the test's id begins. Not by marks of xdist: it keeps them in an
# attribute that pytest 9.2 no longer reads, so that nothing of a group would stay together, and nothing would say so.
GROUPS = {
    "tests/campaign/": "campaign",
    "tests/torture/test_short_tier.py": "torture",
    "tests/test_house.py::test_setup": "house",
    "tests/test_house.py::test_run": "house",
}


def group_of(test_id: str) -> str | None:
    return next((group for beginning, group in GROUPS.items() if test_id.startswith(beginning)), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes begins at once, each on a worker of its own, and then what may take long; else the others
    would wait for it at the end."""
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    patience = item.get_closest_marker("timeout")
    if group_of(item.nodeid) in ("campaign", "torture"):
        return 0
    if patience is not None and patience.args[0] >= 300:
        return 1
    return 3 if item.path.parent.name in QUICK else 2


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """xdist's own, by our groups."""
    from xdist.scheduler import LoadGroupScheduling

    class Grouped(LoadGroupScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid) or nodeid

    return Grouped(config, log) if config.getvalue("dist") == "loadgroup" else None


# --- who has the processor ---------------------------------------------------------------------

NICE = 10  # a ninth of the processor where others want it


def pytest_runtest_setup(item: pytest.Item) -> None:
    """The campaign holds gateways to seconds: the workers beside it, and all that they start, let it go first."""
    is_beside_it = "PYTEST_XDIST_WORKER" in os.environ and group_of(item.nodeid) != "campaign"
    if is_beside_it and os.nice(0) < NICE:
        os.nice(NICE - os.nice(0))


# --- nothing is passed over in silence ---------------------------------------------------------


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """With OPTGATE_NO_SKIP=1 a skipped test is a failed one."""
    if os.environ.get("OPTGATE_NO_SKIP") == "1" and report.skipped and not hasattr(report, "wasxfail"):
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped, and OPTGATE_NO_SKIP=1 allows none: {why}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse_skip(report)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if NO_POSTGRESQL in str(report.longrepr)]
    if skipped:
        terminalreporter.section("PostgreSQL", red=True, bold=True)
        terminalreporter.line(f"{len(skipped)} tests skipped, {NO_POSTGRESQL}", red=True)
