"""Claims: the last consent check, in the transaction whose commit is the moment a send begins.

    1. what the rates allow; deliveries … FOR UPDATE SKIP LOCKED, their broadcasts FOR SHARE
    2. their address rows, sorted, FOR SHARE
    3. in a new statement: the verdict, and the version it was taken at; then the last look
    4. one attempt each, state `sending`

Locking the flags instead of the address row, or joining the verdict into the locking statement, lets sends begin
after an opt-out was acknowledged: an unasked flag is no row, and a joined verdict is read before the lock is had.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnClause,
    Update,
    bindparam,
    func,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import verdict
from content import composition
from outbox import lastlook, pace, statuses, verdicts
from outbox.lastlook import Asked, Broken, Go, Look, Skip, Wait
from outbox.pace import Allowance, Room
from outbox.policy import Policy
from outbox.sources import Source, due, given, sources
from store import bulk, crash
from store.ids import new_id
from store.locks import lock_addresses
from store.parts import among
from store.tables import attempts, broadcasts, deliveries
from store.upsert import insert_missing

_TIMEOUTS = text(
    "SELECT set_config('statement_timeout', '500', true),"
    " set_config('idle_in_transaction_session_timeout', '500', true)"
)
_IN_DOUBT: ColumnClause[str] = literal_column("'in_doubt'")
# Statements are made once for all: to make one takes longer than to run it.
_DUE = {
    of_broadcast: due(
        deliveries.c.id,
        deliveries.c.broadcast_id,
        deliveries.c.profile_id,
        deliveries.c.address_id,
        deliveries.c.channel,
        deliveries.c.connection,
        deliveries.c["class"].label("class_"),
        deliveries.c.preference_id,
        deliveries.c.content,
        deliveries.c.not_after,
        deliveries.c.quiet_hours,
        deliveries.c.tries,
        of_broadcast=of_broadcast,
    ).with_for_update(skip_locked=True)
    for of_broadcast in (False, True)
}
_HELD = (
    select(broadcasts.c.id, broadcasts.c.content, broadcasts.c.not_after, broadcasts.c.quiet_hours)
    .where(among(broadcasts.c.id), broadcasts.c.status == "sending", broadcasts.c.held.is_(None))
    .order_by(broadcasts.c.id)
    .with_for_update(read=True)
)
_FIRST_IN_DOUBT = (
    select(attempts.c.delivery_id, func.min(func.coalesce(attempts.c.tag, attempts.c.id)).label("first"))
    .where(among(attempts.c.delivery_id), attempts.c.state == _IN_DOUBT)
    .group_by(attempts.c.delivery_id)
)
_BEGUN = select(attempts.c.id).where(among(attempts.c.id))
_BEGUN_COUNT = select(func.count().label("begun")).select_from(attempts).where(among(attempts.c.id))
_NOW_SENDING = (
    update(deliveries)
    .where(among(deliveries.c.id))
    .values(status="sending", tries=deliveries.c.tries + 1, updated_at=bindparam("moment"))
    .inline()
)


def _changing(**values: Any) -> Update:
    of = deliveries.c.id == bindparam("delivery")
    return update(deliveries).where(of).values(**values, updated_at=bindparam("moment")).inline()


_SKIPPED = _changing(status="skipped", reason=bindparam("what"))
_LATE = _changing(due_at=bindparam("what"))
_BROKEN = _changing(status=statuses.failed(), error=bindparam("what"))


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that may be sent now, until the lease is over."""

    attempt_id: str
    tag: str  # stands in the status callback's URL
    delivery_id: str
    broadcast_id: str | None
    profile_id: str
    address_id: str
    address: str
    channel: str
    class_: str
    preference_id: str | None
    content: dict[str, Any]  # as it goes out
    as_written: bool  # it is the operator's, word for word
    tries: int  # this one counted
    weight: int = 1  # SMS segments
    locale: str | None = None  # of the person, where a mail's foot is in their language


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a look at the queue came to."""

    claims: list[Claim] = field(default_factory=list)
    looked_at: int = 0  # deliveries
    wait_seconds: float = 0.0  # until a rate allows more


async def claim(
    conn: AsyncConnection, connection: str, *, limit: int, bulk: int, owner: str, policy: Policy, now: datetime
) -> Claimed:
    """Take up to `limit` deliveries for sending, up to `bulk` of them of broadcasts.

    Only what is returned may be sent, only after this transaction's commit has been seen to succeed, and only
    while the lease that began before the transaction lasts. What the verdict stops is skipped with its reason.
    """
    if conn.dialect.name == "postgresql":
        await conn.execute(_TIMEOUTS)
    allowance = await pace.look(conn, connection, policy.manner(connection).rate, now=now)
    if allowance.count == 0:
        return Claimed(wait_seconds=allowance.wait_seconds(now))
    taken = await _take(conn, connection, limit=min(limit, allowance.count), bulk=bulk, now=now)
    if not taken.rows:
        return Claimed(wait_seconds=min((rated.wait_seconds(now) for rated in taken.rated), default=0.0))
    crash.point("claim.taken")
    held = await _hold_broadcasts(conn, {row.broadcast_id for row in taken.rows if row.broadcast_id})
    rows = {row.id: row for row in taken.rows if row.broadcast_id is None or row.broadcast_id in held}
    await lock_addresses(conn, {row.address_id for row in rows.values()}, share=True)
    answers = await verdicts.on(conn, list(rows), now=now)
    crash.point("claim.verdict")
    stopped = {id_: _reason(answers.get(id_)) for id_ in rows if not _may(answers.get(id_))}
    asked = [_asked(row, answers[id_].value, held) for id_, row in rows.items() if id_ not in stopped]
    looks = await lastlook.look(conn, asked, policy=policy, room=Room([allowance, *taken.rated]), now=now)
    tags = await _tags_in_doubt(conn, list(rows.values()))
    made = [_claim(rows[a.id], a, look, tags) for a in asked if isinstance(look := looks.get(a.id), Go)]
    begun = await _begin(conn, made, answers, owner, now)
    crash.point("claim.begun")
    stopped |= {c.delivery_id: "duplicate_address" for c in made if c.attempt_id not in begun}
    claims = [c for c in made if c.attempt_id in begun]
    await _mark(conn, claims, stopped, looks, now)
    for allowed in (allowance, *taken.rated):
        await pace.spend(conn, allowed, sum(c.weight for c in claims if allowed.name in (connection, c.broadcast_id)))
    crash.point("claim.marked")
    return Claimed(claims, len(taken.rows))


# --- what is taken ----------------------------------------------------------------------------


@dataclass(slots=True)
class _Taken:
    rows: list[Any] = field(default_factory=list)
    rated: list[Allowance] = field(default_factory=list)  # of broadcasts with a rate of their own


async def _take(conn: AsyncConnection, connection: str, *, limit: int, bulk: int, now: datetime) -> _Taken:
    """Lock up to `limit` rows that are due and that nobody else has locked; broadcasts share what is left."""
    taken = _Taken()
    found = await sources(conn, connection)
    for index, source in enumerate(found):
        room = limit - len(taken.rows)
        if source.broadcast_id is not None:
            room = -(-min(room, bulk) // (len(found) - index))  # an equal part, rounded up
        if room > 0 and source.rate is not None and source.broadcast_id is not None:
            allowance = await pace.look(conn, source.broadcast_id, source.rate, now=now)
            taken.rated.append(allowance)
            room = min(room, allowance.count)
        if room > 0:
            rows = await _lock_due(conn, connection, source, room, now)
            taken.rows += rows
            bulk -= len(rows) if source.broadcast_id is not None else 0
    return taken


async def _lock_due(conn: AsyncConnection, connection: str, source: Source, room: int, now: datetime) -> Sequence[Any]:
    statement = _DUE[source.broadcast_id is not None]
    return await bulk.rows(conn, statement, **given(connection, source, now, most=room))


async def _hold_broadcasts(conn: AsyncConnection, ids: Collection[str]) -> dict[str, Any]:
    """Those broadcasts that are sending still, held against pause and cancel until the commit."""
    if not ids:
        return {}
    return {row.id: row for row in await bulk.rows(conn, _HELD, ids=sorted(ids))}


async def _tags_in_doubt(conn: AsyncConnection, rows: Sequence[Any]) -> dict[str, str]:
    """Delivery → the tag of its first attempt in doubt: a transactional message is repeated under the same tag."""
    repeated = [row.id for row in rows if row.tries and row.class_ == "transactional"]
    if not repeated:
        return {}
    found = await bulk.rows(conn, _FIRST_IN_DOUBT, ids=sorted(repeated))
    return {row.delivery_id: row.first for row in found}


# --- what becomes of it -----------------------------------------------------------------------


def _may(answer: Any) -> bool:
    return answer is not None and verdict.is_allowed(answer.reason)


def _reason(answer: Any) -> str:
    return "no_address" if answer is None else str(answer.reason)  # None: the profile is gone


def _asked(row: Any, address: str, held: dict[str, Any]) -> Asked:
    broadcast = held.get(row.broadcast_id)
    return Asked(
        id=row.id,
        profile_id=row.profile_id,
        address_id=row.address_id,
        address=address,
        channel=row.channel,
        connection=row.connection,
        class_=row.class_,
        content=row.content if row.content is not None or broadcast is None else broadcast.content,
        preference_id=row.preference_id,
        broadcast_id=row.broadcast_id,
        not_after=row.not_after if broadcast is None else broadcast.not_after,
        quiet_hours=row.quiet_hours if broadcast is None else broadcast.quiet_hours,
    )


def _claim(row: Any, asked: Asked, go: Go, tags: dict[str, str]) -> Claim:
    attempt_id = new_id("att")
    return Claim(
        attempt_id=attempt_id,
        tag=tags.get(row.id, attempt_id),
        delivery_id=row.id,
        broadcast_id=row.broadcast_id,
        profile_id=row.profile_id,
        address_id=row.address_id,
        address=asked.address,
        channel=row.channel,
        class_=asked.class_,
        preference_id=row.preference_id,
        content=go.content,
        as_written=go.content == asked.content,
        tries=row.tries + 1,
        weight=go.weight,
        locale=go.locale,
    )


async def _begin(
    conn: AsyncConnection, made: Sequence[Claim], answers: dict[str, Any], owner: str, now: datetime
) -> set[str]:
    """Insert the attempts; returns the ids of those that no earlier attempt forbids (invariant I3)."""
    if not made:
        return set()
    rows = [
        {
            "id": c.attempt_id,
            "delivery_id": c.delivery_id,
            "broadcast_id": c.broadcast_id,
            "profile_id": c.profile_id,
            "address_id": c.address_id,
            "channel": c.channel,
            "class": c.class_,
            "preference_id": c.preference_id,
            "consent_version": answers[c.delivery_id].version,
            "state": "sending",
            "owner": owner,
            "at": now,
            "tag": None if c.tag == c.attempt_id else c.tag,
            "sent": None if c.as_written else composition.kept(c.content),
        }
        for c in made
    ]
    await insert_missing(conn, attempts, rows)
    ids = {c.attempt_id for c in made}
    [counted] = await bulk.rows(conn, _BEGUN_COUNT, ids=list(ids))
    return ids if counted.begun == len(ids) else {row.id for row in await bulk.rows(conn, _BEGUN, ids=list(ids))}


async def _mark(
    conn: AsyncConnection, claims: Sequence[Claim], stopped: dict[str, str], looks: dict[str, Look], now: datetime
) -> None:
    if claims:
        await bulk.run(conn, _NOW_SENDING, [{"ids": sorted(c.delivery_id for c in claims), "moment": now}])
    stopped = stopped | {id_: look.reason for id_, look in looks.items() if isinstance(look, Skip)}
    late = {id_: look.until for id_, look in looks.items() if isinstance(look, Wait)}
    broken = {id_: look.error for id_, look in looks.items() if isinstance(look, Broken)}
    changes: tuple[tuple[Update, Mapping[str, Any]], ...] = ((_SKIPPED, stopped), (_LATE, late), (_BROKEN, broken))
    for statement, of in changes:
        await bulk.run(conn, statement, [{"delivery": id_, "what": of[id_], "moment": now} for id_ in sorted(of)])
