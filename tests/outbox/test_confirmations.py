"""What takes a question back: any no since it was asked, whatever came after it; but not the act that asks."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import event

from consent.states import Wish
from outbox import confirmations
from outbox.confirmations import Wanted
from store.engine import Database
from tests.acts import NOON, about, add_person, address_id, later, say

MAILBOX, NUMBER, SECOND = "email:ana@example.org", "voice:+14155550123", "voice:+14155550124"


async def asked(database: Database, ana: str, *names: str, change_id: str | None = None) -> str:
    """Asked at the mailbox whether it is yes to these."""
    wishes = tuple(Wish(about(name), "yes") for name in names)
    at = await address_id(database, MAILBOX)
    wanted = Wanted(at, "email", wishes, {"asked": True}, NOON, profile_id=ana, change_id=change_id)
    [id_] = await database.transact(lambda conn: confirmations.ask(conn, [wanted], now=NOON))
    assert id_ is not None
    return id_


async def is_open(database: Database, id_: str) -> bool:
    async with database.read() as conn:
        found = await confirmations.find(conn, id_, now=later(60))
    assert found is not None
    return found.is_open


@pytest.mark.parametrize("to", ["everything", "email", "voice", f"address:{SECOND}", f"address:{MAILBOX}"])
async def test_a_no_since_takes_a_question_about_an_address_back_for_good(database: Database, to: str) -> None:
    ana = await add_person(database, MAILBOX, NUMBER, SECOND)
    kind, _, tagged = to.partition(":")
    to = f"address:{await address_id(database, tagged)}" if kind == "address" else to
    id_ = await asked(database, ana, f"address:{await address_id(database, SECOND)}")
    assert await is_open(database, id_)
    await say(database, ana, {to: "no"}, now=later(1))
    assert not await is_open(database, id_)
    await say(database, ana, {to: "yes"}, now=later(2))
    assert not await is_open(database, id_)


@pytest.mark.parametrize("is_written", [True, False])
@pytest.mark.parametrize("to", ["everything", "email", "voice", f"address:{SECOND}"])
async def test_a_no_since_to_any_way_takes_a_question_about_everything_back(
    database: Database, to: str, is_written: bool
) -> None:
    ana = await add_person(database, MAILBOX, NUMBER, SECOND)
    kind, _, tagged = to.partition(":")
    to = f"address:{await address_id(database, tagged)}" if kind == "address" else to
    id_ = await asked(database, ana, "everything")

    async def declined(name: str, now: datetime) -> None:
        if is_written:
            await say(database, ana, {name: "no"}, now=now)
        else:  # it stands already, and makes no line
            await database.transact(lambda conn: confirmations.take_back(conn, ana, [about(name)], now=now))

    await declined("preference:drama", later(1))
    assert await is_open(database, id_)
    await declined(to, later(2))
    assert not await is_open(database, id_)


@pytest.mark.parametrize("to", ["sms", "whatsapp", "post"])
async def test_a_no_to_what_is_not_asked_takes_nothing_back(database: Database, to: str) -> None:
    ana = await add_person(database, MAILBOX, NUMBER, SECOND)
    id_ = await asked(database, ana, "voice")
    await say(database, ana, {to: "no", f"address:{await address_id(database, NUMBER)}": "no"}, now=later(1))
    assert await is_open(database, id_)


async def test_a_no_that_was_said_before_takes_nothing_back_however_late_it_is_told(database: Database) -> None:
    ana = await add_person(database, MAILBOX)
    id_ = await asked(database, ana, "email")
    await say(database, ana, {"email": "no"}, now=later(3), said_at=later(-60))
    assert await is_open(database, id_)
    await say(database, ana, {"email": "no"}, now=later(5), said_at=NOON.replace(microsecond=0))
    assert not await is_open(database, id_), "told to the second, it may have been said after it"


async def test_what_the_very_act_says_no_to_does_not_take_its_question_back(database: Database) -> None:
    """On one page: texts please, and no more mail."""
    ana = await add_person(database, MAILBOX)
    id_ = await asked(database, ana, "sms", change_id="chg_own")
    await say(database, ana, {"email": "no"}, source="preference_centre", change_id="chg_own", now=NOON)
    assert await is_open(database, id_)
    await say(database, ana, {"email": "no"}, source="preference_centre", now=later(1))
    assert not await is_open(database, id_)


async def test_what_nobody_confirmed_is_looked_for_among_itself_alone(database: Database) -> None:
    """The tidier looks every ten minutes, and holds SQLite's one writer: what was confirmed stays, and is many."""
    looked: list[tuple[str, Any]] = []

    def note(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        looked.append((statement, parameters))

    async with database.write() as conn:
        event.listen(conn.sync_connection, "before_cursor_execute", note)
        await confirmations.forget_old(conn, now=later(0))
        event.remove(conn.sync_connection, "before_cursor_execute", note)
        [(statement, parameters)] = looked
        if database.dialect == "postgresql":  # which takes no index for a table that is empty, where it may choose
            await conn.exec_driver_sql("SET LOCAL enable_seqscan = off")
        explain = "EXPLAIN QUERY PLAN" if database.dialect == "sqlite" else "EXPLAIN"
        plan = [str(row[-1]) for row in await conn.exec_driver_sql(f"{explain} {statement}", parameters)]
    assert any("ix_confirmations_unconfirmed" in line for line in plan), plan
    assert not any("SORT" in line.upper() or "ORDER BY" in line for line in plan), plan
