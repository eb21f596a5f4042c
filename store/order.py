"""Rows that stand in an order people chose: groups, preferences, dispositions. `position` counts from 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Table, bindparam, text, update
from sqlalchemy.ext.asyncio import AsyncConnection


class BadOrder(Exception):
    """An order must name each once; the message says in words which it does not."""


async def alone(conn: AsyncConnection, table: Table) -> None:
    """Let nobody else write to the table until the transaction ends: two who put something last would both be the last.

    Taken before all else of the table, so that nobody who has it waits for one who wants it. Who reads, or holds a row
    so that it is not deleted, goes on.
    """
    if conn.dialect.name == "postgresql":
        await conn.execute(text(f"LOCK TABLE {table.name} IN SHARE ROW EXCLUSIVE MODE"))


async def still(conn: AsyncConnection, table: Table) -> None:
    """Let nobody write to the table until the transaction ends; others who want no more than that go on beside us.

    Taken before all else that a writer of the table, who is `alone`, goes on to hold.
    """
    if conn.dialect.name == "postgresql":
        await conn.execute(text(f"LOCK TABLE {table.name} IN SHARE MODE"))


def checked(given: Sequence[str], known: Mapping[str, str]) -> list[str]:
    """The ids in the order given, each by its id or its name; `known` gives id → name. Raises BadOrder."""
    by_name = {name: id_ for id_, name in known.items()}
    ids = [one if one in known else by_name.get(one) for one in given]
    told = [
        _told("there is no", [one for one, id_ in zip(given, ids, strict=True) if id_ is None]),
        _told("named twice:", [known[id_] for id_ in dict.fromkeys(ids) if id_ is not None and ids.count(id_) > 1]),
        _told("missing:", [name for id_, name in known.items() if id_ not in ids]),
    ]
    if words := "; ".join(filter(None, told)):
        raise BadOrder(words)
    return [id_ for id_ in ids if id_ is not None]


def _told(what: str, names: Sequence[str]) -> str:
    return f"{what} {', '.join(map(repr, names))}" if names else ""


def placed(ids: Sequence[str], one: str, place: int | None) -> list[str]:
    """The ids with this one at a place, counted from 0; beyond the end, or None, is the end."""
    others = [id_ for id_ in ids if id_ != one]
    at = len(others) if place is None else place
    return [*others[:at], one, *others[at:]]


async def arrange(conn: AsyncConnection, table: Table, ids: Sequence[str]) -> None:
    """Let the rows with these ids stand in this order."""
    if ids:
        statement = update(table).where(table.c.id == bindparam("one")).values(position=bindparam("place"))
        # Sorted, so that two who arrange the same do not wait for each other.
        await conn.execute(statement, sorted(({"one": id_, "place": n} for n, id_ in enumerate(ids)), key=_id))


def _id(row: Mapping[str, object]) -> str:
    return str(row["one"])
