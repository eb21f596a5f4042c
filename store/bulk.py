"""Statements that are run for many rows: compiled once, and the rows given to the driver as it wants them.

The SQL and the values are those that SQLAlchemy makes of the same statement; what is spared is to make them anew for
each row, which took more time than the database did.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Insert, Table, Update, insert
from sqlalchemy.engine import Compiled, Dialect
from sqlalchemy.ext.asyncio import AsyncConnection

Row = Mapping[str, Any]
_Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class _Ready:
    """A statement as the driver gets it, and the values it takes, in their order."""

    sql: str
    takes: tuple[tuple[str, _Convert | None], ...]
    fixed: Row  # values that are the statement's own


_ready: dict[tuple[Insert | Update, str, tuple[str, ...]], _Ready] = {}


async def insert_rows(conn: AsyncConnection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows, all with the same columns."""
    await run(conn, _insert(table), rows)


@cache
def _insert(table: Table) -> Insert:
    return insert(table).inline()


async def run(conn: AsyncConnection, statement: Insert | Update, rows: Sequence[Row]) -> None:
    """Run a statement once for each row, all with the same names.

    It must be one that is made once for all: what it is compiled to is kept as long as the process lives.
    """
    if not rows:
        return
    key = (statement, conn.dialect.name, tuple(rows[0]))
    ready = _ready.get(key)
    if ready is None:
        ready = _ready[key] = _compile(statement, conn.dialect, key[2])
    await conn.exec_driver_sql(ready.sql, [_values(ready, row) for row in rows])


def _values(ready: _Ready, row: Row) -> tuple[Any, ...]:
    if ready.fixed:
        row = {**ready.fixed, **row}
    return tuple([row[name] if convert is None else convert(row[name]) for name, convert in ready.takes])


def _compile(statement: Insert | Update, dialect: Dialect, names: tuple[str, ...]) -> _Ready:
    compiled: Compiled = statement.compile(dialect=dialect, column_keys=list(names))
    binds: Mapping[str, Any] = compiled.binds  # type: ignore[attr-defined]
    order: Sequence[str] = compiled.positiontup  # type: ignore[attr-defined]
    takes = tuple((name, binds[name].type.dialect_impl(dialect).bind_processor(dialect)) for name in order)
    fixed = {name: bind.value for name, bind in binds.items() if not bind.required and name not in names}
    return _Ready(str(compiled), takes, fixed)
