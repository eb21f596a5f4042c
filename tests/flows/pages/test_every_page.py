"""Every page that customers meet, in every state: whole, small, closed to all others, and sound on hard screens.

Hard is: long German words on the smallest telephone in the dark, and a language that runs from right to left.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, Response, ViewportSize

from forms.look import text_of, tight
from gateway.settings import Settings
from tests.flows.centre import own
from tests.flows.filling import make
from tests.flows.forms import confirm_path, form, send_in
from tests.flows.pages.conftest import Look, Screen
from tests.flows.pages.test_centre import ana_and_her_choices
from tests.flows.running import Gateway
from tests.flows.test_unsubscribe import link_for

SHOTS = os.environ.get("OPTGATE_TEST_SHOTS")  # a folder for pictures of every page, to be looked at
MOST_BYTES = 30_000
SCREENS = [
    ("en", Look(1280, 900, "light")),
    ("de", Look(320, 640, "dark")),
    ("ar", Look(390, 844, "light")),
    ("ar", Look(1280, 900, "dark")),
]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    mail = Settings.model_validate({"connections": {"mail": {"provider": "sandbox", "channel": "email"}}})
    organisation = settings.organisation.model_copy(update={"privacy_url": "https://www.example.org/privacy"})
    forms = settings.forms.model_copy(update={"posts_per_form": 1})
    update = {"connections": settings.connections | mail.connections, "organisation": organisation, "forms": forms}
    return settings.model_copy(update=update)


@dataclass
class Tour:
    """Somebody who goes through every page, by buttons that are found without a word of any language."""

    gateway: Gateway
    page: Page
    got: list[Response] = field(default_factory=list)  # the pages as they came

    def __post_init__(self) -> None:
        self.page.on("response", lambda got: got.request.is_navigation_request() and self.got.append(got))

    async def go(self, path: str) -> None:
        await self.page.goto(self.gateway.url + path)

    async def press(self, button: str = "main button") -> None:
        self.gateway.clock.advance(seconds=4)  # a form is not believed that is sent in at once
        async with self.page.expect_navigation():
            await self.page.locator(button).first.click()

    async def take(self) -> AsyncIterator[tuple[str, int]]:
        """The name of each page and its status, while it is shown."""
        for way in (self._own_page, self._links, self._forms, self._asked_for):
            async for seen in way():
                yield seen

    async def _links(self) -> AsyncIterator[tuple[str, int]]:
        await self.go("/unsubscribe/x")
        yield "unknown-link", 404
        await self.go("/forms/there/is/none")
        yield "nothing-here", 404
        await self.gateway.person("email:zoe@example.org", consent={"channels": {"email": "yes"}})
        topics = (await self.gateway.api("GET", "/v1/preferences"))["items"]
        of_mail = await link_for(self.gateway, "zoe@example.org", "email", topics[0]["id"])
        await self.go(of_mail)
        yield "unsubscribe", 200
        await self.press()
        yield "unsubscribed", 200
        await self.press("form:has([name=act]) >> nth=0 >> button")
        yield "unsubscribed-only-topic", 200
        await self.go(of_mail)
        await self.press()
        await self.press("form:has([name=act]) >> nth=1 >> button")
        yield "unsubscribed-everything", 200
        await self.press()
        yield "unsubscribed-undone", 200
        await self.page.reload()
        yield "unsubscribed-too-late", 410
        language = await self.page.locator("html").get_attribute("lang")
        for address in ("ben@example.org", "eva@example.org"):
            wanted = await form(self.gateway, confirm="double")
            await send_in(self.gateway, wanted, address, names={"first_name": "Ben"}, language=language or "")
        await self.go(await confirm_path(self.gateway, "ben@example.org"))
        yield "confirm", 200
        await self.press()
        yield "confirmed", 200
        self.gateway.clock.advance(days=8)
        await self.go(await confirm_path(self.gateway, "eva@example.org"))
        yield "confirm-too-late", 410

    async def _forms(self) -> AsyncIterator[tuple[str, int]]:
        boxes = [{"name": "Drama", "required": True}, {"name": "Opera", "selected": True}, {"name": "Museum"}]
        more = {"fields": ["first_name"], "preferences": boxes, "proof_of_work": True}
        made = await make(self.gateway, allowed_origins=[], **more)
        await self.go(f"/forms/{made['id']}")
        yield "form", 200
        await self.page.fill("#at-address", "ana")
        await self.press()
        yield "form-wrong", 422
        await self.gateway.api("PATCH", f"/v1/forms/{made['id']}", json={"proof_of_work": False})
        await self.go(f"/forms/{made['id']}")
        await self.page.fill("#at-address", "ana@example.net")
        await self.page.locator("main input[required][type=checkbox]").check()
        await self.press()
        yield "form-sent", 200
        await self.go(f"/forms/{made['id']}")
        await self.page.fill("#at-address", "ben@example.net")
        await self.page.locator("main input[required][type=checkbox]").check()
        await self.press()
        yield "form-full", 429
        await self.gateway.api("PATCH", f"/v1/forms/{made['id']}", json={"active": False})
        await self.go(f"/forms/{made['id']}")
        yield "form-closed", 410
        both = await make(self.gateway, channel="sms", entry="both", allowed_origins=[])
        await self.go(f"/forms/{both['id']}")
        yield "form-texts", 200

    async def _own_page(self) -> AsyncIterator[tuple[str, int]]:
        ana = await ana_and_her_choices(self.gateway)
        fresh, old, ancient = (
            await own(self.gateway, ana),
            await own(self.gateway, ana, "message"),
            await own(self.gateway, ana, days=31),
        )
        await self.go(ancient.path)
        yield "own-too-old", 410
        await self.go(old.path)
        yield "own-of-an-old-link", 200
        await self.page.locator(".choices input[name=yes]:not(:checked)").last.check()
        await self.press(".choices > button")
        yield "own-waits", 200
        await self.go(await confirm_path(self.gateway, "ana.ruiz@example.org"))
        yield "own-confirm", 200
        await self.press()
        yield "own-confirmed", 200
        await self.go(fresh.path)
        yield "own", 200
        await self.press(".choices > button")
        yield "own-saved", 200
        await self.page.locator("[name=until]").fill("2001-02-03")
        await self.page.evaluate("document.querySelectorAll('form').forEach(one => one.noValidate = true)")
        await self.press("form:has([name=until]) button")
        yield "own-wrong", 422
        await self.go(fresh.path + "/history")
        yield "own-history", 200
        await self.go(fresh.path + "/nothing")
        yield "own-nothing", 200
        await self.press()
        yield "own-closed", 200

    async def _asked_for(self) -> AsyncIterator[tuple[str, int]]:
        await self.go("/preferences")
        yield "asked", 200
        await self.page.fill("[name=address]", "nobody")
        await self.press()
        yield "asked-wrong", 422
        await self.page.fill("[name=address]", "nobody@example.net")
        await self.press()
        yield "asked-sent", 200


@pytest.mark.parametrize(("language", "screen_of"), SCREENS, ids=str)
async def test_every_page_is_whole_small_closed_and_sound(
    gateway: Gateway, browser: Browser, language: str, screen_of: Look
) -> None:
    size = ViewportSize(width=screen_of.width, height=screen_of.height)
    context = await browser.new_context(viewport=size, color_scheme=screen_of.colours, locale=language)
    page = await context.new_page()
    screen, tour, seen = Screen(page, gateway), Tour(gateway, page), []
    async for name, status in tour.take():
        seen.append(name)
        got = tour.got[-1]
        assert got.status == status, name
        screen.forget(f"status of {status}")
        must_be_closed(got, (await got.body()).decode())
        assert await page.locator("html").get_attribute("lang") == language, name
        if SHOTS:
            await page.screenshot(path=Path(SHOTS) / f"{name}-{language}-{screen_of}.png", full_page=True)
        await screen.must_be_sound()
        if screen_of.is_wide:  # letters twice as large fit as well
            await page.evaluate("document.documentElement.style.fontSize = '200%'")
            assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, name
    assert len(seen) == len(set(seen)) > 20
    await context.close()


def must_be_closed(got: Response, html: str) -> None:
    """Nothing in it that asks for anything, nothing that its policy would have to let through unnamed."""
    assert len(html.encode()) <= MOST_BYTES
    policy = dict(part.strip().partition(" ")[::2] for part in got.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert not re.search(r"unsafe|\*|https?:", got.headers["content-security-policy"])
    [nonce] = set(re.findall(r"nonce-([\w-]+)", got.headers["content-security-policy"]))
    assert re.findall(r"<(?:style|script)\b[^>]*>", html) == re.findall(rf'<\w+ nonce="{nonce}">', html)
    assert not re.search(r"""\s(?:style|on\w+)\s*=|<(?:link|base|iframe|object)\b|\bsrc\s*=|url\(""", html)


async def test_a_style_says_the_same_without_its_spaces(browser: Browser) -> None:
    page = await browser.new_page()
    # A browser keeps what a custom property says to the letter.
    rules = "[...document.styleSheets[0].cssRules].map((one) => one.cssText.replaceAll(', ', ','))"
    for file in ("centre.css", "form.css"):
        whole = text_of("style.css") + text_of(file)
        said = []
        for style in (whole, tight(whole)):
            await page.set_content(f"<!doctype html><style>{style}</style>")
            said.append(await page.evaluate(rules))
        assert said[0] == said[1]
        assert len(said[0]) > 50
    await page.close()
