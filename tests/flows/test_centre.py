"""A person's own page: what it shows, what a save comes to, and that a link that went astray does no harm."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any
from urllib.parse import urlencode

import pytest

from consent.states import CHANNELS
from content.languages import language
from forms import link_requests
from gateway.settings import Forms, Settings
from tests.flows import centre
from tests.flows.centre import BOX, FORM, Centre, link, link_in, mail, mails, own, person, states, with_mail
from tests.flows.posting import behind_a_proxy, refused
from tests.flows.running import ANA, BEN, OURS, SILENCE, Gateway, eventually
from tests.flows.test_intake import statements

DRAMA, OPERA = "I would like to hear about new drama", "I would like to hear about opera"
SAFE = "ana.safe@example.net"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return behind_a_proxy(with_mail(settings))


async def preference(gateway: Gateway, name: str = "Drama", text: str = DRAMA, **more: Any) -> dict[str, Any]:
    return dict(await gateway.api("POST", "/v1/preferences", status=201, json={"name": name, "text": text, **more}))


# --- saved by a fresh link --------------------------------------------------------------------


async def test_every_box_that_was_shown_is_answered_with_its_wording_as_the_evidence(gateway: Gateway) -> None:
    await preference(gateway)
    await preference(gateway, "Opera", OPERA)
    ana = await person(gateway)
    page = await own(gateway, ana)
    await page.open()
    assert page.ticked == set()
    assert "Saved." in await page.save(tick=("by e-mail", "drama"))
    assert page.ticked == {"channel:email", page.key("drama")}
    assert await states(gateway, ana) == {"email": "yes", "sms": "no", "Drama": "yes", "Opera": "no"}
    lines = await gateway.history(ana["id"])
    assert len({line["change_id"] for line in lines}) == 1
    for line in lines:
        assert (line["source"], line["actor"], line["address"]) == ("preference_centre", "customer", BOX)
        seen = line["evidence"]
        assert {"text": DRAMA, "ticked": True, "new": True} in seen["wording"]
        assert {"text": OPERA, "ticked": False, "new": True} in seen["wording"]
        assert (seen["language"], seen["link"], seen["ip"]) == ("en", "asked", "127.0.0.1")
        assert seen["user_agent"].startswith("Python/")
    assert await gateway.verdict(ana["id"], "email", preference="Drama") == "opted_in"
    assert await gateway.verdict(ana["id"], "email", preference="Opera") == "preference_no"
    assert await gateway.verdict(ana["id"], "sms") == "opted_out_channel"
    shown = await gateway.sent({"profiles": [ana["id"]]}, channel="email", connection="mail", preference="Drama",
                               content={"subject": "On sale", "text": "On sale."})  # fmt: skip
    assert shown["counts"]["by_status"] == {"accepted": 1}


async def test_what_was_never_asked_is_unticked_and_marked_new(gateway: Gateway) -> None:
    await preference(gateway, selected_by_default=True)
    await preference(gateway, "Opera", OPERA)
    ana = await person(gateway, consent={"preferences": {"Opera": "no"}, "channels": {"email": "yes"}})
    page = await own(gateway, ana)
    await page.open()
    assert page.boxes.keys() == {
        f"News and offers by e-mail on {centre.MASKED}",
        "News and offers by text message new +1 ••• ••• •123",
        f"{DRAMA} new",
        f"{OPERA} off",
    }
    assert page.ticked == {"channel:email"}


async def test_preferences_stand_in_their_groups_and_some_only_where_the_page_is_about_them(gateway: Gateway) -> None:
    for headline in ("Stage", "Giving"):
        await gateway.api("POST", "/v1/preference-groups", json={"headline": headline, "text": f"All on {headline}"})
    await preference(gateway, group="Stage")
    await preference(gateway, "Gifts", "Tell me of campaigns", group="Giving", contexts=["donation"])
    await preference(gateway, "Museum", "The Museum may write to me", partner="Museum")
    await preference(gateway, "Old", "Long gone", active=False)
    await gateway.api("PUT", "/v1/preference-groups/order", json={"ids": await _groups(gateway, "Giving", "Stage")})
    ana = await person(gateway)
    page = await own(gateway, ana)
    plain = await page.open()
    assert ("Stage" in plain, "Giving" in plain, "Museum" in plain, "Long gone" in plain) == (True, False, False, False)
    about = await page.open("?context=donation&context=partner:Museum")
    assert about.index("All on Giving") < about.index("Tell me of campaigns") < about.index(DRAMA)
    assert "The Museum may write to me" in about
    page.path += "?context=donation"
    await page.open()
    await page.save(tick=("campaigns",))
    page.path = page.path.partition("?")[0]
    assert "Tell me of campaigns" in await page.open(), "it was answered"
    assert (await states(gateway, ana))["Gifts"] == "yes"


async def _groups(gateway: Gateway, *headlines: str) -> list[str]:
    found = {one["headline"]: one["id"] for one in (await gateway.api("GET", "/v1/preference-groups"))["items"]}
    return [*(found.pop(name) for name in headlines), *found.values()]


async def test_a_linked_preference_goes_with_its_channel_and_opens_none_whose_box_was_left_unticked(
    gateway: Gateway,
) -> None:
    await preference(gateway, linked_channel="email")
    ana = await person(gateway, consent={"channels": {"email": "no"}, "by": {"kind": "customer"}})
    page = await own(gateway, ana)
    await page.open()
    await page.save(tick=("drama",))
    assert await states(gateway, ana) == {"email": "no", "sms": "no", "Drama": "yes"}
    await page.save(tick=("by e-mail",))
    assert await states(gateway, ana) == {"email": "yes", "sms": "no", "Drama": "yes"}
    await page.save(untick=("by e-mail",))
    assert await states(gateway, ana) == {"email": "no", "sms": "no", "Drama": "no"}
    via = {line["subject"].get("name"): line["via"] for line in (await gateway.history(ana["id"]))[:3]}
    assert via["Drama"] == "link", "so that START, and a later yes, bring it back"
    await page.save(tick=("by e-mail",))
    assert await states(gateway, ana) == {"email": "yes", "sms": "no", "Drama": "no"}, "unticked is no"


async def test_each_address_of_several_has_its_own_box(gateway: Gateway) -> None:
    ana = await gateway.person(f"email:{BOX}", "email:work@example.net", consent={"channels": {"email": "yes"}})
    page = await own(gateway, ana)
    await page.open()
    assert len(page.boxes) == 3
    await page.save(untick=("w•••@e•••.net",))
    assert await states(gateway, ana) == {"email": "yes", "email:work@example.net": "no"}
    assert await gateway.verdict(ana["id"], "email", address="work@example.net") == "opted_out_address"
    assert await gateway.verdict(ana["id"], "email", address=BOX) == "opted_in"
    await page.save(tick=("w•••@e•••.net",))
    assert await gateway.verdict(ana["id"], "email", address="work@example.net") == "opted_out_address"
    await gateway.send("POST", link_in(await mail(gateway, address="work@example.net"), "confirm"))
    assert await gateway.verdict(ana["id"], "email", address="work@example.net") == "opted_in"


@pytest.mark.parametrize("is_off", [True, False])
async def test_an_address_that_was_left_unticked_stays_at_no_though_its_channel_is_confirmed_from_there(
    gateway: Gateway, is_off: bool
) -> None:
    other = "work@example.net"
    ana = await gateway.person(f"email:{BOX}", f"email:{other}")
    if is_off:
        await gateway.say(ana["id"], addresses={f"email:{BOX}": "no"}, by={"kind": "customer"})
    page = await own(gateway, ana, "message")
    await page.open()
    keys = [f"address:{await centre.id_of(gateway, other)}", "channel:email"]
    await page.press([*page.fields(), *(("yes", key) for key in keys)])
    await gateway.send("POST", link_in(await mail(gateway), "confirm"))
    assert await states(gateway, ana) == {"email": "yes", f"email:{BOX}": "no"}
    assert await gateway.verdict(ana["id"], "email", address=other) == "opted_in"
    assert await gateway.verdict(ana["id"], "email", address=BOX) == "opted_out_address"


@pytest.mark.parametrize("way", ["asked", "message"])
async def test_an_address_that_was_left_unticked_stays_at_no_also_where_the_other_one_is_gone_by_then(
    gateway: Gateway, way: Any
) -> None:
    ana = await gateway.person(f"email:{BOX}", "email:work@example.net")
    await gateway.say(ana["id"], addresses={f"email:{BOX}": "no"}, by={"kind": "customer"})
    page = await own(gateway, ana, way)
    await page.open()
    only = [{"channel": "email", "value": BOX}]
    await gateway.api("PATCH", f"/v1/profiles/{ana['id']}", json={"addresses": only})
    await page.press([*page.fields(), ("yes", "channel:email")])
    if way == "message":
        await gateway.send("POST", link_in(await mail(gateway), "confirm"))
    assert await states(gateway, ana) == {"email": "yes", f"email:{BOX}": "no"}


@pytest.mark.parametrize("way", ["asked", "message"])
async def test_an_address_that_is_unticked_is_at_no_also_where_the_other_one_is_gone_by_then(
    gateway: Gateway, way: Any
) -> None:
    ana = await gateway.person(f"email:{BOX}", "email:work@example.net", consent={"channels": {"email": "yes"}})
    page = await own(gateway, ana, way)
    await page.open()
    only = [{"channel": "email", "value": BOX}]
    await gateway.api("PATCH", f"/v1/profiles/{ana['id']}", json={"addresses": only})
    await page.press([*page.fields(), ("yes", "channel:email")])
    assert await gateway.verdict(ana["id"], "email") == "opted_out_address"


async def test_a_new_address_that_was_left_unticked_is_not_at_no_where_the_other_one_is_gone_by_then(
    gateway: Gateway,
) -> None:
    """A no would keep tickets from it as well."""
    other = {"channel": "email", "value": "work@example.net"}
    ana = await gateway.person("email:work@example.net", consent={"channels": {"email": "yes"}})
    gateway.clock.advance(minutes=5)
    only = {"channel": "email", "value": BOX}
    await gateway.api("PATCH", f"/v1/profiles/{ana['id']}", json={"addresses": [other, only]})
    page = await own(gateway, ana)
    await page.open()
    assert page.ticked == {"channel:email", f"address:{await centre.id_of(gateway, 'work@example.net')}"}
    await gateway.api("PATCH", f"/v1/profiles/{ana['id']}", json={"addresses": [only]})
    await page.press([*page.fields(), *(("yes", key) for key in page.ticked - {"channel:email"})])
    assert (await states(gateway, ana)) == {"email": "no"}


@pytest.mark.parametrize("way", ["asked", "account"])
async def test_an_address_that_came_after_the_yes_is_not_shown_on_and_not_opened_by_saving(
    gateway: Gateway, way: Any
) -> None:
    ana = await person(gateway, consent={"channels": {"email": "yes"}})
    gateway.clock.advance(minutes=1)
    other = "ana@example.net"
    given = [{"channel": "email", "value": one} for one in (BOX, other)]
    await gateway.api("PATCH", f"/v1/profiles/{ana['id']}", json={"addresses": given})
    gateway.clock.advance(minutes=1)

    async def reason() -> str:
        asked = f"/v1/profiles/{ana['id']}/verdict?channel=email&address={other}"
        return str((await gateway.api("GET", asked))["reason"])

    page = await own(gateway, ana, way)
    await page.open()
    assert [ticked for text, (_, ticked) in page.boxes.items() if "e•••.net new" in text] == [False]
    await page.save()
    gateway.clock.advance(minutes=1)
    assert (await reason(), (await states(gateway, ana))["email"]) == ("not_opted_in", "yes")
    text = await page.save(tick=("e•••.net",))
    gateway.clock.advance(minutes=1)
    if way == "account":
        assert (await reason(), await states(gateway, ana)) == ("opted_in", {"email": "yes", f"email:{other}": "yes"})
    else:  # the link proves the one mailbox, so that the other is asked
        assert (await reason(), "a•••@e•••.net" in text) == ("not_opted_in", True)
        await gateway.send("POST", link_in(await mail(gateway, address=other), "confirm"))
        assert await reason() == "opted_in"


async def test_a_yes_to_a_topic_is_in_vain_where_no_way_is_on_and_the_page_says_so(gateway: Gateway) -> None:
    await preference(gateway)
    ana = await person(gateway, consent={"channels": {"email": "yes"}, "preferences": {"Drama": "yes"}})
    page = await own(gateway, ana)
    in_vain, asked = "nothing of what you chose comes", "You asked us not to contact you at all."
    assert (in_vain in await page.open(), asked in page.text, 'state yes">on' in page.text) == (False, False, True)
    assert (in_vain in await page.act("stop"), asked in page.text, 'state yes">on' in page.text) == (True, False, False)
    assert (in_vain in await page.act("nothing"), asked in page.text) == (True, True)
    assert "comes all the same" not in page.text
    await page.save(tick=("by e-mail",))
    assert (in_vain in page.text, "comes all the same" in page.text) == (False, True)


async def test_who_said_stop_by_text_comes_back_by_text_alone(gateway: Gateway) -> None:
    ana = await person(gateway)
    await gateway.text_in("STOP", ANA)
    page = await own(gateway, ana)
    text = await page.open()
    assert re.search(rf"text START to <bdi>\u200e\{OURS}", text)
    assert not any("text message" in words for words in page.boxes)
    forged = [*page.fields(), ("shown", "channel:sms~x"), ("yes", "channel:sms"), ("yes", "channel:email")]
    await page.press(forged)
    assert (await states(gateway, ana))["sms"] == "no"
    await gateway.text_in("START", ANA)
    await page.open()
    assert "channel:sms" in page.ticked


# --- saved by an older link -------------------------------------------------------------------


async def test_by_a_link_in_a_message_a_no_counts_at_once_and_a_yes_waits_for_the_address(gateway: Gateway) -> None:
    await preference(gateway)
    ana = await person(gateway, consent={"channels": {"email": "yes", "sms": "yes"}})
    page = await own(gateway, ana, "message", days=30)
    await page.open()
    answer = await page.save(tick=("drama",), untick=("text message",))
    assert f"We have written to <bdi>\u200e{centre.MASKED}</bdi>" in answer
    assert await states(gateway, ana) == {"email": "yes", "sms": "no"}
    assert await gateway.verdict(ana["id"], "sms") == "opted_out_channel"
    assert await gateway.verdict(ana["id"], "email", preference="Drama") == "preference_not_asked"
    asked = await mail(gateway)
    assert DRAMA in asked
    path = link_in(asked, "confirm")
    assert (await gateway.send("GET", path)).status == 200
    assert "Drama" not in await states(gateway, ana), "a GET changes nothing"
    assert (await gateway.send("POST", path)).status == 200
    assert (await states(gateway, ana))["Drama"] == "yes"
    last = (await gateway.history(ana["id"]))[0]
    assert (last["source"], last["evidence"]["wording"][-1]["text"]) == ("confirmation", DRAMA)
    assert await gateway.verdict(ana["id"], "email", preference="Drama") == "opted_in"


async def test_by_a_link_in_a_text_it_is_confirmed_at_that_number_unless_it_is_at_no(gateway: Gateway) -> None:
    await preference(gateway)
    ana = await gateway.person(f"sms:{ANA}", consent={"channels": {"sms": "yes"}})
    page = Centre(gateway, link(gateway, ana, way="message", sent_to=await centre.id_of(gateway, ANA, "sms")))
    await page.open()
    assert "We have written to <bdi>\u200e+1 ••• ••• •123</bdi>" in await page.save(tick=("drama",))
    [asked] = await texts(gateway, ANA)
    await gateway.send("POST", link_in(asked, "confirm"))
    assert await gateway.verdict(ana["id"], preference="Drama") == "opted_in"
    await preference(gateway, "Opera", OPERA)
    await gateway.text_in("STOP", ANA)
    await page.open()
    assert "no address at which we could ask you" in await page.save(tick=("opera",))
    assert len(await texts(gateway, ANA)) == 1


@pytest.mark.parametrize("often", [False, True])
@pytest.mark.parametrize("act", ["save", "stop", "nothing"])
async def test_a_no_that_stands_already_takes_back_what_is_asked_by_whichever_link(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, act: str, often: bool
) -> None:
    """It makes no line of the history, by which the question would end."""
    if often:
        monkeypatch.setattr("forms.centre_save.MOST_IN_AN_HOUR", 1)
    ana = await person(gateway)
    noes = {"everything": "no"} if act == "nothing" else {"channels": dict.fromkeys(CHANNELS, "no")}
    await gateway.say(ana["id"], by={"kind": "customer"}, **noes)
    page = await own(gateway, ana, "message")
    await page.open()
    await page.save(tick=("by e-mail",))
    question = link_in(await mail(gateway), "confirm")
    await page.open()
    await (page.save() if act == "save" else page.act(act))
    assert (await gateway.send("POST", question)).status == 410
    assert await gateway.verdict(ana["id"], "email") != "opted_in"


@pytest.mark.parametrize("act", ["stop", "nothing"])
async def test_what_a_system_had_turned_to_no_is_the_persons_own_however_often_it_is_said(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    monkeypatch.setattr("forms.centre_save.MOST_IN_AN_HOUR", 0)
    ana = await person(gateway)
    noes: dict[str, Any] = {"everything": "no"} if act == "nothing" else {"channels": dict.fromkeys(CHANNELS, "no")}
    await gateway.say(ana["id"], **noes)
    page = await own(gateway, ana, "message")
    for _ in range(2):
        await page.act(act)
    lines = await gateway.history(ana["id"])
    assert [line["source"] for line in lines].count("preference_centre") == len(lines) / 2, "said once"
    yes: dict[str, Any] = {"everything": "yes"} if act == "nothing" else {"channels": {"email": "yes"}}
    await gateway.say(ana["id"], **yes, status=409)


async def test_what_a_system_or_a_channel_had_turned_to_no_is_declined_for_good_by_an_old_link(
    gateway: Gateway,
) -> None:
    """Else the system takes its no back, and the channel brings the preference back, over what the person unticked."""
    await preference(gateway)
    await preference(gateway, "Opera", OPERA, linked_channel="email")
    ana = await person(gateway, consent={"channels": {"email": "yes"}, "preferences": {"Drama": "no", "Opera": "yes"}})
    await gateway.say(ana["id"], channels={"email": "no"}, by={"kind": "customer"})
    page = await own(gateway, ana, "message")
    await page.open()
    await page.save()
    await gateway.say(ana["id"], preferences={"Drama": "yes"}, status=409)
    gateway.clock.advance(seconds=1)
    said = {"how": "by telephone", "obtained_at": gateway.clock().isoformat()}
    await gateway.say(ana["id"], channels={"email": "yes"}, by={"kind": "customer"}, evidence=said)
    assert await states(gateway, ana) == {"email": "yes", "sms": "no", "Drama": "no", "Opera": "no"}


@pytest.mark.parametrize("way", ["message", "asked"])
async def test_a_box_left_off_is_a_no_said_again_which_nothing_said_before_it_opens(gateway: Gateway, way: Any) -> None:
    await preference(gateway)
    ana = await person(gateway)
    noes: dict[str, Any] = {"channels": {"email": "no"}, "preferences": {"Drama": "no"}}
    await gateway.say(ana["id"], **noes, by={"kind": "customer"})
    gateway.clock.advance(hours=1)
    by_phone = {"obtained_at": gateway.clock().isoformat(), "how": "by phone"}
    gateway.clock.advance(hours=1)
    page = await own(gateway, ana, way)
    await page.open()
    await page.save()
    for yes in ({"channels": {"email": "yes"}}, {"preferences": {"Drama": "yes"}}):
        await gateway.say(ana["id"], **yes, evidence=by_phone, status=409)


async def test_what_is_ticked_once_more_by_an_old_link_stays_asked(gateway: Gateway) -> None:
    ana = await person(gateway)
    await gateway.say(ana["id"], channels={"email": "no", "sms": "no"}, by={"kind": "customer"})
    page = await own(gateway, ana, "message")
    await page.open()
    await page.save(tick=("by e-mail",))
    question = link_in(await mail(gateway), "confirm")
    gateway.clock.advance(minutes=1)
    await page.open()
    await page.save(tick=("by e-mail",))
    assert (await gateway.send("POST", question)).status == 200
    assert (await states(gateway, ana))["email"] == "yes"
    [confirmed] = [line for line in await gateway.history(ana["id"]) if line["source"] == "confirmation"]
    assert not {"change_id", "heard"} & confirmed["evidence"].keys(), "of the act that asked: it is another change"
    assert confirmed["evidence"]["asked_again_at"] > confirmed["evidence"]["asked_at"]


async def drama_is_asked(gateway: Gateway) -> tuple[dict[str, Any], Centre, str]:
    """Who has asked for drama by an old link, their page, and the question."""
    await preference(gateway)
    ana = await person(gateway)
    page = await own(gateway, ana, "message")
    await page.open()
    await page.save(tick=("drama",))
    return ana, page, link_in(await mail(gateway), "confirm")


async def test_what_was_taken_back_is_not_asked_again_by_the_same_link(gateway: Gateway) -> None:
    _, page, question = await drama_is_asked(gateway)
    gateway.clock.advance(minutes=1)
    await page.save()
    gateway.clock.advance(minutes=1)
    assert "within the last day already" in await page.save(tick=("drama",))
    assert (await gateway.send("POST", question)).status == 410


async def test_a_no_from_before_it_was_asked_again_takes_it_back_also_where_it_is_told_only_afterwards(
    gateway: Gateway,
) -> None:
    ana, page, question = await drama_is_asked(gateway)
    gateway.clock.advance(minutes=5)
    said_at = gateway.clock().isoformat()
    gateway.clock.advance(minutes=5)
    await page.save(tick=("drama",))
    gateway.clock.advance(minutes=5)
    await gateway.say(ana["id"], preferences={"Drama": "no"}, by={"kind": "customer"}, at=said_at)
    assert (await gateway.send("POST", question)).status == 410
    assert (await states(gateway, ana))["Drama"] == "no"


async def test_what_is_ticked_once_more_stays_asked_also_under_a_channel_that_stays_off(gateway: Gateway) -> None:
    await preference(gateway, linked_channel="email")
    ana = await person(gateway)
    page = await own(gateway, ana, "message")
    await page.open()
    await page.save(tick=("drama",))
    question = link_in(await mail(gateway), "confirm")
    gateway.clock.advance(minutes=1)
    again = await page.save(tick=("drama",))
    assert ("We have written to" in again, "These are not kept" in again) == (True, False)
    assert len(await mails(gateway)) == 1
    assert (await gateway.send("POST", question)).status == 200
    assert await states(gateway, ana) == {"email": "no", "sms": "no", "Drama": "yes"}


async def test_a_question_that_leads_to_a_link_is_not_answered_by_yes(gateway: Gateway) -> None:
    """Its text does not say what was asked for: the page that it leads to does."""
    await preference(gateway, "Partner", text="Give my data to the museum", partner="Museum")
    ana = await gateway.person(f"sms:{ANA}", "post:12 Long Lane", consent={"channels": {"sms": "yes"}})
    theirs = link(gateway, ana, way="message", sent_to=await centre.id_of(gateway, ANA, "sms"))
    page = Centre(gateway, theirs + "?context=partner:Museum")
    await page.open()
    await page.save(tick=("museum", "post"))
    [asked] = await texts(gateway, ANA)
    assert "museum" not in asked
    assert (await gateway.text_in("YES", ANA)).body == SILENCE
    assert await states(gateway, ana) == {"sms": "yes"}
    assert (await gateway.send("POST", link_in(asked, "confirm"))).status == 200
    # A phone speaks for no post.
    assert await states(gateway, ana) == {"sms": "yes", "Partner": "yes"}


async def test_a_fresh_link_that_went_to_a_phone_opens_no_mailbox_and_moves_none(gateway: Gateway) -> None:
    """A number comes to somebody else: who has it now asks for a link, and gets the page of who had it."""
    ana = await person(gateway)
    page = Centre(gateway, link(gateway, ana, sent_to=await centre.id_of(gateway, ANA, "sms")))
    assert "Change your e-mail address" not in await page.open()
    answer = await page.save(tick=("e-mail", "text message"))
    assert f"We have written to <bdi>\u200e{centre.MASKED}</bdi>" in answer
    assert await states(gateway, ana) == {"sms": "yes"}
    await page.act("address", old=await centre.id_of(gateway, BOX), new="new@example.net")
    assert "new@example.net" not in str(await gateway.rows("addresses"))
    await gateway.send("POST", link_in(await mail(gateway), "confirm"))
    assert await states(gateway, ana) == {"sms": "yes", "email": "yes"}


@pytest.mark.parametrize("way", ["asked", "message"])
@pytest.mark.parametrize("reached", ["no connection", "undeliverable"])
async def test_a_phones_link_opens_no_mailbox_that_cannot_be_asked(gateway: Gateway, way: Any, reached: str) -> None:
    if reached == "no connection":
        rest = {name: one for name, one in gateway.settings.connections.items() if name != "mail"}
        await gateway.restart(connections=rest)
    ana = await person(gateway, consent={"channels": {"sms": "yes"}})
    await gateway.say(ana["id"], channels={"email": "no"}, by={"kind": "customer"})
    if reached == "undeliverable":
        wrong = {"name": "Wrong", "changes": [], "undeliverable": True}
        await gateway.api("POST", "/v1/dispositions", json=wrong)
        said = {"disposition": "Wrong", "channel": "email", "address": BOX, "by": "sadie"}
        await gateway.api("POST", f"/v1/profiles/{ana['id']}/interactions", json=said)
    gateway.clock.advance(hours=1)
    page = Centre(gateway, link(gateway, ana, way=way, sent_to=await centre.id_of(gateway, ANA, "sms")))
    await page.open()
    answer = await page.save(tick=("e-mail",))
    assert re.search(
        "no address at which we could ask you to confirm them.</p>\\s*<ul><li[^>]*>news and offers by e-mail<", answer
    )
    assert await texts(gateway, ANA) == []
    assert await states(gateway, ana) == {"sms": "yes", "email": "no"}


@pytest.mark.parametrize("way", ["asked", "message"])
async def test_each_yes_that_waits_is_asked_at_an_address_that_it_is_about(gateway: Gateway, way: Any) -> None:
    """And what was left unticked beside it takes nothing back of what the page says it has asked."""
    await preference(gateway, linked_channel="email")
    ana = await person(gateway)
    page = await own(gateway, ana, way)
    await page.open()
    answer = await page.save(tick=("text message", "drama"))
    [asked] = await eventually(lambda: texts(gateway, ANA))
    path = link_in(asked, "confirm")
    shown = (await gateway.send("GET", path)).body.decode()
    assert ("by text message" in shown, DRAMA in shown) == (True, False)
    assert (await gateway.send("POST", path)).status == 200
    assert await gateway.verdict(ana["id"], "sms") == "opted_in"
    if way == "asked":
        assert "We have written to <bdi>\u200e+1 ••• ••• •123</bdi>" in answer
        assert await mails(gateway) == []
    else:
        assert all(one in answer for one in (centre.MASKED, "+1 ••• ••• •123"))
        assert (await gateway.send("POST", link_in(await mail(gateway), "confirm"))).status == 200
    assert await states(gateway, ana) == {"email": "no", "sms": "yes", "Drama": "yes"}, "its channel has a box"


async def test_a_fresh_link_to_a_mailbox_writes_to_no_number_that_is_at_no(gateway: Gateway) -> None:
    ana = await person(gateway)
    await gateway.say(ana["id"], channels={"sms": "no"}, by={"kind": "customer"})
    gateway.clock.advance(hours=1)
    page = await own(gateway, ana)
    await page.open()
    answer = await page.save(tick=("text message",))
    assert f"From your own number, text START to <bdi>\u200e{OURS}</bdi>" in answer
    assert await texts(gateway, ANA) == []
    assert (await states(gateway, ana))["sms"] == "no"
    await gateway.text_in("START", ANA)
    assert await gateway.verdict(ana["id"], "sms") == "opted_in"


async def test_a_link_speaks_for_its_number_on_every_channel_and_a_mailbox_for_what_no_message_reaches(
    gateway: Gateway,
) -> None:
    numbers = (f"sms:{ANA}", f"whatsapp:{ANA}", f"voice:{ANA}", "post:12 Long Lane")
    ana = await gateway.person(f"email:{BOX}", *numbers)
    everything = ("text message", "WhatsApp", "phone call", "post")
    by_phone = Centre(gateway, link(gateway, ana, sent_to=await centre.id_of(gateway, ANA, "sms")))
    await by_phone.open()
    await by_phone.save(tick=everything)
    assert await states(gateway, ana) == {"email": "no", **dict.fromkeys(("sms", "whatsapp", "voice"), "yes")}
    ben = await gateway.person("email:ben@example.net", f"sms:{BEN}", "voice:+14155550199", "post:1 Short Lane")
    by_mail = Centre(gateway, link(gateway, ben, sent_to=await centre.id_of(gateway, "ben@example.net")))
    await by_mail.open()
    await by_mail.save(tick=("phone call", "post"))
    assert await states(gateway, ben) == {"email": "no", "sms": "no", "voice": "yes", "post": "yes"}
    zoe = await gateway.person("email:zoe@example.net", "sms:+14155550177", "voice:+14155550177")
    by_mail = Centre(gateway, link(gateway, zoe, sent_to=await centre.id_of(gateway, "zoe@example.net")))
    await by_mail.open()
    await by_mail.save(tick=("text message", "phone call"))
    assert await states(gateway, zoe) == {"email": "no"}, "that number can be asked"
    [asked] = await eventually(lambda: texts(gateway, "+14155550177"))
    await gateway.send("POST", link_in(asked, "confirm"))
    assert await states(gateway, zoe) == {"email": "no", "sms": "yes", "voice": "yes"}


async def test_an_account_page_proves_all(gateway: Gateway) -> None:
    ana = await gateway.person(f"email:{BOX}", f"sms:{ANA}", f"whatsapp:{BEN}", "post:12 Long Lane")
    page = Centre(gateway, link(gateway, ana, way="account"))
    await page.open()
    assert "Saved." in await page.save(tick=("e-mail", "text message", "WhatsApp", "post"))
    assert await states(gateway, ana) == dict.fromkeys(("email", "sms", "whatsapp", "post"), "yes")


@pytest.mark.parametrize("before", ["no", "not_asked"])
async def test_a_channel_whose_box_was_left_unticked_is_opened_by_no_linked_preference(
    gateway: Gateway, before: str
) -> None:
    await preference(gateway, "Dance", "I would like to hear about dance", linked_channel="sms")
    ana = await person(gateway, consent={"channels": {"email": "yes"}})
    if before == "no":
        await gateway.say(ana["id"], channels={"sms": "no"}, by={"kind": "customer"})
        gateway.clock.advance(hours=1)
    for way in ("account", "asked"):
        page = await own(gateway, ana, way)  # type: ignore[arg-type]
        await page.open()
        await page.save(tick=("dance",), untick=())
        assert await states(gateway, ana) == {"email": "yes", "sms": "no", "Dance": "yes"}


async def test_a_page_shows_what_comes_at_an_address_whatever_its_channel_says(gateway: Gateway) -> None:
    """Of two that were merged the yes has moved down to the one address, and the other is gone since."""
    ana = await gateway.person(f"email:{BOX}", consent={"channels": {"email": "yes"}})
    ben = await gateway.person("email:other@example.net")
    await gateway.api("POST", f"/v1/profiles/{ana['id']}/merge", json={"from": ben["id"]})
    kept = [{"channel": "email", "value": BOX}]
    await gateway.api("PATCH", f"/v1/profiles/{ana['id']}", json={"addresses": kept})
    assert await gateway.verdict(ana["id"], "email") == "opted_in"
    page = await own(gateway, ana, "message")
    await page.open()
    assert page.ticked == {"channel:email"}
    await page.save(untick=("by e-mail",))
    assert await gateway.verdict(ana["id"], "email") == "opted_out_channel"


async def test_a_page_shows_nothing_on_where_somebody_has_left_a_no(gateway: Gateway) -> None:
    ben = await gateway.person(f"email:{BOX}", consent={"channels": {"email": "no"}, "by": {"kind": "customer"}})
    await gateway.api("DELETE", f"/v1/profiles/{ben['id']}", status=204)
    ana = await gateway.person(f"email:{BOX}", consent={"channels": {"email": "yes"}})
    assert await gateway.verdict(ana["id"], "email") == "opted_out_address"
    page = await own(gateway, ana)
    await page.open()
    assert page.ticked == set()
    gateway.clock.advance(minutes=1)
    await page.save(tick=("by e-mail",))
    assert page.ticked == {"channel:email"}
    assert await gateway.verdict(ana["id"], "email") == "opted_in", "a word from that very mailbox"


async def test_one_address_that_is_switched_on_again_is_named_in_the_question(gateway: Gateway) -> None:
    ana = await gateway.person(f"email:{BOX}", "email:work@example.net", consent={"channels": {"email": "yes"}})
    await gateway.say(ana["id"], addresses={"email:work@example.net": "no"})
    page = await own(gateway, ana, "message")
    await page.open()
    await page.save(tick=("w•••@e•••.net",))
    asked = await mail(gateway, address="work@example.net")
    assert "w•••@e•••.net" in asked
    assert "w•••@e•••.net" in (await gateway.send("GET", link_in(asked, "confirm"))).body.decode()
    await gateway.send("POST", link_in(asked, "confirm"))
    assert await gateway.verdict(ana["id"], "email", address="work@example.net") == "opted_in"


async def test_a_page_that_is_sent_in_all_too_often_says_nothing_again_but_a_no_counts(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forms.centre_save.MOST_IN_AN_HOUR", 3)
    ana = await person(gateway)
    page = await own(gateway, ana)
    await page.open()
    await page.save(tick=("by e-mail",))
    for _ in range(6):
        await page.save()
    assert len(await gateway.history(ana["id"])) == 3 * 2
    await page.save(untick=("by e-mail",))
    assert (await states(gateway, ana))["email"] == "no"
    before = len(await gateway.history(ana["id"]))
    for _ in range(3):
        await page.act("stop")
    assert len(await gateway.history(ana["id"])) == before + 3, "three channels were not at no"


async def test_a_name_cleared_on_a_page_that_is_sent_in_all_too_often_is_asked_for(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forms.centre_save.MOST_IN_AN_HOUR", 1)
    ana = await person(gateway)
    page = await own(gateway, ana)
    await page.open()
    await page.save()
    await page.press([("act", "save"), ("detail.first_name", ""), ("detail.last_name", "Ruiz")])
    await gateway.send("POST", link_in(await mail(gateway), "confirm"))
    after = await gateway.profile(ana["id"])
    assert (after["first_name"], after["last_name"]) == (None, "Ruiz")


async def test_it_is_asked_for_once_a_day_and_a_fresh_link_does_it_at_once(gateway: Gateway) -> None:
    await preference(gateway)
    await preference(gateway, "Opera", OPERA)
    ana = await person(gateway)
    page = await own(gateway, ana, "message")
    await page.open()
    await page.save(tick=("drama",))
    await mail(gateway)
    assert "within the last day already" in await page.save(tick=("drama", "opera"))
    assert "Send me a fresh link" in page.text
    await page.act("fresh")
    fresh = Centre(gateway, link_in(await mail(gateway, 2), "preferences"))
    await fresh.open()
    await fresh.save(tick=("drama",))
    assert (await states(gateway, ana))["Drama"] == "yes"


async def test_a_save_that_changes_nothing_closes_nothing_that_stands(gateway: Gateway) -> None:
    ana = await gateway.person(f"email:{BOX}", "email:work@example.net")
    await gateway.say(ana["id"], channels={"email": "no"}, by={"kind": "customer"})
    again = {"obtained_at": gateway.clock().isoformat(), "how": "at the desk"}
    await gateway.say(ana["id"], addresses={f"email:{BOX}": "yes"}, evidence=again)
    before = await gateway.history(ana["id"])
    for way in ("message", "asked"):
        page = await own(gateway, ana, way)  # type: ignore[arg-type]
        await page.open()
        await page.save()
        assert await gateway.history(ana["id"]) == before
        assert await gateway.verdict(ana["id"], "email", address=BOX) == "opted_in"


# --- at the same time -------------------------------------------------------------------------


async def test_on_a_stale_page_a_no_counts_and_a_yes_over_a_newer_no_does_not(gateway: Gateway) -> None:
    await preference(gateway)
    await preference(gateway, "Opera", OPERA)
    ana = await person(gateway, consent={"channels": {"email": "yes"}, "preferences": {"Drama": "yes", "Opera": "yes"}})
    page = await own(gateway, ana)
    await page.open()
    await gateway.say(ana["id"], preferences={"Drama": "no"}, by={"kind": "customer"})
    answer = await page.save(untick=("opera",))
    assert "Something was declined since you opened this page" in answer
    assert await states(gateway, ana) == {"email": "yes", "sms": "no", "Drama": "no", "Opera": "no"}
    await page.save(tick=("drama",))
    assert (await states(gateway, ana))["Drama"] == "yes", "the page is fresh again, and it is ticked anew"


@pytest.mark.parametrize("way", ["account", "message"])
async def test_a_no_counts_also_to_what_the_page_shows_no_more(gateway: Gateway, way: Any) -> None:
    made = await preference(gateway)
    yes = {"channels": {"email": "yes", "sms": "yes"}, "preferences": {"Drama": "yes"}}
    ana = await person(gateway, consent=yes)
    page = Centre(gateway, link(gateway, ana, way=way))
    await page.open()
    keys = [*(field for field in page.fields() if field[0] != "yes"), ("shown", "preference:none~"), ("shown", "x")]
    await gateway.api("PATCH", f"/v1/preferences/{made['id']}", json={"active": False})
    only = [{"channel": "sms", "value": ANA}]
    await gateway.api("PATCH", f"/v1/profiles/{ana['id']}", json={"addresses": only})
    await page.press(keys)
    assert await states(gateway, ana) == {"email": "no", "sms": "no", "Drama": "no"}
    gone = [{"box": "channel:email", "ticked": False}, {"box": f"preference:{made['id']}", "ticked": False}]
    lines = [line for line in await gateway.history(ana["id"]) if line["to"] == "no" and not line["via"]]
    of_drama = [line["evidence"]["reworded"] for line in lines if line["subject"].get("name") == "Drama"]
    assert of_drama == [gone]
    await gateway.say(ana["id"], channels={"email": "yes"}, status=409)


@pytest.mark.parametrize("often", [False, True])
async def test_a_no_that_stands_to_what_the_page_shows_no_more_takes_back_what_is_asked(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, often: bool
) -> None:
    if often:
        monkeypatch.setattr("forms.centre_save.MOST_IN_AN_HOUR", 1)
    made = await preference(gateway)
    ana = await person(gateway)
    await gateway.say(ana["id"], preferences={"Drama": "no"}, by={"kind": "customer"})
    page = await own(gateway, ana, "message")
    await page.open()
    await page.save(tick=("drama",))
    question = link_in(await mail(gateway), "confirm")
    await page.open()
    await gateway.api("PATCH", f"/v1/preferences/{made['id']}", json={"active": False})
    gateway.clock.advance(minutes=5)
    await page.save()
    assert (await gateway.send("POST", question)).status == 410


@pytest.mark.parametrize(
    ("numbers", "about"), [([ANA], {"channels": {"sms": "yes"}}), ([ANA, BEN], {"addresses": {f"sms:{ANA}": "yes"}})]
)
async def test_a_no_by_a_stale_page_stands_where_a_system_had_closed_the_number_meanwhile(
    gateway: Gateway, numbers: list[str], about: Any
) -> None:
    ana = await gateway.person(*(f"sms:{one}" for one in numbers), consent={"channels": {"sms": "yes"}})
    page = Centre(gateway, link(gateway, ana, way="message"))
    await page.open()
    number = f"address:{await centre.id_of(gateway, ANA, 'sms')}"
    ticked = page.ticked - {number} if numbers[1:] else set()
    await gateway.say(ana["id"], addresses={f"sms:{ANA}": "no"})
    await page.press([*page.fields(), *(("yes", key) for key in sorted(ticked))])
    await gateway.say(ana["id"], **about, status=409)


async def test_a_yes_to_words_that_have_changed_since_is_none(gateway: Gateway) -> None:
    made = await preference(gateway)
    ana = await person(gateway)
    page = await own(gateway, ana)
    await page.open()
    await gateway.api("PATCH", f"/v1/preferences/{made['id']}", json={"text": "Write to me every day"})
    assert "These say something else by now" in await page.save(tick=("drama",))
    assert "Drama" not in await states(gateway, ana)
    assert any("every day" in words for words in page.boxes)
    [seen] = {json.dumps(line["evidence"], sort_keys=True) for line in await gateway.history(ana["id"])}
    assert "every day" not in seen, "nobody has seen these words"
    assert json.loads(seen)["reworded"] == [{"box": f"preference:{made['id']}", "ticked": True}]


async def test_terms_that_changed_while_the_page_was_open_are_not_in_the_proof(gateway: Gateway) -> None:
    ana = await person(gateway)
    await gateway.api("PUT", "/v1/settings/terms", json={"texts": {"en": {"text": "Our terms apply."}}})
    page = await own(gateway, ana)
    await page.open()
    await page.save()
    assert all("terms_version" in line["evidence"] for line in await gateway.history(ana["id"]))
    await gateway.api("PUT", "/v1/settings/terms", json={"texts": {"en": {"text": "Yet other terms apply."}}})
    await page.save(tick=("by e-mail",))
    [line] = [one for one in await gateway.history(ana["id"]) if one["to"] == "yes"]
    assert "terms_version" not in line["evidence"]


@pytest.mark.parametrize("act", ["save", "stop", "nothing"])
async def test_a_no_that_is_on_its_way_while_two_become_one_is_kept(gateway: Gateway, act: str) -> None:
    gone = await gateway.person(f"email:{BOX}", consent={"channels": {"email": "yes"}})
    kept = await gateway.person("email:kept@example.net", consent={"channels": {"email": "yes"}})
    page = await own(gateway, gone, "message")
    await page.open()
    body = urlencode(page.fields() if act == "save" else [("act", act)]).encode()
    host, port = gateway.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST {page.path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {FORM['Content-Type']}\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode())
    await writer.drain()
    await asyncio.sleep(0.5)  # it is known by now whose link it is
    await gateway.api("POST", f"/v1/profiles/{kept['id']}/merge", json={"from": gone["id"]})
    writer.write(body)
    await writer.drain()
    assert b" 200 " in await reader.readline()
    writer.close()
    await writer.wait_closed()
    assert await gateway.verdict(kept["id"], "email", address=BOX) != "opted_in"


# --- the strong acts --------------------------------------------------------------------------


async def test_stop_all_marketing_is_a_no_on_every_channel(gateway: Gateway) -> None:
    ana = await person(gateway, consent={"channels": {"email": "yes", "sms": "yes"}})
    page = await own(gateway, ana, "message")
    assert "Done." in await page.act("stop")
    assert await states(gateway, ana) == dict.fromkeys(("sms", "whatsapp", "email", "voice", "post"), "no")
    assert await gateway.verdict(ana["id"], "email") == "opted_out_channel"
    ticket = {
        "channel": "email",
        "to": {"profile_id": ana["id"]},
        "content": {"subject": "Your ticket", "text": "Row 3"},
    }
    key = await gateway.key("send", "send:transactional")
    await gateway.api("POST", "/v1/messages", status=202, json=ticket | {"require_opt_in": False}, key=key)


async def test_no_contact_at_all_is_asked_once_more_and_stops_everything(gateway: Gateway) -> None:
    ana = await person(gateway, consent={"channels": {"email": "yes"}})
    page = await own(gateway, ana, "message")
    await page.open("/nothing")
    assert "No contact at all?" in page.text
    assert "everything" not in await states(gateway, ana)
    await page.act("nothing")
    assert (await states(gateway, ana))["everything"] == "no"
    assert "You asked us not to contact you at all" in page.text
    assert await gateway.verdict(ana["id"], "email") == "opted_out_everything"
    assert page.ticked == set()
    fresh = await own(gateway, ana)
    await fresh.open()
    await fresh.save(tick=("by e-mail",))
    assert await gateway.verdict(ana["id"], "email") == "opted_in", "a later yes opens that alone"
    assert await gateway.verdict(ana["id"], "sms") == "opted_out_everything"


async def test_a_break_lasts_until_its_day_and_only_a_fresh_link_ends_it(gateway: Gateway) -> None:
    ana = await person(gateway, consent={"channels": {"email": "yes"}}, timezone="Europe/Madrid")
    page = await own(gateway, ana, "message")
    today = gateway.clock().date()
    for wrong in ("", "soon", today.isoformat(), "1999-01-01", (today + timedelta(days=400)).isoformat(), "0001-01-01"):
        assert "Choose a day from tomorrow on" in await page.act("pause", until=wrong, status=422)
    until = today + timedelta(days=10)
    assert until.isoformat() in await page.act("pause", until=until.isoformat())
    assert await gateway.verdict(ana["id"], "email") == "paused"
    await page.act("pause", until=(today + timedelta(days=2)).isoformat())
    await page.act("resume")
    [kept] = await gateway.rows("pauses")
    madrid = datetime(until.year, until.month, until.day, tzinfo=UTC) - kept["until"]
    assert madrid in (timedelta(hours=1), timedelta(hours=2)), "a longer one stays"
    assert "End the break now" not in page.text
    fresh = await own(gateway, ana)
    assert "End the break now" in await fresh.open()
    assert "The break has ended" in await fresh.act("resume")
    assert await gateway.verdict(ana["id"], "email") == "opted_in"
    await fresh.act("pause", until=until.isoformat())
    gateway.clock.advance(days=11)
    assert await gateway.verdict(ana["id"], "email") == "opted_in"


async def test_the_first_of_all_days_is_no_day_to_wait_for(gateway: Gateway) -> None:
    page = await own(gateway, await person(gateway, timezone="Asia/Tokyo"), "message")
    assert "Choose a day from tomorrow on" in await page.act("pause", until="0001-01-01", status=422)


# --- details ----------------------------------------------------------------------------------


async def test_names_are_corrected_by_a_fresh_link_and_masked_on_any_other(gateway: Gateway) -> None:
    await gateway.restart(forms=Forms(details=["first_name", "attributes.favourite_seat"]))
    ana = await person(gateway, attributes={"favourite_seat": "A 12", "vip": True})
    page = await own(gateway, ana)
    shown = await page.open()
    assert ('value="Ana"' in shown, 'value="A 12"' in shown, "Ruiz" in shown) == (True, True, False)
    await page.save(first_name="  Anna   Maria ")
    found = await gateway.profile(ana["id"])
    assert (found["first_name"], found["last_name"]) == ("Anna Maria", "Ruiz")
    await page.press([("act", "save"), ("detail.attributes.favourite_seat", ""), ("detail.last_name", "Nobody")])
    found = await gateway.profile(ana["id"])
    assert (found["attributes"], found["last_name"]) == ({"vip": True}, "Ruiz"), "only what may be corrected"

    old = await own(gateway, ana, "message")
    masked = await old.open()
    assert ("Anna" in masked, "A••• M•••" in masked) == (False, True)
    await old.save()
    assert (await gateway.profile(ana["id"]))["first_name"] == "Anna Maria", "an empty field says nothing"
    assert "We have written to" in await old.save(first_name="http://win.example")
    asked = await mail(gateway)
    assert "win.example" not in asked
    assert (await gateway.profile(ana["id"]))["first_name"] == "Anna Maria"
    await gateway.send("POST", link_in(asked, "confirm"))
    assert (await gateway.profile(ana["id"]))["first_name"] == "http://win.example"


@pytest.mark.parametrize("is_typed_again", [True, False])
async def test_a_correction_stays_asked_also_where_the_page_is_saved_again_with_its_channel_off(
    gateway: Gateway, is_typed_again: bool
) -> None:
    ana = await person(gateway)
    page = await own(gateway, ana, "message")
    await page.open()
    await page.save(first_name="Anna")
    question = link_in(await mail(gateway), "confirm")
    gateway.clock.advance(minutes=5)
    await page.save(**({"first_name": "Anna"} if is_typed_again else {}))
    assert (await gateway.send("POST", question)).status == 200
    assert (await gateway.profile(ana["id"]))["first_name"] == "Anna"


@pytest.mark.parametrize("button", ["stop", "nothing"])
async def test_who_wants_nothing_at_all_is_not_asked_about_a_correction_either(gateway: Gateway, button: str) -> None:
    ana = await person(gateway)
    page = await own(gateway, ana, "message")
    await page.open()
    await page.save(first_name="Anna")
    question = link_in(await mail(gateway), "confirm")
    gateway.clock.advance(minutes=5)
    await page.act(button)
    await page.open()
    await page.save()
    assert (await gateway.send("POST", question)).status == 410


async def test_a_new_mailbox_confirms_itself_and_the_old_one_is_told_before_anything_changes(
    gateway: Gateway,
) -> None:
    ana = await person(gateway, consent={"channels": {"email": "yes"}})
    old = await centre.id_of(gateway, BOX)
    stale = await own(gateway, ana, "message")
    await stale.open()
    assert "you need a fresh link" in await stale.act("address", old=old, new="new@example.net")
    page = await own(gateway, ana)
    await page.open()
    assert "This is no e-mail address" in await page.act("address", old=old, new="new@", status=422)
    assert "<bdi>n•••@e•••.net</bdi>" in await page.act("address", old=old, new="new@example.net")
    told, asked = await mail(gateway), await mail(gateway, address="new@example.net")
    assert "another e-mail address take the place of this one" in told
    assert "new@example.net" not in told
    assert BOX in [one["value"] for one in (await gateway.profile(ana["id"]))["addresses"]]
    assert (await gateway.send("POST", link_in(asked, "confirm"))).status == 200
    found = await gateway.profile(ana["id"])
    assert [one["value"] for one in found["addresses"]] == ["new@example.net", ANA]
    assert found["addresses"][0]["primary"]
    assert await gateway.verdict(ana["id"], "email") == "opted_in"
    assert (await gateway.history(ana["id"]))[0]["source"] == "confirmation"
    assert (await gateway.send("GET", page.path)).status == 404, "the old mailbox opens nothing any more"
    await gateway.api("GET", f"/v1/profiles/{ana['id']}")


async def test_a_moved_address_carries_no_yes_that_there_is_not(gateway: Gateway) -> None:
    ana = await person(gateway, consent={"channels": {"email": "no"}, "by": {"kind": "customer"}})
    page = await own(gateway, ana)
    await page.act("address", old=await centre.id_of(gateway, BOX), new="new@example.net")
    gateway.clock.advance(seconds=1)
    await gateway.send("POST", link_in(await mail(gateway, address="new@example.net"), "confirm"))
    assert (await gateway.profile(ana["id"]))["addresses"][0]["value"] == "new@example.net"
    assert await gateway.verdict(ana["id"], "email") == "opted_out_channel"
    ben = await gateway.person(f"sms:{BEN}", f"email:{BOX}")
    assert await gateway.verdict(ben["id"], "email") == "opted_out_address", "the no stays with the old one"


async def test_a_new_mailbox_that_was_forgotten_since_takes_no_place(gateway: Gateway) -> None:
    ana, ben = await person(gateway), await gateway.person("email:ben@example.net")
    await (await own(gateway, ana)).act("address", old=await centre.id_of(gateway, BOX), new="ben@example.net")
    path = link_in(await mail(gateway, address="ben@example.net"), "confirm")
    await gateway.api("DELETE", f"/v1/profiles/{ben['id']}", status=204)
    assert (await gateway.send("POST", path)).status == 404
    assert BOX in [one["value"] for one in (await gateway.profile(ana["id"]))["addresses"]]


async def asked_to_move(gateway: Gateway, ana: dict[str, Any], old: str, new: str) -> str:
    """Somebody asks on Ana's page that `new` may take the place of `old`; returns the path of the question."""
    page = await own(gateway, ana)
    await page.act("address", old=await centre.id_of(gateway, old), new=new)
    gateway.clock.advance(seconds=5)
    return link_in(await mail(gateway, address=new), "confirm")


