"""Delivery reports: whenever and however often they come, they move a delivery up and never down."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from sqlalchemy import select

from channels.values import Accepted, InDoubt, NotSent, Report
from outbox import endings, reports
from outbox.claims import Claim
from outbox.endings import Ending
from outbox.reports import Reported
from store.engine import Database
from store.tables import attempts, consent_events, deliveries
from tests.acts import later, states
from tests.outbox.conftest import Claimed

ANA = "sms:+14155550101"
SID = "SM" + "0" * 32


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
