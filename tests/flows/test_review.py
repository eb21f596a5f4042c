"""Where a no could be lost, or a yes made up: acts that cross, shared numbers, words that arrive late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import holds
from gateway.verify import verify
from outbox import people, word
from outbox.people import Draft, Wanted
from store.tables import addresses
from tests.flows.running import ANA, BEN, CLEO, OPTED_OUT, SILENCE, Gateway, Got, eventually, said
from tests.flows.test_moving_addresses import waiting
from tests.flows.test_single_messages import ended, send
from tests.standins import twilio as answers
from tests.standins.twilio import TwilioStandIn

CUSTOMER = {"kind": "customer"}
YES = {"channels": {"sms": "yes"}}
PHONES = {"phones": [ANA]}


def evidence(gateway: Gateway) -> dict[str, str]:
    return {"obtained_at": gateway.clock().isoformat(), "how": "on the phone"}


async def person(gateway: Gateway, *numbers: str, **more: Any) -> str:
    return str((await gateway.person(*numbers, **more))["id"])


async def of_new_owner(gateway: Gateway, number: str = ANA) -> str:
    """The verdict on somebody new who is given the number, and is said to have said yes."""
    return await gateway.verdict(await person(gateway, f"sms:{number}", consent=YES))


async def violations(gateway: Gateway) -> list[str]:
    return [str(violation) for violation in await verify(gateway.house.database)]


# --- one change that says yes and no ----------------------------------------------------------


async def test_everything_but_texts_opens_no_number_that_said_stop(gateway: Gateway, twilio: TwilioStandIn) -> None:
    ana = await person(gateway, f"sms:{ANA}", "email:ana@example.org")
    await gateway.text_in("STOP", ANA)
    await gateway.say(ana, everything="yes", channels={"sms": "no"}, by=CUSTOMER, evidence=evidence(gateway))
    assert await gateway.verdict(ana) == "opted_out_channel"
    assert await gateway.verdict(ana, "email") == "opted_in"
    counts = (await gateway.sent({"all": True}))["counts"]
    assert counts["by_reason"] == {"opted_out_channel": 1}
    assert twilio.log == []


# --- what is said again -----------------------------------------------------------------------


async def test_a_no_that_an_agent_repeats_outlives_evidence_from_before_it(gateway: Gateway) -> None:
    ana = await person(gateway, f"sms:{ANA}")
    await gateway.text_in("STOP", ANA)
    gateway.clock.advance(seconds=10)
    between = evidence(gateway)
    gateway.clock.advance(seconds=10)
    again = {"channels": {"sms": "no"}, "addresses": {f"sms:{ANA}": "no"}}
    assert (await gateway.say(ana, **again))["change_id"] is None, "a bare sync is no news"
    assert (await gateway.say(ana, **again, by={"kind": "agent", "name": "sadie"}))["change_id"]
    gateway.clock.advance(seconds=10)
    yes = {"channels": {"sms": "yes"}, "addresses": {f"sms:{ANA}": "yes"}}
    await gateway.say(ana, **yes, evidence=between, status=409)
    assert await gateway.verdict(ana) == "opted_out_channel"
    await gateway.say(ana, **yes, evidence=evidence(gateway))
    assert await gateway.verdict(ana) == "opted_in"


async def test_a_yes_that_ends_earlier_ends_earlier(gateway: Gateway, twilio: TwilioStandIn) -> None:
    ana = await person(gateway, f"sms:{ANA}", consent=YES)
    tomorrow = (gateway.clock() + timedelta(days=1)).isoformat()
    shorter = {**YES, "basis": "implied", "expires_at": tomorrow}
    assert (await gateway.say(ana, **shorter))["change_id"]
    assert (await gateway.say(ana, **shorter))["change_id"] is None
    assert (await gateway.say(ana, **YES))["change_id"] is None
    gateway.clock.advance(days=2)
    assert (await gateway.sent({"all": True}))["counts"]["by_reason"] == {"consent_expired": 1}
    assert twilio.log == []


async def test_a_note_is_no_evidence_that_opens_a_channel(gateway: Gateway) -> None:
    await gateway.api("POST", "/v1/preferences", status=201, json={"name": "News", "linked_channel": "sms"})
    for given, state in (({}, "not_asked"), ({"note": "nightly sync"}, "not_asked"), ({"how": "in person"}, "yes")):
        ana = await person(gateway, f"sms:{ANA}")
        shown = await gateway.say(ana, preferences={"News": "yes"}, evidence=given)
        assert shown["consent"]["channels"]["sms"]["state"] == state, given


# --- changes of one person that cross ---------------------------------------------------------


async def one_after_the_other(
    gateway: Gateway, profile_id: str, *acts: Callable[[], Coroutine[Any, Any, Got]]
) -> list[Got]:
    """Acts that all begin before the first of them can be carried out; then they are, in this order."""
    if gateway.house.database.dialect == "sqlite":  # one writes at a time
        return [await act() for act in acts]
    tasks: list[asyncio.Task[Got]] = []
    async with gateway.house.database.write() as conn:
        await conn.execute(text("SELECT id FROM profiles WHERE id = :id FOR UPDATE"), {"id": profile_id})
        for act in acts:
            tasks.append(asyncio.create_task(act()))
            await eventually(waiting(gateway, len(tasks)))
    return list(await asyncio.gather(*tasks))


def asking(gateway: Gateway, method: str, path: str, body: Any = None) -> Callable[[], Coroutine[Any, Any, Got]]:
    return lambda: gateway.ask(method, path, json=body)


async def test_a_no_on_an_address_that_leaves_just_then_is_kept_or_refused(gateway: Gateway) -> None:
    for leaves_first, number in ((True, ANA), (False, BEN)):
        owner = await person(gateway, f"sms:{number}")
        leaves = asking(gateway, "PATCH", f"/v1/profiles/{owner}", {"addresses": []})
        said_no = {"addresses": {f"sms:{number}": "no"}, "by": CUSTOMER}
        no = asking(gateway, "PATCH", f"/v1/profiles/{owner}/consent", said_no)
        got = await one_after_the_other(gateway, owner, *([leaves, no] if leaves_first else [no, leaves]))
        assert [one.status for one in got] == ([200, 422] if leaves_first else [200, 200])
        assert bool(await gateway.history(owner)) != leaves_first
        assert await of_new_owner(gateway, number) == ("opted_in" if leaves_first else "opted_out_address")


async def test_a_no_of_somebody_who_is_deleted_just_then_is_not_said_to_be_kept(gateway: Gateway) -> None:
    owner = await person(gateway, f"sms:{ANA}")
    deleted, no = await one_after_the_other(
        gateway,
        owner,
        asking(gateway, "DELETE", f"/v1/profiles/{owner}"),
        asking(gateway, "PATCH", f"/v1/profiles/{owner}/consent", {"channels": {"sms": "no"}, "by": CUSTOMER}),
    )
    assert (deleted.status, no.status) == (204, 404)


async def test_new_phones_bring_back_no_address_that_was_dropped_just_then(gateway: Gateway) -> None:
    for method in ("PATCH", "PUT"):
        owner = await person(gateway, f"sms:{ANA}", f"whatsapp:{BEN}", external_id=f"x-{method}")
        mine = f"/v1/profiles/{owner}"
        dropped, given = await one_after_the_other(
            gateway,
            owner,
            asking(gateway, "PATCH", mine, {"addresses": [{"channel": "sms", "value": ANA}]}),
            asking(gateway, method, {"PATCH": mine}.get(method, f"/v1/profiles/by-external-id/x-{method}"), PHONES),
        )
        assert (dropped.status, given.status) == (200, 200)
        held = {(one["channel"], one["value"]) for one in (await gateway.profile(owner))["addresses"]}
        assert held == {("sms", ANA), ("voice", ANA)}, method


# --- the provider's no while the number changes hands -----------------------------------------


async def heeded_while(gateway: Gateway, work: Callable[[AsyncConnection], Any]) -> None:
    """The provider says that ANA's number opted out, while this work on it is done and not committed."""
    async with gateway.house.database.read() as conn:
        digest = gateway.house.book.parse("sms", ANA).hash
        of = (await conn.execute(select(addresses.c.id).where(addresses.c.hash == digest))).scalar_one()
    no = word.by_provider(of, "sms", connection="sms", attempt_id="att_1", error="21610")

    def heed() -> Any:
        now = gateway.clock()
        return gateway.house.database.transact(lambda conn: word.record(conn, [no], now=now))

    if gateway.house.database.dialect == "sqlite":
        await gateway.house.database.transact(work)
        await heed()
        return
    async with gateway.house.database.write() as conn:
        await work(conn)
        heeding = asyncio.create_task(heed())
        await eventually(waiting(gateway, 1))
    await heeding