WORK, NEW = "work@example.net", "new@example.com"


async def given_work_since(gateway: Gateway) -> dict[str, Any]:
    """Somebody who was given a second mailbox after their yes to e-mail, which does not cover it."""
    ana = await person(gateway, consent={"channels": {"email": "yes"}})
    gateway.clock.advance(hours=1)
    both = [{"channel": "email", "value": BOX, "primary": True}, {"channel": "email", "value": WORK}]
    await gateway.api("PATCH", f"/v1/profiles/{ana['id']}", json={"addresses": both})
    assert await gateway.verdict(ana["id"], "email", address=WORK) == "not_opted_in"
    gateway.clock.advance(hours=1)
    return ana


async def test_a_move_carries_the_yes_to_the_new_mailbox_and_to_no_other(gateway: Gateway) -> None:
    ana = await given_work_since(gateway)
    assert (await gateway.send("POST", await asked_to_move(gateway, ana, BOX, NEW))).status == 200
    assert await gateway.verdict(ana["id"], "email", address=NEW) == "opted_in"
    assert await gateway.verdict(ana["id"], "email", address=WORK) == "not_opted_in"


async def test_a_move_of_a_mailbox_that_no_yes_was_for_makes_none(gateway: Gateway) -> None:
    ana = await given_work_since(gateway)
    assert (await gateway.send("POST", await asked_to_move(gateway, ana, WORK, NEW))).status == 200
    assert await gateway.verdict(ana["id"], "email", address=NEW) == "not_opted_in"
    assert await gateway.verdict(ana["id"], "email", address=BOX) == "opted_in"


