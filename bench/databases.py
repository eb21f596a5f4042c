"""New databases to measure on: a SQLite file (WAL, synchronous=FULL), a PostgreSQL of our own with fsync on.

PostgreSQL runs with its own settings but for those of tests/postgres.py: fsync, full_page_writes and
synchronous_commit are on, shared_buffers are 128 MB, and it has the same two processors as everything else.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import postgres

KINDS = ("sqlite", "postgresql")


class Databases:
    """Makes databases of one kind, empty or as copies of another."""

    def __init__(self, folder: Path, server: postgres.Server | None) -> None:
        self._folder = folder
        self._server = server
        self._numbers = itertools.count()

    def new(self, like: str | None = None) -> str:
        """The address of a new one; `like` that of one that nobody uses now."""
        name = f"bench{next(self._numbers)}"
        if self._server is not None:
            return self._server.create_database(name, like.rpartition("/")[2] if like else None)
        file = self._folder / f"{name}.db"
        if like:
            shutil.copyfile(like.removeprefix("sqlite:///"), file)
        return f"sqlite:///{file}"

    def drop(self, url: str) -> None:
        if self._server is not None:
            self._server.drop_database(url.rpartition("/")[2])
            return
        file = Path(url.removeprefix("sqlite:///"))
        for suffix in ("", "-wal", "-shm", ".lock"):
            file.with_name(file.name + suffix).unlink(missing_ok=True)


@contextmanager
def databases(kind: str) -> Iterator[Databases]:
    with tempfile.TemporaryDirectory() as folder:
        if kind == "sqlite":
            yield Databases(Path(folder), None)
            return
        with postgres.own(fsync=True) as server:
            if server is None:
                raise SystemExit("there are no binaries of PostgreSQL here")
            yield Databases(Path(folder), server)
