"""aiosqlite under SQLAlchemy with one hop into its thread for each statement.

As it comes there are four: make a cursor, execute, fetch, close. On a busy machine a hop costs more than the SQL.
The statements are the same, in the same order, in the same thread, and so are their errors; results were held in memory
before as well. Cursors on the server's side (`stream`) are left as they are.
"""

from __future__ import annotations

import collections
import sqlite3
from dataclasses import dataclass
from typing import Any

import aiosqlite
from sqlalchemy.dialects.sqlite.aiosqlite import (
    AsyncAdapt_aiosqlite_connection,
    AsyncAdapt_aiosqlite_cursor,
    AsyncAdapt_aiosqlite_dbapi,
)
from sqlalchemy.util import EMPTY_DICT


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
    __slots__ = ()

    _cursor_cls = _Cursor


class Driver(AsyncAdapt_aiosqlite_dbapi):
    """For `create_async_engine(…, module=Driver())`."""

    def __init__(self) -> None:
        super().__init__(aiosqlite, sqlite3)

    def connect(self, *arguments: Any, **named: Any) -> AsyncAdapt_aiosqlite_connection:
        return _Connection(self, super().connect(*arguments, **named)._connection)