@pytest.mark.parametrize("by", ["the person", "somebody who is gone"])
async def test_a_move_of_a_mailbox_that_is_at_no_opens_nothing_at_the_new_one(gateway: Gateway, by: str) -> None:
    if by == "somebody who is gone":
        ben = await gateway.person(f"email:{WORK}", consent={"channels": {"email": "no"}, "by": {"kind": "customer"}})
        await gateway.api("DELETE", f"/v1/profiles/{ben['id']}", status=204)
    ana = await person(gateway)
    both = [{"channel": "email", "value": BOX, "primary": True}, {"channel": "email", "value": WORK}]
    await gateway.api("PATCH", f"/v1/profiles/{ana['id']}", json={"addresses": both})
    gateway.clock.advance(hours=1)
    no = {"addresses": {f"email:{WORK}": "no"}} if by == "the person" else {}
    await gateway.say(ana["id"], channels={"email": "yes"}, **no, by={"kind": "customer"})
    assert await gateway.verdict(ana["id"], "email", address=WORK) == "opted_out_address"
    gateway.clock.advance(hours=1)
    assert (await gateway.send("POST", await asked_to_move(gateway, ana, WORK, NEW))).status == 200
    assert await gateway.verdict(ana["id"], "email", address=NEW) == "not_opted_in"


