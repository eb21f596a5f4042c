"""A person's own page as they see it: each state of it, on wide and narrow screens, by keyboard, without JavaScript."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page

from gateway.settings import Settings
from tests.flows.centre import BOX, own, person, with_mail
from tests.flows.pages import sites
from tests.flows.pages.conftest import NARROW_DARK, WIDE, Look, Screen
from tests.flows.running import ANA, Gateway

SHOTS = os.environ.get("OPTGATE_TEST_SHOTS")  # a folder for pictures of every state, to be looked at
SMALL = Look(320, 640, "light")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return with_mail(settings)


async def ana_and_her_choices(gateway: Gateway) -> dict[str, object]:
    """Somebody with something in every part of the page."""
    api = gateway.api
    text = "Choose what you would like to read about. We write about twice a month."
    await api("POST", "/v1/preference-groups", json={"headline": "On our stages", "text": text})
    for name, words, more in (
        ("Drama", "I would like to hear about new drama", {"group": "On our stages"}),
        ("Opera", "I would like to hear about opera and ballet", {"group": "On our stages"}),
        ("Families", "I would like to hear about plays for families and schools", {"group": "On our stages"}),
        ("Museum", "The Museum of the City may write to me", {"partner": "Museum"}),
    ):
        await api("POST", "/v1/preferences", json={"name": name, "text": words, **more})
    terms = {"en": {"text": "We keep what you choose as our privacy notice says.", "link": "https://example.org/terms"}}
    await api("PUT", "/v1/settings/terms", json={"texts": terms})
    ana = await gateway.person(f"email:{BOX}", "email:work@example.net", f"sms:{ANA}", f"voice:{ANA}",
                               "post:12 Long Lane, London", first_name="Ana", last_name="Ruiz")  # fmt: skip
    said = {"Drama": "yes", "Museum": "no"}
    await gateway.say(ana["id"], channels={"email": "yes", "post": "no"}, preferences=said, by={"kind": "customer"})
    await gateway.text_in("STOP", ANA)
    return ana


async def sound(screen: Screen, name: str, look: Look) -> None:
    if SHOTS:
        shot = Path(SHOTS) / f"{name}-{look}.png"
        await screen.page.screenshot(path=shot, full_page=True)
    await screen.must_be_sound()


@pytest.mark.parametrize("look", [WIDE, NARROW_DARK, SMALL], indirect=True, ids=str)
async def test_every_state_of_it_is_sound(gateway: Gateway, screen: Screen, look: Look) -> None:
    ana = await ana_and_her_choices(gateway)
    fresh, old = await own(gateway, ana), await own(gateway, ana, "message")
    too_old = await own(gateway, ana, "asked", days=31)
    page = await screen.open(fresh.path)
    await sound(screen, "fresh", look)
    await page.get_by_label("opera and ballet").check()
    await page.get_by_role("button", name="Save").click()
    await sound(screen, "saved", look)
    await page.get_by_label("No news and offers until").fill((gateway.clock().date()).replace(day=28).isoformat())
    await page.evaluate("document.querySelectorAll('form').forEach(one => one.noValidate = true)")
    await page.get_by_role("button", name="Pause").click()
    await page.get_by_text("Change your e-mail address").click()
    await page.get_by_label("New e-mail address").fill("new@example.net")
    await page.get_by_role("button", name="Change it").click()
    await sound(screen, "moving", look)
    await page.get_by_role("link", name="What you said, and when").click()
    await sound(screen, "history", look)
    await screen.open(old.path + "?lang=ar")
    await sound(screen, "old-arabic", look)
    page = await screen.open(old.path)
    await page.get_by_label("plays for families").check()
    await page.get_by_role("button", name="Save").click()
    await sound(screen, "waiting", look)
    await page.get_by_role("link", name="Do not contact me at all").click()
    await sound(screen, "nothing", look)
    await page.get_by_role("button", name="Do not contact me at all").click()
    await sound(screen, "closed", look)
    await screen.open(too_old.path, status=410)
    await sound(screen, "too-old", look)
    page = await screen.open("/preferences")
    await sound(screen, "ask", look)
    await page.get_by_label("E-mail address or mobile number").fill("nobody@example.net")
    await page.get_by_role("button", name="Send me the link").click()
    await sound(screen, "sent", look)


@pytest.mark.parametrize("look", [WIDE], indirect=True, ids=str)
async def test_it_is_used_by_keyboard_alone(gateway: Gateway, screen: Screen) -> None:
    ana = await person(gateway)
    page = await screen.open((await own(gateway, ana)).path)
    assert await _tab_to(page, "channel:email")
    await page.keyboard.press("Space")
    for _ in range(8):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.tagName") == "BUTTON":
            break
    assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    await page.keyboard.press("Enter")
    await page.get_by_role("status").wait_for()
    assert await gateway.verdict(ana["id"], "email") == "opted_in"


async def _tab_to(page: Page, value: str) -> bool:
    for _ in range(10):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.value") == value:
            return True
    return False


@pytest.mark.parametrize("look", [WIDE], indirect=True, ids=str)
async def test_it_needs_no_javascript(gateway: Gateway, browser: Browser, look: Look) -> None:
    ana = await person(gateway)
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(gateway.url + (await own(gateway, ana)).path)
    await page.get_by_label("by e-mail").check()
    await page.get_by_role("button", name="Save").click()
    assert "Saved." in await page.content()
    assert await gateway.verdict(ana["id"], "email") == "opted_in"
    await context.close()


@pytest.mark.parametrize("look", [WIDE], indirect=True, ids=str)
async def test_it_is_framed_by_the_page_it_was_made_for_and_by_no_other(gateway: Gateway, screen: Screen) -> None:
    ana = await person(gateway)
    async with sites.running() as site:
        made = await gateway.api("POST", f"/v1/profiles/{ana['id']}/links", json={"embed_origin": site.origin})
        path = "/preferences/" + made["preference_centre"].rpartition("/")[2]
        frame = f'<iframe title="Your choices" src="{gateway.url}{path}" style="width: 100%; height: 900px"></iframe>'
        await screen.page.goto(site.put("/account", frame))
        inside = screen.page.frame_locator("iframe")
        await inside.get_by_label("by e-mail").check()
        await inside.get_by_role("button", name="Save").click()
        await inside.get_by_role("status").wait_for()
        assert await gateway.verdict(ana["id"], "email") == "opted_in"
        await screen.page.goto(f"{site.another_origin}/account")
        assert await inside.get_by_role("heading", level=1).count() == 0
