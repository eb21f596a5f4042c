"""Personal text: what each person reads, on the channel that they are reached by."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.flows.running import ANA, BEN, CLEO, DIEGO, Gateway
from tests.standins.twilio import TwilioStandIn

YES = {"channels": {"sms": "yes"}}
BOTH = {"channels": {"sms": "yes", "whatsapp": "yes"}}
GOOD = {"name": "Autumn", "channel": "sms", "connection": "sms", "content": {"body": "x"}, "audience": {"all": True}}
ROUTES = {"channel": None, "connection": None, "channels": ["whatsapp", "sms"], "connections": {"sms": "sms"}}


def said(twilio: TwilioStandIn) -> dict[str, str]:
    return {line.to: line.body for line in twilio.log}


async def ask(gateway: Gateway, **wanted: Any) -> str:
    given = {name: value for name, value in (GOOD | wanted).items() if value is not None}
    return str((await gateway.api("POST", "/v1/broadcasts", status=202, json=given))["id"])


async def test_everyone_reads_their_own_text(gateway: Gateway, twilio: TwilioStandIn) -> None:
    await gateway.api("POST", "/v1/preferences", json={"name": "Drama"})
    await gateway.person(
        f"sms:{ANA}",
        first_name="Ana",
        last_name="Ruiz",
        locale="es",
        tags=["vip"],
        attributes={"seats": 3},
        consent=YES | {"preferences": {"Drama": "yes"}},
    )
    await gateway.person(f"sms:{BEN}", consent=YES | {"preferences": {"Drama": "no"}})
    body = (
        "Hi {{ first_name | default: 'there' }} {{ last_name }}[{{ locale }}/{{ channel }}]"
        "{% if tags contains 'vip' %} VIP{% endif %}"
        "{% if attributes.seats > 2 %} {{ attributes.seats }} seats{% endif %}"
        "{% if preferences['Drama'] %} Hamlet{% elsif preferences['Drama'] == false %} Cats{% else %} ?{% endif %}"
    )
    shown = await gateway.sent({"all": True}, content={"body": body})
    assert shown["content"] == {"body": body}, "as it was written"
    assert said(twilio) == {ANA: "Hi Ana Ruiz[es/sms] VIP 3 seats Hamlet", BEN: "Hi there [/sms] Cats"}
    sent = {row["sent"]["body"] for row in await gateway.rows("attempts")}
    assert sent == set(said(twilio).values()), "what was sent is kept"


async def test_an_answer_given_meanwhile_counts(gateway: Gateway, twilio: TwilioStandIn) -> None:
    await gateway.api("POST", "/v1/preferences", json={"name": "Drama"})
    ana = await gateway.person(f"sms:{ANA}", consent=YES)
    at = gateway.clock()
    gateway.clock.advance(hours=-1)
    broadcast = await ask(
        gateway,
        content={"body": "{% if preferences['Drama'] %}Hamlet{% else %}Cats{% endif %}"},
        send_at=at.isoformat(),
    )
    await gateway.say(ana["id"], preferences={"Drama": "yes"})
    gateway.clock.advance(hours=2)
    await gateway.all_sent(broadcast)
    assert said(twilio) == {ANA: "Hamlet"}


async def test_the_link_in_a_text_is_the_persons_own_and_works(gateway: Gateway, twilio: TwilioStandIn) -> None:
    ana, ben = [(await gateway.person(f"sms:{number}", consent=YES))["id"] for number in (ANA, BEN)]
    await gateway.sent({"all": True}, content={"body": "{{ links.unsubscribe }}"})
    path = said(twilio)[ANA].removeprefix(gateway.settings.server.public_url)
    assert (await gateway.send("POST", path)).status == 200
    assert await gateway.verdict(ana) == "opted_out_channel"
    assert await gateway.verdict(ben) == "opted_in"


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ("Hi {{ frist_name }}", "frist_name"),
        ("Hi {{ first_name | shout }}", "shout"),
        ("{% if preferences['Opera'] %}x{% endif %}", "Opera"),
        ("{% if preferences %}x{% endif %}", "name the preference"),
        ("{{ links.home }}", "links"),
        ("{% include 'x' %}", "include"),
        ("Hi {{ first_name", "expected"),
    ],
)
async def test_what_is_unknown_is_refused_when_it_is_made(gateway: Gateway, body: str, word: str) -> None:
    for content, field in (
        ({"body": body}, "content.body"),
        ({"template": {"name": "HX1", "variables": {"1": "fine", "2": body}}}, "content.template.variables.2"),
    ):
        channel = "sms" if "body" in content else "whatsapp"
        wanted = GOOD | {"channel": channel, "connection": channel, "content": content}
        got = await gateway.ask("POST", "/v1/broadcasts", json=wanted)
        assert got.status == 422
        [error] = got.json["errors"]
        assert (error["field"], word in error["message"]) == (field, True), error
    assert await gateway.rows("broadcasts") == []


async def test_what_cannot_be_filled_in_fails_with_the_error_and_stops_nobody(
    gateway: Gateway, twilio: TwilioStandIn
) -> None:
    ana = await gateway.person(f"sms:{ANA}", consent=YES, attributes={"rows": 0, "text": "x"})
    ben = await gateway.person(f"sms:{BEN}", consent=YES, attributes={"rows": 2, "text": "x"})
    long = await gateway.person(f"sms:{CLEO}", consent=YES, attributes={"rows": 2, "text": "x" * 1700})
    empty = await gateway.person(f"sms:{DIEGO}", consent=YES, attributes={"rows": 20, "text": " "})
    body = "{% if attributes.rows < 20 %}{{ 10 | divided_by: attributes.rows }}{% endif %}{{ attributes.text }}"
    shown = await gateway.sent({"all": True}, content={"body": body})
    assert shown["counts"]["by_status"] == {"accepted": 1, "failed": 3}
    found = await gateway.deliveries(shown["id"])
    assert said(twilio) == {BEN: "5x"}
    assert found[ben["id"]]["error"] is None
    for person, word in ((ana, "body: "), (long, "body: it is longer than 1,600"), (empty, "body: it says nothing")):
        delivery = found[person["id"]]
        assert (delivery["status"], delivery["attempts"]) == ("failed", [])
        assert word in delivery["error"]


async def test_a_template_is_filled_in_for_each(gateway: Gateway, twilio: TwilioStandIn) -> None:
    await gateway.person(f"whatsapp:{ANA}", first_name="Ana", consent=BOTH)
    template = {"name": "HX1", "language": "en", "variables": {"1": "{{ first_name }}", "2": "{{ channel }}"}}
    await gateway.sent({"all": True}, channel="whatsapp", connection="whatsapp", content={"template": template})
    [line] = twilio.log
    assert json.loads(line.form["ContentVariables"]) == {"1": "Ana", "2": "whatsapp"}
    assert "Body" not in line.form


# --- by which channel --------------------------------------------------------------------------


async def test_the_first_channel_that_may_be_used_is_taken_and_never_two(
    gateway: Gateway, twilio: TwilioStandIn
) -> None:
    """A free WhatsApp text goes to those who wrote within a day; who did not is texted, where that is allowed."""
    who = {}
    for number, consent in ((ANA, BOTH), (BEN, BOTH), (CLEO, {"channels": {"whatsapp": "yes"}}), (DIEGO, YES)):
        who[number] = (await gateway.person(f"sms:{number}", f"whatsapp:{number}", consent=consent))["id"]
    await gateway.whatsapp_in("Hello", ANA)
    shown = await gateway.all_sent(await ask(gateway, **ROUTES, content={"body": "By {{ channel }}"}))
    assert said(twilio) == {f"whatsapp:{ANA}": "By whatsapp", BEN: "By sms", DIEGO: "By sms"}
    found = await gateway.deliveries(shown["id"])
    assert (found[who[CLEO]]["status"], found[who[CLEO]]["reason"]) == ("skipped", "window_closed")
    assert shown["counts"]["planned"] == 4


async def test_with_a_template_whatsapp_needs_no_window(gateway: Gateway, twilio: TwilioStandIn) -> None:
    for number in (ANA, BEN):
        await gateway.person(f"sms:{number}", f"whatsapp:{number}", consent=BOTH if number == ANA else YES)
    await gateway.all_sent(await ask(gateway, **ROUTES, content={"body": "Text", "template": {"name": "HX1"}}))
    assert {line.to: (line.body, line.form.get("ContentSid")) for line in twilio.log} == {
        f"whatsapp:{ANA}": ("", "HX1"),
        BEN: ("Text", None),
    }


async def test_without_another_channel_a_closed_window_is_the_reason(gateway: Gateway, twilio: TwilioStandIn) -> None:
    await gateway.person(f"whatsapp:{ANA}", consent=BOTH)
    await gateway.whatsapp_in("Hello", ANA)
    assert (await _whatsapp(gateway))["counts"]["by_status"] == {"accepted": 1}
    gateway.clock.advance(hours=25)
    assert (await _whatsapp(gateway))["counts"]["by_reason"] == {"window_closed": 1}
    # It closes while the broadcast waits for its time.
    await gateway.whatsapp_in("Hello again", ANA)
    later = gateway.clock()
    gateway.clock.advance(hours=-1)
    broadcast = await gateway.broadcast(
        {"all": True}, channel="whatsapp", connection="whatsapp", send_at=later.isoformat()
    )
    gateway.clock.advance(hours=26)
    assert (await gateway.all_sent(broadcast))["counts"]["by_reason"] == {"window_closed": 1}
    assert len(twilio.log) == 1


async def _whatsapp(gateway: Gateway) -> dict[str, Any]:
    return await gateway.sent({"all": True}, channel="whatsapp", connection="whatsapp")
