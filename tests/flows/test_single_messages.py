"""Messages sent one by one over the API: to whom, by which channel, with whose word, and how they read."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.flows.running import ANA, BEN, CLEO, OURS, OURS_ON_WHATSAPP, Gateway, Got, eventually
from tests.standins import twilio as answers
from tests.standins.twilio import TwilioStandIn

YES = {"channels": {"sms": "yes"}}
TEMPLATE = {"template": {"name": "HX" + "0" * 32, "language": "en", "variables": {"1": "{{ first_name }}"}}}


def wanted(to: str, /, **more: Any) -> dict[str, Any]:
    """A message to a profile's id or to an address."""
    whom = {"profile_id": to} if to.startswith("pro_") else {"address": to}
    given = {"channel": "sms", "connection": "sms", "to": whom, "content": {"body": "On sale."}} | more
    return {name: value for name, value in given.items() if value is not ...}


async def ask(gateway: Gateway, to: str, /, *, key: str | None = None, **more: Any) -> Got:
    return await gateway.ask("POST", "/v1/messages", json=wanted(to, **more), key=key)


async def send(gateway: Gateway, to: str, **more: Any) -> str:
    """Queue a message; returns its id."""
    got = await ask(gateway, to, **more)
    assert got.status == 202, got
    assert got.json.keys() == {"id", "status"}
    assert got.json["status"] == "queued"
    return str(got.json["id"])


async def message(gateway: Gateway, message_id: str) -> dict[str, Any]:
    return dict(await gateway.api("GET", f"/v1/messages/{message_id}"))


async def ended(gateway: Gateway, message_id: str) -> dict[str, Any]:
    """The message, once it is neither queued nor being sent."""

    async def look() -> dict[str, Any] | None:
        shown = await message(gateway, message_id)
        return None if shown["status"] in ("queued", "sending") else shown

    return await eventually(look)  # type: ignore[return-value]


async def refused(gateway: Gateway, to: str, **more: Any) -> str:
    """The reason for which the opt-in check refuses; nothing is queued."""
    before = len(await gateway.rows("deliveries"))
    got = await ask(gateway, to, **more)
    assert (got.status, got.type) == (403, "application/problem+json"), got
    assert got.json["type"].endswith("/not-opted-in")
    assert len(await gateway.rows("deliveries")) == before
    return str(got.json["reason"])


async def person(gateway: Gateway, *numbers: str, **more: Any) -> str:
    return str((await gateway.person(*numbers, **more))["id"])


# --- to whom ----------------------------------------------------------------------------------


async def test_a_message_goes_to_who_said_yes_however_they_are_named(gateway: Gateway, twilio: TwilioStandIn) -> None:
    ana = await person(gateway, f"sms:{ANA}", consent=YES)
    for to in (ana, ANA, f"sms:{ANA}", ANA.replace("+", " "), f"sms:{ANA.replace('+', ' ')}", "(415) 555-0123"):
        twilio.log.clear()
        shown = await ended(gateway, await send(gateway, to))
        assert (shown["status"], shown["class"], shown["direction"]) == ("accepted", "marketing", "outbound"), to
        assert (shown["profile_id"], shown["to"], shown["channel"], shown["connection"]) == (ana, ANA, "sms", "sms")
        assert (shown["body"], shown["created_by"], shown["reason"]) == ("On sale.", "key:crm", None)
        [attempt] = shown["attempts"]
        assert (attempt["state"], attempt["error"]) == ("accepted", None)
        [line] = twilio.log
        assert (line.to, line.sender, line.body, line.sid) == (ANA, OURS, "On sale.", shown["provider_id"])
    listed = (await gateway.api("GET", f"/v1/messages?profile_id={ana}&direction=outbound&status=accepted"))["items"]
    assert len(listed) == 6
    assert all("attempts" not in one and one["created_by"] == "key:crm" for one in listed)


