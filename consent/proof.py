"""Proof: whether the history is what was written, and whether the flags are what it comes to.

Reads the history once, in pages, in the order of its chains; memory does not grow with it. An altered, removed or
inserted line is found, the last one included; so is evidence that was altered or taken away. Evidence that was erased
(its row stays, emptied, with the time) leaves a chain that verifies.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, delete, exists, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import chain, reading
from consent.states import Event, Flag, Subject, apply
from store.tables import addresses, consent_chains, consent_events, consent_states, evidence
from store.upsert import upsert

PAGE = 1000  # lines, and folded profiles, that are in memory at once

_LINE = tuple(consent_events.c[name] for name in chain.COLUMNS)  # what is hashed, as it is hashed
_WIDTH = len(_LINE)
_PROFILE_ID = chain.COLUMNS.index("profile_id")
_EVENT = tuple(consent_events.c[name] for name in reading.EVENT)
_SUBJECT = tuple(Event.__dataclass_fields__).index("subject")
_FLAG = tuple(consent_states.c[name] for name in reading.FLAG)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was written, in a plain sentence."""

    profile_id: str | None
    seq: int | None
    sentence: str

    def __str__(self) -> str:
        return self.sentence


async def see_one_moment(conn: AsyncConnection) -> None:
    """Let every statement of this transaction see the same moment; the first thing in it (SQLite does so anyway)."""
    if conn.dialect.name == "postgresql":
        await conn.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))


# --- the chain ---------------------------------------------------------------------------------


async def verify(conn: AsyncConnection, told: Callable[[int], object] | None = None) -> AsyncIterator[Finding]:
    """Everything in the history, its evidence and its heads that is not as it was written.

    `told` hears after each page how many lines were read.
    """
    walk: _Walk | None = None
    async for page in _lines(conn):
        for row in page:
            if walk is None or walk.profile_id != row[_PROFILE_ID]:
                if walk is not None:
                    for finding in walk.end():
                        yield finding
                walk = _Walk(row[_PROFILE_ID])
            for finding in walk.step(row):
                yield finding
        if told is not None:
            told(len(page))
    if walk is not None:
        for finding in walk.end():
            yield finding
    for check in (_heads_without_lines, _evidence_without_line, _states_without_line, _addresses_without_line):
        async for finding in check(conn):
            yield finding


class _Walk:
    """The way along one profile's chain."""

    def __init__(self, profile_id: str) -> None:
        self.profile_id = profile_id
        self._count: int | None = None
        self._head: str | None = None
        self._position = 0
        self._seq = 0
        self._hash = chain.START

    def step(self, row: Sequence[Any]) -> list[Finding]:
        """What is wrong with the next line. By place, not by name: there may be millions."""
        line = row[:_WIDTH]
        digest, evidence_id, salt, body, erased_at, self._count, self._head = row[_WIDTH:]
        seq, position, evidence_hash, previous = line[0], line[1], line[-2], line[-1]
        wrong: list[str] = []
        if position != self._position + 1:
            wrong.append(f"stands at position {position} of its chain where {self._position + 1} was due")
        elif previous != self._hash:
            wrong.append("does not follow the line before it")
        if seq <= self._seq:
            wrong.append(f"comes after line {self._seq} in its chain")
        if chain.hash_of(line) != digest:
            wrong.append("is not as it was written")
        if evidence_id is None:
            wrong.append("has lost its evidence")
        elif (fault := _evidence_fault(evidence_hash, salt, body, erased_at)) is not None:
            wrong.append(fault)
        self._position, self._seq, self._hash = position, seq, digest
        return [Finding(self.profile_id, seq, f"line {seq} of {self.profile_id} {fault}") for fault in wrong]

    def end(self) -> list[Finding]:
        """What is wrong behind the last line."""
        if self._head is None or self._count is None:
            why = f"the history of {self.profile_id} has no head; its last line is {self._seq}"
        elif (self._count, self._head) != (self._position, self._hash):
            why = (
                f"the history of {self.profile_id} ends with line {self._seq} at position {self._position}, "
                f"but its head tells of another last line at position {self._count}"
            )
        else:
            return []
        return [Finding(self.profile_id, self._seq, why)]


