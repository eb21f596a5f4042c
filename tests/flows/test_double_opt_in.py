"""What waits for a word from the address itself: asked by mail or by text, confirmed on a page or by YES."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from gateway.providers.sandbox import Sandbox
from gateway.settings import Settings
from profiles.records import MOST_CHARACTERS
from tests.flows.forms import WORDS, box, confirm_path, form, outcomes, sandbox, send_in
from tests.flows.running import ANA as ANAS_NUMBER
from tests.flows.running import BEN as BENS_NUMBER
from tests.flows.running import OPTED_IN, SILENCE, Gateway, eventually, said
from tests.standins.twilio import TwilioStandIn, reset

ANA, BEN = "ana@example.org", "ben@example.org"
BY_MAIL = {"channel": "email", "connection": "mail", "content": {"subject": "News", "text": "On sale."}}
NO = {"channels": {"email": "no"}, "by": {"kind": "customer"}}
QUESTION = (
    "Example Theatre: reply YES to get news and offers by text message. Frequency varies. "
    "Msg & data rates may apply. Reply STOP to end."
)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    mail = Sandbox.model_validate({"provider": "sandbox", "channel": "email", "from": "news@example.com"})
    return settings.model_copy(update={"connections": settings.connections | {"mail": mail}})


async def press(gateway: Gateway, path: str, *, status: int = 200) -> None:
    assert (await gateway.ask("POST", path)).status == status


# --- by mail ----------------------------------------------------------------------------------


async def test_nobody_is_made_until_the_link_is_confirmed_and_then_all_that_was_said_is_so(gateway: Gateway) -> None:
    drama, opera = await box(gateway, "Drama"), await box(gateway, "Opera")
    join = await form(gateway, confirm="double", preferences=[drama, opera], tags=["autumn"])
    answers = {drama["id"]: True, opera["id"]: False}
    await send_in(gateway, join, ANA, answers, names={"first_name": "Ana"}, attributes={"town": "Leeds"}, language="de")
    assert await gateway.whose(f"email:{ANA}") == []
    path = await confirm_path(gateway, ANA)
    before = await gateway.everything()
    for _ in range(3):
        assert (await gateway.ask("GET", path)).status == 200
    assert await gateway.everything() == before, "a GET changes nothing"
    for _ in range(2):
        await press(gateway, path)
    [ana] = await gateway.whose(f"email:{ANA}")
    assert (ana["first_name"], ana["locale"]) == ("Ana", "de")
    assert (ana["attributes"], ana["tags"]) == ({"town": "Leeds"}, ["autumn"])
    assert await gateway.verdict(ana["id"], "email", preference="Drama") == "opted_in"
    assert await gateway.verdict(ana["id"], "email", preference="Opera") == "preference_no"
    assert (await gateway.sent({"all": True}, **BY_MAIL))["counts"]["by_status"] == {"accepted": 1}
    lines = await gateway.history(ana["id"])
    assert {(line["source"], line["actor"], line["address"]) for line in lines} == {("confirmation", "customer", ANA)}
    assert len(lines) == 3
    proof = lines[0]["evidence"]
    assert (proof["form_id"], proof["version"], proof["wording"], proof["language"]) == (join, 3, WORDS, "de")
    assert (proof["ip"], proof["confirmed"]["ip"]) == ("192.0.2.7", "127.0.0.1"), "who asked, and who confirmed"


async def test_the_page_says_what_is_confirmed_in_the_words_of_the_form_and_nothing_of_anybody(
    gateway: Gateway,
) -> None:
    drama, opera = await box(gateway, "Drama"), await box(gateway, "Opera")
    join = await form(gateway, confirm="double", preferences=[drama, opera])
    names = {"first_name": "win money http://evil.example", "last_name": "Ruiz"}
    await send_in(gateway, join, ANA, {drama["id"]: True, opera["id"]: False}, names=names, language="ar")
    page = (await gateway.ask("GET", await confirm_path(gateway, ANA))).body.decode()
    listed = re.findall(r'<li dir="auto">(.*?)</li>', page)
    assert listed == ["I like Drama", "I like Opera"]
    assert '<html lang="ar" dir="rtl">' in page
    assert not any(word in page for word in (ANA, "evil", "Ruiz", "win money"))


async def test_a_link_that_was_confirmed_once_promises_nothing_of_what_was_said_since(gateway: Gateway) -> None:
    await send_in(gateway, await form(gateway, confirm="double"), ANA)
    path = await confirm_path(gateway, ANA)
    assert "You will get" in (await gateway.ask("POST", path)).body.decode()
    [ana] = await gateway.whose(f"email:{ANA}")
    gateway.clock.advance(minutes=1)
    await gateway.say(ana["id"], channels={"email": "no"}, by={"kind": "customer"})
    for method in ("GET", "POST"):
        page = (await gateway.ask(method, path)).body.decode()
        assert ("You confirmed it." in page, "You will get" in page) == (True, False)
    assert await gateway.verdict(ana["id"], "email") == "opted_out_channel"


async def test_the_page_and_the_mail_name_every_yes_that_is_taken_and_none_besides(gateway: Gateway) -> None:
    drama, partner = await box(gateway, "Drama"), await box(gateway, "Partner", text="Give my data to the museum")
    join = await form(gateway, confirm="double", preferences=[drama, partner | {"selected": True}])
    given = {"answers": {drama["id"]: True, partner["id"]: True}, "untouched": (partner["id"],)}
    for address, counts in ((ANA, False), (BEN, True)):
        await gateway.restart(forms=gateway.settings.forms.model_copy(update={"preselected_counts": counts}))
        await send_in(gateway, join, address, **given)
        path = await confirm_path(gateway, address)
        for shown in ((await gateway.ask("GET", path)).body.decode(), (await sandbox(gateway, address))[-1]["body"]):
            assert ("I like Drama" in shown, partner["text"] in shown) == (True, counts)
        await press(gateway, path)
        [person] = await gateway.whose(f"email:{address}")
        assert ("Partner" in person["consent"]["preferences"]) == counts


async def test_no_word_of_whoever_sent_the_form_in_stands_in_the_question(gateway: Gateway) -> None:
    """F6."""
    evil = "win money http://evil.example"
    drama = await box(gateway, "Drama")
    join = await form(gateway, confirm="double", preferences=[drama])
    more = {"names": {"first_name": evil}, "attributes": {"town": evil}, "evidence": {"page": evil, "user_agent": evil}}
    await send_in(gateway, join, ANA, {drama["id"]: True}, **more)
    [question] = await sandbox(gateway, ANA)
    assert "Example Theatre" in question["body"]
    assert "I like Drama" in question["body"]
    [kept] = await gateway.rows("deliveries")
    assert kept["content"]["subject"] == "Please confirm: Example Theatre"
    assert "evil" not in str(kept["content"])
    assert "win money" not in question["body"]


async def test_a_question_is_good_for_a_week_and_is_asked_again_after_it(gateway: Gateway) -> None:
    join = await form(gateway, confirm="double")
    await send_in(gateway, join, ANA)
    first = await confirm_path(gateway, ANA)
    await send_in(gateway, join, ANA)
    gateway.clock.advance(days=8)
    for method in ("GET", "POST"):
        assert (await gateway.ask(method, first)).status == 410
    await send_in(gateway, join, ANA)
    assert await outcomes(gateway) == ["asked", "asked_before", "asked"]
    await press(gateway, await confirm_path(gateway, ANA, 2))
    [ana] = await gateway.whose(f"email:{ANA}")
    assert await gateway.verdict(ana["id"], "email") == "opted_in"


@pytest.mark.parametrize("kind", ["known", "left behind"])
async def test_who_has_said_no_is_asked_once_in_30_days_whatever_they_do(gateway: Gateway, kind: str) -> None:
    """F4; a no that is said again opens no new turn."""
    join = await form(gateway, confirm="double")
    ana = await gateway.person(f"email:{ANA}")
    await gateway.say(ana["id"], **NO)
    if kind == "left behind":
        await gateway.api("DELETE", f"/v1/profiles/{ana['id']}")
    for day in range(31):
        await send_in(gateway, join, f"Ana+{day}@example.org" if day % 3 == 1 else ANA)
        if day == 1 and kind == "known":
            await gateway.say(ana["id"], **NO)
        gateway.clock.advance(days=1)
    await send_in(gateway, join, ANA)
    found = await outcomes(gateway)
    assert (found[0], found[30], found.count("asked")) == ("asked", "asked", 2)
    if kind == "known":
        assert await gateway.verdict(ana["id"], "email") == "opted_out_channel"


async def test_gmail_is_one_mailbox_by_either_of_its_names(gateway: Gateway) -> None:
    join = await form(gateway, confirm="double")
    for address in ("victim@gmail.com", "vic.tim@googlemail.com"):
        await send_in(gateway, join, address)
    assert await outcomes(gateway) == ["asked", "asked_before"]
    ana = await gateway.person("email:ana@googlemail.com")
    await gateway.say(ana["id"], **NO)
    await send_in(gateway, await form(gateway, confirm="none"), "ana@gmail.com")
    assert await gateway.whose("email:ana@gmail.com") == [], "it is asked, for its owner has said no"
    [asked] = [one for one in await gateway.rows("confirmations") if one["at_no"]]
    assert asked["confirmed_at"] is None


async def test_who_was_asked_as_somebody_new_and_said_no_since_may_be_asked_again(gateway: Gateway) -> None:
    join = await form(gateway, confirm="double")
    await send_in(gateway, join, ANA)
    await press(gateway, await confirm_path(gateway, ANA))
    [ana] = await gateway.whose(f"email:{ANA}")
    gateway.clock.advance(days=3)
    await gateway.say(ana["id"], **NO)
    gateway.clock.advance(days=1)
    await send_in(gateway, join, ANA)
    assert await gateway.verdict(ana["id"], "email") == "opted_out_channel"
    await press(gateway, await confirm_path(gateway, ANA, 2))
    assert await gateway.verdict(ana["id"], "email") == "opted_in"


@pytest.mark.parametrize(
    "no", [{"channels": {"email": "no"}}, {"everything": "no"}, {"addresses": {f"email:{ANA}": "no"}}]
)
async def test_whoever_has_said_no_in_whichever_way_is_back_once_they_confirm(
    gateway: Gateway, no: dict[str, Any]
) -> None:
    join = await form(gateway)
    ana = await gateway.person(f"email:{ANA}")
    await gateway.say(ana["id"], **no, by={"kind": "customer"})
    await send_in(gateway, join, ANA)
    assert (await gateway.verdict(ana["id"], "email")).startswith("opted_out")
    await press(gateway, await confirm_path(gateway, ANA))
    assert await gateway.verdict(ana["id"], "email") == "opted_in"


async def test_a_no_that_was_left_at_an_address_is_lifted_by_its_owner(gateway: Gateway) -> None:
    join = await form(gateway)
    gone = await gateway.person(f"email:{ANA}", consent={"channels": {"email": "no"}})
    await gateway.api("DELETE", f"/v1/profiles/{gone['id']}")
    await send_in(gateway, join, ANA)
    assert await gateway.whose(f"email:{ANA}") == []
    await press(gateway, await confirm_path(gateway, ANA))
    [ana] = await gateway.whose(f"email:{ANA}")
    assert await gateway.verdict(ana["id"], "email") == "opted_in"


async def test_a_no_since_takes_a_question_to_nobody_back(gateway: Gateway) -> None:
    join = await form(gateway, confirm="double")
    await send_in(gateway, join, ANA)
    path = await confirm_path(gateway, ANA)
    [address] = await gateway.rows("addresses")
    link = gateway.house.links(address["id"], "email")
    await press(gateway, link[link.index("/unsubscribe") :])
    await press(gateway, path, status=410)
    assert await gateway.whose(f"email:{ANA}") == []


async def test_a_no_at_an_address_that_nobody_has_takes_its_question_back_for_good(gateway: Gateway) -> None:
    drama = await box(gateway, "Drama")
    await send_in(gateway, await form(gateway, confirm="double", preferences=[drama]), ANA, {drama["id"]: True})
    first = await confirm_path(gateway, ANA)
    [address] = await gateway.rows("addresses")
    link = gateway.house.links(address["id"], "email")
    await press(gateway, link[link.index("/unsubscribe") :])
    gateway.clock.advance(days=1, minutes=1)
    await send_in(gateway, await form(gateway, confirm="double"), ANA)
    await press(gateway, await confirm_path(gateway, ANA, 2))
    [ana] = await gateway.whose(f"email:{ANA}")
    assert await gateway.verdict(ana["id"], "email") == "opted_in"
    await press(gateway, first, status=410)
    assert await gateway.verdict(ana["id"], "email", preference="Drama") == "preference_not_asked"


async def test_a_no_of_somebody_who_is_gone_takes_a_question_back(gateway: Gateway) -> None:
    drama = await box(gateway, "Drama")
    ana = await gateway.person(f"email:{ANA}", consent={"channels": {"email": "yes"}})
    ben = await gateway.person(f"email:{ANA}", consent={"channels": {"email": "yes"}})
    join = await form(gateway, confirm="double", preferences=[drama])
    await send_in(gateway, join, ANA, {drama["id"]: True})
    path = await confirm_path(gateway, ANA)
    gateway.clock.advance(minutes=1)
    await gateway.say(ben["id"], **NO)
    await gateway.api("DELETE", f"/v1/profiles/{ben['id']}", status=204)
    await press(gateway, path, status=410)
    assert await gateway.verdict(ana["id"], "email") == "opted_out_address"


async def test_a_no_since_takes_a_question_back_for_good_whatever_is_said_after_it(gateway: Gateway) -> None:
    drama = await box(gateway, "Drama")
    ana = await gateway.person(f"email:{ANA}", consent={"channels": {"email": "yes"}})
    join = await form(gateway, confirm="double", preferences=[drama])
    await send_in(gateway, join, ANA, {drama["id"]: True})
    path = await confirm_path(gateway, ANA)
    gateway.clock.advance(minutes=1)
    await gateway.say(ana["id"], everything="no", by={"kind": "customer"})
    gateway.clock.advance(minutes=1)
    again = {"obtained_at": gateway.clock().isoformat(), "how": "at the desk"}
    await gateway.say(ana["id"], everything="yes", by={"kind": "customer"}, evidence=again)
    for method in ("GET", "POST"):
        assert (await gateway.ask(method, path)).status == 410
    assert await gateway.verdict(ana["id"], "email", preference="Drama") == "preference_not_asked"


async def test_a_no_to_the_channel_of_a_linked_preference_takes_its_question_back(gateway: Gateway) -> None:
    drama = await box(gateway, "Drama", linked_channel="voice")
    join = await form(gateway, confirm="double", preferences=[drama])
    yes = {"channels": {"voice": "yes"}, "by": {"kind": "customer"}}
    ana = await gateway.person(f"email:{ANA}", f"voice:{ANAS_NUMBER}", consent=yes)
    await send_in(gateway, join, ANA, {drama["id"]: True})
    path = await confirm_path(gateway, ANA)
    gateway.clock.advance(hours=1)
    await gateway.say(ana["id"], channels={"voice": "no"}, by={"kind": "customer"})
    await press(gateway, path, status=410)
    assert await gateway.verdict(ana["id"], "voice") == "opted_out_channel"


async def test_a_strangers_request_downgrades_nobody(gateway: Gateway) -> None:
    drama = await box(gateway, "Drama")
    join = await form(gateway, preferences=[drama])
    evidence = {"how": "at the desk", "obtained_at": "2026-01-01T00:00:00Z"}
    ana = await gateway.person(f"email:{ANA}", first_name="Ana", locale="en", tags=["vip"])
    await gateway.say(ana["id"], channels={"email": "yes"}, preferences={"Drama": "yes"}, evidence=evidence)
    before = await gateway.profile(ana["id"])
    await send_in(gateway, join, ANA, {drama["id"]: False}, names={"first_name": "Eve"}, language="fr")
    assert await gateway.profile(ana["id"]) == before
    assert len(await gateway.history(ana["id"])) == 2
    path = await confirm_path(gateway, ANA)
    page = (await gateway.ask("GET", path)).body.decode()
    assert "I like Drama" in page, "what they would say no to"
    await press(gateway, path)
    after = await gateway.profile(ana["id"])
    assert (after["first_name"], after["locale"], after["tags"]) == ("Eve", "en", ["vip"])
    assert await gateway.verdict(ana["id"], "email", preference="Drama") == "preference_no"


async def test_of_a_household_each_gets_what_was_confirmed_and_keeps_their_name(gateway: Gateway) -> None:
    join = await form(gateway, confirm="double", tags=["autumn"])
    ana = await gateway.person(f"email:{ANA}", first_name="Ana")
    ben = await gateway.person(f"email:{ANA}", first_name="Ben")
    await send_in(gateway, join, ANA, names={"first_name": "Cleo"})
    await press(gateway, await confirm_path(gateway, ANA))
    for person, name in ((ana, "Ana"), (ben, "Ben")):
        found = await gateway.profile(person["id"])
        assert (found["first_name"], found["tags"]) == (name, ["autumn"])
        assert await gateway.verdict(person["id"], "email") == "opted_in"


async def test_an_attribute_that_finds_no_room_keeps_no_answer_from_being_kept(gateway: Gateway) -> None:
    ana = await gateway.person(f"email:{ANA}", attributes={"notes": "x" * (MOST_CHARACTERS - 20)})
    join = await form(gateway, confirm="double")
    await send_in(gateway, join, ANA, names={"first_name": "Ana"}, attributes={"town": "Leeds"})
    await press(gateway, await confirm_path(gateway, ANA))
    assert await gateway.verdict(ana["id"], "email") == "opted_in"
    found = await gateway.profile(ana["id"])
    assert (found["first_name"], found["attributes"].keys()) == ("Ana", {"notes"})


async def test_one_confirms_twice_at_once_and_it_is_done_once(gateway: Gateway) -> None:
    join = await form(gateway, confirm="double")
    await send_in(gateway, join, ANA)
    path = await confirm_path(gateway, ANA)
    got = await asyncio.gather(*(gateway.ask("POST", path) for _ in range(8)))
    assert {(one.status, len(one.body)) for one in got} == {(200, len(got[0].body))}
    [ana] = await gateway.whose(f"email:{ANA}")
    assert len(await gateway.history(ana["id"])) == 1


async def test_a_question_to_an_address_that_bounces_is_not_sent_again(gateway: Gateway) -> None:
    join = await form(gateway, confirm="double")
    await send_in(gateway, join, ANA)
    await sandbox(gateway, ANA)
    [attempt] = await gateway.rows("attempts")
    assert (attempt["profile_id"], attempt["class"]) == (None, "service")
    shown = (await gateway.api("GET", "/v1/messages"))["items"]
    assert [(one["profile_id"], one["to"], one["class"]) for one in shown] == [(None, ANA, "service")]


async def test_of_a_proved_mail_and_a_form_one_question_is_asked_in_a_day(gateway: Gateway) -> None:
    rule = {"channel": "email", "keyword": "JOIN", "match": "exact", "action": "opt_in", "subject": {"kind": "channel"}}
    await gateway.api("POST", "/v1/rules", status=201, json=rule)
    join = await form(gateway, confirm="double")
    await send_in(gateway, join, ANA)
    await gateway.sandbox_in("JOIN", "ana+mail@example.org", connection="mail")
    assert len(await gateway.rows("confirmations")) == 1
    await gateway.sandbox_in("JOIN", BEN, connection="mail")
    assert "news and offers by e-mail" in (await sandbox(gateway, BEN))[0]["body"]


# --- by text ----------------------------------------------------------------------------------


async def asked_by_text(gateway: Gateway, twilio: TwilioStandIn, number: str = ANAS_NUMBER, **more: Any) -> str:
    """A form for text messages is sent in with a number; returns the question that it was sent."""
    join = await form(gateway, "sms", confirm="double", **more)
    await send_in(gateway, join, number)
    await eventually(lambda: _accepted(twilio, number))
    [question] = await gateway.rows("deliveries")
    return str(question["content"]["body"])


async def _accepted(twilio: TwilioStandIn, number: str) -> int:
    return twilio.accepted_to(number)


@pytest.mark.parametrize("word", ["YES", "Yes!", " yes please", "Oui", "SI", "¡Sí!", "Ja", "sim", "نعم", "Y"])
async def test_a_yes_to_the_very_question_opts_in(gateway: Gateway, twilio: TwilioStandIn, word: str) -> None:
    drama = await box(gateway, "Drama")
    join = await form(gateway, "sms", confirm="double", preferences=[drama], tags=["autumn"])
    await send_in(gateway, join, ANAS_NUMBER, {drama["id"]: True}, names={"first_name": "Ana"}, language="fr")
    await eventually(lambda: _accepted(twilio, ANAS_NUMBER))
    assert await gateway.whose(f"sms:{ANAS_NUMBER}") == []
    assert (await gateway.text_in(word, ANAS_NUMBER)).body == said(OPTED_IN)
    [ana] = await gateway.whose(f"sms:{ANAS_NUMBER}")
    assert (ana["first_name"], ana["locale"], ana["tags"]) == ("Ana", "fr", ["autumn"])
    assert await gateway.verdict(ana["id"], "sms", preference="Drama") == "opted_in"
    lines = await gateway.history(ana["id"])
    assert {line["source"] for line in lines} == {"confirmation"}
    [message] = await gateway.rows("messages")
    proof = lines[0]["evidence"]
    assert (proof["form_id"], proof["version"]) == (join, 3)
    assert proof["question"] == twilio.log[0].body, "what the YES answers"
    assert (proof["confirmed"]["message_id"], proof["confirmed"]["text"]) == (message["id"], word)
    assert message["change_id"] == lines[0]["change_id"]
    assert (await gateway.sent({"all": True}))["counts"]["by_status"] == {"accepted": 1}


@pytest.mark.parametrize("before", ["no", "not_asked"])
async def test_a_yes_by_text_opens_no_other_channel_by_a_link(
    gateway: Gateway, twilio: TwilioStandIn, before: str
) -> None:
    """The question speaks of text messages, and a stranger may have ticked the box."""
    drama = await box(gateway, "Drama", linked_channel="email")
    texted = await box(gateway, "Opera", linked_channel="sms")
    consent = {"channels": {"email": before}, "by": {"kind": "customer"}}
    ana = await gateway.person(f"sms:{ANAS_NUMBER}", f"email:{ANA}", consent=consent)
    join = await form(gateway, "sms", confirm="double", preferences=[drama, texted])
    gateway.clock.advance(hours=1)
    await send_in(gateway, join, ANAS_NUMBER, {drama["id"]: True, texted["id"]: True})
    await eventually(lambda: _accepted(twilio, ANAS_NUMBER))
    assert (await gateway.text_in("YES", ANAS_NUMBER)).body == said(OPTED_IN)
    assert await gateway.verdict(ana["id"], "sms", preference="Opera") == "opted_in"
    email = (await gateway.profile(ana["id"]))["consent"]["channels"]["email"]
    assert email["state"] == before


async def test_an_address_that_was_typed_opens_no_other_channel_by_a_link(gateway: Gateway) -> None:
    """Whoever typed the mailbox has proved nothing of the number that its owner has too."""
    drama = await box(gateway, "Drama", linked_channel="sms")
    ana = await gateway.person(f"email:{ANA}", f"sms:{ANAS_NUMBER}")
    join = await form(gateway, "email", confirm="none", preferences=[drama])
    await send_in(gateway, join, ANA, {drama["id"]: True})
    consent = (await gateway.profile(ana["id"]))["consent"]
    assert consent["preferences"]["Drama"]["state"] == "yes"
    assert consent["channels"]["email"]["state"] == "yes"
    assert consent["channels"]["sms"]["state"] == "not_asked"
    assert await gateway.verdict(ana["id"], "sms", preference="Drama") == "not_opted_in"


async def test_the_question_by_text_names_us_the_rates_and_the_way_out(gateway: Gateway, twilio: TwilioStandIn) -> None:
    assert await asked_by_text(gateway, twilio) == QUESTION
    assert len(QUESTION) <= 160


async def test_a_yes_by_text_sets_the_preferences_that_the_question_named_and_no_other(
    gateway: Gateway, twilio: TwilioStandIn
) -> None:
    drama, opera = await box(gateway, "Drama"), await box(gateway, "Opera")
    long = await box(gateway, "All", text="everything " * 90)
    join = await form(gateway, "sms", confirm="double", preferences=[drama, long, opera])
    answers = {drama["id"]: True, long["id"]: True, opera["id"]: True}
    await send_in(gateway, join, ANAS_NUMBER, answers)
    await eventually(lambda: _accepted(twilio, ANAS_NUMBER))
    assert " by text message (I like Drama; I like Opera). " in twilio.log[-1].body
    await gateway.text_in("YES", ANAS_NUMBER)
    [ana] = await gateway.whose(f"sms:{ANAS_NUMBER}")
    said = {name: one["state"] for name, one in (await gateway.profile(ana["id"]))["consent"]["preferences"].items()}
    assert said == {"Drama": "yes", "Opera": "yes"}


@pytest.mark.parametrize("known", ["before", "between"])
async def test_a_yes_by_text_takes_no_answer_back_that_the_question_does_not_name(
    gateway: Gateway, twilio: TwilioStandIn, known: str
) -> None:
    drama = await box(gateway, "Drama")
    ana = await gateway.person(f"sms:{ANAS_NUMBER}")
    if known == "before":
        await gateway.say(ana["id"], preferences={"Drama": "yes"})
    await send_in(
        gateway, await form(gateway, "sms", confirm="double", preferences=[drama]), ANAS_NUMBER, {drama["id"]: False}
    )
    await eventually(lambda: _accepted(twilio, ANAS_NUMBER))
    if known == "between":
        await gateway.say(ana["id"], preferences={"Drama": "yes"})
    await gateway.text_in("YES", ANAS_NUMBER)
    consent = (await gateway.profile(ana["id"]))["consent"]
    assert (consent["channels"]["sms"]["state"], consent["preferences"]["Drama"]["state"]) == ("yes", "yes")


async def test_a_yes_by_text_fills_in_what_is_not_known_and_changes_nothing_that_is(
    gateway: Gateway, twilio: TwilioStandIn
) -> None:
    """Whoever says YES was not shown what somebody had typed."""
    await gateway.person(f"sms:{ANAS_NUMBER}", first_name="Ana", attributes={"town": "Leeds"})
    join = await form(gateway, "sms", confirm="double")
    typed = {"names": {"first_name": "Idiot", "last_name": "Ruiz"}, "attributes": {"town": "Hull", "seat": "A1"}}
    await send_in(gateway, join, ANAS_NUMBER, **typed)
    await eventually(lambda: _accepted(twilio, ANAS_NUMBER))
    assert (await gateway.text_in("YES", ANAS_NUMBER)).body == said(OPTED_IN)
    [ana] = await gateway.whose(f"sms:{ANAS_NUMBER}")
    assert (ana["first_name"], ana["last_name"]) == ("Ana", "Ruiz")
    assert ana["attributes"] == {"town": "Leeds", "seat": "A1"}


async def test_a_question_in_doubt_is_settled_though_nobody_has_the_address(
    gateway: Gateway, twilio: TwilioStandIn
) -> None:
    """The provider took it, and its answer was lost."""
    twilio.default = reset(accept=True)
    await send_in(gateway, await form(gateway, "sms", confirm="double"), ANAS_NUMBER)

    async def states() -> list[str]:
        return [one["state"] for one in await gateway.rows("attempts")]

    async def is_in_doubt() -> bool:
        return await states() == ["in_doubt"]

    async def is_settled() -> bool:
        return await states() == ["accepted"]

    await eventually(is_in_doubt)
    await eventually(is_settled, seconds=30)
    assert twilio.accepted_to(ANAS_NUMBER) == 1


async def test_without_a_question_yes_is_an_ordinary_message(gateway: Gateway, twilio: TwilioStandIn) -> None:
    """I9: it opts nobody in, and neither does a second one, nor a stranger's."""
    assert (await gateway.text_in("YES", BENS_NUMBER)).body == SILENCE
    await asked_by_text(gateway, twilio)
    assert (await gateway.text_in("YES", BENS_NUMBER)).body == SILENCE
    [ben] = await gateway.whose(f"sms:{BENS_NUMBER}")
    assert await gateway.verdict(ben["id"], "sms") == "not_opted_in"
    assert (await gateway.text_in("YES", ANAS_NUMBER)).body == said(OPTED_IN)
    assert (await gateway.text_in("YES", ANAS_NUMBER)).body == SILENCE
    [ana] = await gateway.whose(f"sms:{ANAS_NUMBER}")
    assert len(await gateway.history(ana["id"])) == 1


