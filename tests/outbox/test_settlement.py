"""Attempts in doubt and the provider's list: found is proof, not found is none, nobody asks twice at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from channels.http import open_session
from channels.twilio.adapter import Twilio
from channels.values import InDoubt, Listed, Report, Sought, Unanswered
from outbox import claims, endings, reports, settlement
from outbox.claims import Claim
from outbox.endings import FIRST_QUESTION, UNKNOWN_AFTER, Ending
from outbox.reports import Reported
from outbox.settlement import Settlement, pause_seconds
from store.engine import Database
from store.tables import addresses, attempts, deliveries
from tests.acts import NOON, later, states
from tests.channels.requests_as_sent import ACCOUNT, ORIGIN, TOKEN
from tests.outbox.conftest import POLICY, Claimed
from tests.outbox.test_reports import repeated

ANA, BEN = "sms:+14155550101", "sms:+14155550102"
SID, SID2 = "SM" + "0" * 32, "SM" + "1" * 32
Answer = Sequence[Listed] | Unanswered | None


class Lists(Twilio):
    """A connection whose list says what it is told to; who asked, and about what, is kept."""

    def __init__(self, session: Any, answers: dict[str, Answer] | None = None, *, seconds: float = 0.0) -> None:
        options = {"name": "sms", "channel": "sms", "account_sid": ACCOUNT, "auth_token": TOKEN, "public_url": ORIGIN}
        super().__init__(**options, session=session, sender="+14155550100")
        self.answers: dict[str, Answer] = answers or {}
        self.default: Answer = []
        self.asked: list[Sought] = []
        self.seconds = seconds
        self.under_way = self.most = 0

    async def look_up(self, sought: Sought) -> Any:
        self.asked.append(sought)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(self.seconds)
        self.under_way -= 1
        return self.answers.get(sought.to, self.default)


@pytest.fixture
async def lists() -> Any:
    async with open_session() as session:
        yield Lists(session)


class Watch:
    """A clock that stands."""

    def __init__(self) -> None:
        self.now = later(30) + FIRST_QUESTION

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Watch:
    return Watch()


def listed(sid: str = SID, status: Any = "sent", *, at: float = 0.5, body: str = "On sale.", **more: Any) -> Listed:
    return Listed(Report("", sid, status, **more), body, later(at).replace(microsecond=0))


async def doubtful(database: Database, *all_claims: Claim) -> None:
    ended = [Ending(claim, InDoubt("reset"), "sms") for claim in all_claims]
    await database.transact(lambda conn: endings.record(conn, ended, now=later(30)))


async def stands(database: Database, claim: Claim) -> tuple[str, str, str | None, str | None]:
    """The delivery's status, the attempt's state, both their ids at the provider."""
    async with database.read() as conn:
        delivery = (await conn.execute(select(deliveries).where(deliveries.c.id == claim.delivery_id))).one()
        attempt = (await conn.execute(select(attempts).where(attempts.c.id == claim.attempt_id))).one()
    return delivery.status, attempt.state, delivery.provider_id, attempt.provider_id


async def asks(database: Database, claim: Claim) -> tuple[int, datetime | None]:
    async with database.read() as conn:
        row = (await conn.execute(select(attempts).where(attempts.c.id == claim.attempt_id))).one()
    return row.asked, row.ask_at


STILL = ("in_doubt", "in_doubt", None, None)


@pytest.mark.parametrize("status", ["accepted", "sent", "delivered", "undelivered", "failed"])
async def test_what_is_found_is_settled_as_far_as_the_list_tells(
    database: Database, claimed: Claimed, lists: Lists, clock: Watch, status: str
) -> None:
    [claim] = await claimed(ANA)
    await doubtful(database, claim)
    lists.default = [listed(status=status)]
    settling = Settlement(database, {"sms": lists}, clock=clock)
    assert await settling.run() == 1
    assert await stands(database, claim) == (status, "accepted", SID, SID)
    [sought] = lists.asked
    assert (sought.channel, sought.to) == ("sms", ANA.removeprefix("sms:"))
    assert (sought.since, sought.until) == (NOON - timedelta(seconds=2), later(90))
    clock.now += timedelta(hours=2)
    assert await settling.run() == 0
    assert len(lists.asked) == 1


async def test_nobody_is_asked_before_its_time(
    database: Database, claimed: Claimed, lists: Lists, clock: Watch
) -> None:
    [claim] = await claimed(ANA)
    await doubtful(database, claim)
    clock.now = later(30) + FIRST_QUESTION - timedelta(seconds=1)
    assert await Settlement(database, {"sms": lists}, clock=clock).run() == 0
    assert lists.asked == []


async def test_not_found_is_asked_again_with_growing_pauses_for_a_day_and_never_proves_anything(
    database: Database, claimed: Claimed, lists: Lists, clock: Watch
) -> None:
    [claim] = await claimed(ANA)
    await doubtful(database, claim)
    settling = Settlement(database, {"sms": lists}, clock=clock)
    pauses = []
    while True:
        await settling.run()
        assert await stands(database, claim) == STILL
        _, at = await asks(database, claim)
        if at is None:
            break
        pauses.append((at - clock.now).total_seconds())
        clock.now = at
    assert pauses[:5] == [10, 20, 40, 80, 160]
    assert max(pauses) == 3600
    assert UNKNOWN_AFTER <= clock.now - NOON <= UNKNOWN_AFTER + timedelta(hours=1)
    assert len(lists.asked) == len(pauses) + 1 < 50
    await database.transact(lambda conn: endings.sweep(conn, now=clock.now + timedelta(hours=1)))
    assert (await stands(database, claim))[:2] == ("unknown", "in_doubt")


async def test_what_has_become_unknown_is_settled_by_the_last_question(
    database: Database, claimed: Claimed, lists: Lists, clock: Watch
) -> None:
    """The gateway was down for two days."""
    [claim] = await claimed(ANA)
    await doubtful(database, claim)
    clock.now += timedelta(days=2)
    await database.transact(lambda conn: endings.sweep(conn, now=clock.now))
    assert (await stands(database, claim))[0] == "unknown"
    lists.default = [listed(status="delivered")]
    assert await Settlement(database, {"sms": lists}, clock=clock).run() == 1
    assert await stands(database, claim) == ("delivered", "accepted", SID, SID)


async def test_an_opt_out_in_the_list_is_the_providers_word(
    database: Database, claimed: Claimed, lists: Lists, clock: Watch
) -> None:
    [claim] = await claimed(ANA)
    await doubtful(database, claim)
    lists.default = [listed(status="undelivered", code="21610", opted_out=True)]
    await Settlement(database, {"sms": lists}, clock=clock).run()
    assert (await stands(database, claim))[0] == "undelivered"
    assert await states(database, claim.profile_id) == {"sms": "no", f"address:{claim.address_id}": "no"}


@pytest.mark.parametrize("wish", [None, 3.0, 900.0])
async def test_a_provider_that_will_not_tell_is_left_alone_for_a_while(
    database: Database, claimed: Claimed, lists: Lists, clock: Watch, wish: float | None, monkeypatch: Any
) -> None:
    monkeypatch.setattr(settlement, "CONCURRENCY", 1)
    ana, ben = await claimed(ANA, BEN)
    await doubtful(database, ana, ben)
    lists.default = Unanswered("HTTP 429", wish)
    settling = Settlement(database, {"sms": lists}, clock=clock)
    assert await settling.run() == 0
    assert len(lists.asked) == 1  # whose answer holds for everybody else on the connection
    pause = timedelta(seconds=max(wish or 0, 10))
    assert [(await asks(database, claim))[1] for claim in (ana, ben)] == [clock.now + pause] * 2
    lists.default, lists.answers = [], {BEN.removeprefix("sms:"): [listed()]}
    clock.now += pause
    assert await settling.run() == 1
    assert len(lists.asked) == 3


async def test_a_connection_that_can_never_tell_is_asked_once(
    database: Database, claimed: Claimed, lists: Lists, clock: Watch
) -> None:
    [claim] = await claimed(ANA)
    await doubtful(database, claim)
    lists.default = None
    settling = Settlement(database, {"sms": lists}, clock=clock)
    for _ in range(2):
        assert await settling.run() == 0
        clock.now += timedelta(hours=2)
    assert len(lists.asked) == 1
    assert await stands(database, claim) == STILL


async def test_a_message_of_a_list_that_another_attempt_has_is_not_taken_for_it(
    database: Database, claimed: Claimed, lists: Lists, clock: Watch
) -> None:
    """Two broadcasts say the same to the same person; of one we have the answer."""
    [first] = await claimed(ANA)
    second = await another_to(database, first)
    await doubtful(database, first)
    told = [Reported(Report(second.attempt_id, SID, "sent"), "sms")]
    await database.transact(lambda conn: reports.apply(conn, told, now=later(31)))
    lists.default = [listed()]
    assert await Settlement(database, {"sms": lists}, clock=clock).run() == 0
    assert await stands(database, first) == STILL
    lists.default = [listed(), listed(SID2)]
    clock.now += timedelta(hours=1)
    assert await Settlement(database, {"sms": lists}, clock=clock).run() == 1
    assert await stands(database, first) == ("sent", "accepted", SID2, SID2)


async def test_while_something_else_is_being_sent_to_the_address_nothing_is_taken_from_the_list(
    database: Database, claimed: Claimed, lists: Lists, clock: Watch
) -> None:
    """It may be the other one's, whose answer is not here yet."""
    [first] = await claimed(ANA)
    await doubtful(database, first)
    second = await another_to(database, first)
    lists.default = [listed()]
    settling = Settlement(database, {"sms": lists}, clock=clock)
    assert await settling.run() == 0
    assert await stands(database, first) == STILL
    await doubtful(database, second)
    clock.now += timedelta(hours=1)
    lists.default = [listed(), listed(SID2)]
    assert await settling.run() == 2
    assert {(await stands(database, claim))[3] for claim in (first, second)} == {SID, SID2}