async def test_a_plus_that_arrived_as_a_blank_is_a_plus_still(gateway: Gateway) -> None:
    singapore = "+6591234567"  # without its plus it would be somebody's in the home region
    await person(gateway, f"sms:{singapore}", consent=YES)
    for to in (" 6591234567", "sms: 6591234567"):
        assert (await message(gateway, await send(gateway, to)))["to"] == singapore


async def test_marketing_needs_a_yes_and_the_refusal_says_why(gateway: Gateway, twilio: TwilioStandIn) -> None:
    await gateway.api("POST", "/v1/preferences", json={"name": "Drama"})
    ana = await person(gateway, f"sms:{ANA}", "email:ana@example.org")
    assert await refused(gateway, ana) == await refused(gateway, ANA) == "not_opted_in"
    assert await refused(gateway, BEN) == "unknown_address"
    nobody = await person(gateway, "email:ben@example.org")
    assert await refused(gateway, nobody) == "no_address"
    await gateway.say(ana, **YES)
    assert await refused(gateway, ana, preference="Drama") == "preference_not_asked"
    await gateway.say(ana, preferences={"Drama": "no"})
    assert await refused(gateway, ana, preference="Drama") == "preference_no"
    await gateway.text_in("STOP", ANA)
    for asked in (f" {ANA[1:]}", f"sms:{ANA}"):
        got = await ask(gateway, asked)
        assert (got.json["reason"], got.json["address"]) == ("opted_out_channel", asked)
    got = await ask(gateway, ana)
    assert (got.json["reason"], got.json["address"]) == ("opted_out_channel", ANA)
    assert "channels" not in got.json
    await gateway.text_in("START", ANA)
    assert (await ended(gateway, await send(gateway, ana)))["status"] == "accepted"
    assert [line.to for line in twilio.log] == [ANA]
    assert await gateway.whose(f"sms:{BEN}") == []


async def test_who_was_made_with_a_default_of_yes_may_be_sent_to_until_they_say_no(gateway: Gateway) -> None:
    ana = await person(gateway, f"sms:{ANA}")
    await gateway.api("PATCH", "/v1/settings/defaults", json={"sms": "yes"})
    ben = await person(gateway, f"sms:{BEN}")
    assert await gateway.verdict(ben) == "opted_in_by_default"
    assert (await ended(gateway, await send(gateway, ben)))["status"] == "accepted"
    assert await refused(gateway, ana) == "not_opted_in", "changing a default changes nobody already known"
    await gateway.say(ben, channels={"sms": "no"})
    assert await refused(gateway, ben) == "opted_out_channel"


# --- without opt-in ---------------------------------------------------------------------------


async def test_require_opt_in_has_two_spellings_and_absent_means_true(gateway: Gateway) -> None:
    ana = await person(gateway, f"sms:{ANA}")
    true: list[dict[str, Any]] = [{}, {"require_opt_in": True}, {"requireOptIn": True}, {"require_opt_in": None},
                                  {"require_opt_in": True, "requireOptIn": True}]  # fmt: skip
    for said in true:
        assert await refused(gateway, ana, **said) == "not_opted_in", said
    for said in ({"require_opt_in": False}, {"requireOptIn": False}, {"require_opt_in": False, "requireOptIn": False}):
        shown = await ended(gateway, await send(gateway, ana, **said))
        assert (shown["class"], shown["status"]) == ("transactional", "accepted"), said
    for said in ({"require_opt_in": False, "requireOptIn": True}, {"require_opt_in": True, "requireOptIn": False}):
        got = await ask(gateway, ana, **said)
        assert got.status == 422, said
        assert got.json["errors"][0]["field"] == "requireOptIn"
    for wrong in ("false", 0, "no", []):
        for spelling in ("require_opt_in", "requireOptIn"):
            assert (await ask(gateway, ana, **{spelling: wrong})).status == 422, (spelling, wrong)


