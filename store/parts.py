"""Many ids at once: a number may be shared by more people than a statement takes parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import BindParameter, Column, Dialect, Select, Text, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from store.types import as_json

PART = 10_000  # SQLite takes 32,766 parameters, PostgreSQL 32,767

IDS: BindParameter[list[str]] = bindparam("ids", expanding=True)  # the ids of a statement that is run by `rows_by`


class _Keys(TypeDecorator[list[str]]):
    """Many keys as one value: an array in PostgreSQL, JSON in SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(ARRAY(Text()) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: list[str] | None, dialect: Dialect) -> Any:
        return value if dialect.name == "postgresql" else as_json(value)


class _Among(FunctionElement[bool]):
    inherit_cache = True  # of no type: of a boolean one SQLite would get `… = 1`, and use no index


@compiles(_Among, "postgresql")
def _in_array(element: Any, compiler: Any, **how: Any) -> str:
    column, keys = (compiler.process(clause, **how) for clause in element.clauses)
    return f"{column} = ANY ({keys})"


@compiles(_Among, "sqlite")
def _in_json(element: Any, compiler: Any, **how: Any) -> str:
    column, keys = (compiler.process(clause, **how) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({keys}))"  # noqa: S608 - both are compiled


def among(column: Column[str], name: str = "ids") -> _Among:
    """As `column.in_(IDS)`, for a statement that is run with ever other numbers of ids.

    One text serves them all: of the other each number makes a statement of its own, which PostgreSQL plans anew.
    """
    return _Among(column, bindparam(name, type_=_Keys()))


def parts(ids: Iterable[str]) -> Iterator[list[str]]:
    """The distinct ids in their order, as many at a time as a statement takes."""
    ordered = sorted(set(ids))
    for start in range(0, len(ordered), PART):
        yield ordered[start : start + PART]


async def rows_by(conn: AsyncConnection, statement: Select[Any], ids: Iterable[str], **more: Any) -> list[Any]:
    """The rows of a statement with `column.in_(IDS)`, for all these ids; in its order, where that is of the column."""
    return [row for part in parts(ids) for row in await conn.execute(statement, {"ids": part, **more})]