async def test_the_providers_no_counts_for_who_is_given_a_number_that_was_nobodys(gateway: Gateway) -> None:
    await gateway.api("DELETE", f"/v1/profiles/{await person(gateway, f'sms:{ANA}')}")
    wanted = Draft(addresses=[Wanted(gateway.house.book.parse("sms", ANA))])
    made: list[str] = []

    async def give(conn: AsyncConnection) -> None:
        made.append(await people.create(conn, wanted, now=gateway.clock()))

    await heeded_while(gateway, give)
    assert [line["source"] for line in await gateway.history(made[0])] == ["provider"]
    assert await gateway.verdict(made[0]) == "opted_out_channel"


async def test_the_providers_no_counts_for_who_is_given_the_number_of_another(gateway: Gateway) -> None:
    first, second = await person(gateway, f"sms:{ANA}", consent=YES), await person(gateway, consent=YES)
    wanted = [Wanted(gateway.house.book.parse("sms", ANA))]

    async def move(conn: AsyncConnection) -> None:
        await people.change(conn, first, Draft(addresses=[]), now=gateway.clock())
        await people.change(conn, second, Draft(addresses=wanted), now=gateway.clock())

    await heeded_while(gateway, move)
    assert await gateway.verdict(second) == "opted_out_channel"
    assert [line["source"] for line in await gateway.history(first)] == ["api"], "it was not their number any more"