async def test_a_move_carries_the_yes_on_its_terms_also_from_a_mailbox_that_is_dead(gateway: Gateway) -> None:
    ana = await person(gateway)
    ends = (gateway.clock() + timedelta(days=9)).isoformat()
    await gateway.say(ana["id"], channels={"email": "yes"}, basis="implied", expires_at=ends)
    path = await asked_to_move(gateway, ana, BOX, NEW)
    await gateway.api("POST", "/v1/dispositions", json={"name": "Bounced", "changes": [], "undeliverable": True})
    said = {"disposition": "Bounced", "channel": "email", "address": BOX, "by": "sadie"}
    await gateway.api("POST", f"/v1/profiles/{ana['id']}/interactions", json=said)
    assert (await gateway.send("POST", path)).status == 200
    assert await gateway.verdict(ana["id"], "email", address=NEW) == "opted_in"
    assert (await gateway.history(ana["id"]))[0]["basis"] == "implied"
    gateway.clock.advance(days=10)
    assert await gateway.verdict(ana["id"], "email", address=NEW) == "consent_expired"


async def test_what_a_mailbox_was_asked_for_ends_with_the_mailbox(gateway: Gateway) -> None:
    """She is told, and says that somebody else reads her mail: staff give her another mailbox."""
    ana = await person(gateway, consent={"channels": {"email": "yes"}})
    path = await asked_to_move(gateway, ana, BOX, "thief@example.com")
    await gateway.api("PATCH", f"/v1/profiles/{ana['id']}", json={"addresses": [{"channel": "email", "value": SAFE}]})
    assert (await gateway.send("POST", path)).status == 404
    assert [one["value"] for one in (await gateway.profile(ana["id"]))["addresses"]] == [SAFE]


