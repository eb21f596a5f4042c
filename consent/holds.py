"""What stops a verdict without being a state: a pause the person asked for, a review, a suppression.

Each locks the person or the address row and gives the address a new version, so that no claim overlooks it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, and_, case, delete, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from consent.verdict import on, state_alias, stopped
from store.locks import lock_addresses, lock_people
from store.tables import addresses, consent_events, pauses, profile_addresses
from store.upsert import upsert


async def pause(conn: AsyncConnection, profile_id: str, *, channel: str | None, until: datetime) -> None:
    """Let nothing marketing out on the channel (None: on any) before `until`."""
    held = await lock_people(conn, [profile_id])
    await upsert(conn, pauses, [{"profile_id": profile_id, "channel": channel or "", "until": until}])
    await touch(conn, [address_id for address_id, _ in held[profile_id]])


async def unpause(conn: AsyncConnection, profile_id: str, *, channel: str | None) -> None:
    await conn.execute(delete(pauses).where(pauses.c.profile_id == profile_id, pauses.c.channel == (channel or "")))


async def paused_until(conn: AsyncConnection, profile_id: str, *, now: datetime) -> datetime | None:
    """The end of the person's pause on any channel; None where there is none, or it is over."""
    until = select(pauses.c.until).where(
        pauses.c.profile_id == profile_id, pauses.c.channel == "", pauses.c.until > now
    )
    return (await conn.execute(until)).scalar_one_or_none()


async def carry_pauses(conn: AsyncConnection, gone: str, into: str) -> None:
    """Let a person's pauses be another's too; of two of one channel the longer. The caller has locked both."""
    longest = (
        select(pauses.c.channel, func.max(pauses.c.until).label("until"))
        .where(pauses.c.profile_id.in_([gone, into]))
        .group_by(pauses.c.channel)
        .order_by(pauses.c.channel)
    )
    rows = (await conn.execute(longest)).all()
    await upsert(conn, pauses, [{"profile_id": into, "channel": row.channel, "until": row.until} for row in rows])


async def hold(conn: AsyncConnection, address_ids: Collection[str], *, message_id: str, now: datetime) -> None:
    """Hold marketing to these addresses until somebody has decided what the message meant."""
    await lock_addresses(conn, address_ids)
    await conn.execute(
        update(addresses).where(addresses.c.id.in_(set(address_ids))).values(held_at=now, held_message_id=message_id)
    )
    await touch(conn, address_ids)


async def release(conn: AsyncConnection, address_ids: Collection[str]) -> None:
    await conn.execute(
        update(addresses).where(addresses.c.id.in_(set(address_ids))).values(held_at=None, held_message_id=None)
    )


async def at_no(conn: AsyncConnection, address_ids: Collection[str], *, by: Literal["all", "any"] = "all") -> set[str]:
    """Those of the addresses that marketing is closed to for good: suppressed, or each who has it has said no to it;
    with `by` any, one of them has.
    """
    every = func.min if by == "all" else func.max
    everything, channel, address = state_alias("everything"), state_alias("channel"), state_alias("address")
    holder = profile_addresses.alias("holder")
    asked = (
        select(
            holder.c.address_id,
            every(case((or_(*stopped(everything, channel, address)), 1), else_=0)).label("is_stopped"),
        )
        .select_from(
            holder.outerjoin(everything, on(everything, holder.c.profile_id, "everything", ""))
            .outerjoin(channel, on(channel, holder.c.profile_id, "channel", holder.c.channel))
            .outerjoin(address, on(address, holder.c.profile_id, "address", holder.c.address_id))
        )
        .where(holder.c.address_id.in_(set(address_ids)))
        .group_by(holder.c.address_id)
        .subquery("asked")
    )
    suppressed = select(addresses.c.id).where(
        addresses.c.id.in_(set(address_ids)), addresses.c.suppressed_at.is_not(None)
    )
    closed = select(asked.c.address_id).where(asked.c.is_stopped == 1)
    return {*(await conn.execute(suppressed)).scalars(), *(await conn.execute(closed)).scalars()}


