"""Fixtures for every test: a fresh, migrated database of each kind, and no test that is passed over in silence."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from store.engine import Database
from store.migrate import migrate
from tests import postgres

NO_POSTGRESQL = "no PostgreSQL: half of this suite was NOT run (OPTGATE_REQUIRE_PG=1 makes that a failure)"
_TEMPLATE = "optgate_template"

pytest_configure = postgres.share_among_workers


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
    _in_a_thread(lambda: asyncio.run(_migrate(f"sqlite:///{file}")))
    return file


@pytest.fixture(scope="session")
def postgresql_template(server: postgres.Server | None) -> Iterator[str]:
    """The name of a migrated PostgreSQL database to copy."""
    if server is None:
        pytest.skip(NO_POSTGRESQL)
    name = f"{_TEMPLATE}_{uuid4().hex[:12]}"
    url = server.create_database(name)
    _in_a_thread(lambda: asyncio.run(_migrate(url)))
    yield name
    server.drop_database(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def dialect(request: pytest.FixtureRequest) -> str:
    """Each database in its turn."""
    return str(request.param)


@pytest.fixture
def make_database_url(dialect: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., str]]:
    """Make further databases: `make_database_url(migrated=False)`."""
    made: list[str] = []
    server: postgres.Server | None = request.getfixturevalue("server") if dialect == "postgresql" else None

    def make(*, migrated: bool = True) -> str:
        name = f"optgate_{uuid4().hex[:16]}"
        if dialect == "sqlite":
            file = tmp_path / f"{name}.db"
            if migrated:
                shutil.copyfile(request.getfixturevalue("sqlite_template"), file)
            return f"sqlite:///{file}"
        template = request.getfixturevalue("postgresql_template")  # skips where there is no server
        assert server is not None
        made.append(name)
        return server.create_database(name, template if migrated else None)

    yield make
    for name in made:
        assert server is not None
        server.drop_database(name)


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


def _in_a_thread(work: Callable[[], Any]) -> None:
    with ThreadPoolExecutor(1) as thread:  # a loop of its own, whoever's loop we are in
        thread.submit(work).result()


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