async def test_a_mailbox_moves_for_whoever_the_person_has_become(gateway: Gateway) -> None:
    ana = await person(gateway, consent={"channels": {"email": "yes"}})
    kept = await gateway.person(f"email:{SAFE}", consent={"channels": {"email": "yes"}})
    path = await asked_to_move(gateway, ana, BOX, "new@example.com")
    await gateway.api("POST", f"/v1/profiles/{kept['id']}/merge", json={"from": ana["id"]})
    assert (await gateway.send("POST", path)).status == 200
    mailboxes = [one["value"] for one in (await gateway.profile(kept["id"]))["addresses"] if one["channel"] == "email"]
    assert mailboxes == [SAFE, "new@example.com"]
    assert await gateway.verdict(kept["id"], "email", address="new@example.com") == "opted_in"


async def test_nobody_is_bombed_by_one_page_with_questions_to_new_mailboxes(gateway: Gateway) -> None:
    ana = await person(gateway)
    page = await own(gateway, ana)
    old = await centre.id_of(gateway, BOX)
    answers = {await page.act("address", old=old, new=f"a{place}@example.net") for place in range(8)}
    assert len({re.sub('nonce="[^"]+"', "", answer) for answer in answers}) == 1
    sent = [row for row in await gateway.rows("confirmations") if row["details"] and row["details"]["replaces"]]
    assert len(sent) == 5
    assert len([row for row in await gateway.rows("addresses") if row["channel"] == "email"]) == 6, "nor is more kept"


