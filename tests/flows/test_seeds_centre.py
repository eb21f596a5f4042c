"""The seeds' sentences about customers who manage their preferences online, one test each: docs/seeds.md has them."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.settings import Settings
from tests.flows.centre import BOX, MASKED, Centre, id_of, link_in, mail, own, person, states, with_mail
from tests.flows.running import ANA, Gateway
from tests.flows.test_interactions import disposition, ended

DRAMA = "I would like to be kept up to date about drama"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return with_mail(settings)


async def asks(gateway: Gateway, name: str = "Drama", text: str = DRAMA, **more: Any) -> None:
    await gateway.api("POST", "/v1/preferences", status=201, json={"name": name, "text": text, **more})


async def page_of(gateway: Gateway, profile: dict[str, Any]) -> Centre:
    page = await own(gateway, profile)
    await page.open()
    return page


async def test_on_their_own_page_customers_check_or_uncheck_each_box_and_save(gateway: Gateway) -> None:
    await asks(gateway)
    await asks(gateway, "Opera", "Opera, please")
    ana = await person(gateway, consent={"preferences": {"Drama": "yes", "Opera": "no"}})
    page = await page_of(gateway, ana)
    await page.save(tick=("Opera",), untick=("drama",))
    found = await states(gateway, ana)
    assert (found["Drama"], found["Opera"]) == ("no", "yes")


async def test_on_their_own_page_customers_update_their_details_too(gateway: Gateway) -> None:
    ana = await person(gateway)
    page = await page_of(gateway, ana)
    await page.save(first_name="Anna", last_name="Ruiz Gil")
    found = await gateway.profile(ana["id"])
    assert (found["first_name"], found["last_name"]) == ("Anna", "Ruiz Gil")


async def test_on_their_own_page_customers_answer_what_they_were_never_asked(gateway: Gateway) -> None:
    await asks(gateway, selected_by_default=True)
    ana = await person(gateway)
    page = await page_of(gateway, ana)
    assert page.boxes[f"{DRAMA} new"][1] is False
    await page.save(tick=("drama",))
    assert (await states(gateway, ana))["Drama"] == "yes"


async def test_partners_are_on_the_own_page_once_they_were_asked_for(gateway: Gateway) -> None:
    await asks(gateway, "Museum", "The Museum may write to me", partner="Museum")
    ana = await person(gateway)
    page = await page_of(gateway, ana)
    assert "The Museum may write to me" not in page.text
    await gateway.say(ana["id"], preferences={"Museum": "no"}, by={"kind": "agent"})
    assert "The Museum may write to me" in await page.open()


async def test_what_goes_with_a_donation_is_on_the_own_page_once_answered(gateway: Gateway) -> None:
    await asks(gateway, "Gifts", "Tell me of campaigns", contexts=["donation", "membership"])
    ana = await person(gateway)
    page = await page_of(gateway, ana)
    assert "Tell me of campaigns" not in page.text
    await gateway.say(ana["id"], preferences={"Gifts": "yes"}, by={"kind": "agent"})
    assert "Tell me of campaigns" in await page.open()


async def test_terms_and_conditions_stand_on_the_own_page_and_in_what_it_proves(gateway: Gateway) -> None:
    terms = {"en": {"text": "As our terms say.", "link": "https://example.org/terms"}}
    await gateway.api("PUT", "/v1/settings/terms", json={"texts": terms})
    ana = await person(gateway)
    page = await page_of(gateway, ana)
    assert 'As our terms say. <a href="https://example.org/terms"' in page.text
    await page.save(tick=("by e-mail",))
    assert (await gateway.history(ana["id"]))[0]["evidence"]["terms_version"] == 1


async def test_a_mail_leads_to_where_customers_manage_their_own_preferences(gateway: Gateway) -> None:
    await asks(gateway)
    ana = await person(gateway, consent={"channels": {"email": "yes"}, "preferences": {"Drama": "yes"}})
    await gateway.sent({"profiles": [ana["id"]]}, channel="email", connection="mail",
                       content={"subject": "Autumn", "text": "On sale."})  # fmt: skip
    text = await mail(gateway)
    assert "/unsubscribe/" in text
    page = Centre(gateway, link_in(text, "preferences"))
    await page.open()
    await page.save(untick=("drama",))
    assert await gateway.verdict(ana["id"], "email", preference="Drama") == "preference_no"


async def test_a_checked_box_on_the_own_page_is_opted_in_and_an_unchecked_one_is_out(gateway: Gateway) -> None:
    ana = await person(gateway, consent={"channels": {"email": "yes", "sms": "no"}})
    page = await page_of(gateway, ana)
    assert page.ticked == {"channel:email"}
    assert [await gateway.verdict(ana["id"], one) for one in ("email", "sms")] == ["opted_in", "opted_out_channel"]


async def test_one_number_or_mailbox_is_opted_out_on_the_own_page(gateway: Gateway) -> None:
    ana = await gateway.person(f"email:{BOX}", "email:work@example.net", consent={"channels": {"email": "yes"}})
    page = await page_of(gateway, ana)
    await page.save(untick=(MASKED,))
    assert await gateway.verdict(ana["id"], "email", address=BOX) == "opted_out_address"
    assert await gateway.verdict(ana["id"], "email", address="work@example.net") == "opted_in"


async def test_all_communications_are_stopped_on_the_own_page_at_once(gateway: Gateway) -> None:
    ana = await person(gateway, consent={"channels": {"email": "yes", "sms": "yes"}})
    page = await page_of(gateway, ana)
    await page.act("stop")
    assert [await gateway.verdict(ana["id"], one) for one in ("email", "sms")] == ["opted_out_channel"] * 2


@pytest.mark.parametrize("how", ["disposition", "unsubscribe", "stop"])
async def test_who_opted_out_otherwise_finds_the_box_unchecked(gateway: Gateway, how: str) -> None:
    ana = await person(gateway, consent={"channels": {"email": "yes", "sms": "yes"}})
    if how == "disposition":
        await disposition(gateway, "No mail", {"kind": "channel", "channel": "email", "to": "no"})
        await ended(gateway, ana["id"], "No mail", channel="email")
    elif how == "unsubscribe":
        await gateway.send("POST", "/unsubscribe/" + gateway.house.links.token(await id_of(gateway, BOX), "email"))
    else:
        await gateway.text_in("STOP", ANA)
    page = await page_of(gateway, ana)
    assert page.ticked == ({"channel:email"} if how == "stop" else {"channel:sms"})


async def test_the_own_page_tells_what_was_changed_when_and_by_whom(gateway: Gateway) -> None:
    ana = await person(gateway)
    await gateway.say(ana["id"], channels={"email": "yes"}, by={"kind": "agent", "name": "Sadie"})
    await gateway.text_in("STOP", ANA)
    page = await own(gateway, ana)
    text = await page.open("/history")
    assert text.count(f'datetime="{gateway.clock().date().isoformat()}T') == 2
    assert ("Our staff noted it." in text, "You wrote “STOP” to us." in text) == (True, True)