def _evidence_fault(written: str, salt: str | None, body: Any, erased_at: datetime | None) -> str | None:
    if erased_at is not None and salt is None and body is None:
        return None  # erased: its hash stands in the line, and the line verifies
    if salt is None or body is None:
        return "has evidence that was emptied without being erased"
    return None if chain.evidence_hash(salt, body) == written else "has other evidence than was written"


async def _lines(conn: AsyncConnection) -> AsyncIterator[Sequence[Row[Any]]]:
    """Every line with its hash, its evidence and its chain's head, chain by chain, in pages."""
    events = consent_events.c
    statement = (
        select(
            *_LINE,
            events.hash,
            evidence.c.event_id.label("evidence_id"),
            evidence.c.salt,
            evidence.c.body,
            evidence.c.erased_at,
            consent_chains.c.count.label("chain_count"),
            consent_chains.c.head.label("chain_head"),
        )
        .outerjoin(evidence, evidence.c.event_id == events.id)
        .outerjoin(consent_chains, consent_chains.c.profile_id == events.profile_id)
    )
    async for page in _pages(conn, statement, events.profile_id, events.position):
        yield page


async def _heads_without_lines(conn: AsyncConnection) -> AsyncIterator[Finding]:
    there = exists(select(1).where(consent_events.c.profile_id == consent_chains.c.profile_id))
    async for row in _paged(conn, select(consent_chains).where(~there), consent_chains.c.profile_id):
        lines = row._mapping["count"]
        yield Finding(row.profile_id, None, f"the whole history of {row.profile_id} is missing: {lines} lines")


async def _evidence_without_line(conn: AsyncConnection) -> AsyncIterator[Finding]:
    there = exists(select(1).where(consent_events.c.id == evidence.c.event_id))
    async for row in _paged(conn, select(evidence.c.event_id).where(~there), evidence.c.event_id):
        yield Finding(None, None, f"there is evidence of {row.event_id}, but no such line")


async def _states_without_line(conn: AsyncConnection) -> AsyncIterator[Finding]:
    there = exists(select(1).where(consent_events.c.id == consent_states.c.event_id))
    states = consent_states.c
    async for row in _paged(conn, select(consent_states).where(~there), states.profile_id, states.kind, states.key):
        what = _named(Subject(row.kind, row.key))
        yield Finding(
            row.profile_id, None, f"{what} of {row.profile_id} comes from {row.event_id}, but there is no such line"
        )


async def _addresses_without_line(conn: AsyncConnection) -> AsyncIterator[Finding]:
    """An address row keeps the seq of a line that concerned it, also when all else about the line is gone."""
    there = exists(select(1).where(consent_events.c.seq == addresses.c.version))
    stranded = select(addresses.c.id, addresses.c.version).where(addresses.c.version > 0, ~there)
    async for row in _paged(conn, stranded, addresses.c.id):
        yield Finding(None, row.version, f"address {row.id} was last concerned by line {row.version}, which is missing")


async def _paged(conn: AsyncConnection, statement: Any, *key: Any) -> AsyncIterator[Row[Any]]:
    """The rows of a statement in the order of its key."""
    async for page in _pages(conn, statement, *key):
        for row in page:
            yield row


async def _pages(conn: AsyncConnection, statement: Any, *key: Any) -> AsyncIterator[Sequence[Row[Any]]]:
    """The rows of a statement in the order of its key, page by page."""
    statement = statement.order_by(*key).limit(PAGE)
    page: Sequence[Row[Any]] = (await conn.execute(statement)).all()
    while page:
        yield page
        behind = tuple_(*key) > tuple_(*(getattr(page[-1], column.name) for column in key))
        page = (await conn.execute(statement.where(behind))).all() if len(page) == PAGE else ()


# --- the flags ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Difference:
    """A flag that is not what the history comes to; None: there is none."""

    profile_id: str
    subject: Subject
    kept: Flag | None
    due: Flag | None
    seq: int | None  # of the line that the flag is due to


async def rebuild_check(conn: AsyncConnection) -> AsyncIterator[Finding]:
    """Every flag that is not the fold of the history."""
    async for it in _differences(conn):
        kept = it.kept.state if it.kept else "not there"
        due = it.due.state if it.due else "not there"
        same = "" if kept != due else ", with another origin or term"
        line = f" (line {it.seq})" if it.seq is not None else ""
        what = f"{_named(it.subject)} of {it.profile_id}"
        yield Finding(it.profile_id, it.seq, f"{what} is {kept}, but its history comes to {due}{line}{same}")


