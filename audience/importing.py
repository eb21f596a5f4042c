"""People out of a file: who is meant, what is new of them, and what became of every row.

    async for taken in importing.run(database, sheet, columns, book, clock=utcnow):
        ...  # its rows are on disk, and no opt-out in them can be overtaken by a send

Some rows share a transaction, which holds SQLite's writer for a tenth of a second or so. A row that fails alone fails
alone. What was taken stays when the rest is not: run again, it is found unchanged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from audience import columns as cells
from audience import spreadsheet, statements
from audience.columns import BadRow, Columns, Row
from audience.naming import look_up, names_of
from audience.plans import Aim, Outcome, Plan, Result, planned, with_address_id, with_address_ids
from audience.spreadsheet import Spreadsheet
from audience.statements import Source
from consent import preferences
from consent.states import Change
from outbox import heed, people
from outbox.people import Draft
from profiles import links, records
from profiles.addresses import AddressBook
from store.clock import Clock
from store.engine import Database, DatabaseAway, Raced, StillRacing
from store.locks import lock_profiles, lock_their_addresses

ROWS = 25  # in one transaction


@dataclass(frozen=True, slots=True)
class Taken:
    """Some rows that are on disk, and how far the file is read."""

    results: Sequence[Result]
    position: int


@dataclass
class Summary:
    """How many rows became what."""

    outcomes: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)

    def add(self, results: Sequence[Result]) -> None:
        for result in results:
            self.outcomes[result.outcome] += 1
            if result.code is not None:
                self.refusals[result.code] += 1


async def run(
    database: Database, sheet: Spreadsheet, book: AddressBook, *, clock: Clock, dry: bool = False
) -> AsyncIterator[Taken]:
    """Take every row; raises Unreadable before the first, DatabaseAway between two transactions.

    `dry`: each transaction is undone, so a person whom an earlier row would have made is not there for a later one.
    """
    columns = await understood(database, sheet)
    work = _Import(database, book, Source(sheet.path.name, sheet.sha256), clock, dry, columns.preferences)
    for rows, bad, position in _portions(sheet, columns, book, clock):
        results = bad + (await work.take(rows) if rows else [])
        yield Taken(sorted(results, key=lambda result: result.line), position)


async def understood(database: Database, sheet: Spreadsheet) -> Columns:
    """The file's columns; raises Unreadable for one that means nothing."""
    async with database.read() as conn:
        known = await preferences.by_names(conn, cells.preferences_in(sheet.columns))
    return cells.understood(sheet.columns, known)


def _portions(
    sheet: Spreadsheet, columns: Columns, book: AddressBook, clock: Clock
) -> Iterator[tuple[list[Row], list[Result], int]]:
    """Rows that name different people, with the results of those that cannot be read, and the place behind them."""
    rows: list[Row] = []
    bad: list[Result] = []
    named: set[str] = set()
    position = 0
    for record in spreadsheet.records(sheet):
        try:
            row = cells.read(columns, record, book, now=clock())
        except BadRow as error:
            bad.append(Result(record.line, "refused", None, error.code, str(error)))
            row = None
        own = names_of(row) if row is not None else set()
        if len(rows) == ROWS or len(bad) == ROWS or not own.isdisjoint(named):
            yield rows, bad, position
            rows, bad, named = [], [], set()
        if row is not None:
            rows.append(row)
            named |= own
        position = record.position
    yield rows, bad, position


class _Undone(Exception):
    """A preview is over: its transaction is not to be kept."""