async def said_no(conn: AsyncConnection, address_ids: Collection[str]) -> dict[str, str]:
    """Those of the addresses that each who has it has said no to: address → the latest of these changes.

    The person's own word alone: a no that a system wrote may be undone by that system.
    """
    everything, channel, address = state_alias("everything"), state_alias("channel"), state_alias("address")
    holder = profile_addresses.alias("holder")
    noes = list(zip((everything, channel, address), stopped(everything, channel, address), strict=True))
    firm = [(and_(is_no, flag.c.firm), flag) for flag, is_no in noes]
    asked = (
        select(
            holder.c.address_id,
            case(*((is_said, flag.c.change_id) for is_said, flag in firm)).label("change_id"),
            case(*((is_said, flag.c.order_at) for is_said, flag in firm)).label("order_at"),
        )
        .select_from(
            holder.outerjoin(everything, on(everything, holder.c.profile_id, "everything", ""))
            .outerjoin(channel, on(channel, holder.c.profile_id, "channel", holder.c.channel))
            .outerjoin(address, on(address, holder.c.profile_id, "address", holder.c.address_id))
        )
        .where(holder.c.address_id.in_(set(address_ids)))
    )
    said: defaultdict[str, list[Any]] = defaultdict(list)
    for row in await conn.execute(asked):
        said[row.address_id].append(row)
    return {
        address_id: str(max(rows, key=lambda row: row.order_at).change_id)
        for address_id, rows in said.items()
        if all(row.change_id is not None for row in rows)
    }


async def suppress_leaving(
    conn: AsyncConnection, profile_id: str, address_ids: Collection[str], *, now: datetime
) -> None:
    """Leave the profile's no behind on addresses that are about to leave it (the caller holds the locks).

    What was no for the address through `everything`, its channel or itself
    stays no for whoever has it next, also after deletion and erasure.
    """
    everything, channel, address = state_alias("everything"), state_alias("channel"), state_alias("address")
    leaving = (
        select(addresses.c.id)
        .select_from(
            addresses.outerjoin(everything, on(everything, profile_id, "everything", ""))
            .outerjoin(channel, on(channel, profile_id, "channel", addresses.c.channel))
            .outerjoin(address, on(address, profile_id, "address", addresses.c.id))
        )
        .where(addresses.c.id.in_(set(address_ids)))
        .where(or_(*stopped(everything, channel, address)))
    )
    found = set((await conn.execute(leaving)).scalars())
    if found:
        await conn.execute(update(addresses).where(addresses.c.id.in_(found), _is_older(now)).values(suppressed_at=now))
    await touch(conn, address_ids)


async def suppress_unheld(conn: AsyncConnection, address_ids: Collection[str], *, now: datetime) -> None:
    """Keep a no that was said of these addresses on those that no profile has."""
    held = exists(select(1).where(profile_addresses.c.address_id == addresses.c.id))
    await conn.execute(
        update(addresses).where(addresses.c.id.in_(set(address_ids)), _is_older(now), ~held).values(suppressed_at=now)
    )


@dataclass(frozen=True, slots=True)
class Suppressed:
    """What an act has done to an address itself: since when it is suppressed by it, and since when it was before."""

    at: datetime
    before: datetime | None  # None: it was not


async def put_back(conn: AsyncConnection, address_id: str, was: Suppressed) -> None:
    """Let an address be suppressed as it was before an act that is taken back, unless a no has come since."""
    own = addresses.c.id == address_id, addresses.c.suppressed_at == was.at
    await conn.execute(update(addresses).where(*own).values(suppressed_at=was.before))


def _is_older(now: datetime) -> ColumnElement[bool]:
    """A no left behind counts from the latest: else a yes said before that, and told late, would lift it."""
    return or_(addresses.c.suppressed_at.is_(None), addresses.c.suppressed_at < now)


async def touch(conn: AsyncConnection, address_ids: Collection[str]) -> None:
    """A claim compares nothing newer than the history: what is no event stands at the newest one."""
    if not address_ids:
        return
    newest = select(func.coalesce(func.max(consent_events.c.seq), 0)).scalar_subquery()
    await conn.execute(update(addresses).where(addresses.c.id.in_(set(address_ids))).values(version=newest))
