"""Delivery reports: whenever and however often they come, they move a delivery up and never down."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, update

from channels.values import Accepted, InDoubt, NotSent, Rejected, Report
from outbox import claims, endings, heed, reports
from outbox.claims import Claim
from outbox.endings import Ending
from outbox.reports import Reported
from store.engine import Database
from store.tables import attempts, consent_events, deliveries
from tests.acts import later, states
from tests.outbox.conftest import POLICY, Claimed

ANA = "sms:+14155550101"
SID, SID2 = "SM" + "0" * 32, "SM" + "1" * 32


async def report(
    database: Database, claim: Claim, status: Any, *, connection: str = "sms", **more: Any
) -> frozenset[str]:
    told = Reported(Report(claim.attempt_id, SID, status, **more), connection)
    [closed] = await database.transact(lambda conn: reports.apply(conn, [told], now=later(60)))
    return closed


async def ended(database: Database, claim: Claim, outcome: Any) -> None:
    ending = Ending(claim, outcome, "sms")
    await database.transact(lambda conn: endings.record(conn, [ending], now=later(30)))


async def stands(database: Database, claim: Claim) -> tuple[str, str, str | None]:
    """The delivery's status, the attempt's state, the provider's id."""
    async with database.read() as conn:
        delivery = (await conn.execute(select(deliveries).where(deliveries.c.id == claim.delivery_id))).one()
        attempt = (await conn.execute(select(attempts).where(attempts.c.id == claim.attempt_id))).one()
    return delivery.status, attempt.state, delivery.provider_id


@pytest.mark.parametrize("order", list(itertools.permutations(["accepted", "sent", "delivered"])))
async def test_reports_in_any_order_end_at_the_highest(database: Database, claimed: Claimed, order: list[str]) -> None:
    [claim] = await claimed(ANA)
    await ended(database, claim, Accepted(SID))
    for status in [*order, *order]:
        await report(database, claim, status)
    assert await stands(database, claim) == ("delivered", "accepted", SID)


async def test_a_report_before_our_own_answer_is_kept_and_the_answer_moves_nothing_down(
    database: Database, claimed: Claimed
) -> None:
    [claim] = await claimed(ANA)
    await report(database, claim, "delivered")
    assert await stands(database, claim) == ("delivered", "accepted", SID)
    await ended(database, claim, Accepted(SID))
    assert await stands(database, claim) == ("delivered", "accepted", SID)


async def test_a_report_settles_what_was_in_doubt(database: Database, claimed: Claimed) -> None:
    [claim] = await claimed(ANA)
    await ended(database, claim, InDoubt("reset"))
    assert (await stands(database, claim))[:2] == ("in_doubt", "in_doubt")
    await report(database, claim, "sent")
    assert await stands(database, claim) == ("sent", "accepted", SID)


async def test_a_report_to_another_connections_webhook_changes_nothing(database: Database, claimed: Claimed) -> None:
    [claim] = await claimed(ANA)
    await report(database, claim, "delivered", connection="other")
    assert (await stands(database, claim))[0] == "sending"


async def test_a_report_with_a_tag_of_nobodys_changes_nothing(database: Database, claimed: Claimed) -> None:
    [claim] = await claimed(ANA)
    told = Reported(Report("att_unknown", SID, "delivered"), "sms")
    assert await database.transact(lambda conn: reports.apply(conn, [told], now=later(60))) == [frozenset()]
    assert (await stands(database, claim))[0] == "sending"


async def test_a_report_that_the_person_opted_out_is_the_providers_word(database: Database, claimed: Claimed) -> None:
    [claim] = await claimed(ANA)
    await ended(database, claim, Accepted(SID))
    closed = await report(database, claim, "undelivered", code="21610", opted_out=True)
    assert closed == {claim.address_id}
    assert await states(database, claim.profile_id) == {"sms": "no", f"address:{claim.address_id}": "no"}
    async with database.read() as conn:
        last = (await conn.execute(select(consent_events).order_by(consent_events.c.seq.desc()))).first()
    assert last is not None
    assert (last.source, last.actor) == ("provider", "customer")


async def test_an_unreachable_address_is_marked_and_is_no_change_of_consent(
    database: Database, claimed: Claimed
) -> None:
    [claim] = await claimed(ANA)
    await ended(database, claim, Accepted(SID))
    await report(database, claim, "undelivered", code="21614", undeliverable=True)
    assert (await states(database, claim.profile_id))["sms"] == "yes"
    assert (await stands(database, claim))[0] == "undelivered"


async def test_what_was_certainly_not_sent_waits_and_goes_back_to_the_queue(
    database: Database, claimed: Claimed
) -> None:
    [claim] = await claimed(ANA)
    await ended(database, claim, NotSent("refused", retry_after_seconds=60))
    assert (await stands(database, claim))[:2] == ("queued", "not_sent")
    async with database.read() as conn:
        delivery = (await conn.execute(select(deliveries).where(deliveries.c.id == claim.delivery_id))).one()
    assert delivery.due_at == later(90)


async def test_a_report_of_an_opt_out_that_comes_again_adds_nothing(database: Database, claimed: Claimed) -> None:
    [claim] = await claimed(ANA)
    await ended(database, claim, Accepted(SID))
    for _ in range(3):
        await report(database, claim, "undelivered", code="21610", opted_out=True)
    async with database.read() as conn:
        noes = (await conn.execute(select(consent_events).where(consent_events.c.to_state == "no"))).all()
    assert len(noes) == 1


# --- a transactional message that is repeated under one tag -----------------------------------