async def test_without_opt_in_the_key_needs_a_scope_and_is_recorded(gateway: Gateway) -> None:
    ana = await person(gateway, f"sms:{ANA}", consent=YES)
    marketer, tickets = await gateway.key("send"), await gateway.key("send", "send:transactional")
    got = await ask(gateway, ana, key=marketer, require_opt_in=False)
    assert got.status == 403
    assert got.json["type"].endswith("/forbidden")
    assert "send:transactional" in got.json["detail"]
    assert await gateway.rows("deliveries") == []
    await send(gateway, ana, key=marketer)
    assert not [line for line in await gateway.rows("audit") if line["action"].startswith("message.")]
    sent = await send(gateway, ana, key=tickets, requireOptIn=False)
    shown = await message(gateway, sent)
    assert (shown["class"], shown["created_by"]) == ("transactional", "key:with send send:transactional")
    [line] = [line for line in await gateway.rows("audit") if line["action"].startswith("message.")]
    assert (line["action"], line["actor"]) == ("message.without_opt_in", "key:with send send:transactional")
    assert line["target"] == sent
    assert ANA not in str(line["detail"])


async def test_a_ticket_to_a_number_that_one_person_has_on_another_channel_is_to_that_person(gateway: Gateway) -> None:
    """Else a no to everything, said on one channel, would not hold on the other."""
    ticket = {"require_opt_in": False, "content": {"body": "Your ticket"}}
    ana = await person(gateway, f"whatsapp:{ANA}", f"voice:{ANA}", consent={"everything": "no"})
    before = await gateway.everything()
    assert await refused(gateway, ANA, **ticket) == "opted_out_everything"
    assert await gateway.everything() == before
    await gateway.say(ana, everything="not_asked", evidence={"how": "she asked us", "obtained_at": _now(gateway)})
    shown = await ended(gateway, await send(gateway, ANA, **ticket))
    assert (shown["status"], shown["profile_id"]) == ("accepted", ana)
    [there] = [one for one in (await gateway.profile(ana))["addresses"] if one["channel"] == "sms"]
    assert (there["value"], there["primary"]) == (ANA, True)
    assert await gateway.verdict(ana) == "not_opted_in", "a ticket asks for nothing"


async def test_a_ticket_to_a_number_that_several_have_on_another_channel_is_to_somebody_new(gateway: Gateway) -> None:
    people = {await person(gateway, f"whatsapp:{ANA}"), await person(gateway, f"voice:{ANA}")}
    got = await asyncio.gather(*(ask(gateway, ANA, require_opt_in=False) for _ in range(6)))
    assert {one.status for one in got} == {202}
    [new] = await gateway.whose(f"sms:{ANA}")
    assert new["id"] not in people
    ben = await person(gateway, f"whatsapp:{BEN}")
    got = await asyncio.gather(*(ask(gateway, BEN, require_opt_in=False) for _ in range(6)))
    assert {one.status for one in got} == {202}
    assert [one["id"] for one in await gateway.whose(f"sms:{BEN}")] == [ben]


def _now(gateway: Gateway) -> str:
    return gateway.clock().isoformat()


async def test_a_ticket_passes_a_channels_no_but_not_the_strongest(gateway: Gateway, twilio: TwilioStandIn) -> None:
    ticket = {"require_opt_in": False}
    ana = await person(gateway, f"sms:{ANA}", consent={"channels": {"sms": "no"}})
    assert await refused(gateway, ana) == "opted_out_channel"
    assert (await ended(gateway, await send(gateway, ana, **ticket)))["status"] == "accepted"
    await gateway.text_in("STOP", ANA)
    assert await refused(gateway, ana, **ticket) == await refused(gateway, ANA, **ticket) == "opted_out_address"
    ben = await person(gateway, f"sms:{BEN}", consent={"everything": "no"})
    assert await refused(gateway, ben, **ticket) == "opted_out_everything"
    cleo = await person(gateway, f"sms:{CLEO}", consent={"addresses": {f"sms:{CLEO}": "no"}})
    other = await person(gateway, f"sms:{CLEO}", consent=YES)
    assert await refused(gateway, cleo, **ticket) == await refused(gateway, other, **ticket) == "opted_out_address"
    assert await refused(gateway, CLEO, **ticket) == "opted_out_address"
    assert [line.to for line in twilio.log] == [ANA]