async def test_a_stop_takes_a_question_back_for_good(gateway: Gateway, twilio: TwilioStandIn) -> None:
    drama = await box(gateway, "Drama")
    join = await form(gateway, "sms", confirm="double", preferences=[drama])
    await send_in(gateway, join, ANAS_NUMBER, {drama["id"]: True})
    await eventually(lambda: _accepted(twilio, ANAS_NUMBER))
    for word in ("STOP", "START"):
        gateway.clock.advance(minutes=1)
        await gateway.text_in(word, ANAS_NUMBER)
    gateway.clock.advance(minutes=1)
    assert (await gateway.text_in("YES", ANAS_NUMBER)).body == SILENCE
    [ana] = await gateway.whose(f"sms:{ANAS_NUMBER}")
    assert await gateway.verdict(ana["id"], "sms", preference="Drama") == "preference_not_asked"


@pytest.mark.parametrize("word", ["yes but not now", "yesterday", "no", "yes stop", "YES 2"])
async def test_what_says_more_than_yes_is_no_answer(gateway: Gateway, twilio: TwilioStandIn, word: str) -> None:
    await asked_by_text(gateway, twilio)
    await gateway.text_in(word, ANAS_NUMBER)
    [ana] = await gateway.whose(f"sms:{ANAS_NUMBER}")
    assert await gateway.verdict(ana["id"], "sms") != "opted_in"


