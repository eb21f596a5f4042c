"""Statements that are made once for all: compiled once, and the driver is given and gives back what it wants and has.

The SQL and the values are those that SQLAlchemy makes of the same statement; what is spared is to make them anew for
each run, and each row, which took more time than the database did.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from typing import Any

from sqlalchemy import Insert, Numeric, Select, Table, Update, insert
from sqlalchemy.engine import Compiled, Dialect
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from store import onehop

Row = Mapping[str, Any]
_Convert = Callable[[Any], Any]
_Conversions = tuple[tuple[int, _Convert], ...]  # by place, where there is something to convert


@dataclass(frozen=True, slots=True)
class _Ready:
    """A statement as the driver gets it, with the values it takes and gives."""

    sql: str
    fixed: Row  # values that are the statement's own
    pick: Callable[[Row], tuple[Any, ...]]
    taken: _Conversions
    make: Callable[[Iterable[Any]], Any]  # a row of what the driver gives
    given: _Conversions

    def values(self, row: Row) -> tuple[Any, ...]:
        return _converted(self.pick({**self.fixed, **row} if self.fixed else row), self.taken)


_ready: dict[tuple[Any, str, tuple[str, ...]], _Ready] = {}


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
    ready = _find(conn, statement, tuple(rows[0]))
    values = [ready.values(row) for row in rows]
    if (near := onehop.near(conn)) is not None:
        near.run_many(ready.sql, values)
    else:
        await conn.exec_driver_sql(ready.sql, values)


async def rows(conn: AsyncConnection, statement: Select[Any], **values: Any) -> list[Any]:
    """The rows of a query, each a named tuple; of no statement but one that is made once for all, as with `run`.

    A column whose name is a word of Python's, such as `class`, is found by its place alone.
    """
    ready = _find(conn, statement, tuple(values))
    parameters = ready.values(values)
    if (near := onehop.near(conn)) is not None:
        found: Sequence[Any] = near.run(ready.sql, parameters)
    else:
        found = (await conn.exec_driver_sql(ready.sql, parameters)).all()
    return [ready.make(_converted(row, ready.given)) for row in found]


def _find(conn: AsyncConnection, statement: Any, names: tuple[str, ...]) -> _Ready:
    key = (statement, conn.dialect.name, names)
    ready = _ready.get(key)
    if ready is None:
        ready = _ready[key] = _compile(statement, conn.dialect, names)
    return ready


def _converted(values: tuple[Any, ...], conversions: _Conversions) -> tuple[Any, ...]:
    if not conversions:
        return values
    changed = list(values)
    for place, convert in conversions:
        changed[place] = convert(changed[place])
    return tuple(changed)


def _compile(statement: Any, dialect: Dialect, names: tuple[str, ...]) -> _Ready:
    compiled: Compiled = statement.compile(dialect=dialect, column_keys=list(names))
    binds: Mapping[str, Any] = compiled.binds  # type: ignore[attr-defined]
    order: Sequence[str] = compiled.positiontup  # type: ignore[attr-defined]
    columns = statement.exported_columns.values() if isinstance(statement, Select) else []
    return _Ready(
        str(compiled),
        {name: bind.value for name, bind in binds.items() if not bind.required and name not in names},
        _picking(order),
        _conversions([_in(dialect, binds[name].type).bind_processor(dialect) for name in order]),
        _making([str(column.key) for column in columns]),
        _conversions([_out(dialect, column.type) for column in columns]),
    )


def _in(dialect: Dialect, type_: TypeEngine[Any]) -> TypeEngine[Any]:
    return type_.dialect_impl(dialect)


def _out(dialect: Dialect, type_: TypeEngine[Any]) -> _Convert | None:
    """What is done with a value that the driver gives.

    Of a number SQLAlchemy asks the driver what the database calls it, which nobody knows before the statement is run.
    """
    if isinstance(type_, Numeric) and not type_.asdecimal:
        return _as_float
    return _in(dialect, type_).result_processor(dialect, None)


def _as_float(value: Any) -> float | None:
    return None if value is None else float(value)


def _conversions(converts: Iterable[_Convert | None]) -> _Conversions:
    return tuple((place, convert) for place, convert in enumerate(converts) if convert is not None)


def _making(names: Sequence[str]) -> Callable[[Iterable[Any]], Any]:
    made: Any = namedtuple("Row", names, rename=True)  # type: ignore[misc]
    make: Callable[[Iterable[Any]], Any] = made._make
    return make


def _picking(names: Sequence[str]) -> Callable[[Row], tuple[Any, ...]]:
    if len(names) > 1:
        pick: Callable[[Row], tuple[Any, ...]] = itemgetter(*names)
        return pick
    return lambda row: tuple(row[name] for name in names)
