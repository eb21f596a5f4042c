"""Many ids at once: a number may be shared by more people than a statement takes parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import BindParameter, Select, bindparam
from sqlalchemy.ext.asyncio import AsyncConnection

PART = 10_000  # SQLite takes 32,766 parameters, PostgreSQL 32,767

IDS: BindParameter[list[str]] = bindparam("ids", expanding=True)  # the ids of a statement that is run by `rows_by`


def parts(ids: Iterable[str]) -> Iterator[list[str]]:
    """The distinct ids in their order, as many at a time as a statement takes."""
    ordered = sorted(set(ids))
    for start in range(0, len(ordered), PART):
        yield ordered[start : start + PART]


async def rows_by(conn: AsyncConnection, statement: Select[Any], ids: Iterable[str], **more: Any) -> list[Any]:
    """The rows of a statement with `column.in_(IDS)`, for all these ids; in its order, where that is of the column."""
    return [row for part in parts(ids) for row in await conn.execute(statement, {"ids": part, **more})]
