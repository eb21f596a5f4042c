"""The plan: one delivery row per person, `queued` or `skipped` with the reason. Nobody is dropped silently.

Set-based, chunk by chunk in key order, each chunk with its cursor in one transaction: a restart goes on after the last
key. Keys ascend in the order of creation, so the oldest of several people at one address comes first and gets it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BindParameter,
    Select,
    and_,
    bindparam,
    case,
    delete,
    exists,
    false,
    func,
    insert,
    literal,
    literal_column,
    null,
    or_,
    select,
    text,
    true,
    union_all,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.selectable import CTE

from audience.select import Audience, Chunk, bounds, candidates, next_chunk
from consent import verdict
from content import composition
from outbox.lastlook import WINDOW
from outbox.queue import BULK
from store import crash
from store.ids import new_id
from store.parts import parts
from store.tables import addresses, broadcasts, deliveries, messages, profile_merges
from store.types import Key, UTCDateTime

MOST_KEPT = 8  # statements of broadcasts that are planned at the same time
CHUNK = 1000  # people per transaction: some 35 ms of the writer's time on SQLite, twice that with a million people
LEAST = 125  # where others wait to write


async def know_the_tables(conn: AsyncConnection) -> None:
    """Let PostgreSQL count what the plan and the claims join: after a great import it would guess for a minute or so,
    and join every person with every flag."""
    if conn.dialect.name == "postgresql":
        await conn.execute(text("ANALYZE profiles, profile_addresses, addresses, consent_states, profile_tags"))


async def know_the_plan(conn: AsyncConnection) -> None:
    """Let PostgreSQL count what was planned: until then it takes a new broadcast for a handful of rows, and may read
    all of them for each claim."""
    if conn.dialect.name == "postgresql":
        await conn.execute(text("ANALYZE deliveries"))


async def plan_chunk(conn: AsyncConnection, broadcast_id: str, *, now: datetime, size: int = CHUNK) -> bool:
    """Plan the next chunk in the caller's transaction; returns whether there may be more.

    When there is no more, the broadcast stands at `sending`, or at `scheduled` if its time has not come. Another
    replica that plans the same broadcast is left to it.
    """
    row = (
        await conn.execute(
            select(broadcasts)
            .where(broadcasts.c.id == broadcast_id, broadcasts.c.status == "planning")
            .with_for_update(skip_locked=True)
        )
    ).one_or_none()
    if row is None:
        return False
    crash.point("plan.opened")
    audience = Audience.from_json(row.audience)
    chunk = await next_chunk(conn, audience, broadcast_id, after=row.plan_cursor, size=size)
    if chunk is None:
        waits = row.send_at is not None and row.send_at > now
        await conn.execute(
            update(broadcasts)
            .where(broadcasts.c.id == broadcast_id)
            .values(status="scheduled" if waits else "sending", planned_at=now, updated_at=now)
        )
        crash.point("plan.ended")
        return False
    await conn.execute(_statement(conn, audience, chunk, row, now), bounds(audience, chunk) | _moments(row, now))
    await _add_missing(conn, audience, chunk, row, now)
    if audience.kind != "addresses":  # whose plan has a row per address: a person may have several
        await _leave_out_merged(conn, row)
    crash.point("plan.inserted")
    await conn.execute(
        update(broadcasts).where(broadcasts.c.id == broadcast_id).values(plan_cursor=chunk.keys[-1], updated_at=now)
    )
    crash.point("plan.chunk")
    return True


async def _leave_out_merged(conn: AsyncConnection, row: Any) -> None:
    """Whoever took somebody in since the broadcast was made may have a row already: the one that was theirs."""
    since = row.created_at - timedelta(minutes=1)  # another replica's clock
    merged = (await conn.execute(select(profile_merges.c.into_id).where(profile_merges.c.at >= since))).scalars().all()
    if not merged:
        return
    earlier = deliveries.alias("earlier")
    twice = exists(
        select(1).where(
            earlier.c.broadcast_id == deliveries.c.broadcast_id,
            earlier.c.profile_id == deliveries.c.profile_id,
            earlier.c.id < deliveries.c.id,
        )
    ).correlate(deliveries)
    for some in parts(merged):
        await conn.execute(
            delete(deliveries).where(
                deliveries.c.broadcast_id == row.id,
                deliveries.c.profile_id.in_(some),
                deliveries.c.status.in_(["queued", "skipped"]),
                twice,
            )
        )


_kept: dict[str, tuple[Any, Any]] = {}  # by broadcast: what its statement is made of, and the statement


def _statement(conn: AsyncConnection, audience: Audience, chunk: Chunk, row: Any, now: datetime) -> Any:
    """The statement of a chunk, made once for all chunks of a broadcast that are planned in a row.

    To make it takes a quarter of a chunk's time, in which nobody else writes. Whatever it is made of is compared.
    """
    made_of = (conn.dialect.name, audience, row.routes, row.content, row.preference_id, _starts(row, now) > now)
    kept = _kept.get(row.id)
    if kept is None or kept[0] != made_of:
        if len(_kept) >= MOST_KEPT:
            _kept.clear()
        kept = _kept[row.id] = (made_of, _insert(conn, row, chosen(audience, chunk, row, now), now))
    return kept[1]


def _starts(row: Any, now: datetime) -> datetime:
    return max(now, row.send_at) if row.send_at is not None else now


def _moments(row: Any, now: datetime) -> dict[str, datetime]:
    starts = _starts(row, now)
    return {"verdict_now": now, "plan_at": now, "plan_due": starts, "plan_window": starts - WINDOW}


def _moment(name: str, row: Any, now: datetime) -> BindParameter[datetime]:
    return bindparam(name, _moments(row, now)[name], UTCDateTime())


def chosen(audience: Audience, chunk: Chunk, row: Any, now: datetime) -> CTE:
    """One row per person (or per distinct address) of a chunk: the address taken, and its verdict.

    `row` is a broadcast, or what is asked for: it has routes, content, preference_id and send_at.
    """
    answered = _answered(audience, chunk, row, now)
    may = verdict.allowed(answered.c.reason)
    if audience.kind == "addresses":
        # Asked by address: a no of any of its profiles wins, then any send, then the oldest profile's reason.
        no = answered.c.reason.in_([literal_column(f"'{reason}'") for reason in verdict.NO_REASONS])
        preferred = [case((no, 0), (may, 1), else_=2), answered.c.profile_id]
        partition = answered.c.address_id
    else:
        # By order of wish, the primary address if it is sendable, else the next that is.
        preferred = [
            case((may, 0), else_=1),
            answered.c.wish,
            answered.c.primary.desc(),
            answered.c.position,
            answered.c.address_id,
        ]
        partition = answered.c.profile_id
    place = func.row_number().over(partition_by=partition, order_by=preferred).label("place")
    ranked = select(answered, place).cte("ranked")
    best = select(ranked).where(ranked.c.place == 1).cte("best")
    # Of several people who could be sent to at one address the oldest profile gets it.
    turn = (
        func.row_number()
        .over(
            partition_by=[best.c.address_id, verdict.allowed(best.c.reason)],
            order_by=best.c.profile_id,
        )
        .label("turn")
    )
    return select(best, turn).cte("chosen")


def _answered(audience: Audience, chunk: Chunk, row: Any, now: datetime) -> CTE:
    """The verdict on everyone at each of their addresses, by every route of the broadcast."""
    asked = union_all(
        *(
            candidates(audience, chunk, channel=route["channel"], preference_id=row.preference_id).add_columns(
                literal_column(str(wish)).label("wish"), literal(route["connection"], Key()).label("connection")
            )
            for wish, route in enumerate(row.routes)
        )
    ).subquery("asked")
    answered = verdict.over(asked, now=now).cte("verdicts")
    free_form = any(composition.is_free_form(row.content, route["channel"]) for route in row.routes)
    # Who will have written by a later time nobody knows yet: the claim sees. Where there is another way, it is taken.
    if not free_form or (_starts(row, now) > now and len(row.routes) == 1):
        return answered
    columns = [column for column in answered.c if column.name != "reason"]
    outside = and_(
        verdict.allowed(answered.c.reason),
        answered.c.channel == literal_column("'whatsapp'"),
        ~exists(
            select(1).where(
                messages.c.address_id == answered.c.address_id,
                messages.c.channel == literal_column("'whatsapp'"),
                messages.c.created_at > _moment("plan_window", row, now),
            )
        ).correlate(answered),
    )
    reason = case((outside, literal_column("'window_closed'")), else_=answered.c.reason).label("reason")
    return select(*columns, reason).cte("answered")


def _insert(conn: AsyncConnection, row: Any, best: CTE, now: datetime) -> Any:
    taken = exists(
        select(1).where(
            deliveries.c.broadcast_id == row.id,
            deliveries.c.address_id == best.c.address_id,
            deliveries.c.status != literal_column("'skipped'"),
        )
    ).correlate(best)
    may = verdict.allowed(best.c.reason)
    twice = and_(may, or_(best.c.turn > 1, taken))
    sends = and_(may, ~twice)
    return insert(deliveries).from_select(
        _COLUMNS,
        _rows(
            conn,
            row,
            now,
            profile_id=best.c.profile_id,
            address_id=best.c.address_id,
            address=null(),
            channel=best.c.channel,
            connection=best.c.connection,
            status=case((sends, literal_column("'queued'")), else_=literal_column("'skipped'")),
            reason=case((sends, null()), (twice, literal_column("'duplicate_address'")), else_=best.c.reason),
        ).select_from(best),
    )


_COLUMNS = ["id", "broadcast_id", "profile_id", "address_id", "address", "by_address", "channel", "connection",
            "class", "priority", "preference_id", "status", "reason", "tries", "due_at", "created_at",
            "updated_at"]  # fmt: skip


def _rows(conn: AsyncConnection, row: Any, now: datetime, **of: Any) -> Select[Any]:
    at, due = _moment("plan_at", row, now), _moment("plan_due", row, now)
    return select(
        _random_id(conn).label("id"),
        literal(row.id, Key()).label("broadcast_id"),
        of["profile_id"],
        of["address_id"],
        of["address"],
        true() if row.audience["kind"] == "addresses" else false(),
        of["channel"],
        of["connection"],
        literal_column("'marketing'"),
        literal_column(str(BULK)),
        literal(row.preference_id, Key()),
        of["status"],
        of["reason"],
        literal_column("0"),
        due,
        at,
        at,
    )


def _random_id(conn: AsyncConnection) -> Any:
    """An id made by the database, for rows that are made there; in no order."""
    if conn.dialect.name == "postgresql":
        return literal_column("'msg_' || replace(gen_random_uuid()::text, '-', '')")
    return literal_column("'msg_' || lower(hex(randomblob(16)))")


async def _add_missing(conn: AsyncConnection, audience: Audience, chunk: Chunk, row: Any, now: datetime) -> None:
    """Members of a list that got no row: addresses nobody has, `unknown_address`; people who are gone, `no_address`."""
    if audience.kind == "addresses":
        known = (
            select(addresses.c.hash)
            .join(deliveries, deliveries.c.address_id == addresses.c.id)
            .where(deliveries.c.broadcast_id == row.id, addresses.c.hash.in_(chunk.keys))
        )
    elif audience.kind == "profiles":
        known = select(deliveries.c.profile_id).where(
            deliveries.c.broadcast_id == row.id, deliveries.c.profile_id.in_(chunk.keys)
        )
    else:
        return
    planned = set((await conn.execute(known)).scalars())
    missing = [
        {"address": value, "profile_id": None, "by_address": True, "reason": "unknown_address"}
        if audience.kind == "addresses"
        else {"address": None, "profile_id": key, "by_address": False, "reason": "no_address"}
        for key, value in chunk.members.items()
        if key not in planned
    ]
    if missing:
        await conn.execute(insert(deliveries), [{**_skipped(row, now), **member} for member in missing])


def _skipped(row: Any, now: datetime) -> dict[str, Any]:
    return {
        "id": new_id("msg"),
        "broadcast_id": row.id,
        "channel": row.channel,
        "connection": row.connection,
        "class": "marketing",
        "priority": BULK,
        "preference_id": row.preference_id,
        "status": "skipped",
        "tries": 0,
        "due_at": now,
        "created_at": now,
        "updated_at": now,
    }
