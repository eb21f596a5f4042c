"""What every test of the campaign needs: one after another, on databases that are as durable as in production."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests import postgres
from tests.conftest import NO_POSTGRESQL


@pytest.fixture(scope="session")
def durable_server() -> Iterator[postgres.Server | None]:
    """A PostgreSQL of our own that waits for the disk, as one does where it matters."""
    with postgres.own(fsync=True) as server:
        yield server


@pytest.fixture
def new_database_url(dialect: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[[], str]]:
    """Make empty databases of the kind in turn; the first gateway migrates them."""
    made: list[str] = []
    server: postgres.Server | None = request.getfixturevalue("durable_server") if dialect == "postgresql" else None

    def make() -> str:
        name = f"campaign_{uuid4().hex[:16]}"
        if dialect == "sqlite":
            return f"sqlite:///{tmp_path / name}.db"
        if server is None:
            pytest.skip(NO_POSTGRESQL)
        made.append(name)
        return server.create_database(name)

    yield make
    for name in made:
        assert server is not None
        server.drop_database(name)
