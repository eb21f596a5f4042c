"""aiosqlite under SQLAlchemy with one hop into its thread for each statement, or for a whole transaction.

As it comes there are four for a statement: make a cursor, execute, fetch, close. On a busy machine a hop costs more
than the SQL. The statements are the same, in the same order, in the same thread, and so are their errors; results were
held in memory before as well. Cursors on the server's side (`stream`) are left as they are.

`inside` takes a coroutine into the connection's thread and runs it there to its end: what it awaits of the connection
is then a call. It cannot await anything else, for there is no event loop.
"""

from __future__ import annotations

import asyncio
import collections
import sqlite3
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from threading import get_ident
from typing import Any, TypeVar

import aiosqlite
from sqlalchemy.dialects.sqlite.aiosqlite import (
    AsyncAdapt_aiosqlite_connection,
    AsyncAdapt_aiosqlite_cursor,
    AsyncAdapt_aiosqlite_dbapi,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.util import EMPTY_DICT

T = TypeVar("T")


@dataclass(slots=True)
class _Ended:
    """What a cursor of sqlite3 tells once its statement has run."""

    description: Any = None
    rowcount: int = -1
    lastrowid: int | None = None
    arraysize: int = 1


class _Cursor(AsyncAdapt_aiosqlite_cursor):
    """Has no cursor of sqlite3 between statements: there is none to make, and none to close."""

    __slots__ = ()

    _adapt_connection: _Connection

    def __init__(self, adapt_connection: Any) -> None:
        self._adapt_connection = adapt_connection
        self._connection = adapt_connection._connection
        self._cursor: Any = _Ended()
        self._soft_closed_memoized = EMPTY_DICT
        self._rows: collections.deque[Any] = collections.deque()

    async def _execute_async(self, operation: Any, parameters: Any) -> Any:
        await self._hop(_run, operation, parameters or ())

    async def _executemany_async(self, operation: Any, seq_of_parameters: Any) -> Any:
        await self._hop(_run_many, operation, seq_of_parameters)

    async def _hop(self, work: Any, operation: Any, parameters: Any) -> None:
        if self._adapt_connection.is_inside:
            self._cursor, self._rows = work(self._connection._conn, operation, parameters)
            return
        async with self._adapt_connection._execute_mutex:
            # The way by which aiosqlite itself gets into its thread; it has no public one for several steps at once.
            connection: Any = self._connection
            self._cursor, self._rows = await connection._execute(work, connection._conn, operation, parameters)

    async def _async_soft_close(self) -> None:
        return

    def close(self) -> None:
        self._rows.clear()


def _run(connection: sqlite3.Connection, operation: str, parameters: Any) -> tuple[_Ended, collections.deque[Any]]:
    cursor = connection.cursor()
    try:
        cursor.execute(operation, parameters)
        rows = collections.deque(cursor.fetchall() if cursor.description else ())
        return _Ended(cursor.description, cursor.rowcount, cursor.lastrowid), rows
    finally:
        cursor.close()


def _run_many(connection: sqlite3.Connection, operation: str, parameters: Any) -> tuple[_Ended, collections.deque[Any]]:
    cursor = connection.cursor()
    try:
        cursor.executemany(operation, parameters)
        return _Ended(None, cursor.rowcount, cursor.lastrowid), collections.deque()
    finally:
        cursor.close()


class _Connection(AsyncAdapt_aiosqlite_connection):
    __slots__ = ("inside",)

    _cursor_cls = _Cursor

    def __init__(self, dbapi: Any, connection: Any) -> None:
        super().__init__(dbapi, connection)
        self.inside: int | None = None  # its thread, while its user runs there

    @property
    def is_inside(self) -> bool:
        """Whether who asks is its user, in its thread; whoever else has a word for it waits for its turn there."""
        return self.inside == get_ident()

    def commit(self) -> None:
        if self.is_inside:
            self._connection._conn.commit()
        else:
            super().commit()

    def rollback(self) -> None:
        if self.is_inside:
            self._connection._conn.rollback()
        elif self._connection._connection and self._connection.in_transaction:  # else there is nothing to roll back
            super().rollback()


@dataclass(frozen=True, slots=True)
class Near:
    """SQLite itself, for who runs in its thread: the same statements and errors, without what leads there."""

    _connection: sqlite3.Connection
    _dialect: Dialect

    def run(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        """The rows of one statement."""
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise self._wrapped(sql, error) from error

    def run_many(self, sql: str, values: list[tuple[Any, ...]]) -> None:
        """A statement for each of these."""
        try:
            self._connection.executemany(sql, values)
        except sqlite3.Error as error:
            raise self._wrapped(sql, error) from error

    def _wrapped(self, sql: str, error: sqlite3.Error) -> BaseException:
        return DBAPIError.instance(sql, None, error, sqlite3.Error, hide_parameters=True, dialect=self._dialect)


def near(connection: AsyncConnection) -> Near | None:
    """The way to SQLite for who runs `inside` this connection's thread; None for everybody else."""
    pooled = connection.sync_connection.connection  # type: ignore[union-attr]
    adapted = pooled.dbapi_connection
    if not isinstance(adapted, _Connection) or not adapted.is_inside:
        return None
    return Near(adapted._connection._conn, connection.dialect)


async def inside(connection: AsyncConnection, work: Callable[[AsyncConnection], Coroutine[Any, Any, T]]) -> T:
    """Run `work` in the thread of a connection of this driver; it may await that connection, and nothing else.

    Cancelled, however often, it waits for the end of the work, which nobody can stop, before it says so: who comes next
    to the connection would meet a transaction that is under way. Raises ValueError where the connection is closed.
    """
    adapted: Any = connection.sync_connection.connection.dbapi_connection  # type: ignore[union-attr]
    _ = adapted._connection._conn  # raises where it is closed: nobody would take what is put into its queue
    # No task: an event loop that is given up cancels every task, and would not wait for the thread.
    ended: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    running = partial(copy_context().run, _to_its_end, adapted, work(connection))
    adapted._connection._tx.put_nowait((ended, running))
    cancelled: asyncio.CancelledError | None = None
    while not ended.done():
        try:
            await asyncio.wait([ended])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        ended.exception()  # nobody is there to be told
        raise cancelled
    return ended.result()


def _to_its_end(adapted: _Connection, coroutine: Coroutine[Any, Any, T]) -> T:
    adapted.inside = get_ident()
    try:
        coroutine.send(None)
        coroutine.close()
        raise RuntimeError("inside a transaction something else was awaited than its connection")
    except StopIteration as ended:
        result: T = ended.value
        return result
    finally:
        adapted.inside = None


class Driver(AsyncAdapt_aiosqlite_dbapi):
    """For `create_async_engine(…, module=Driver())`."""

    def __init__(self) -> None:
        super().__init__(aiosqlite, sqlite3)

    def connect(self, *arguments: Any, **named: Any) -> AsyncAdapt_aiosqlite_connection:
        return _Connection(self, super().connect(*arguments, **named)._connection)