async def test_a_question_by_text_is_good_for_a_week(gateway: Gateway, twilio: TwilioStandIn) -> None:
    await asked_by_text(gateway, twilio)
    gateway.clock.advance(days=8)
    assert (await gateway.text_in("YES", ANAS_NUMBER)).body == SILENCE
    [ana] = await gateway.whose(f"sms:{ANAS_NUMBER}")
    assert await gateway.verdict(ana["id"], "sms") == "not_opted_in"


@pytest.mark.parametrize("at_once", [True, False])
async def test_stop_takes_the_question_back(gateway: Gateway, twilio: TwilioStandIn, at_once: bool) -> None:
    await asked_by_text(gateway, twilio)
    if at_once:
        await asyncio.gather(gateway.text_in("STOP", ANAS_NUMBER), gateway.text_in("YES", ANAS_NUMBER))
    else:
        await gateway.text_in("STOP", ANAS_NUMBER)
        assert (await gateway.text_in("YES", ANAS_NUMBER)).body == SILENCE
    [ana] = await gateway.whose(f"sms:{ANAS_NUMBER}")
    assert (await gateway.verdict(ana["id"], "sms")).startswith("opted_out")


async def test_a_yes_that_comes_again_gets_the_same_answer_and_changes_nothing(
    gateway: Gateway, twilio: TwilioStandIn
) -> None:
    await asked_by_text(gateway, twilio)
    text = gateway.form("YES", ANAS_NUMBER)
    first = await gateway.post(text)
    before = await gateway.everything()
    assert (await gateway.post(text)).body == first.body == said(OPTED_IN)
    assert await gateway.everything() == before