async def rebuild(conn: AsyncConnection) -> int:
    """Let the flags be the fold of the history, in the caller's write transaction; returns how many were not."""
    if conn.dialect.name == "postgresql":
        await conn.execute(text("LOCK TABLE consent_events IN EXCLUSIVE MODE"))  # nobody writes consent meanwhile
    count = 0
    async for it in _differences(conn):
        count += 1
        if it.due is not None:
            await upsert(conn, consent_states, [reading.state_row(it.profile_id, it.subject, it.due)])
        else:
            at = consent_states.c
            of = and_(at.profile_id == it.profile_id, at.kind == it.subject.kind, at.key == it.subject.key)
            await conn.execute(delete(consent_states).where(of))
    return count


async def _differences(conn: AsyncConnection) -> AsyncIterator[_Difference]:
    folds: dict[str, _Fold] = {}
    async for page in _history(conn):
        for row in page:
            profile_id = row.profile_id
            if profile_id not in folds:
                if len(folds) == PAGE:
                    for difference in await _compared(conn, folds):
                        yield difference
                    folds = {}
                folds[profile_id] = _Fold()
            folds[profile_id].take(row)
    if folds:
        for difference in await _compared(conn, folds):
            yield difference
    at = consent_states.c
    there = exists(select(1).where(consent_events.c.profile_id == at.profile_id))
    async for row in _paged(conn, select(consent_states).where(~there), at.profile_id, at.kind, at.key):
        yield _Difference(row.profile_id, Subject(row.kind, row.key), reading.flag_from(row), None, None)


class _Fold:
    """One profile's flags, as far as its history was read."""

    def __init__(self) -> None:
        self.flags: Mapping[Subject, Flag] = {}
        self.seqs: dict[str, int] = {}
        self._channels: dict[str, str] = {}

    def take(self, row: Sequence[Any]) -> None:
        """Fold the next line."""
        seq, kind, key, subject_channel, from_channel, *of, _ = row
        of.insert(_SUBJECT, Subject(kind, key))
        event = Event(*of)
        if subject_channel is not None:
            self._channels[key] = subject_channel
        if from_channel is not None and event.address_id is not None:
            self._channels[event.address_id] = from_channel
        self.seqs[event.id] = seq
        self.flags = apply(self.flags, event, self._channels)


async def _compared(conn: AsyncConnection, folds: Mapping[str, _Fold]) -> list[_Difference]:
    """Profiles that follow one another in the order of their ids, against the flags that are kept."""
    of = consent_states.c
    kept: dict[str, dict[Subject, Flag]] = {profile_id: {} for profile_id in folds}
    between = and_(of.profile_id >= min(folds), of.profile_id <= max(folds))
    statement = select(of.profile_id, of.kind, of.key, *_FLAG).where(between)
    for profile_id, kind, key, *flag in await conn.execute(statement):
        if profile_id in kept:
            kept[profile_id][Subject(kind, key)] = Flag(*flag)
    return [
        _Difference(profile_id, subject, had, due, fold.seqs.get(due.event_id) if due else None)
        for profile_id, fold in folds.items()
        if kept[profile_id] != fold.flags
        for subject in sorted({*kept[profile_id], *fold.flags})
        if (had := kept[profile_id].get(subject)) != (due := fold.flags.get(subject))
    ]


async def _history(conn: AsyncConnection) -> AsyncIterator[Sequence[Row[Any]]]:
    """Every line in the order of arrival, profile by profile, with the channels of the addresses it names."""
    subject, origin = addresses.alias("subject"), addresses.alias("origin")
    of = consent_events.c
    channels = subject.c.channel.label("subject_channel"), origin.c.channel.label("from_channel")
    statement = (
        select(of.seq, of.subject_kind, of.subject_key, *channels, *_EVENT, of.position)
        .outerjoin(subject, and_(of.subject_kind == "address", subject.c.id == of.subject_key))
        .outerjoin(origin, origin.c.id == of.address_id)
    )
    async for page in _pages(conn, statement, of.profile_id, of.position):
        yield page


def _named(subject: Subject) -> str:
    return subject.kind if not subject.key else f"{subject.kind} {subject.key}"
