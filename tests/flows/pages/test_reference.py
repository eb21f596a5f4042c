"""The reference page: no barrier in it on any screen, and all of it within reach of the keyboard."""

from __future__ import annotations

import pytest
from playwright.async_api import Page

from tests.flows.pages.conftest import NARROW_DARK, WIDE, Look, Screen

# A template makes all the articles: the first of each section have every colour there is.
ONE_OF_A_KIND = "nav, article:first-of-type"
# What has the focus: where it leads, and whether one sees it and that it has the focus.
FOCUSED = """() => {
    const one = document.activeElement, box = one.getBoundingClientRect(), shown = one.checkVisibility();
    const within = box.left >= 0 && box.right <= innerWidth && box.top >= 0 && box.bottom <= innerHeight;
    const top = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
    const seen = shown && within && one.contains(top);
    return {href: one.getAttribute("href"), seen, marked: getComputedStyle(one).outlineStyle !== "none"};
}"""


async def test_nothing_on_it_is_a_barrier_and_it_fits_the_screen(screen: Screen, look: Look) -> None:
    page = await screen.open("/docs")
    paper = await page.evaluate("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)")
    assert (max(paper) < 60, min(paper) > 240) == (look.colours == "dark", look.colours == "light")
    await screen.must_be_sound(contrast_in=ONE_OF_A_KIND)


@pytest.mark.parametrize("look", [WIDE, NARROW_DARK], indirect=True, ids=str)
async def test_the_keyboard_reaches_every_operation_and_one_sees_where_it_is(screen: Screen) -> None:
    page = await screen.open("/docs")
    links = await page.eval_on_selector_all("nav a", "found => found.map(one => one.getAttribute('href'))")
    assert len(links) > 40
    for link in ("#top", *links):
        assert await tabbed(page) == {"href": link, "seen": True, "marked": True}
    await page.keyboard.press("Enter")
    last = page.locator(f"{links[-1]} h2")
    assert await last.is_visible()
    assert 0 <= await last.evaluate("one => one.getBoundingClientRect().top") < page.viewport_size["height"] / 2
    assert await page.evaluate("location.hash") == links[-1]


@pytest.mark.parametrize("look", [WIDE, NARROW_DARK], indirect=True, ids=str)
async def test_the_keyboard_can_go_past_the_navigation(screen: Screen) -> None:
    page = await screen.open("/docs")
    assert (await tabbed(page))["href"] == "#top"
    await page.keyboard.press("Enter")
    assert (await tabbed(page))["href"] == "/v1/openapi.json"


async def tabbed(page: Page) -> dict[str, object]:
    await page.keyboard.press("Tab")
    found: dict[str, object] = await page.evaluate(FOCUSED)
    return found