class _Import:
    """Takes rows, as many as can be taken together in one transaction."""

    def __init__(
        self,
        database: Database,
        book: AddressBook,
        source: Source,
        clock: Clock,
        dry: bool,
        asked: Mapping[str, str],
    ) -> None:
        """`asked`: the preferences that columns are about, id → name."""
        self._database, self._book, self._source, self._clock, self._dry = database, book, source, clock, dry
        self._asked = asked

    async def take(self, rows: Sequence[Row]) -> list[Result]:
        """What became of each; together, or where that fails, one by one."""
        done: list[Result] = []
        while len(done) < len(rows):
            rest = rows[len(done) :]
            try:
                done += await self._commit(rest)
            except Exception as error:
                if isinstance(error, DatabaseAway) and not isinstance(error, StillRacing):
                    raise
                if len(rest) == 1:
                    done.append(Result.failed(rest[0], error))
                else:
                    done += await self.take(rest[:1])
        return done

    async def _commit(self, rows: Sequence[Row]) -> list[Result]:
        """The results of the first of these rows, as many as name different people: at least one."""
        kept: list[tuple[list[Result], frozenset[str]]] = []

        async def work(conn: AsyncConnection) -> tuple[list[Result], frozenset[str]]:
            done = await self._work(conn, rows)
            if self._dry:
                kept.append(done)
                raise _Undone
            return done

        try:
            results, closed = await self._database.transact(work)
        except _Undone:
            return kept[-1][0]
        await heed.settle(self._database, closed)
        return results

    async def _work(self, conn: AsyncConnection, rows: Sequence[Row]) -> tuple[list[Result], frozenset[str]]:
        now = self._clock()
        there = await preferences.still_there(conn, self._asked)
        gone = {id_: name for id_, name in self._asked.items() if id_ not in there}
        named = await look_up(conn, rows)
        aims = _distinct([(row, named.target(row)) for row in rows])
        known = sorted({one for _, target in aims for one in target.profile_ids})
        await lock_profiles(conn, known)
        plans = await planned(conn, aims, named.address_ids, self._source, self._book, gone=gone, now=now)
        wanted = [address for plan in plans if plan.draft is not None for address in plan.row.addresses]
        ids = await links.ensure_addresses(conn, wanted, now=now, lock=False)
        await lock_their_addresses(conn, known, also=ids.values())
        if not (await look_up(conn, rows)).same_people(named):
            raise Raced("somebody has got or lost a name meanwhile")
        await links.restore_values(conn, wanted)
        return await self._carried_out(conn, plans, ids, now)

    async def _carried_out(
        self, conn: AsyncConnection, plans: Sequence[Plan], address_ids: Mapping[str, str], now: datetime
    ) -> tuple[list[Result], frozenset[str]]:
        """Do what is planned: who is new first, then what is new of the others, then what they all said."""
        drafts = {plan.row.line: plan.draft for plan in plans if plan.target.is_new and plan.draft is not None}
        made = await people.create_many(conn, list(drafts.values()), now=now)
        ids = dict(zip(drafts, made, strict=True))
        closed: frozenset[str] = frozenset()
        for plan in plans:
            if plan.draft is not None and not plan.target.is_new:
                closed |= await _change(conn, plan.target.profile_ids[0], plan.draft, now=now)
        said: list[Change] = []
        for plan in plans:
            row = with_address_ids(plan.row, address_ids)
            for profile_id, answers in plan.answers.items():
                new = [with_address_id(answer, address_ids) for answer in answers]
                said += statements.changes(profile_id or ids[plan.row.line], row, new, self._source)
        heeded = await heed.record(conn, said, now=now)
        spoke = {line.event.profile_id for line in heeded.lines}
        return [_result(plan, ids.get(plan.row.line), spoke) for plan in plans], closed | heeded.closed


async def _change(conn: AsyncConnection, profile_id: str, draft: Draft, *, now: datetime) -> frozenset[str]:
    """Change a profile that is held; returns the addresses that got another verdict by that.

    Words alone, which are all that most rows change, move no verdict and need no more than their own statements.
    """
    if draft.addresses is not None or "external_id" in draft.names:
        return (await people.change(conn, profile_id, draft, now=now)).closed
    values = dict(draft.names) | ({} if draft.attributes is None else {"attributes": dict(draft.attributes)})
    await records.change(conn, profile_id, values, now=now)
    await records.add_tags(conn, {profile_id: draft.tags or ()})
    return frozenset()


def _distinct(aims: Sequence[Aim]) -> list[Aim]:
    """The first of these, as many as mean different people."""
    taken: set[str] = set()
    for place, (_, target) in enumerate(aims):
        if not taken.isdisjoint(target.profile_ids):
            return list(aims[:place])
        taken.update(target.profile_ids)
    return list(aims)


def _result(plan: Plan, made: str | None, spoke: set[str]) -> Result:
    if plan.refused is not None:
        return plan.refused
    outcome: Outcome = "created"
    if made is None:
        [profile_id] = plan.target.profile_ids
        outcome = "updated" if plan.draft is not None or profile_id in spoke else "unchanged"
    return Result(plan.row.line, outcome, made or plan.target.profile_ids[0])
