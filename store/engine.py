"""How a transaction opens.

SQLite: one connection writes (`BEGIN IMMEDIATE`, WAL, `synchronous=FULL`) and alone checkpoints; readers are
read-only and never wait. Without `BEGIN IMMEDIATE` concurrent read-then-write transactions lose updates without
an error. PostgreSQL: READ COMMITTED; rows are locked in the order of `store.locks`; a transaction that met a
serialisation failure, a deadlock or a race by name is run again, after a short pause; so is one whose connection was
cut before its commit was asked for, as happens to a process that stood still with locks in its hands.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any, Generic, TypeVar

from sqlalchemy import URL, event, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from store import crash, onehop
from store.types import as_json

# PostgreSQL's class 40: serialization_failure, deadlock_detected. https://www.postgresql.org/docs/current/errcodes-appendix.html
_RETRIED = {"40001", "40P01"}
# Two that insert the same new thing: the second finds it when it runs again. Any other integrity error is an error.
_RACED_CONSTRAINTS = (
    "pk_defaults",
    "pk_terms",
    "uq_addresses_hash",
    "uq_api_keys_live_name",
    "uq_consent_events_profile_position",
    "uq_dispositions_name",
    "uq_preference_groups_headline",
    "uq_preference_groups_partner",
    "uq_preferences_name",
    "uq_profiles_external_id",
)
# Connection trouble, shut-down and start-up, too many connections, its disk, cancelled by a time-out, a standby.
_AWAY = ("08", "57P", "53", "58", "57014", "55P03", "25P03", "25006")
# Of these, what ends a session: idle_in_transaction_session_timeout, admin_shutdown.
_CUT = {"25P03", "57P01"}
# The same of SQLite, by primary code (https://www.sqlite.org/rescode.html): held by another, or a disk that is full,
# broken, read-only or not there. A file that is damaged or no database is a surprise: to try again mends nothing.
_AWAY_IN_SQLITE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
}

# A transaction that races is run again, so often at least, and for so long: an address that changes hands
# again and again stands still for a moment, and whoever texted from it is not told to come again.
# One that was cut is run again so often at most.
_TRIES = 3
_RACING_SECONDS = 2.0
# How many write transactions one group commit may have open at once: on SQLite there is one writer.
_LANES = {"sqlite": 1, "postgresql": 3}
_TURN_SECONDS = 30.0  # for which one waits to write to SQLite

T = TypeVar("T")


class Raced(Exception):
    """Another transaction changed what this one had read before it held the locks: run it again."""


class DatabaseAway(Exception):
    """The database cannot be asked now. Nothing was acknowledged; try again later. Its text is a kind of error."""


class StillRacing(DatabaseAway):
    """A transaction raced again and again: it may fare better in parts."""


def normalise_url(url: str) -> URL:
    """`sqlite:///file` and `postgresql://…` as the async drivers want them.

    Raises ValueError for any other database, and for SQLite in memory, which no two connections share.
    """
    parsed = make_url(url)
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise ValueError("SQLite needs a file: sqlite:///optgate.db, or sqlite:////var/lib/optgate/optgate.db")
        return parsed.set(drivername="sqlite+aiosqlite")
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+asyncpg")
    raise ValueError(f"{backend} is not supported: use sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME")


def _sqlstate(error: DBAPIError) -> str:
    return str(getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None) or "")


def _sqlite_code(error: DBAPIError) -> int:
    """The primary code: the low byte of what may be an extended one."""
    return int(getattr(error.orig, "sqlite_errorcode", None) or 0) & 0xFF


def is_away(error: BaseException) -> bool:
    """Whether the database could not be asked, as opposed to having refused what it was asked."""
    if isinstance(error, DBAPIError):
        lost = bool(error.connection_invalidated)
        return lost or _sqlstate(error).startswith(_AWAY) or _sqlite_code(error) in _AWAY_IN_SQLITE
    return isinstance(error, DatabaseAway | PoolTimeoutError | OSError)


def _told(error: BaseException) -> str:
    """What kind of error it is, without what it says: that may hold personal data."""
    code = _sqlstate(error) if isinstance(error, DBAPIError) else ""
    return f"{type(error).__name__} {code}".rstrip()


def _was_cut(error: BaseException) -> bool:
    """Whether the connection ended under a statement: by a time-out of the server's, an operator, a restart."""
    return isinstance(error, DBAPIError) and (bool(error.connection_invalidated) or _sqlstate(error) in _CUT)


def _is_race(error: BaseException) -> bool:
    if isinstance(error, IntegrityError):
        return any(name in str(error.orig) for name in _RACED_CONSTRAINTS)
    return isinstance(error, Raced) or (isinstance(error, DBAPIError) and _sqlstate(error) in _RETRIED)


def _on_connect_sqlite(statements: tuple[str, ...]) -> Callable[[Any, Any], None]:
    def connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver opens no transaction by itself
        cursor = connection.cursor()
        for statement in statements:
            _patiently(cursor, statement)
        cursor.close()

    return connected


def _patiently(cursor: Any, statement: str) -> None:
    """Run a pragma. Two that make a new file at once collide as they turn it to WAL, where SQLite waits for nobody."""
    for tries_left in range(100, -1, -1):
        try:
            cursor.execute(statement)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or not tries_left:
                raise
            time.sleep(0.01)
        else:
            return


