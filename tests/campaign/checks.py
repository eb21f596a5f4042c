"""The invariants, checked from outside: by the database's rows, the provider's log and the clients' own logs."""

from __future__ import annotations

import importlib.util
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import func, literal_column, select

from consent import proof, reading, states
from consent.states import EVERYTHING, Flags, Subject
from store.engine import Database
from store.tables import addresses, attempts, consent_events, deliveries
from tests.campaign.clients import Answered
from tests.campaign.standin import accepted
from tests.standins.twilio import Request


def no_send_began_after_its_stop_was_answered(log: Sequence[Request], stops: Iterable[Answered]) -> None:
    """I2: the first byte of every request for a number came before that number's STOP was answered."""
    answered_at = {stop.text.sender: stop.answered_at_ns for stop in stops if stop.status == 200}
    late = [
        f"{line.to}: began {(line.at_ns - answered_at[line.to]) / 1e6:.1f} ms after the answer"
        for line in log
        if line.at_ns > answered_at.get(line.to, line.at_ns)
    ]
    assert not late, late


def nobody_was_sent_to_twice(log: Sequence[Request]) -> None:
    """I3, by the provider's accept log."""
    twice = {number: count for number, count in accepted(log).items() if count > 1}
    assert not twice


def counts_add_up(shown: dict[str, Any]) -> None:
    """I4: everyone is in exactly one place."""
    counts = shown["counts"]
    assert counts["planned"] == counts["skipped"] + sum(counts["by_status"].values()), counts
    assert counts["skipped"] == sum(counts["by_reason"].values()), counts


async def no_claim_came_after_an_opt_out(database: Database) -> int:
    """I1: at the version it was taken at, every claim's history folds to flags that allow it. Returns how many.

    The flags are judged here in a few lines of their own, on purpose not by the verdict's SQL.
    """
    async with database.read() as conn:
        tried = (await conn.execute(select(attempts).where(attempts.c["class"] == "marketing"))).all()
        history = (await conn.execute(select(consent_events).order_by(consent_events.c.seq))).all()
    lines: dict[str, list[Any]] = defaultdict(list)
    for line in history:
        lines[line.profile_id].append(line)
    channels = {line.address_id: "sms" for line in history}
    for attempt in tried:
        known = [reading.event_from(x) for x in lines[attempt.profile_id] if x.seq <= attempt.consent_version]
        flags = states.fold(known, channels)
        assert _allow(flags, attempt.channel, attempt.address_id), f"attempt {attempt.id}: {flags}"
    return len(tried)


def _allow(flags: Flags, channel: str, address_id: str) -> bool:
    """Nothing says no that is not opened by a later yes on something narrower, and something says yes."""
    wide, middle, narrow = (
        flags.get(s) for s in (EVERYTHING, Subject("channel", channel), Subject("address", address_id))
    )
    if narrow is not None and narrow.state == "no":
        return False
    if wide is not None and wide.state == "no" and not (middle is not None and middle.opens):
        return False
    if middle is not None and middle.state == "no" and not (narrow is not None and narrow.opens):
        return False
    return any(flag is not None and flag.state == "yes" for flag in (middle, narrow))


async def tally(database: Database, table: Any, column: str) -> dict[str, int]:
    """How many rows there are, by a column."""
    async with database.read() as conn:
        rows = await conn.execute(select(table.c[column], func.count()).group_by(table.c[column]))
        return {row[0]: row[1] for row in rows}


async def still_queued(database: Database) -> int:
    async with database.read() as conn:
        waiting = select(func.count()).where(deliveries.c.status == literal_column("'queued'"))
        return int((await conn.execute(waiting)).scalar_one())


async def next_in_line(database: Database, count: int) -> list[str]:
    """The numbers that are sent to now, and those that come next."""
    queue = (deliveries.c.priority, deliveries.c.due_at, deliveries.c.id)
    found: list[str] = []
    async with database.read() as conn:
        for status in ("sending", "queued"):
            rows = select(addresses.c.value).join(deliveries, deliveries.c.address_id == addresses.c.id)
            rows = rows.where(deliveries.c.status == literal_column(f"'{status}'")).order_by(*queue).limit(count)
            found += (await conn.execute(rows)).scalars()
    return found


async def the_gateways_own_checks_find_nothing(database: Database) -> None:
    """What `optgate ledger verify`, `optgate ledger rebuild --check` and `optgate verify` run."""
    async with database.read() as conn:
        assert [str(finding) async for finding in proof.verify(conn)] == []
        assert [str(finding) async for finding in proof.rebuild_check(conn)] == []
    if importlib.util.find_spec("gateway.verify"):
        verify = importlib.import_module("gateway.verify")
        assert [str(violation) for violation in await verify.verify(database)] == []