async def test_a_no_that_was_left_on_an_address_stops_a_ticket_to_whoever_has_it_next(gateway: Gateway) -> None:
    await gateway.text_in("STOP", ANA)
    [ana] = await gateway.whose(f"sms:{ANA}")
    await gateway.api("DELETE", f"/v1/profiles/{ana['id']}")
    before = await gateway.everything()
    assert await refused(gateway, ANA, require_opt_in=False) == "opted_out_address"
    assert await gateway.everything() == before, "who is refused after all leaves no trace"
    next_ = await person(gateway, f"sms:{ANA}")
    assert await refused(gateway, next_, require_opt_in=False) == "opted_out_address"


async def test_a_ticket_to_an_unknown_address_makes_one_profile(gateway: Gateway, twilio: TwilioStandIn) -> None:
    twilio.default = answers.accepted()
    got = await asyncio.gather(*(ask(gateway, f"sms:{ANA}", require_opt_in=False) for _ in range(4)))
    assert [one.status for one in got] == [202] * 4
    [ana] = await gateway.whose(f"sms:{ANA}")
    shown = [await ended(gateway, one.json["id"]) for one in got]
    assert {(one["profile_id"], one["status"]) for one in shown} == {(ana["id"], "accepted")}
    assert await refused(gateway, ANA) == "not_opted_in", "a ticket is no consent"


# --- by which channel -------------------------------------------------------------------------

BOTH = {"channel": ..., "connection": ..., "channels": ["whatsapp", "sms"], "connections": {"sms": "sms"}}


async def test_of_several_channels_the_first_that_may_is_taken_and_never_two(
    gateway: Gateway, twilio: TwilioStandIn
) -> None:
    content = {"content": {"body": "On sale.", **TEMPLATE}}
    ana = await person(gateway, f"sms:{ANA}", f"whatsapp:{ANA}", first_name="Ana", consent=YES)
    shown = await ended(gateway, await send(gateway, ana, **BOTH, **content))
    assert (shown["channel"], shown["connection"], shown["body"]) == ("sms", "sms", "On sale.")
    await gateway.say(ana, channels={"whatsapp": "yes"})
    shown = await ended(gateway, await send(gateway, ana, **BOTH, **content))
    assert (shown["channel"], shown["connection"], shown["body"]) == ("whatsapp", "whatsapp", None)
    assert shown["template"]["variables"] == {"1": "Ana"}
    shown = await ended(gateway, await send(gateway, ana, **{**BOTH, "channels": ["sms", "whatsapp"]}, **content))
    assert shown["channel"] == "sms"
    assert [(line.to, line.sender) for line in twilio.log] == [
        (ANA, OURS),
        (f"whatsapp:{ANA}", f"whatsapp:{OURS_ON_WHATSAPP}"),
        (ANA, OURS),
    ]
    shown = await ended(gateway, await send(gateway, ANA, **BOTH, **content))
    assert shown["channel"] == "whatsapp", "a plain number is one of both"
    await gateway.text_in("STOP", ANA)
    assert (await ended(gateway, await send(gateway, ana, **BOTH, **content)))["channel"] == "whatsapp"
    await gateway.say(ana, channels={"whatsapp": "no"})
    got = await ask(gateway, ana, **BOTH, **content)
    assert (got.status, got.json["reason"], got.json["address"]) == (403, "opted_out_channel", ANA)
    ben = await person(gateway, f"sms:{BEN}")
    got = await ask(gateway, ben, **BOTH, **content)
    assert (got.json["reason"], got.json["channels"]) == (
        "no_address",
        {"whatsapp": "no_address", "sms": "not_opted_in"},
    )
    assert len(twilio.log) == 5