async def another_to(database: Database, first: Claim) -> Claim:
    """A single message with the same words, being sent to the same person."""
    async with database.read() as conn:
        row = dict(
            (await conn.execute(select(deliveries).where(deliveries.c.id == first.delivery_id))).mappings().one()
        )
    row |= {"id": "msg_again", "broadcast_id": None, "status": "queued", "tries": 0, "due_at": NOON, "priority": 1}
    row |= {"content": {"body": "On sale."}, "error": None}
    async with database.write() as conn:
        await conn.execute(deliveries.insert(), [row])
    found = await database.transact(
        lambda conn: claims.claim(conn, "sms", limit=50, bulk=50, owner="dsp_test", policy=POLICY, now=NOON)
    )
    [claim] = found.claims
    return claim


@pytest.mark.parametrize("dialect", ["postgresql"])
async def test_two_replicas_do_not_both_ask(database: Database, claimed: Claimed, lists: Lists, clock: Watch) -> None:
    numbers = [f"sms:+1415555{n:04d}" for n in range(100, 130)]
    await doubtful(database, *await claimed(*numbers))
    lists.seconds = 0.02
    replicas = [Settlement(database, {"sms": lists}, clock=clock) for _ in range(2)]
    await asyncio.gather(*(replica.run() for replica in replicas))
    assert len(lists.asked) == len({sought.to for sought in lists.asked}) == 30


