"""Reviews as they are read: the list for whoever decides, what is due, and what the law wants."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from inbox.reviews import IS_OPEN
from store.tables import addresses, messages, review_messages, reviews

LEGAL_DAYS = 10  # business days within which a revocation is honoured: 47 CFR 64.1200(a)(10)


@dataclass(frozen=True, slots=True)
class Written:
    """A message that reads like a no."""

    id: str
    connection: str
    sender: str
    receiver: str
    body: str
    subject: str | None
    typed: str | None


@dataclass(frozen=True, slots=True)
class Review:
    """What somebody is to read, and what came of it."""

    id: str
    status: str
    channel: str
    phrase: str
    address: str | None  # None: forgotten since
    profile_id: str | None
    first: Written
    latest: Written | None  # None: there is only one
    messages: int
    due_at: datetime
    decided_at: datetime | None
    decided_by: str | None
    note: str | None
    change_id: str | None
    created_at: datetime


_OF_IT = review_messages.c.review_id == reviews.c.id
_COUNT = select(func.count()).where(_OF_IT).correlate(reviews).scalar_subquery()
_LATEST = (
    select(review_messages.c.message_id)
    .where(_OF_IT)
    .order_by(review_messages.c.came_at.desc(), review_messages.c.message_id.desc())
    .limit(1)
    .correlate(reviews)
    .scalar_subquery()
)
_WRITTEN = tuple(Written.__dataclass_fields__)


def _reading() -> Select[Any]:
    r, first, latest = reviews.c, messages.alias("first"), messages.alias("latest")
    return (
        select(
            r.id, r.status, r.channel, r.phrase, addresses.c.value.label("address"), first.c.profile_id,
            _COUNT.label("messages"), r.due_at, r.decided_at, r.decided_by, r.note, r.change_id, r.created_at,
            *(first.c[name].label(f"first_{name}") for name in _WRITTEN),
            *(latest.c[name].label(f"latest_{name}") for name in _WRITTEN),
        )
        .join(first, first.c.id == r.message_id)
        .outerjoin(latest, (latest.c.id == _LATEST) & (latest.c.id != r.message_id))
        .outerjoin(addresses, addresses.c.id == r.address_id)
    )  # fmt: skip


def _review(row: Any) -> Review:
    values = dict(row)
    first, latest = (Written(**{name: values.pop(f"{of}_{name}") for name in _WRITTEN}) for of in ("first", "latest"))
    return Review(**values, first=first, latest=latest if latest.id is not None else None)


async def read(conn: AsyncConnection, review_id: str) -> Review | None:
    row = (await conn.execute(_reading().where(reviews.c.id == review_id))).mappings().one_or_none()
    return _review(row) if row is not None else None


async def listed(
    conn: AsyncConnection, *, status: str | None, channel: str | None, after: str | None, limit: int
) -> list[Review]:
    """Reviews that match, the one that has waited longest first."""
    statement = _reading().order_by(reviews.c.id).limit(limit)
    for column, wanted in ((reviews.c.status, status), (reviews.c.channel, channel)):
        if wanted is not None:
            statement = statement.where(column == wanted)
    if after is not None:
        statement = statement.where(reviews.c.id > after)
    return [_review(row) for row in (await conn.execute(statement)).mappings()]


def legal_deadline(came_at: datetime) -> datetime:
    """Until when a revocation that came then must be honoured: LEGAL_DAYS business days later, at the same time.

    Days are counted from Monday to Friday, in UTC; a holiday, which would lengthen it, is counted too.
    """
    day = came_at
    for _ in range(LEGAL_DAYS):
        day += timedelta(days=1)
        while day.weekday() > 4:
            day += timedelta(days=1)
    return day


@dataclass(frozen=True, slots=True)
class Waiting:
    """A review that is open."""

    due_at: datetime
    id: str
    address_id: str


async def waiting(
    conn: AsyncConnection, *, due_by: datetime | None = None, after: Waiting | None, limit: int
) -> list[Waiting]:
    """What is open, and due by then where that is given, what is due first before all else; from behind `after`."""
    r = reviews.c
    statement = select(r.due_at, r.id, r.address_id).where(IS_OPEN).order_by(r.due_at, r.id).limit(limit)
    if due_by is not None:
        statement = statement.where(r.due_at <= due_by)
    if after is not None:
        statement = statement.where(tuple_(r.due_at, r.id) > (after.due_at, after.id))
    return [Waiting(row.due_at, row.id, row.address_id) for row in await conn.execute(statement)]


@dataclass(frozen=True, slots=True)
class Standing:
    """What is open on a channel."""

    count: int
    oldest_at: datetime  # when the message came


async def standing(conn: AsyncConnection) -> dict[str, Standing]:
    """By channel, where anything is open."""
    rows = await conn.execute(
        select(reviews.c.channel, func.count().label("open_"), func.min(reviews.c.created_at).label("oldest"))
        .where(IS_OPEN)
        .group_by(reviews.c.channel)
    )
    return {row.channel: Standing(row.open_, row.oldest) for row in rows}
