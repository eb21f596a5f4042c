"""Dispositions: how a talk with a customer may end, and what each of these ends changes; in an order.

A change is about everything, a channel (the one contacted, where none is named), an address (the one contacted, or all
of the channel) or a preference. A disposition that is inactive is not picked any more; what ended with it stays.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Select, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from consent.states import Kind, State
from store import order
from store.ids import new_id
from store.tables import dispositions


class DispositionTaken(Exception):
    """Another disposition has this name."""


class UnknownDisposition(Exception):
    """No disposition has this name or id; the message is what was asked for."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One change that a disposition makes."""

    kind: Kind
    to: State
    channel: str | None = None  # of a channel, or an address; None: the one contacted
    address: Literal["contacted", "all"] | None = None  # of an address
    preference_id: str | None = None  # of a preference


@dataclass(frozen=True, slots=True)
class Disposition:
    id: str
    name: str  # unique
    changes: tuple[Turn, ...]
    undeliverable: bool  # the address reached somebody else, or nobody: no change of consent
    active: bool
    position: int
    created_at: datetime
    updated_at: datetime


async def create(
    conn: AsyncConnection,
    *,
    name: str,
    changes: Sequence[Turn] = (),
    undeliverable: bool = False,
    active: bool = True,
    place: int | None = None,
    now: datetime,
) -> Disposition:
    """A new disposition, the last where no place is named; raises DispositionTaken."""
    await order.alone(conn, dispositions)
    await _require_free(conn, name)
    row: dict[str, Any] = {
        "id": new_id("dsp"),
        "name": name,
        "changes": _stored(changes),
        "undeliverable": undeliverable,
        "active": active,
        "position": 0,
        "created_at": now,
        "updated_at": now,
    }
    await conn.execute(insert(dispositions), [row])
    await _place(conn, row["id"], place)
    return await require(conn, row["id"])


async def change(
    conn: AsyncConnection, before: Disposition, given: Mapping[str, Any], *, place: int | None = None, now: datetime
) -> Disposition:
    """Set name, changes, undeliverable or active, and the place where one is named; raises DispositionTaken."""
    await order.alone(conn, dispositions)
    values = dict(given)
    if values.get("name", before.name) != before.name:
        await _require_free(conn, values["name"])
    if "changes" in values:
        values["changes"] = _stored(values["changes"])
    if values:
        mine = update(dispositions).where(dispositions.c.id == before.id)
        await conn.execute(mine.values(**values, updated_at=now))
    if place is not None:
        await _place(conn, before.id, place)
    return await require(conn, before.id)


async def remove(conn: AsyncConnection, disposition_id: str) -> None:
    """Take it away; the caller holds it (`hold`), and has made sure that no interaction names it."""
    await conn.execute(delete(dispositions).where(dispositions.c.id == disposition_id))
    await order.arrange(conn, dispositions, [one.id for one in await listed(conn)])


async def arrange(conn: AsyncConnection, given: Sequence[str]) -> None:
    """Let all of them stand in this order, each by its name or id; raises order.BadOrder."""
    await order.alone(conn, dispositions)
    known = {one.id: one.name for one in await listed(conn)}
    await order.arrange(conn, dispositions, order.checked(given, known))


async def listed(conn: AsyncConnection) -> list[Disposition]:
    """All of them, in their order."""
    return await _read(conn, select(dispositions).order_by(dispositions.c.position, dispositions.c.id))


async def require(conn: AsyncConnection, named: str, *, hold: bool = False) -> Disposition:
    """The disposition with this id or name; raises UnknownDisposition. `hold`: it stays until the transaction ends."""
    statement = select(dispositions).where(or_(dispositions.c.id == named, dispositions.c.name == named))
    found = await _read(conn, statement.with_for_update(read=True, key_share=True) if hold else statement)
    exact = [one for one in found if one.id == named] or found
    if not exact:
        raise UnknownDisposition(named)
    return exact[0]


async def find(conn: AsyncConnection, disposition_id: str, *, hold: bool = False) -> Disposition | None:
    """The disposition with this id. `hold`: nobody begins to use it before the transaction ends."""
    if hold:
        await order.alone(conn, dispositions)
    statement = select(dispositions).where(dispositions.c.id == disposition_id)
    found = await _read(conn, statement.with_for_update() if hold else statement)
    return found[0] if found else None


async def names_of(conn: AsyncConnection, ids: Collection[str]) -> dict[str, str]:
    """Id → name."""
    rows = await conn.execute(select(dispositions.c.id, dispositions.c.name).where(dispositions.c.id.in_(set(ids))))
    return {row.id: row.name for row in rows}


async def _read(conn: AsyncConnection, statement: Select[Any]) -> list[Disposition]:
    return [
        Disposition(**{**row, "changes": tuple(Turn(**one) for one in row["changes"])})
        for row in (await conn.execute(statement)).mappings()
    ]


def _stored(changes: Sequence[Turn]) -> list[dict[str, Any]]:
    return [{name: value for name, value in asdict(one).items() if value is not None} for one in changes]


async def _place(conn: AsyncConnection, disposition_id: str, place: int | None) -> None:
    ids = [one.id for one in await listed(conn)]
    await order.arrange(conn, dispositions, order.placed(ids, disposition_id, place))


async def _require_free(conn: AsyncConnection, name: str) -> None:
    if (await conn.execute(select(dispositions.c.id).where(dispositions.c.name == name))).first() is not None:
        raise DispositionTaken(name)