async def test_a_new_mailbox_that_is_not_asked_is_forgotten(gateway: Gateway) -> None:
    page = await own(gateway, await person(gateway))
    old = await centre.id_of(gateway, BOX)
    for new in ("x+1@example.net", "x+2@example.net"):
        await page.act("address", old=old, new=new)
    assert len(await gateway.rows("confirmations")) == 1
    kept = str(await gateway.rows("addresses"))
    assert ("x+1@example.net" in kept, "x+2@example.net" in kept) == (True, False)


async def test_of_a_household_who_has_said_no_is_asked_once_in_30_days(gateway: Gateway) -> None:
    ana = await person(gateway)
    await gateway.person(f"email:{BOX}", consent={"channels": {"email": "yes"}})
    await gateway.say(ana["id"], channels={"email": "no"}, by={"kind": "customer"})
    page = await own(gateway, ana, "message")
    for _ in range(4):
        gateway.clock.advance(days=2)
        await page.open()
        await page.save(tick=("by e-mail",))
    assert len(await gateway.rows("confirmations")) == 1
    gateway.clock.advance(days=30)
    await page.save(tick=("by e-mail",))
    assert len(await gateway.rows("confirmations")) == 2


async def test_a_mailbox_at_no_is_asked_once_in_30_days_to_take_anothers_place(gateway: Gateway) -> None:
    ana = await person(gateway)
    await gateway.person("email:ben@example.net", consent={"channels": {"email": "no"}, "by": {"kind": "customer"}})
    old = await centre.id_of(gateway, BOX)
    for days in (0, 2, 31):
        gateway.clock.advance(days=days)
        await (await own(gateway, ana)).act("address", old=old, new="ben@example.net")
    asked = [row["asked_at"] for row in await gateway.rows("confirmations")]
    assert len(asked) == 2
    assert (max(asked) - min(asked)).days == 33


# --- their record -----------------------------------------------------------------------------


async def test_the_history_is_told_in_plain_words_page_by_page(gateway: Gateway) -> None:
    await preference(gateway)
    ana = await person(gateway, consent={"channels": {"email": "yes"}, "by": {"kind": "agent", "name": "Maria"}})
    await gateway.text_in("STOP", ANA)
    page = await own(gateway, ana)
    await page.open()
    await page.save(tick=("drama",))
    text = await page.open("/history")
    plain = re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", text)).replace(" :", ":")
    day = re.escape(language("en").day(gateway.clock().date()))
    assert f"{DRAMA}: yes You chose it on this page." in plain
    assert "News and offers by text message: no You wrote “STOP” to us." in plain
    assert "News and offers by e-mail: yes Our staff noted it." in plain
    assert re.search(rf"{day} [0-2][0-9]:[0-5][0-9] {DRAMA}", plain)
    assert ("Maria" in plain, "Drama" in plain.replace(DRAMA, ""), ANA in plain, BOX in plain) == (False,) * 4
    for place in range(30):
        shown = {"obtained_at": gateway.clock().isoformat(), "how": "at the desk", "note": str(place)}
        await gateway.say(ana["id"], channels={"post": "yes"}, evidence=shown)
    first = await page.open("/history")
    [older] = re.findall(r'href="([^"]+before=[^"]+)"', first)
    second = Centre(gateway, older)
    assert "You wrote “STOP” to us." in await second.open()
    assert first.count("<time") == 20


async def test_the_receipt_is_theirs_to_keep_and_masked_there_and_whole_over_the_api(gateway: Gateway) -> None:
    await preference(gateway)
    ana = await person(gateway)
    told = {"how": "by phone, to Maria", "obtained_at": gateway.clock().isoformat()}
    await gateway.say(ana["id"], addresses={f"sms:{ANA}": "yes"}, evidence=told)
    page = await own(gateway, ana)
    await page.open()
    await page.save(tick=("drama",))
    await page.save(untick=("drama",))
    got = await gateway.send("GET", f"{page.path}/receipts.json")
    assert got.headers["Content-Disposition"] == 'attachment; filename="receipts.json"'
    assert (got.headers["Cache-Control"], got.headers["Referrer-Policy"]) == ("no-store", "no-referrer")
    whole = await gateway.api("GET", f"/v1/profiles/{ana['id']}/receipts")
    by_purpose = {one["purpose"]: one for one in whole["pii_processing"]["purposes"]}
    events = by_purpose[DRAMA]["events"]
    assert [one["event_state"] for one in events] == ["consent_given", "consent_withdrawn"]
    assert [(one["event_type"], one["source"]) for one in events] == [("express", "preference_centre")] * 2
    assert events[0]["notice"]["wording"][-1] == {"text": DRAMA, "ticked": True, "new": True}
    assert by_purpose["news and offers by sms at one address"]["events"][0]["notice"]["how"] == "by phone, to Maria"
    assert "Maria" not in got.body.decode()
    numbers = [one["pii_attribute_id"] for p in whole["pii_processing"]["purposes"] for one in p["pii_information"]]
    assert ANA in numbers
    assert ANA not in got.body.decode()
    assert "+1 ••• ••• •123" in got.body.decode()
    assert json.loads(got.body)["receipt_id"] == whole["receipt_id"]
    await gateway.api("DELETE", f"/v1/profiles/{ana['id']}", status=204)
    assert (await gateway.api("GET", f"/v1/profiles/{ana['id']}/receipts"))["receipt_id"] == whole["receipt_id"]
    await gateway.api("GET", "/v1/profiles/pro_x/receipts", status=404)