async def test_few_questions_are_under_way_at_once(
    database: Database, claimed: Claimed, lists: Lists, clock: Watch
) -> None:
    numbers = [f"sms:+1415555{n:04d}" for n in range(100, 130)]
    await doubtful(database, *await claimed(*numbers))
    lists.seconds = 0.02
    settling = Settlement(database, {"sms": lists}, clock=clock)
    await settling.run()
    assert lists.most == settlement.CONCURRENCY
    assert len(lists.asked) == 30


async def test_an_answer_to_a_question_that_a_report_has_settled_changes_nothing(
    database: Database, claimed: Claimed, lists: Lists, clock: Watch
) -> None:
    [claim] = await claimed(ANA)
    await doubtful(database, claim)
    asked = await database.transact(lambda conn: settlement.take(conn, now=clock()))
    told = [Reported(Report(claim.attempt_id, SID, "delivered"), "sms")]
    await database.transact(lambda conn: reports.apply(conn, told, now=later(60)))
    answers = [(asked[0], [listed(), listed(SID2)])]
    assert await database.transact(lambda conn: settlement.settle(conn, answers, now=clock())) == [0]
    assert await stands(database, claim) == ("delivered", "accepted", SID, SID)


async def test_the_sweep_lets_the_provider_be_asked_at_once(
    database: Database, claimed: Claimed, lists: Lists, clock: Watch
) -> None:
    [claim] = await claimed(ANA)
    clock.now = later(120)
    assert await database.transact(lambda conn: endings.sweep(conn, now=clock())) == 1
    lists.default = [listed()]
    assert await Settlement(database, {"sms": lists}, clock=clock).run() == 1
    assert await stands(database, claim) == ("sent", "accepted", SID, SID)


async def test_an_address_that_was_forgotten_is_not_asked_about(
    database: Database, claimed: Claimed, lists: Lists, clock: Watch
) -> None:
    [claim] = await claimed(ANA)
    await doubtful(database, claim)
    async with database.write() as conn:
        await conn.execute(update(addresses).values(value=None))
    await Settlement(database, {"sms": lists}, clock=clock).run()
    assert lists.asked == []
    assert (await asks(database, claim))[1] is None


def test_pauses_double_and_end_at_an_hour() -> None:
    pauses = [pause_seconds(asked) for asked in range(1, 40)]
    assert pauses[:4] == [10, 20, 40, 80]
    assert max(pauses) == pauses[-1] == 3600


async def test_two_tries_of_one_message_get_each_its_own_of_two_messages(
    database: Database, claimed: Claimed, lists: Lists, clock: Watch
) -> None:
    [first] = await claimed(ANA)
    second = await repeated(database, first)
    await doubtful(database, second)
    lists.default = [listed(SID, at=0.5), listed(SID2, "delivered", at=60.5)]
    clock.now = later(120)
    assert await Settlement(database, {"sms": lists}, clock=clock).run() == 2
    assert [(await stands(database, claim))[3] for claim in (first, second)] == [SID, SID2]
    assert (await stands(database, second))[:2] == ("delivered", "accepted")
