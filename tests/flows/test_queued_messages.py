"""A message between queue and send: a STOP that comes in between, and what it is sent ahead of."""

from __future__ import annotations

import asyncio
from typing import Any

from outbox import singles
from outbox.singles import Route, Single
from tests.flows.running import ANA, BEN, DIEGO, Gateway, changed, eventually
from tests.flows.test_single_messages import YES, ended, message, person, send
from tests.standins import twilio as answers
from tests.standins.twilio import TwilioStandIn


async def test_a_stop_between_queue_and_send_skips_it_with_the_reason(gateway: Gateway, twilio: TwilioStandIn) -> None:
    ana = await person(gateway, f"sms:{ANA}", consent=YES)
    twilio.on[ANA] = answers.throttled("3600")
    marketing, ticket = await send(gateway, ana), await send(gateway, ana, require_opt_in=False)

    async def waits() -> bool:  # both do: the provider has asked for a rest
        return any([(await message(gateway, one))["attempts"] for one in (marketing, ticket)])

    await eventually(waits)
    await gateway.text_in("STOP", ANA)
    del twilio.on[ANA]
    for sent, reason in ((marketing, "opted_out_channel"), (ticket, "opted_out_address")):
        shown = await message(gateway, sent)
        assert (shown["status"], shown["reason"]) == ("skipped", reason)
    gateway.clock.advance(hours=2)
    await person(gateway, f"sms:{BEN}", consent=YES)
    await ended(gateway, await send(gateway, BEN))
    assert twilio.accepted_to(ANA) == 0


async def test_a_stop_that_comes_while_it_is_being_queued_is_seen_when_it_is_claimed(
    gateway: Gateway, twilio: TwilioStandIn
) -> None:
    ana = await person(gateway, f"sms:{ANA}", consent=YES)
    single = Single([Route("sms", "sms")], {"body": "On sale."}, "marketing", "key:crm", profile_id=ana)
    stop = None
    async with gateway.house.database.write() as conn:
        sent = await singles.queue(conn, single, now=gateway.clock())
        stop = asyncio.create_task(gateway.text_in("STOP", ANA))
        if gateway.house.database.dialect == "postgresql":
            assert (await stop).status == 200  # it does not see what is queued, and passes nothing over
    await stop
    shown = await ended(gateway, sent)
    if gateway.house.database.dialect == "postgresql":
        assert (shown["status"], shown["reason"], twilio.log) == ("skipped", "opted_out_channel", [])


async def test_what_a_person_waits_for_goes_before_a_broadcast_under_way(gateway: Gateway) -> None:
    await gateway.restart(connections=changed(gateway.settings, "box", rate=2))
    numbers = [f"+1415555{place:04d}" for place in range(200, 250)]
    fans = [await person(gateway, f"sms:{number}", consent=YES) for number in numbers]
    ana = await person(gateway, f"sms:{ANA}", consent=YES)

    async def kept() -> list[dict[str, Any]]:
        return list((await gateway.api("GET", "/v1/sandbox/messages?limit=500"))["items"])

    await gateway.broadcast({"profiles": fans}, connection="box")
    await eventually(kept)
    single = await send(gateway, ana, connection="box", content={"body": "Just for you."})
    await gateway.sandbox_in("HELP", DIEGO)
    assert (await ended(gateway, single))["status"] == "accepted"

    async def helped() -> bool:
        return DIEGO in {one["to"] for one in await kept()}

    await eventually(helped)
    so_far = [one["to"] for one in await kept()]
    assert {ANA, DIEGO} <= set(so_far)
    assert len(so_far) < 25