# --- whose link -------------------------------------------------------------------------------


async def test_what_is_shown_is_masked_kept_by_nobody_and_framed_by_nobody(gateway: Gateway) -> None:
    ana = await person(gateway)
    for way in ("message", "asked"):
        page = await own(gateway, ana, way)  # type: ignore[arg-type]
        text = await page.open()
        assert not any(one in text for one in (ANA, BOX, "example.org", "5550123"))
        assert (page.got.headers["Referrer-Policy"], page.got.headers["Cache-Control"]) == ("no-referrer", "no-store")
        assert "frame-ancestors 'none'" in page.got.headers["Content-Security-Policy"]
        assert "Set-Cookie" not in page.got.headers
        assert len(page.got.body) < 30_000


async def test_a_link_that_is_none_and_one_to_somebody_who_is_gone_are_answered_alike(gateway: Gateway) -> None:
    ana = await person(gateway)
    page = await own(gateway, ana)
    unsubscribe = gateway.house.links.token(await centre.id_of(gateway, BOX), "email")
    of_a_form = (await gateway.api("POST", f"/v1/profiles/{ana['id']}/links", json={"form": await form(gateway)}))[
        "form"
    ]
    await gateway.api("DELETE", f"/v1/profiles/{ana['id']}", status=204)
    token = page.path.rpartition("/")[2]
    wrong = [token, "x", token[:-1], unsubscribe, of_a_form.partition("for=")[2], "%00", "%ff", "a" * 3000]
    for below, method in (
        ("", "GET"),
        ("", "POST"),
        ("/history", "GET"),
        ("/nothing", "GET"),
        ("/receipts.json", "GET"),
    ):
        answers = set()
        for one in wrong:
            got = await gateway.send(
                method, f"/preferences/{one}{below}", data=b"act=stop" * (method == "POST"), headers=FORM
            )
            answers.add((got.status, re.sub(b'nonce="[^"]+"', b"", got.body)))
        assert len(answers) == 1
        assert next(iter(answers))[0] == 404


async def form(gateway: Gateway) -> str:
    wanted = {"description": "News", "channel": "email", "confirmation_message": "Yes", "button_text": "Send"}
    return str((await gateway.api("POST", "/v1/forms", json=wanted))["id"])


async def test_a_link_that_is_too_old_shows_nothing_and_a_no_counts_by_it_all_the_same(gateway: Gateway) -> None:
    """Who has the page before them, and presses a button there when the link has aged, has said it."""
    await preference(gateway)
    ana = await person(gateway, consent={"channels": {"email": "yes"}})
    page = await own(gateway, ana, "asked", days=29)
    await page.open()
    gateway.clock.advance(days=2)
    text = await page.save(untick=("by e-mail",), tick=("drama",))
    assert "This link is too old" in text
    assert f"We have written to <bdi>\u200e{centre.MASKED}</bdi>" in text
    assert await states(gateway, ana) == {"email": "no", "sms": "no"}
    assert "confirm" in await mail(gateway)
    text = await page.open(status=410)
    assert centre.MASKED in text
    assert "Ana" not in text
    await page.act("resume", status=410)
    await page.act("address", old=await centre.id_of(gateway, BOX), new="new@example.net", status=410)
    assert "Done." in await page.act("nothing")
    assert (await states(gateway, ana))["everything"] == "no"
    assert centre.MASKED in await page.act("fresh")
    fresh = Centre(gateway, link_in(await mail(gateway, 2), "preferences"))
    await fresh.open()
    account = Centre(gateway, link(gateway, ana, way="account", hours=3))
    assert "Open your account once more" in await account.open(status=410)


async def test_the_link_follows_who_was_merged_and_not_an_address_that_changed_hands(gateway: Gateway) -> None:
    ana = await person(gateway)
    twin = await gateway.person("email:twin@example.net", first_name="Twin")
    of_twin = Centre(gateway, link(gateway, twin, sent_to=await centre.id_of(gateway, "twin@example.net")))
    of_ana = await own(gateway, ana)
    await gateway.api("POST", f"/v1/profiles/{ana['id']}/merge", json={"from": twin["id"]})
    await of_twin.open()
    await of_twin.act("stop")
    assert (await states(gateway, ana))["email"] == "no"
    kept = [{"channel": "sms", "value": ANA}]
    await gateway.api("PATCH", f"/v1/profiles/{ana['id']}", json={"addresses": kept})
    await gateway.person(f"email:{BOX}", first_name="Somebody else")
    await of_ana.open(status=404)


async def test_in_a_household_the_link_is_for_one_and_neither_reads_nor_writes_another(gateway: Gateway) -> None:
    """Invariant I13: whatever the bearer of Ana's link does, nothing of Ben's is shown or changed."""
    await preference(gateway)
    ana = await person(gateway)
    said = {"channels": {"email": "yes", "sms": "yes"}, "preferences": {"Drama": "yes"}}
    names = {"first_name": "Benedikt", "last_name": "Sandoval"}
    ben = await gateway.person(f"email:{BOX}", f"sms:{BEN}", consent=said, **names)
    before = (await gateway.profile(ben["id"]), await gateway.history(ben["id"]))
    bens_number = await centre.id_of(gateway, BEN, "sms")
    today = gateway.clock().date()
    acts: list[list[tuple[str, str]]] = [
        [("act", "save"), ("shown", f"address:{bens_number}~x"), ("profile", ben["id"]), ("detail.first_name", "X")],
        [("act", "save"), ("shown", "channel:sms~x"), ("shown", "channel:email~x"), ("yes", "channel:sms")],
        [("act", "stop"), ("profile", ben["id"])],
        [("act", "nothing")],
        [("act", "pause"), ("until", (today + timedelta(days=3)).isoformat())],
        [("act", "resume")],
        [("act", "address"), ("old", bens_number), ("new", "new@example.net")],
        [("act", "")],
        [],
    ]
    for way in ("message", "asked", "account"):
        page = await own(gateway, ana, way)  # type: ignore[arg-type]
        for below in ("", "/history", "/nothing", "/receipts.json"):
            got = await gateway.send("GET", page.path + below)
            _must_not_tell_of_ben(got.body.decode(), ben)
        for fields in acts:
            page.got = await gateway.send("POST", page.path, data=_posted(fields), headers=FORM)
            assert page.got.status in (200, 422)
            _must_not_tell_of_ben(page.text, ben)
            assert (await gateway.profile(ben["id"]), await gateway.history(ben["id"])) == before
    assert [row["profile_id"] for row in await gateway.rows("pauses")] in ([], [ana["id"]])


def _posted(fields: list[tuple[str, str]]) -> bytes:
    return "&".join(f"{name}={value}" for name, value in fields).encode()


def _must_not_tell_of_ben(text: str, ben: dict[str, Any]) -> None:
    assert not any(one in text for one in (ben["id"], "Benedikt", "B•••", "Sandoval", BEN, "•124"))


async def test_no_get_changes_anything(gateway: Gateway) -> None:
    await preference(gateway)
    ana = await person(gateway, consent={"channels": {"email": "yes"}})
    paths = ["/preferences"]
    for way in ("message", "asked", "account"):
        page = await own(gateway, ana, way)  # type: ignore[arg-type]
        paths += [page.path + below for below in ("", "/history", "/nothing", "/receipts.json", "?act=stop&yes=x")]
    before = await gateway.everything()
    for path in paths:
        for method in ("GET", "HEAD"):
            assert (await gateway.send(method, path)).status == 200
    assert await gateway.everything() == before


async def test_a_body_that_makes_no_sense_changes_nothing(gateway: Gateway) -> None:
    ana = await person(gateway, consent={"channels": {"email": "yes"}})
    page = await own(gateway, ana)
    before = await gateway.everything()
    for body in (b"", b"act=%00", b"\xff\xfe", b"act=save&" * 40_000, b"a=b&" * 5000, b"{}", b"act=delete"):
        assert (await gateway.send("POST", page.path, data=body, headers=FORM)).status == 422, body[:20]
    assert await gateway.everything() == before