async def test_nobody_who_has_said_no_is_asked_by_text(gateway: Gateway, twilio: TwilioStandIn) -> None:
    await gateway.text_in("STOP", ANAS_NUMBER)
    join = await form(gateway, "sms", confirm="double")
    await send_in(gateway, join, ANAS_NUMBER)
    assert await outcomes(gateway) == ["nothing"]
    assert await gateway.rows("confirmations") == []
    await gateway.text_in("YES", ANAS_NUMBER)
    [ana] = await gateway.whose(f"sms:{ANAS_NUMBER}")
    assert await gateway.verdict(ana["id"], "sms") == "opted_out_channel"
    assert twilio.accepted_to(ANAS_NUMBER) == 0, "the reply to STOP went with its answer"


async def test_a_question_by_text_takes_the_place_of_the_one_before(gateway: Gateway, twilio: TwilioStandIn) -> None:
    drama, opera = await box(gateway, "Drama"), await box(gateway, "Opera")
    await send_in(
        gateway, await form(gateway, "sms", confirm="double", preferences=[drama]), ANAS_NUMBER, {drama["id"]: True}
    )
    gateway.clock.advance(days=2)
    await send_in(
        gateway, await form(gateway, "sms", confirm="double", preferences=[opera]), ANAS_NUMBER, {opera["id"]: True}
    )
    assert await outcomes(gateway) == ["asked", "asked"]
    await eventually(lambda: _accepted(twilio, ANAS_NUMBER))
    await gateway.text_in("YES", ANAS_NUMBER)
    await gateway.text_in("YES", ANAS_NUMBER)
    [ana] = await gateway.whose(f"sms:{ANAS_NUMBER}")
    assert await gateway.verdict(ana["id"], "sms", preference="Opera") == "opted_in"
    assert await gateway.verdict(ana["id"], "sms", preference="Drama") == "preference_not_asked"


async def test_a_rule_that_knows_the_word_comes_first(gateway: Gateway, twilio: TwilioStandIn) -> None:
    rule = {"channel": "sms", "keyword": "YES", "match": "exact", "action": "opt_out", "subject": {"kind": "channel"}}
    await asked_by_text(gateway, twilio)
    await gateway.api("POST", "/v1/rules", status=201, json=rule)
    await gateway.text_in("YES", ANAS_NUMBER)
    [ana] = await gateway.whose(f"sms:{ANAS_NUMBER}")
    assert await gateway.verdict(ana["id"], "sms") == "opted_out_channel"


async def test_a_yes_settles_what_read_like_a_no_before_it(gateway: Gateway, twilio: TwilioStandIn) -> None:
    await gateway.text_in("please don't text me", ANAS_NUMBER)
    [ana] = await gateway.whose(f"sms:{ANAS_NUMBER}")
    assert await gateway.verdict(ana["id"], "sms") == "under_review"
    await asked_by_text(gateway, twilio)
    await gateway.text_in("YES", ANAS_NUMBER)
    assert await gateway.verdict(ana["id"], "sms") == "opted_in"