# --- a number that several have ---------------------------------------------------------------


async def household(gateway: Gateway) -> tuple[str, str]:
    """Two people with one number, who both said yes to it and to Drama."""
    await gateway.api("POST", "/v1/preferences", status=201, json={"name": "Drama"})
    said_yes = YES | {"preferences": {"Drama": "yes"}}
    return await person(gateway, f"sms:{ANA}", consent=said_yes), await person(gateway, f"sms:{ANA}", consent=said_yes)


async def later_to(gateway: Gateway, audience: dict[str, Any]) -> str:
    """A broadcast that is planned for an hour later."""
    at = (gateway.clock() + timedelta(hours=1)).isoformat()
    made = await gateway.broadcast(audience, preference="Drama", send_at=at)

    async def planned() -> bool:
        return str((await gateway.api("GET", f"/v1/broadcasts/{made}"))["status"]) == "scheduled"

    await eventually(planned)
    return made


async def test_asked_by_address_a_no_said_after_the_plan_counts_whoever_says_it(
    gateway: Gateway, twilio: TwilioStandIn
) -> None:
    oldest, other = await household(gateway)
    by_address, by_person = [await later_to(gateway, a) for a in ({"addresses": [ANA]}, {"profiles": [oldest]})]
    await gateway.say(other, preferences={"Drama": "no"}, by=CUSTOMER)
    [skipped] = (await gateway.deliveries(by_address)).values()
    assert (skipped["status"], skipped["reason"]) == ("skipped", "preference_no")
    gateway.clock.advance(hours=1)
    assert (await gateway.all_sent(by_address))["counts"]["by_reason"] == {"preference_no": 1}
    assert (await gateway.all_sent(by_person))["counts"]["by_status"] == {"accepted": 1}, "this was not theirs to stop"
    assert len(twilio.log) == 1
    assert await violations(gateway) == []


