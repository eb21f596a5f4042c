"""A message once more, by an operator's wish: never without saying that the person may get it twice."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from outbox import endings
from tests.flows.running import ANA, BEN, Gateway, Got, eventually
from tests.flows.test_reports import report
from tests.flows.test_single_messages import ended, message, person, send
from tests.flows.test_timing import set_clock
from tests.standins import twilio as answers
from tests.standins.twilio import TwilioStandIn

YES = {"channels": {"sms": "yes"}}
REFUSED = answers.error(400, 30007, "Message filtered")


async def again(gateway: Gateway, message_id: str, *, accept: bool | None = None, key: str | None = None) -> Got:
    body = {} if accept is None else {"accept_duplicate": accept}
    return await gateway.ask("POST", f"/v1/messages/{message_id}/resend", json=body, key=key)


async def resent(gateway: Gateway, message_id: str, *, accept: bool | None = None) -> str:
    got = await again(gateway, message_id, accept=accept)
    assert got.status == 202, got
    assert got.json == {"id": got.json["id"], "status": "queued", "resend_of": message_id}
    return str(got.json["id"])


def kind(got: Got) -> tuple[int, str]:
    return got.status, got.json["type"].rpartition("/")[2]


async def one(gateway: Gateway, twilio: TwilioStandIn, answer: answers.Answer, **more: Any) -> dict[str, Any]:
    """A message to Ana, who said yes, that ended so."""
    [ana] = await gateway.whose(f"sms:{ANA}") or [await gateway.person(f"sms:{ANA}", consent=YES)]
    twilio.on[ANA] = answer
    shown = await ended(gateway, await send(gateway, ana["id"], **more))
    del twilio.on[ANA]
    return shown


async def tried_in_doubt(gateway: Gateway) -> None:
    """Wait until a try has ended of which nobody knows how."""

    async def is_in_doubt() -> bool:
        return any(row["state"] == "in_doubt" for row in await gateway.rows("attempts"))

    await eventually(is_in_doubt)


async def test_what_may_have_arrived_is_sent_again_only_to_who_accepts_a_duplicate(
    gateway: Gateway, twilio: TwilioStandIn
) -> None:
    lost = await one(
        gateway, twilio, answers.reset(accept=True), content={"body": "Hi {{ first_name | default: 'you' }}"}
    )
    assert lost["status"] == "in_doubt"
    for accept in (None, False):
        got = await again(gateway, lost["id"], accept=accept)
        assert kind(got) == (409, "may-be-a-duplicate")
        assert "twice" in got.json["detail"]
        assert "accept_duplicate" in got.json["detail"]
    assert len(await gateway.rows("deliveries")) == 1
    second = await ended(gateway, await resent(gateway, lost["id"], accept=True))
    assert (second["status"], second["resend_of"], second["created_by"]) == ("accepted", lost["id"], "key:crm")
    assert (second["body"], second["class"], second["to"]) == ("Hi you", "marketing", ANA)
    assert [line.to for line in twilio.log] == [ANA, ANA]
    assert twilio.log[0].tag != twilio.log[1].tag
    [line] = [line for line in await gateway.rows("audit") if line["action"] == "message.resent"]
    assert (line["actor"], line["target"], line["detail"]["resend_of"]) == ("key:crm", second["id"], lost["id"])
    assert line["detail"]["accept_duplicate"] is True


async def test_what_is_unknown_after_a_day_asks_for_the_same_word(gateway: Gateway, twilio: TwilioStandIn) -> None:
    lost = await one(gateway, twilio, answers.reset(accept=False))
    gateway.clock.advance(hours=25)
    await gateway.house.database.transact(lambda conn: endings.sweep(conn, now=gateway.clock()))
    assert (await message(gateway, lost["id"]))["status"] == "unknown"
    assert kind(await again(gateway, lost["id"])) == (409, "may-be-a-duplicate")
    assert (await ended(gateway, await resent(gateway, lost["id"], accept=True)))["status"] == "accepted"


async def test_what_failed_is_sent_again_without_a_word_and_for_a_broadcast_too(
    gateway: Gateway, twilio: TwilioStandIn
) -> None:
    failed = await one(gateway, twilio, REFUSED)
    assert failed["status"] == "failed"
    assert (await ended(gateway, await resent(gateway, failed["id"])))["status"] == "accepted"
    ben = await person(gateway, f"sms:{BEN}", first_name="Ben", consent=YES)
    twilio.on[BEN] = REFUSED
    broadcast = await gateway.sent({"profiles": [ben]}, content={"body": "Dear {{ first_name }}"})
    delivery = (await gateway.deliveries(broadcast["id"]))[ben]
    del twilio.on[BEN]
    shown = await ended(gateway, await resent(gateway, delivery["message_id"]))
    assert (shown["status"], shown["body"], shown["to"]) == ("accepted", "Dear Ben", BEN)
    counts = (await gateway.api("GET", f"/v1/broadcasts/{broadcast['id']}"))["counts"]
    assert counts["by_status"] == {"failed": 1}, "the broadcast tells what became of it itself"


async def test_the_verdict_is_taken_again_and_the_same_address_is_meant(
    gateway: Gateway, twilio: TwilioStandIn
) -> None:
    failed = await one(gateway, twilio, REFUSED)
    lost = await one(gateway, twilio, answers.reset())
    ana = failed["profile_id"]
    await gateway.text_in("STOP", ANA)
    for got in (await again(gateway, failed["id"]), await again(gateway, lost["id"], accept=True)):
        assert kind(got) == (403, "not-opted-in")
        assert (got.json["reason"], got.json["address"]) == ("opted_out_channel", ANA)
    await gateway.text_in("START", ANA)
    await gateway.api("PATCH", f"/v1/profiles/{ana}", json={"addresses": [{"channel": "sms", "value": BEN}]})
    await gateway.say(ana, **YES, evidence={"how": "renewed", "obtained_at": gateway.clock().isoformat()})
    assert await gateway.verdict(ana) == "opted_in"
    got = await again(gateway, failed["id"])
    assert (kind(got), got.json["reason"]) == ((403, "not-opted-in"), "no_address")
    assert not [row for row in await gateway.rows("deliveries") if row["resend_of"]]


async def test_what_was_sent_or_is_on_its_way_is_not_sent_again(gateway: Gateway, twilio: TwilioStandIn) -> None:
    sent = await one(gateway, twilio, answers.accepted())
    for accept in (None, True):
        got = await again(gateway, sent["id"], accept=accept)
        assert kind(got) == (409, "not-resendable")
        assert "taken" in got.json["detail"]
    twilio.on[ANA] = answers.throttled("3600")
    queued = await send(gateway, sent["profile_id"])
    assert kind(await again(gateway, queued, accept=True)) == (409, "not-resendable")
    await gateway.text_in("STOP", ANA)
    assert (await message(gateway, queued))["status"] == "skipped"
    assert kind(await again(gateway, queued, accept=True)) == (409, "not-resendable")
    inbound = (await gateway.api("GET", "/v1/messages?direction=inbound"))["items"][0]
    for nothing in (inbound["id"], "msg_nobody"):
        assert (await again(gateway, nothing)).status == 404
    assert (await gateway.ask("POST", f"/v1/messages/{sent['id']}/resend", json={"force": True})).status == 422


async def test_an_answer_is_given_once(gateway: Gateway) -> None:
    await gateway.sandbox_in("HELP", ANA)
    [reply] = await eventually(lambda: _items(gateway, "/v1/messages?direction=outbound&status=accepted"))

    async def fail(conn: Any) -> None:
        await conn.exec_driver_sql("UPDATE deliveries SET status = 'failed'")

    await gateway.house.database.transact(fail)
    assert kind(await again(gateway, reply["id"], accept=True)) == (409, "not-resendable")


async def _items(gateway: Gateway, path: str) -> list[dict[str, Any]]:
    return list((await gateway.api("GET", path))["items"])


async def test_one_message_is_repeated_once_until_that_has_failed(gateway: Gateway, twilio: TwilioStandIn) -> None:
    failed = await one(gateway, twilio, REFUSED)
    twilio.on[ANA] = REFUSED
    second = await ended(gateway, await resent(gateway, failed["id"]))
    assert second["status"] == "failed"
    twilio.on[ANA] = answers.reset()
    third = await ended(gateway, await resent(gateway, failed["id"]))
    assert third["status"] == "in_doubt"
    for earlier in (failed, second):
        got = await again(gateway, earlier["id"], accept=True)
        assert (kind(got), got.json["message_id"]) == ((409, "already-resent"), third["id"])
        assert third["id"] in got.json["detail"]
    del twilio.on[ANA]
    assert kind(await again(gateway, third["id"])) == (409, "may-be-a-duplicate")
    fourth = await ended(gateway, await resent(gateway, third["id"], accept=True))
    assert fourth["status"] == "accepted"
    for earlier in (failed, second, third):
        got = await again(gateway, earlier["id"], accept=True)
        assert (kind(got), got.json["message_id"]) in (
            ((409, "already-resent"), third["id"]),
            ((409, "already-resent"), fourth["id"]),
        )


async def test_what_was_repeated_by_way_of_another_is_repeated_too(gateway: Gateway, twilio: TwilioStandIn) -> None:
    first = await one(gateway, twilio, REFUSED)
    twilio.on[ANA] = REFUSED
    second = await ended(gateway, await resent(gateway, first["id"]))
    del twilio.on[ANA]
    third = await ended(gateway, await resent(gateway, second["id"]))
    assert [one["status"] for one in (first, second, third)] == ["failed", "failed", "accepted"]
    for earlier in (first, second):
        got = await again(gateway, earlier["id"])
        assert (kind(got), got.json["message_id"]) == ((409, "already-resent"), third["id"])


async def test_what_failed_on_repeating_a_lost_one_still_asks_for_the_word(
    gateway: Gateway, twilio: TwilioStandIn
) -> None:
    lost = await one(gateway, twilio, answers.reset())
    twilio.on[ANA] = REFUSED
    second = await ended(gateway, await resent(gateway, lost["id"], accept=True))
    del twilio.on[ANA]
    assert kind(await again(gateway, second["id"])) == (409, "may-be-a-duplicate"), "the first may have arrived"
    assert (await ended(gateway, await resent(gateway, second["id"], accept=True)))["status"] == "accepted"


@pytest.mark.parametrize("between", [1, 2], ids=["the same", "a message and its repetition"])
async def test_of_many_wishes_at_once_one_is_carried_out(gateway: Gateway, twilio: TwilioStandIn, between: int) -> None:
    failed = await one(gateway, twilio, REFUSED)
    twilio.on[ANA] = REFUSED
    family = [failed["id"]]
    if between == 2:
        family.append((await ended(gateway, await resent(gateway, failed["id"])))["id"])
    del twilio.on[ANA]
    got = await asyncio.gather(*(again(gateway, family[turn % between]) for turn in range(6)))
    assert sorted(one.status for one in got) == [202, 409, 409, 409, 409, 409]
    [made] = [one.json["id"] for one in got if one.status == 202]
    assert {one.json["message_id"] for one in got if one.status == 409} == {made}
    await ended(gateway, made)
    assert twilio.accepted_to(ANA) == 1


async def test_a_ticket_is_sent_again_by_who_may_send_tickets(gateway: Gateway, twilio: TwilioStandIn) -> None:
    failed = await one(gateway, twilio, REFUSED, require_opt_in=False)
    got = await again(gateway, failed["id"], key=await gateway.key("send"))
    assert kind(got) == (403, "forbidden")
    assert "send:transactional" in got.json["detail"]
    shown = await ended(gateway, await resent(gateway, failed["id"]))
    assert (shown["status"], shown["class"]) == ("accepted", "transactional")


async def test_a_repeat_that_was_refused_does_not_end_the_doubt_about_the_first(
    gateway: Gateway, twilio: TwilioStandIn
) -> None:
    ana = await person(gateway, f"sms:{ANA}", consent=YES)
    twilio.on[ANA] = answers.reset(accept=True)
    ticket = await send(gateway, ana, require_opt_in=False)

    async def attempts(count: int) -> list[dict[str, Any]]:
        found = (await message(gateway, ticket))["attempts"]
        return found if len(found) == count and found[-1]["state"] != "sending" else []

    await eventually(lambda: attempts(1))
    twilio.on[ANA] = REFUSED
    gateway.clock.advance(seconds=20)
    gateway.house.dispatcher.wake()
    await eventually(lambda: attempts(2))
    shown = await message(gateway, ticket)
    assert (shown["status"], shown["error"]) == ("in_doubt", "30007: Message filtered")
    assert kind(await again(gateway, ticket)) == (409, "may-be-a-duplicate")
    await report(gateway, twilio.log[0], "undelivered", ErrorCode="21610")
    assert (await message(gateway, ticket))["status"] == "undelivered"
    assert await gateway.verdict(ana) == "opted_out_channel"


async def test_a_repeat_that_can_no_longer_be_written_does_not_end_it_either(
    gateway: Gateway, twilio: TwilioStandIn
) -> None:
    ana = await person(gateway, f"sms:{ANA}", attributes={"seat": "C 12"})
    twilio.on[ANA] = answers.reset(accept=True)
    ticket = await send(gateway, ana, require_opt_in=False, content={"body": "Your seat: {{ attributes.seat }}"})

    await tried_in_doubt(gateway)
    await gateway.api("PATCH", f"/v1/profiles/{ana}", json={"attributes": {"seat": "C" * 1900}})
    gateway.clock.advance(seconds=20)
    gateway.house.dispatcher.wake()
    shown = await ended(gateway, ticket)
    assert shown["status"] == "in_doubt"
    assert "longer" in shown["error"]
    await report(gateway, twilio.log[0], "sent")
    assert (await message(gateway, ticket))["status"] == "sent"


async def test_an_opt_out_in_a_late_report_is_heeded_wherever_its_message_stands(
    gateway: Gateway, twilio: TwilioStandIn
) -> None:
    ana = await person(gateway, f"sms:{ANA}", consent=YES)
    twilio.on[ANA] = answers.reset(accept=True)
    ticket = await send(gateway, ana, require_opt_in=False)

    await tried_in_doubt(gateway)
    await gateway.say(ana, everything="no")
    assert (await message(gateway, ticket))["status"] == "skipped"
    for _ in range(2):
        await report(gateway, twilio.log[0], "undelivered", ErrorCode="21610")
        consent = (await gateway.profile(ana))["consent"]
        assert (consent["channels"]["sms"]["state"], consent["channels"]["sms"]["source"]) == ("no", "provider")
        assert len([line for line in await gateway.history(ana) if line["source"] == "provider"]) == 1


async def test_what_is_sent_again_keeps_the_times_of_its_broadcast(gateway: Gateway, twilio: TwilioStandIn) -> None:
    ana = await person(gateway, f"sms:{ANA}", timezone="UTC", consent=YES)
    set_clock(gateway, datetime(2027, 3, 1, 12, tzinfo=UTC))
    twilio.on[ANA] = REFUSED
    hours, last = {"from": "20:00", "to": "08:00"}, "2027-03-02T09:00:00Z"
    broadcast = await gateway.sent({"profiles": [ana]}, quiet_hours=hours, not_after=last)
    first = (await gateway.deliveries(broadcast["id"]))[ana]["message_id"]
    second = await resent(gateway, first)
    assert (await ended(gateway, second))["status"] == "failed", "at noon it goes"
    del twilio.on[ANA]
    set_clock(gateway, datetime(2027, 3, 1, 21, tzinfo=UTC))
    third = await resent(gateway, second)  # of what was sent again already, too

    async def put_off() -> bool:
        [row] = [row for row in await gateway.rows("deliveries") if row["id"] == third]
        return bool(row["due_at"] == datetime(2027, 3, 2, 8, tzinfo=UTC))

    await eventually(put_off)
    assert len(twilio.log) == 2
    set_clock(gateway, datetime(2027, 3, 2, 10, tzinfo=UTC))
    gateway.house.dispatcher.wake()
    shown = await ended(gateway, third)
    assert (shown["status"], shown["reason"]) == ("skipped", "too_late")
    got = await again(gateway, second)
    assert kind(got) == (409, "not-resendable")
    assert "not_after" in got.json["detail"]
    assert len(twilio.log) == 2


async def test_a_clock_that_is_set_back_sends_nothing_twice(gateway: Gateway, twilio: TwilioStandIn) -> None:
    failed = await one(gateway, twilio, REFUSED)
    gateway.clock.advance(seconds=-5)
    second = await resent(gateway, failed["id"])
    gateway.clock.advance(seconds=5)
    await ended(gateway, second)
    got = await again(gateway, failed["id"])
    assert kind(got) == (409, "already-resent")
    assert twilio.accepted_to(ANA) == 1