def _sqlite_engine(url: URL, *, begin: str, pragmas: tuple[str, ...], size: int) -> AsyncEngine:
    engine = create_async_engine(
        url,
        module=onehop.Driver(),
        pool_size=size,
        max_overflow=0,
        connect_args={"timeout": 10},
        hide_parameters=True,
        json_serializer=as_json,
    )
    event.listen(engine.sync_engine, "connect", _on_connect_sqlite(pragmas))

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _postgresql_engine(url: URL, *, size: int, idle_seconds: float) -> AsyncEngine:
    return create_async_engine(
        url,
        pool_size=size,
        max_overflow=0,
        pool_timeout=10,
        pool_pre_ping=True,
        json_serializer=as_json,
        hide_parameters=True,  # they hold personal data, and errors are logged
        connect_args={
            "timeout": 5,
            "server_settings": {
                "application_name": "optgate",
                "jit": "off",
                "idle_in_transaction_session_timeout": str(int(idle_seconds * 1000)),
            },
        },
    )


@asynccontextmanager
async def _transaction(connection: AsyncConnection) -> AsyncIterator[None]:
    async with connection.begin():
        crash.point("transaction.opened")
        yield
        crash.point("transaction.commit")
    crash.point("transaction.committed")


class _Attempt(Generic[T]):
    """One try at a transaction, which knows how far it has come."""

    def __init__(self, work: Callable[[AsyncConnection], Coroutine[Any, Any, T]]) -> None:
        self._work = work
        self.committing = False

    async def run(self, connection: AsyncConnection) -> T:
        async with _transaction(connection):
            result = await self._work(connection)
            self.committing = True
        return result


class Database:
    """One database: `write()` and `read()` open transactions, everything else joins one."""

    def __init__(self, url: str, *, pool_size: int = 12, idle_seconds: float = 0.0) -> None:
        """`idle_seconds`: PostgreSQL ends a transaction of ours that writes and stands still for so long; 0: never.

        `pool_size`: connections to PostgreSQL for who writes; half as many more for who reads.
        """
        self.url = normalise_url(url)
        self.dialect = self.url.get_backend_name()
        self.lanes = _LANES[self.dialect]
        self._turn = asyncio.Lock()  # to write to SQLite
        self._waiting = 0  # for that
        if self.dialect == "sqlite":
            self._writer = _sqlite_engine(
                self.url,
                begin="BEGIN IMMEDIATE",
                size=1,
                pragmas=(
                    "PRAGMA journal_mode=WAL",
                    "PRAGMA synchronous=FULL",
                    "PRAGMA foreign_keys=ON",
                    "PRAGMA temp_store=MEMORY",
                    "PRAGMA cache_size=-32000",
                ),
            )
            self._reader = _sqlite_engine(
                self.url,
                begin="BEGIN",
                size=4,
                pragmas=("PRAGMA query_only=ON", "PRAGMA wal_autocheckpoint=0", "PRAGMA temp_store=MEMORY"),
            )
        else:
            # Who only reads holds no locks: there is nothing to take from it when it stands still.
            self._writer = _postgresql_engine(self.url, size=pool_size, idle_seconds=idle_seconds)
            self._reader = _postgresql_engine(self.url, size=max(1, pool_size // 2), idle_seconds=0.0)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that writes: committed at the end, rolled back on an exception."""
        async with self._writing() as connection, _transaction(connection):
            yield connection

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncConnection]:
        """A connection that writes. On SQLite there is one, and who asked first has it first.

        The pool would give it to whoever asks in the moment it comes back: to the planner with its next chunk, and not
        to the message that waits. Raises TimeoutError.
        """
        if self.dialect != "sqlite":
            async with self._writer.connect() as connection:
                yield connection
            return
        self._waiting += 1
        try:
            async with asyncio.timeout(_TURN_SECONDS):
                await self._turn.acquire()
        finally:
            self._waiting -= 1
        try:
            async with self._writer.connect() as connection:
                yield connection
        finally:
            self._turn.release()

    @property
    def is_waited_for(self) -> bool:
        """Whether somebody waits for a turn to write: who has much to write then takes less of it at a time."""
        return self._waiting > 0

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that only reads what is committed (of the primary: there is no other)."""
        async with self._reader.begin() as connection:
            yield connection

    async def look(self, work: Callable[[AsyncConnection], Coroutine[Any, Any, T]]) -> T:
        """What `work` finds in a transaction that only reads; it awaits its connection and nothing else."""

        async def whole(connection: AsyncConnection) -> T:
            async with connection.begin():
                return await work(connection)

        async with self._reader.connect() as connection:
            return await (onehop.inside(connection, whole) if self.dialect == "sqlite" else whole(connection))

    async def transact(self, work: Callable[[AsyncConnection], Coroutine[Any, Any, T]], *, apart: bool = False) -> T:
        """Run `work` in a write transaction, again while it races or is cut; raises DatabaseAway, chained.

        `apart`: the work awaits its connection and nothing else. On SQLite all of it then runs in the connection's own
        thread, which spares two hops a statement. A commit whose answer is lost may have been made: that is
        DatabaseAway, never run again.
        """
        until = monotonic() + _RACING_SECONDS
        for tries in itertools.count(1):
            attempt = _Attempt(work)
            try:
                async with self._writing() as connection:
                    if apart and self.dialect == "sqlite":
                        return await onehop.inside(connection, attempt.run)
                    return await attempt.run(connection)
            except (Raced, DBAPIError, PoolTimeoutError, OSError) as error:
                cut = not attempt.committing and _was_cut(error) and tries < _TRIES
                if is_away(error) and not cut:
                    raise DatabaseAway(_told(error)) from error
                if not cut and not _is_race(error):
                    raise
                if not cut and tries >= _TRIES and monotonic() > until:
                    raise StillRacing(_told(error)) from error
            await asyncio.sleep(random.uniform(0, min(0.005 * tries, 0.05)))  # noqa: S311 - rivals that race part
        raise AssertionError("unreachable")

    async def dispose(self) -> None:
        """Close every connection; the readers first, so that the writer's last close checkpoints."""
        await self._reader.dispose()
        await self._writer.dispose()