async def test_asked_by_address_the_claim_asks_everybody_who_has_it(gateway: Gateway, twilio: TwilioStandIn) -> None:
    """A pause skips nothing that is queued: only the claim sees it."""
    _, other = await household(gateway)
    made = await later_to(gateway, {"addresses": [ANA]})
    until = gateway.clock() + timedelta(days=1)
    await gateway.house.database.transact(lambda conn: holds.pause(conn, other, channel="sms", until=until))
    gateway.clock.advance(hours=1)
    assert (await gateway.all_sent(made))["counts"]["by_reason"] == {"paused": 1}
    assert twilio.log == []


async def test_a_message_to_an_address_keeps_being_one_when_it_is_sent_again(
    gateway: Gateway, twilio: TwilioStandIn
) -> None:
    oldest, _ = await household(gateway)
    twilio.on[ANA] = answers.error(400, 30007, "Message filtered")
    for to, by_address in ((oldest, False), (ANA, True)):
        first = await send(gateway, to, preference="Drama")
        assert (await ended(gateway, first))["status"] == "failed"
        again = await gateway.api("POST", f"/v1/messages/{first}/resend", status=202, json={})
        assert (await ended(gateway, again["id"]))["status"] == "failed"
        rows = {row["id"]: row["by_address"] for row in await gateway.rows("deliveries")}
        assert (rows[first], rows[again["id"]]) == (by_address, by_address)


# --- senders written in another way -----------------------------------------------------------


async def test_a_stop_by_rcs_is_the_numbers(gateway: Gateway) -> None:
    ana, ben = [await person(gateway, f"sms:{number}", consent=YES) for number in (ANA, BEN)]
    assert (await gateway.text_in("STOP", f"rcs:{ANA}")).body == said(OPTED_OUT)
    assert (await gateway.sandbox_in("STOP", f"sms:{BEN}")).status == 200
    assert [await gateway.verdict(one) for one in (ana, ben)] == ["opted_out_channel"] * 2
    kept = {m["sender"]: m for m in await gateway.rows("messages")}
    assert kept[f"rcs:{ANA}"]["profile_id"] == ana, "the sender is kept as it was written"
    assert (await gateway.text_in("STOP", f"RCS:{CLEO}")).body == said(OPTED_OUT)
    assert len(await gateway.whose(f"sms:{CLEO}")) == 1


async def test_a_message_names_a_change_only_where_something_changed(gateway: Gateway) -> None:
    """A provider's START never turns what was not asked."""
    assert (await gateway.text_in("START", ANA, OptOutType="START")).body == SILENCE
    assert [m["change_id"] for m in await gateway.rows("messages")] == [None]
    assert await gateway.rows("consent_events") == []


# --- a list with somebody who is gone ---------------------------------------------------------


async def test_who_was_listed_and_is_gone_before_the_plan_is_in_it(gateway: Gateway) -> None:
    ana, ben = [await person(gateway, f"sms:{number}", consent=YES) for number in (ANA, BEN)]
    await gateway.house.planner.stop()
    made = await gateway.broadcast({"profiles": [ana, ben]})
    await gateway.api("DELETE", f"/v1/profiles/{ana}")
    await gateway.restart()
    counts = (await gateway.all_sent(made))["counts"]
    assert (counts["planned"], counts["by_reason"]) == (2, {"no_address": 1})
    assert (await gateway.deliveries(made))[ana]["reason"] == "no_address"
    assert await violations(gateway) == []


async def test_a_no_said_with_a_change_of_addresses_stays_with_those_that_leave(gateway: Gateway) -> None:
    await gateway.person(f"sms:{ANA}", external_id="7", consent={"channels": {"sms": "yes"}})
    body = {
        "addresses": [{"channel": "sms", "value": BEN}],
        "consent": {"channels": {"sms": "no"}, "by": {"kind": "customer"}},
    }
    await gateway.api("PUT", "/v1/profiles/by-external-id/7", json=body)
    somebody = await gateway.person(f"sms:{ANA}", consent={"channels": {"sms": "yes"}})
    assert await gateway.verdict(somebody["id"]) == "opted_out_address"