async def test_a_ticket_by_several_channels_to_a_stranger_makes_one_profile_on_the_one_that_is_taken(
    gateway: Gateway, twilio: TwilioStandIn
) -> None:
    shown = await ended(gateway, await send(gateway, ANA, **BOTH, require_opt_in=False))
    assert (shown["channel"], shown["status"]) == ("sms", "accepted"), "free words on WhatsApp need its window"
    [made] = (await gateway.api("GET", "/v1/profiles"))["items"]
    assert [address["channel"] for address in made["addresses"]] == ["sms"]
    content = {"content": {"body": "x", **TEMPLATE}}
    shown = await ended(gateway, await send(gateway, BEN, **BOTH, **content, require_opt_in=False))
    assert shown["channel"] == "whatsapp"
    assert len(await gateway.rows("profiles")) == 2
    assert len(twilio.log) == 2


async def test_free_words_on_whatsapp_need_an_open_window(gateway: Gateway, twilio: TwilioStandIn) -> None:
    whatsapp = {"channel": "whatsapp", "connection": ...}
    ana = await person(
        gateway, f"sms:{ANA}", f"whatsapp:{ANA}", consent={"channels": {"whatsapp": "yes", "sms": "yes"}}
    )
    for said in ({}, {"require_opt_in": False}):
        for to in (ana, ANA, f"whatsapp:{ANA}"):
            got = await ask(gateway, to, **whatsapp, **said)
            assert (got.status, got.json["reason"]) == (422, "window_closed"), got
            assert got.json["type"].endswith("/window-closed")
            assert "template" in got.json["detail"]
    assert await gateway.rows("deliveries") == []
    assert (await ended(gateway, await send(gateway, ana, **BOTH)))["channel"] == "sms"
    shown = await ended(gateway, await send(gateway, ana, **whatsapp, content=TEMPLATE))
    assert (shown["status"], twilio.log[-1].form["ContentSid"]) == ("accepted", TEMPLATE["template"]["name"])
    await gateway.whatsapp_in("hello", ANA)
    shown = await ended(gateway, await send(gateway, ana, **whatsapp))
    assert (shown["status"], twilio.log[-1].body) == ("accepted", "On sale.")
    gateway.clock.advance(hours=24, minutes=1)
    assert (await ask(gateway, ana, **whatsapp)).status == 422
    await gateway.text_in("STOP", ANA)
    got = await ask(gateway, ana, **BOTH)
    assert (got.status, got.json["channels"]) == (422, {"whatsapp": "window_closed", "sms": "opted_out_channel"})


