"""The pages behind the links in a mail: no barrier in them on any screen, and done with the keyboard alone."""

from __future__ import annotations

import pytest
from playwright.async_api import Page

from gateway.providers.sandbox import Sandbox
from gateway.settings import Settings
from tests.flows.forms import box, form, send_in
from tests.flows.pages.conftest import Look, Screen
from tests.flows.running import Gateway, eventually

ANA = "ana@example.org"
NEWS = "news and offers by e-mail"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Mail goes to a sandbox, and its links to the gateway's own port."""
    mail = Sandbox.model_validate({"provider": "sandbox", "channel": "email"})
    organisation = settings.organisation.model_copy(update={"postal_address": "12 Long Lane, London N1"})
    return settings.model_copy(update={"connections": {"mail": mail}, "organisation": organisation})


async def link(gateway: Gateway, kind: str) -> str:
    """The path of the link in the mail that Ana got."""

    async def came() -> str | None:
        sent = (await gateway.api("GET", "/v1/sandbox/messages"))["items"]
        return next((one["body"] for one in sent if f"/{kind}/" in one["body"]), None)

    _, _, rest = str(await eventually(came)).partition(f"/{kind}/")
    return f"/{kind}/{rest.split()[0]}"


async def asked_to_stop(gateway: Gateway) -> str:
    await gateway.person(f"email:{ANA}", consent={"channels": {"email": "yes"}})
    await gateway.sent({"all": True}, channel="email", connection="mail")
    return await link(gateway, "unsubscribe")


async def asked_to_confirm(gateway: Gateway) -> str:
    rule = {"channel": "email", "keyword": "JOIN", "match": "exact", "action": "opt_in"}
    await gateway.api("POST", "/v1/rules", json=rule)
    await gateway.sandbox_in("JOIN", ANA, connection="mail")
    return await link(gateway, "confirm")


async def state(gateway: Gateway) -> str:
    [person] = await gateway.whose(f"email:{ANA}")
    return str(person["consent"]["channels"]["email"]["state"])


async def must_fit(screen: Screen, look: Look, title: str) -> Page:
    await screen.must_be_sound()
    paper = await screen.page.evaluate("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)")
    assert (max(paper) < 60, min(paper) > 240) == (look.colours == "dark", look.colours == "light")
    assert await screen.page.title() == title
    assert await screen.page.locator("h1").inner_text() == title
    return screen.page


async def press_the_button(page: Page, words: str) -> None:
    """By the keyboard: the button is the first that it reaches, and one sees that it has the focus."""
    await page.keyboard.press("Tab")
    focused = page.locator("button:focus-visible")
    assert await focused.inner_text() == words
    assert await focused.evaluate("one => getComputedStyle(one).outlineStyle") == "solid"
    async with page.expect_navigation():
        await page.keyboard.press("Enter")


async def test_who_opts_out_sees_what_ends_and_what_does_not(screen: Screen, gateway: Gateway, look: Look) -> None:
    await screen.open(await asked_to_stop(gateway))
    page = await must_fit(screen, look, "Unsubscribe?")
    assert await state(gateway) == "yes", "to open it changes nothing"
    await press_the_button(page, "Unsubscribe")
    await must_fit(screen, look, "You are unsubscribed")
    assert await page.locator("p").all_inner_texts() == [
        f"Example Theatre sends you no more {NEWS}.",
        "What you order, such as a ticket, may still come.",
    ]
    assert await state(gateway) == "no"


async def unsubscribed(screen: Screen, gateway: Gateway) -> Page:
    """What follows the button in a mail that was about something."""
    made = {"name": "Drama", "text": "I would like to hear about new drama by e-mail", "linked_channel": "email"}
    await gateway.api("POST", "/v1/preferences", json=made)
    consent = {"channels": {"email": "yes"}, "preferences": {"Drama": "yes"}}
    await gateway.person(f"email:{ANA}", consent=consent)
    await gateway.sent({"all": True}, channel="email", connection="mail", preference="Drama")
    await screen.open(await link(gateway, "unsubscribe"))
    await press_the_button(screen.page, "Unsubscribe")
    return screen.page


TOPIC, EVERYTHING = "Stop only this topic", "Stop all news and offers from Example Theatre"
UNDO, LAST = "Undo: I pressed it by mistake", "Undo this last step"


@pytest.mark.parametrize(
    ("buttons", "title", "states"),
    [
        ([TOPIC], "Only this topic is stopped", ("yes", "no")),
        ([UNDO], "Taken back", ("yes", "yes")),
        ([EVERYTHING], "You are unsubscribed from everything", ("no", "no")),
        ([EVERYTHING, LAST], "Taken back", ("no", "no")),
    ],
    ids=lambda one: one[-1] if isinstance(one, list) else "",
)
async def test_who_opted_out_may_have_less_of_it_or_more_or_take_it_back(
    screen: Screen, gateway: Gateway, look: Look, buttons: list[str], title: str, states: tuple[str, str]
) -> None:
    await unsubscribed(screen, gateway)
    page = await must_fit(screen, look, "You are unsubscribed")
    assert await page.get_by_role("button").all_inner_texts() == [TOPIC, EVERYTHING, UNDO]
    for button in buttons:
        async with page.expect_navigation():
            await page.get_by_role("button", name=button).press("Enter")
        await screen.must_be_sound()
    await must_fit(screen, look, title)
    [ana] = await gateway.whose(f"email:{ANA}")
    consent = ana["consent"]
    assert (consent["channels"]["email"]["state"], consent["preferences"]["Drama"]["state"]) == states


async def test_who_confirms_sees_what_begins(screen: Screen, gateway: Gateway, look: Look) -> None:
    await screen.open(await asked_to_confirm(gateway))
    page = await must_fit(screen, look, "Please confirm")
    assert await state(gateway) == "not_asked", "to open it changes nothing"
    await press_the_button(page, "Yes, I want them")
    await must_fit(screen, look, "Done")
    assert await page.locator("p").inner_text() == (
        f"You will get {NEWS} from Example Theatre. You can stop them at any time."
    )
    assert await state(gateway) == "yes"


async def test_who_confirms_a_form_sees_what_they_said_yes_and_no_to(
    screen: Screen, gateway: Gateway, look: Look
) -> None:
    drama, opera = await box(gateway, "Drama"), await box(gateway, "Opera")
    join = await form(gateway, confirm="double", preferences=[drama, opera])
    await send_in(gateway, join, ANA, {drama["id"]: True, opera["id"]: False}, names={"first_name": "Ana"})
    await screen.open(await link(gateway, "confirm"))
    page = await must_fit(screen, look, "Please confirm")
    assert await page.locator("main li").all_inner_texts() == ["I like Drama", "I like Opera"]
    assert await page.locator("p").all_inner_texts() == [
        f"Press the button to confirm that you want {NEWS} from Example Theatre. You can stop them at any time.",
        "You say yes to:",
        "You say no to:",
        "What else was filled in on the form, such as a name, is kept then.",
        "If you did not ask for this, close the page: nothing changes.",
    ]
    await press_the_button(page, "Yes, I want them")
    assert await state(gateway) == "yes"


@pytest.mark.parametrize("kind", ["unsubscribe", "confirm"])
async def test_a_link_that_does_not_work_says_what_to_do(screen: Screen, look: Look, kind: str) -> None:
    await screen.open(f"/{kind}/cut-off", status=404)
    await must_fit(screen, look, "This link does not work")
