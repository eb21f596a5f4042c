"""INSERT … ON CONFLICT, the same in both databases."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from store import bulk


def insert_for(conn: AsyncConnection, table: Table) -> Any:
    """The dialect's INSERT, with `on_conflict_do_nothing` and `on_conflict_do_update`."""
    return insert_into(conn.dialect.name, table)


def insert_into(dialect: str, table: Table) -> Any:
    """The same, for a statement that is made once for all."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


async def upsert(conn: AsyncConnection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows, or overwrite those with the same primary key. Sort them first: rows are locked in their order."""
    if not rows:
        return
    await bulk.run(conn, _upsert(conn.dialect.name, table, tuple(rows[0])), rows)


@cache
def _upsert(dialect: str, table: Table, names: tuple[str, ...]) -> Any:
    statement = insert_into(dialect, table)
    keys = [column.name for column in table.primary_key.columns]
    return statement.on_conflict_do_update(
        index_elements=keys, set_={name: statement.excluded[name] for name in names if name not in keys}
    ).inline()


async def insert_missing(conn: AsyncConnection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows that are not there yet, whichever uniqueness they would break; waits for a rival's commit."""
    await bulk.run(conn, _insert_missing(conn.dialect.name, table), rows)


@cache
def _insert_missing(dialect: str, table: Table) -> Any:
    return insert_into(dialect, table).on_conflict_do_nothing().inline()