# --- what is wrong with it --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"to": {}}, "to"),
        ({"to": {"profile_id": "pro_1", "address": ANA}}, "to"),
        ({"to": {"profile_id": "pro_nobody"}}, "to.profile_id"),
        ({"to": {"address": "Ana"}}, "to.address"),
        ({"to": {"address": f"whatsapp:{ANA}"}}, "to.address"),
        ({"preference": "Nobody"}, "preference"),
        ({"connection": "lost"}, "connection"),
        ({"connection": "whatsapp"}, "connection"),
        ({"connection": ...}, "connection"),
        ({"channel": ...}, "channel"),
        ({"channel": "voice"}, "channel"),
        ({"channels": ["sms"]}, "channels"),
        ({"connections": {"sms": "sms"}}, "connections"),
        (BOTH | {"connections": ...}, "connections.sms"),
        (BOTH | {"connections": {"sms": "whatsapp"}}, "connections.sms"),
        (BOTH | {"connections": {"sms": "sms", "email": "x"}}, "connections.email"),
        (BOTH | {"connection": "sms"}, "connection"),
        (BOTH | {"channels": ["sms", "sms"]}, "channels"),
        (BOTH | {"channels": []}, "channels"),
        (BOTH | {"content": TEMPLATE}, "content.body"),
        ({"content": {}}, "content"),
        ({"content": TEMPLATE}, "content.template"),
        ({"content": {"body": ""}}, "content.body"),
        ({"content": {"body": " \n"}}, "content.body"),
        ({"content": {"body": "x" * 1601}}, "content.body"),
        ({"content": {"body": "{{ first_name | shout }}"}}, "content.body"),
        ({"content": {"body": "{{ surname }}"}}, "content.body"),
        ({"content": {"body": "{% if %}"}}, "content.body"),
        ({"content": {"body": "{% if preferences['Nobody'] %}x{% endif %}"}}, "content.body"),
        ({"channel": "whatsapp", "connection": ..., "content": {"template": {"name": "HX1", "variables": {"1": "{{"}}}},
         "content.template.variables.1"),
        ({"colour": "red"}, "colour"),
        ({"require_opt_in_too": False}, "require_opt_in_too"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_named_by_its_field(gateway: Gateway, change: dict[str, Any], field: str) -> None:
    await person(gateway, f"sms:{ANA}", consent=YES)
    got = await ask(gateway, ANA, **change)
    assert got.status == 422, got
    assert [error["field"] for error in got.json["errors"]] == [field]
    assert await gateway.rows("deliveries") == []


# --- how it reads -----------------------------------------------------------------------------


async def test_a_message_is_filled_in_when_it_is_sent_and_shown_as_it_was_sent(
    gateway: Gateway, twilio: TwilioStandIn
) -> None:
    await gateway.api("POST", "/v1/preferences", json={"name": "Drama"})
    ana = await person(gateway, f"sms:{ANA}", first_name="Ana", consent=YES | {"preferences": {"Drama": "yes"}})
    body = "Hi {{ first_name }}{% if preferences['Drama'] %}, Hamlet is on{% endif %}."
    twilio.on[ANA] = answers.throttled("3600")
    sent = await send(gateway, ana, content={"body": body})

    async def tried() -> bool:
        shown = await message(gateway, sent)
        return shown["status"] == "queued" and bool(shown["attempts"])

    await eventually(tried)
    await gateway.api("PATCH", f"/v1/profiles/{ana}", json={"first_name": "Anna"})
    del twilio.on[ANA]
    gateway.clock.advance(hours=2)
    shown = await ended(gateway, sent)
    assert shown["body"] == twilio.log[-1].body == "Hi Anna, Hamlet is on."
    assert [attempt["state"] for attempt in shown["attempts"]] == ["not_sent", "accepted"]
    [listed] = (await gateway.api("GET", "/v1/messages?direction=outbound"))["items"]
    assert listed == {name: value for name, value in shown.items() if name != "attempts"}
    broadcast = await gateway.sent({"profiles": [ana]}, content={"body": "Dear {{ first_name }}"})
    delivery = (await gateway.deliveries(broadcast["id"]))[ana]
    shown = await message(gateway, delivery["message_id"])
    assert (shown["body"], shown["created_by"]) == ("Dear Anna", None)


async def test_a_template_has_a_sensible_number_of_variables(gateway: Gateway) -> None:
    ana = await gateway.person(f"whatsapp:{ANA}", consent={"channels": {"whatsapp": "yes"}})
    template = {"name": "HX1", "variables": {str(n): "{{ first_name }}" for n in range(101)}}
    body = {"channel": "whatsapp", "to": {"profile_id": ana["id"]}, "content": {"template": template}}
    got = await gateway.ask("POST", "/v1/messages", json=body)
    assert got.status == 422
    assert got.json["errors"][0]["field"] == "content.template.variables"


async def test_a_channel_without_a_connection_is_told_what_it_needs(gateway: Gateway) -> None:
    content = {"subject": "On sale", "text": "On sale."}
    got = await ask(gateway, "ana@example.org", channel="email", connection=..., content=content)
    told = "none is configured for email: add one to [connections] and restart"
    assert (got.status, got.json["errors"]) == (422, [{"field": "connection", "message": told}])
