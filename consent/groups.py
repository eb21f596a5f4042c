"""Groups of preferences: the headlines under which questions are put to customers, in an order.

One of them is the partner group: partner preferences stand in it, and no others. It is made with the first of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any

from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from store import order
from store.ids import new_id
from store.tables import preference_groups as groups

PARTNERS = "Partner organisations"  # the headline of the partner group, until somebody gives it another


class HeadlineTaken(Exception):
    """Another group has this headline."""


class UnknownGroup(Exception):
    """No group has this headline or id; the message is what was asked for."""


@dataclass(frozen=True, slots=True)
class Group:
    id: str
    headline: str  # unique
    text: str | None  # shown below the headline
    active: bool
    partner: bool
    position: int
    created_at: datetime
    updated_at: datetime


async def create(
    conn: AsyncConnection,
    *,
    headline: str,
    text: str | None = None,
    active: bool = True,
    place: int | None = None,
    partner: bool = False,
    now: datetime,
) -> Group:
    """A new group, the last where no place is named; raises HeadlineTaken."""
    await order.alone(conn, groups)
    await _require_free(conn, headline)
    row = {
        "id": new_id("grp"),
        "headline": headline,
        "text": text,
        "active": active,
        "partner": partner,
        "position": 0,
        "created_at": now,
        "updated_at": now,
    }
    await conn.execute(insert(groups), [row])
    await _place(conn, str(row["id"]), place)
    return await require(conn, str(row["id"]))


async def change(
    conn: AsyncConnection, group_id: str, values: Mapping[str, Any], *, place: int | None = None, now: datetime
) -> Group:
    """Set headline, text or active, and the place where one is named; raises HeadlineTaken."""
    await order.alone(conn, groups)
    if "headline" in values:
        await _require_free(conn, values["headline"], but=group_id)
    if values:
        await conn.execute(update(groups).where(groups.c.id == group_id).values(**values, updated_at=now))
    if place is not None:
        await _place(conn, group_id, place)
    return await require(conn, group_id)


async def remove(conn: AsyncConnection, group_id: str) -> None:
    """Take it away; the caller holds it (`hold`), and has made sure that no preference stands in it."""
    await conn.execute(delete(groups).where(groups.c.id == group_id))
    await order.arrange(conn, groups, [group.id for group in await listed(conn)])


async def arrange(conn: AsyncConnection, ids: Sequence[str]) -> None:
    """Let all the groups stand in this order; raises order.BadOrder."""
    await order.alone(conn, groups)
    known = {group.id: group.headline for group in await listed(conn)}
    await order.arrange(conn, groups, order.checked(ids, known))


async def listed(conn: AsyncConnection) -> list[Group]:
    """All groups, in their order."""
    statement = select(groups).order_by(groups.c.position, groups.c.id)
    return [Group(**row) for row in (await conn.execute(statement)).mappings()]


async def find(conn: AsyncConnection, group_id: str) -> Group | None:
    row = (await conn.execute(select(groups).where(groups.c.id == group_id))).mappings().one_or_none()
    return Group(**row) if row is not None else None


async def require(conn: AsyncConnection, named: str) -> Group:
    """The group with this id or headline, which stays until the transaction ends; raises UnknownGroup."""
    statement = select(groups).where(or_(groups.c.id == named, groups.c.headline == named)).order_by(groups.c.id)
    found = (await conn.execute(statement.with_for_update(read=True, key_share=True))).mappings().all()
    exact = [row for row in found if row["id"] == named] or found
    if not exact:
        raise UnknownGroup(named)
    return Group(**exact[0])


async def hold(conn: AsyncConnection, group_id: str) -> bool:
    """Keep the row until the transaction ends, so that nobody begins to use it; whether there is one."""
    await order.alone(conn, groups)
    return bool((await conn.execute(select(groups.c.id).where(groups.c.id == group_id).with_for_update())).all())


async def for_partners(conn: AsyncConnection, *, now: datetime) -> Group:
    """The partner group, made where there is none yet."""
    await order.alone(conn, groups)
    found = (await conn.execute(select(groups).where(groups.c.partner))).mappings().one_or_none()
    if found is not None:
        return Group(**found)
    taken = {group.headline for group in await listed(conn)}
    headline = next(name for n in count(1) if (name := PARTNERS if n == 1 else f"{PARTNERS} ({n})") not in taken)
    return await create(conn, headline=headline, partner=True, now=now)


async def _place(conn: AsyncConnection, group_id: str, place: int | None) -> None:
    ids = [group.id for group in await listed(conn)]
    await order.arrange(conn, groups, order.placed(ids, group_id, place))


async def _require_free(conn: AsyncConnection, headline: str, *, but: str | None = None) -> None:
    same = select(groups.c.id).where(groups.c.headline == headline)
    if any(id_ != but for id_ in (await conn.execute(same)).scalars()):
        raise HeadlineTaken(headline)