async def repeated(database: Database, first: Claim, *, at: float = 60) -> Claim:
    """The message was in doubt and is transactional: it is claimed again."""
    async with database.write() as conn:
        single = {"class": "transactional", "broadcast_id": None}
        await conn.execute(update(deliveries).values(single | {"content": {"body": "On sale."}}))
        await conn.execute(update(attempts).values(single))
    first = replace(first, class_="transactional")
    await ended(database, first, InDoubt("reset"))
    assert (await stands(database, first))[:2] == ("queued", "in_doubt")
    found = await database.transact(
        lambda conn: claims.claim(conn, "sms", limit=9, bulk=9, owner="dsp_test", policy=POLICY, now=later(at))
    )
    [second] = found.claims
    assert second.tag == first.attempt_id
    return second


async def test_a_report_leaves_a_repeat_that_is_being_sent_alone(database: Database, claimed: Claimed) -> None:
    """It may not have begun: an opt-out that comes now must wait for it."""
    [first] = await claimed(ANA)
    second = await repeated(database, first)
    await report(database, first, "sent")
    assert await stands(database, first) == ("sent", "accepted", SID)
    assert (await stands(database, second))[:2] == ("sent", "sending")
    early = [Reported(Report(first.attempt_id, SID2, "delivered"), "sms")]
    await database.transact(lambda conn: reports.apply(conn, early, now=later(61)))
    assert (await stands(database, second))[:2] == ("delivered", "sending")
    assert second.address_id in await heed.under_way(database)
    await ended(database, second, Accepted(SID2))
    assert await ids(database) == {first.attempt_id: SID, second.attempt_id: SID2}
    assert (await stands(database, first))[0] == "delivered"


async def test_tries_under_one_tag_are_settled_together_and_none_has_the_others_id(
    database: Database, claimed: Claimed
) -> None:
    [first] = await claimed(ANA)
    second = await repeated(database, first)
    await ended(database, second, InDoubt("reset"))
    await report(database, first, "sent")
    assert [(await stands(database, claim))[1] for claim in (first, second)] == ["accepted"] * 2
    assert await ids(database) == {first.attempt_id: SID, second.attempt_id: None}
    async with database.read() as conn:
        assert set((await conn.execute(select(attempts.c.ask_at))).scalars()) == {None}
    for _ in range(2):
        told = [Reported(Report(first.attempt_id, sid, "delivered"), "sms") for sid in (SID2, SID)]
        await database.transact(lambda conn, told=told: reports.apply(conn, told, now=later(90)))
    assert await ids(database) == {first.attempt_id: SID, second.attempt_id: SID2}


@pytest.mark.parametrize("outcome", [NotSent("refused"), InDoubt("reset"), Rejected("400", "no")])
async def test_a_first_try_that_ends_late_does_not_disturb_the_repeat_that_is_being_sent(
    database: Database, claimed: Claimed, outcome: Any
) -> None:
    """A process was frozen; the sweep has called its attempt in doubt, and another one repeats it."""
    [first] = await claimed(ANA)
    second = await repeated(database, first)
    await ended(database, first, outcome)
    assert (await stands(database, second))[:2] == ("sending", "sending")
    await ended(database, second, Accepted(SID))
    assert (await stands(database, second))[0] == "accepted"


async def test_what_one_try_brought_to_the_provider_no_other_try_can_fail(database: Database, claimed: Claimed) -> None:
    [first] = await claimed(ANA)
    second = await repeated(database, first)
    await report(database, first, "accepted")
    await ended(database, second, Rejected("400", "no"))
    assert await stands(database, first) == ("accepted", "accepted", SID)
    assert (await stands(database, second))[1] == "rejected"


async def test_a_late_report_settles_what_had_become_unknown(database: Database, claimed: Claimed) -> None:
    [claim] = await claimed(ANA)
    await ended(database, claim, InDoubt("reset"))
    await database.transact(lambda conn: endings.sweep(conn, now=later(100_000)))
    assert (await stands(database, claim))[0] == "unknown"
    await report(database, claim, "delivered")
    assert await stands(database, claim) == ("delivered", "accepted", SID)


@pytest.mark.parametrize("stopped", ["skipped", "cancelled"])
async def test_what_was_stopped_before_its_repeat_and_had_arrived_is_not_shown_as_stopped(
    database: Database, claimed: Claimed, stopped: str
) -> None:
    [first] = await claimed(ANA)
    second = await repeated(database, first)
    await ended(database, second, NotSent("refused"))
    async with database.write() as conn:
        await conn.execute(update(deliveries).values(status=stopped, reason="opted_out_address"))
    await report(database, first, "delivered")
    assert await stands(database, first) == ("delivered", "accepted", SID)
    async with database.read() as conn:
        assert (await conn.execute(select(deliveries.c.reason))).scalar_one() is None


@pytest.mark.parametrize("stopped", ["skipped", "cancelled"])
async def test_of_a_broadcast_what_was_stopped_stays_stopped(
    database: Database, claimed: Claimed, stopped: str
) -> None:
    [claim] = await claimed(ANA)
    await ended(database, claim, NotSent("refused"))
    async with database.write() as conn:
        await conn.execute(update(deliveries).values(status=stopped))
    await report(database, claim, "delivered")
    assert (await stands(database, claim))[0] == stopped


async def ids(database: Database) -> dict[str, str | None]:
    """Attempt → the provider's id."""
    async with database.read() as conn:
        return {row.id: row.provider_id for row in await conn.execute(select(attempts))}