async def test_a_token_stands_in_no_log_and_no_metric(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    ana = await person(gateway)
    page = await own(gateway, ana)
    await page.open()
    await page.act("stop")
    await gateway.send("GET", page.path + "/history")
    token = page.path.rpartition("/")[2]
    metrics = (
        await gateway.send("GET", "/metrics", headers={"Authorization": f"Bearer {await gateway.key()}"})
    ).body.decode()
    assert "/preferences/{token}/history" in metrics
    written = capsys.readouterr()
    assert token not in metrics + written.out + written.err


# --- links for the organisation's own pages ---------------------------------------------------


async def test_links_for_an_account_page_are_framed_by_it_alone_and_fresh(gateway: Gateway) -> None:
    ana = await person(gateway)
    path = f"/v1/profiles/{ana['id']}/links"
    made = await gateway.api(
        "POST", path, json={"embed_origin": "https://www.example.org", "form": await form(gateway)}
    )
    left = datetime.fromisoformat(made["expires_at"]) - gateway.clock()
    assert timedelta(hours=1, minutes=59) < left <= timedelta(hours=2)
    page = Centre(gateway, made["preference_centre"])
    await page.open()
    assert "frame-ancestors https://www.example.org;" in page.got.headers["Content-Security-Policy"]
    await page.save(tick=("by e-mail",), first_name="Anna")
    assert (await states(gateway, ana))["email"] == "yes"
    assert (await gateway.history(ana["id"]))[0]["address"] is None, "no address has spoken"
    filled = await gateway.send("GET", "/forms/" + made["form"].partition("/forms/")[2])
    assert b"Ana" in filled.body or filled.status == 200
    gone = await gateway.send("POST", "/unsubscribe/" + made["unsubscribe"].partition("/unsubscribe/")[2])
    assert gone.status == 200
    assert (await states(gateway, ana))["email"] == "no"


async def test_links_are_made_of_what_can_be_used_alone(gateway: Gateway) -> None:
    ana = await person(gateway)
    path = f"/v1/profiles/{ana['id']}/links"
    assert (await gateway.api("POST", path, json={}))["form"] is None
    by_sms = await gateway.api("POST", path, json={"channel": "sms"})
    by_address = await gateway.api("POST", path, json={"address": f"sms:{ANA}"})
    assert by_sms["unsubscribe"] == by_address["unsubscribe"]
    for wrong in (
        {"embed_origin": "https://*.example.org"},
        {"embed_origin": "http://www.example.org"},
        {"embed_origin": "https://www.example.org/"},
        {"embed_origin": "https://a.example; script-src *"},
        {"embed_origin": "https://user@a.example"},
        {"form": "frm_x"},
        {"channel": "voice"},
        {"address": "email:other@example.org"},
        {"address": "nobody"},
    ):
        got = await gateway.ask("POST", path, json=wrong)
        assert (got.status, got.json["errors"][0]["field"]) == (422, next(iter(wrong))), wrong
    await gateway.api("POST", "/v1/profiles/pro_x/links", status=404, json={})
    post = await gateway.person("post:12 Long Lane")
    assert (await gateway.api("POST", f"/v1/profiles/{post['id']}/links", json={}))["unsubscribe"] is None


async def test_marketing_by_mail_leads_to_the_page_and_a_ticket_does_not(gateway: Gateway) -> None:
    ana = await person(gateway, consent={"channels": {"email": "yes"}})
    await gateway.sent({"profiles": [ana["id"]]}, channel="email", connection="mail",
                       content={"subject": "On sale", "text": "Yours: {{ links.preferences }}"})  # fmt: skip
    page = Centre(gateway, link_in(await mail(gateway), "preferences"))
    assert "What you untick counts at once" in await page.open()
    ticket = {"channel": "email", "to": {"profile_id": ana["id"]}, "content": {"subject": "Yours", "text": "Row 3"}}
    key = await gateway.key("send", "send:transactional")
    await gateway.api("POST", "/v1/messages", json=ticket | {"require_opt_in": False}, key=key)
    assert "/preferences/" not in await mail(gateway, 2)


# --- asking for a link ------------------------------------------------------------------------


async def ask(gateway: Gateway, address: str) -> tuple[int, bytes]:
    data = _posted([("address", address.replace("+", "%2B"))])
    got = await gateway.send("POST", "/preferences", data=data, headers={**FORM, "X-Forwarded-For": "198.51.100.7"})
    return got.status, re.sub(b'nonce="[^"]+"', b"", got.body)


@pytest.mark.parametrize(
    ("channel", "address", "why"),
    [
        ("email", BOX, "We send no links by e-mail. Type your mobile number instead."),
        ("sms", ANA, "We send no links by text message. Type your e-mail address instead."),
    ],
)
async def test_where_no_link_can_be_sent_it_is_said_and_none_is_offered(
    gateway: Gateway, channel: str, address: str, why: str
) -> None:
    ana = await person(gateway)
    sent_to = await centre.id_of(gateway, address, channel)
    old = Centre(gateway, link(gateway, ana, way="message", sent_to=sent_to, days=401))
    assert "We can send a fresh one to" in (await gateway.send("GET", old.path)).body.decode()
    texted = {"sms", "whatsapp"} if channel == "sms" else {channel}
    left = {name: one for name, one in gateway.settings.connections.items() if one.channel not in texted}
    await gateway.restart(connections=left)
    status, body = await ask(gateway, address)
    assert (status, why in body.decode()) == (422, True)
    assert (await ask(gateway, "nobody@example.net" if channel == "email" else BEN))[0] == 422
    assert "We can send a fresh one to" not in (await gateway.send("GET", old.path)).body.decode()


async def texts(gateway: Gateway, value: str) -> list[str]:
    """What is queued, or sent, to a number, of our own accord."""
    ids = [row["id"] for row in await gateway.rows("addresses") if row["value"] == value]
    found = [row for row in await gateway.rows("deliveries") if row["address_id"] in ids and not row["in_reply_to"]]
    return [row["content"]["body"] for row in found]


async def test_who_asks_for_a_link_is_answered_alike_whoever_is_known(gateway: Gateway) -> None:
    await person(gateway)
    known = await ask(gateway, BOX)
    assert known == await ask(gateway, "nobody@example.net")
    assert known[0] == 200
    page = Centre(gateway, link_in(await mail(gateway), "preferences"))
    await page.open()
    await page.save(tick=("by e-mail",))
    gateway.clock.advance(hours=1)
    await gateway.text_in("START", ANA)
    assert "by e-mail on" in " ".join(page.boxes)
    assert await ask(gateway, ANA) == await ask(gateway, BEN) == known
    assert await ask(gateway, "+1 (415) 555-0123") == known
    await eventually(lambda: texts(gateway, ANA))
    assert len(await texts(gateway, ANA)) == 1
    assert (await ask(gateway, "not an address"))[0] == 422
    assert await mails(gateway, "nobody@example.net") == []


async def test_known_and_unknown_are_answered_by_the_same_statements_and_after_as_long(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F5: what follows for who is known comes behind the answer, whose time is a slot's end."""
    await person(gateway)
    await gateway.house.tidier.stop()  # which writes as well, whenever it likes
    sent: list[Any] = []
    monkeypatch.setattr(gateway.app[link_requests.LETTERS], "take", sent.append)
    seen = {}
    for address in (BOX, "nobody@example.net", ANA, BEN):
        began = monotonic()
        async with statements(gateway) as asked:
            await ask(gateway, address)
        assert monotonic() - began >= link_requests.SLOT_SECONDS - 0.01
        seen[address] = [re.sub(r"VALUES.*?\)|'[^']*'", "", " ".join(one.split())) for one in asked]
    assert len(sent) == 4
    assert all(one == seen[BOX] for one in seen.values()), seen
    assert sum("budgets" in one for one in seen[BOX]) == 3


async def test_a_number_that_is_at_no_gets_no_link(gateway: Gateway) -> None:
    ana = await person(gateway)
    await gateway.text_in("STOP", ANA)
    await gateway.say(ana["id"], channels={"email": "no"}, by={"kind": "customer"})
    await ask(gateway, ANA)
    await ask(gateway, BOX)
    assert "your own page" in await mail(gateway), "by e-mail one comes back"
    assert await texts(gateway, ANA) == []


async def test_by_a_number_that_several_people_have_nobodys_page_is_opened(gateway: Gateway) -> None:
    """There is room for one link in a text, and nobody knows who of them reads it."""
    ana = await person(gateway, consent={"channels": {"sms": "yes"}})
    await gateway.person(f"whatsapp:{ANA}", first_name="Zoe", consent={"channels": {"whatsapp": "yes"}})
    assert (await ask(gateway, ANA))[0] == 200
    await ask(gateway, BOX)
    page = Centre(gateway, link_in(await mail(gateway), "preferences"))
    assert 'value="Ana"' in await page.open()
    assert await texts(gateway, ANA) == []
    await gateway.text_in("STOP", ANA)
    assert (await states(gateway, ana))["sms"] == "no"


async def test_who_wants_no_contact_at_all_is_sent_a_link_three_times_in_30_days(gateway: Gateway) -> None:
    """Whoever asks for it: a stranger can type the mailbox every day."""
    ana = await person(gateway)
    await gateway.say(ana["id"], everything="no", by={"kind": "customer"})
    answers = set()
    for _ in range(10):
        answers.add(await ask(gateway, BOX))
        gateway.clock.advance(days=2)
    assert len(answers) == 1
    await mail(gateway, 3)
    await gateway.person(f"email:{BOX}", first_name="Ben")
    await ask(gateway, BOX)
    assert len(re.findall("/preferences/", await mail(gateway, 4))) == 1, "who shares the mailbox is not kept from it"
    gateway.clock.advance(days=12)
    await ask(gateway, BOX)
    assert len(re.findall("/preferences/", await mail(gateway, 5))) == 2


async def test_a_link_that_could_not_arrive_is_none_of_the_three(gateway: Gateway) -> None:
    ana = await gateway.person(f"email:{BOX}", f"email:{SAFE}")
    await gateway.say(ana["id"], everything="no", by={"kind": "customer"})
    await gateway.api("POST", "/v1/dispositions", json={"name": "Bounced", "changes": [], "undeliverable": True})
    said = {"disposition": "Bounced", "channel": "email", "address": BOX, "by": "sadie"}
    await gateway.api("POST", f"/v1/profiles/{ana['id']}/interactions", json=said)
    for address in (BOX, BOX, BOX, BOX, SAFE):
        await ask(gateway, address)
        gateway.clock.advance(days=2)
    await mail(gateway, 1, SAFE)
    assert await mails(gateway, BOX) == []


async def test_one_link_in_ten_minutes_and_five_a_day_however_a_mailbox_is_written(gateway: Gateway) -> None:
    await person(gateway)
    for spelt in (BOX, "Ana.Ruiz@Example.org", "ana.ruiz+news@example.org"):
        await ask(gateway, spelt)
    await mail(gateway, 1)
    for _ in range(10):
        gateway.clock.advance(minutes=11)
        await ask(gateway, BOX)
    await mail(gateway, 5)
    gateway.clock.advance(days=1)
    await ask(gateway, BOX)
    await mail(gateway, 6)
    kept = " ".join(map(str, await gateway.rows("budgets")))
    assert not any(one in kept for one in (BOX, "ana", "198.51.100"))


async def test_all_who_share_a_mailbox_get_a_link_each_in_one_mail(gateway: Gateway) -> None:
    ana = await person(gateway)
    ben = await gateway.person(f"email:{BOX}", first_name="Ben", locale="es")
    await ask(gateway, BOX)
    text = await mail(gateway)
    found = re.findall(r"(\S+): https?://[^/\s]+(/preferences/\S+)", text)
    assert [name for name, _ in found] == ["A•••", "B•••"]
    for (_, path), whose in zip(found, (ana, ben), strict=True):
        page = Centre(gateway, path)
        await page.open()
        await page.act("stop")
        assert (await states(gateway, whose))["email"] == "no"


async def test_a_network_asks_for_so_many_links_and_is_told_so_beyond_whoever_is_known(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forms.link_requests.MOST_OF_A_NETWORK", 3)
    old = await own(gateway, await person(gateway), days=40)
    for place in range(3):
        assert (await ask(gateway, f"nobody{place}@example.net"))[0] == 200
    headers = {**FORM, "X-Forwarded-For": "198.51.100.7"}
    for path, name, typed in (
        ("/preferences", "address", BOX),
        ("/preferences", "address", "nobody@example.net"),
        (old.path, "act", "fresh"),
    ):
        got = await gateway.send("POST", path, data=_posted([(name, typed)]), headers=headers)
        page = got.body.decode()
        assert (got.status, f'value="{typed}"' in page) == (429, name == "address")
        assert "Too many requests just now. Please try again in a while." in page
        assert 3500 <= int(got.headers["Retry-After"]) <= 3600
    assert await mails(gateway) == []
    assert refused(gateway) == {"links_per_network": 3}


async def test_too_many_links_to_one_address_are_counted_and_told_to_nobody(gateway: Gateway) -> None:
    await person(gateway)
    assert await ask(gateway, BOX) == await ask(gateway, BOX)
    assert refused(gateway) == {"links_at_once": 1}
