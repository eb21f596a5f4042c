"""Opt-in forms as people see them: alone and on another site's page, on every screen, by keyboard, without a script."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, Frame, Page, expect

from gateway.settings import Settings
from tests.flows.filling import make, preference, sent_in
from tests.flows.pages import sites
from tests.flows.pages.conftest import NARROW, NARROW_DARK, WIDE, WIDE_DARK, Look, Screen, chromium
from tests.flows.pages.sites import Site
from tests.flows.running import Gateway, eventually

SMALL = Look(320, 640, "light")
LOOKS = pytest.mark.parametrize("look", [WIDE, WIDE_DARK, NARROW, NARROW_DARK, SMALL], indirect=True, ids=str)
ONE_LOOK = pytest.mark.parametrize("look", [NARROW], indirect=True, ids=str)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    mail = Settings.model_validate({"connections": {"mail": {"provider": "sandbox", "channel": "email"}}})
    organisation = settings.organisation.model_copy(update={"privacy_url": "https://www.example.org/privacy"})
    return settings.model_copy(
        update={"connections": settings.connections | mail.connections, "organisation": organisation}
    )


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with sites.running() as site:
        yield site


async def with_everything(gateway: Gateway, **wishes: Any) -> dict[str, Any]:
    """A form with a bit of all that a form can have."""
    await gateway.api("POST", "/v1/preference-groups", json={"headline": "On stage", "text": "In both our houses."})
    await preference(gateway, "Drama", group="On stage")
    await preference(gateway, "Opera", group="On stage")
    await preference(gateway, "News")
    terms = {"en": {"text": "We keep your address to ourselves.", "link": "https://www.example.org/terms"}}
    await gateway.api("PUT", "/v1/settings/terms", json={"texts": terms})
    given: dict[str, Any] = {
        "headline": "Be the first to know",
        "fields": ["first_name", "attributes.seat"],
        "labels": {"attributes.seat": "Where do you like to sit?"},
        "preferences": [{"name": "Drama", "required": True}, {"name": "Opera", "selected": True}, {"name": "News"}],
    }
    return await make(gateway, **given | wishes)


# --- alone --------------------------------------------------------------------------------------


async def must_fit(screen: Screen, look: Look) -> Page:
    await screen.must_be_sound()
    paper = await screen.page.evaluate("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)")
    assert (max(paper) < 60, min(paper) > 240) == (look.colours == "dark", look.colours == "light")
    return screen.page


@LOOKS
async def test_every_state_of_the_form_fits_the_screen_and_nothing_is_a_barrier(
    screen: Screen, gateway: Gateway, look: Look
) -> None:
    made = await with_everything(gateway, allowed_origins=[])
    path = f"/forms/{made['id']}"
    await screen.open(path)
    page = await must_fit(screen, look)
    await page.get_by_label("E-mail address").fill("ana")
    await press(page, gateway)
    screen.forget("status of 422")
    await must_fit(screen, look)
    assert await page.evaluate("document.activeElement.id") == "at-address", (
        "the first field that is wrong has the focus"
    )
    await page.get_by_label("E-mail address").fill("ana@example.org")
    await page.get_by_label("Drama, please").check()
    await press(page, gateway)
    await must_fit(screen, look)
    assert await page.locator("h1").inner_text() == "Thank you"
    assert await sent_in(gateway) == 1
    await gateway.api("PATCH", f"/v1/forms/{made['id']}", json={"active": False})
    await screen.open(path, status=410)
    await must_fit(screen, look)


@LOOKS
@pytest.mark.parametrize("wishes", [{"entry": "text_us"}, {"entry": "both"}, {"channel": "whatsapp"}], ids=str)
async def test_a_form_for_texts_fits_the_screen(
    screen: Screen, gateway: Gateway, look: Look, wishes: dict[str, Any]
) -> None:
    made = await make(gateway, **{"channel": "sms", "allowed_origins": []} | wishes)
    await screen.open(f"/forms/{made['id']}")
    page = await must_fit(screen, look)
    code = page.get_by_role("img", name="A code for your phone's camera")
    assert await code.is_visible()


@pytest.mark.parametrize("look", [WIDE, WIDE_DARK], indirect=True, ids=str)
@pytest.mark.parametrize(
    "looks",
    [
        {"accent": "#8a1c3b"},
        {"accent": "#e0007a", "corners": "rounder"},
        {"paper": "#12303a", "accent": "#ffd166"},
        {"paper": "#808080"},
    ],
    ids=str,
)
async def test_a_forms_own_colours_can_be_read_by_day_and_by_night(
    screen: Screen, gateway: Gateway, looks: dict[str, str]
) -> None:
    made = await with_everything(gateway, allowed_origins=[], looks=looks)
    page = await screen.open(f"/forms/{made['id']}")
    await screen.must_be_sound()
    await press(page, gateway)
    screen.forget("status of 422")
    await screen.must_be_sound()


@pytest.mark.parametrize("look", [WIDE, SMALL], indirect=True, ids=str)
async def test_the_keyboard_alone_fills_it_in(screen: Screen, gateway: Gateway) -> None:
    made = await with_everything(gateway, allowed_origins=[])
    page = await screen.open(f"/forms/{made['id']}")
    reached = []
    for typed in ("ana@example.org", "Ana", "Stalls", " ", " ", " ", None, None):
        await page.keyboard.press("Tab")
        focused = page.locator(":focus-visible")
        assert await focused.evaluate("one => getComputedStyle(one).outlineStyle") != "none"
        reached.append(await focused.evaluate("one => one.name || one.textContent"))
        if typed is not None:
            await page.keyboard.type(typed)
    boxes = ["preference"] * 3
    assert reached == ["address", "first_name", "attributes.seat", *boxes, "Terms and conditions", "Sign me up"]
    checked = await page.locator("input:checked").count()
    assert checked == 2, "News and Drama; Opera was preselected and is not any more"
    gateway.clock.advance(seconds=4)
    async with page.expect_navigation():
        await page.keyboard.press("Enter")
    assert await page.locator("h1").inner_text() == "Thank you"
    assert await sent_in(gateway) == 1


@pytest.mark.parametrize("embedded", [False, True])
async def test_without_a_script_it_works_as_well(
    browser: Browser, gateway: Gateway, site: Site, embedded: bool
) -> None:
    made = await with_everything(gateway, allowed_origins=[site.origin])
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(site.put("/news", snippet(gateway, made)) if embedded else f"{gateway.url}/forms/{made['id']}")
    # Playwright's own helpers run scripts in the page: here all is asked of the browser's input alone.
    inside: Page | Frame = await frame_of(page, gateway) if embedded else page
    await inside.get_by_label("E-mail address").fill("ana@example.org")
    await inside.get_by_label("Drama, please").check()
    gateway.clock.advance(seconds=4)
    await inside.get_by_role("button").click()
    await expect(inside.locator("h1")).to_have_text("Thank you")
    assert await sent_in(gateway) == 1
    await context.close()


async def press(page: Page | Frame, gateway: Gateway) -> None:
    """The button, after a while."""
    gateway.clock.advance(seconds=4)
    owner = page.page if isinstance(page, Frame) else page
    async with owner.expect_event("framenavigated"):
        await page.get_by_role("button").click()
    await page.wait_for_load_state()


# --- on another site's page -----------------------------------------------------------------------


def snippet(gateway: Gateway, made: dict[str, Any]) -> str:
    """As it is copied, and its URL that of the gateway under test."""
    return str(made["snippet"]).replace(gateway.settings.server.public_url, gateway.url)


async def frame_of(page: Page, gateway: Gateway) -> Frame:
    """The form's frame, once it is there."""
    await page.locator("iframe[data-optgate]").scroll_into_view_if_needed()
    element = await page.locator("iframe[data-optgate]").element_handle()
    frame = await element.content_frame() if element else None
    assert frame is not None
    await frame.wait_for_load_state()
    return frame


async def must_have_its_height(page: Page, frame: Frame) -> int:
    """The frame is as high as what is in it, and so nothing scrolls inside; returns the height."""
    element = await frame.frame_element()
    await page.wait_for_function(
        "([one, height]) => one.offsetHeight === height",
        arg=[element, await frame.evaluate("Math.ceil(document.body.getBoundingClientRect().height)")],
    )
    # A frame of another origin is another process, which hears of its size a moment later.
    # Not `wait_for_function`, which asks again by `eval`: the form's policy forbids that.
    await eventually(lambda: frame.evaluate("document.documentElement.scrollHeight <= innerHeight"))
    assert await frame.evaluate("document.documentElement.scrollWidth <= innerWidth")
    return int(await element.evaluate("one => one.offsetHeight"))


@pytest.mark.parametrize("look", [WIDE, SMALL], indirect=True, ids=str)
async def test_on_a_page_of_an_allowed_site_it_shows_is_sent_and_has_its_height(
    screen: Screen, gateway: Gateway, site: Site
) -> None:
    made = await with_everything(gateway, allowed_origins=[site.origin])
    page = screen.page
    await page.goto(site.put("/news", snippet(gateway, made)))
    frame = await frame_of(page, gateway)
    first = await must_have_its_height(page, frame)
    assert first != 560, "the height that the snippet comes with"
    await press(frame, gateway)
    longer = await must_have_its_height(page, frame)
    assert longer > first, "with what is wrong it is longer"
    assert await frame.locator("#at-address").get_attribute("aria-invalid") == "true"
    await frame.get_by_label("E-mail address").fill("ana@example.org")
    await frame.get_by_label("Drama, please").check()
    await press(frame, gateway)
    assert await frame.locator("h1").inner_text() == "Thank you"
    assert await must_have_its_height(page, frame) < first
    assert await sent_in(gateway) == 1
    assert page.url == f"{site.origin}/news"


@ONE_LOOK
async def test_on_a_page_of_any_other_site_nothing_shows(screen: Screen, gateway: Gateway, site: Site) -> None:
    made = await make(gateway, allowed_origins=[site.origin])
    closed = await make(gateway, allowed_origins=[])
    for url, form in ((f"{site.another_origin}/news", made), (f"{site.origin}/closed", closed)):
        site.put(url.rpartition("/")[2].join(("/", "")), snippet(gateway, form))
        refused: list[str] = []
        screen.page.on("console", lambda said, into=refused: into.append(said.text))  # type: ignore[misc]
        await screen.page.goto(url)
        frame = await frame_of(screen.page, gateway)
        assert frame.url.startswith("chrome-error:")
        assert any("frame-ancestors" in one for one in refused), refused
    assert await sent_in(gateway) == 0


@ONE_LOOK
async def test_a_tag_manager_puts_it_in_late_and_more_than_once(screen: Screen, gateway: Gateway, site: Site) -> None:
    made = await make(gateway, allowed_origins=[site.origin])
    page = screen.page
    await page.goto(site.put("/late", '<div id="here"></div><div id="there"></div>'))
    await page.wait_for_timeout(200)
    insert = """([where, html]) => {
        // As tag managers do: what comes by innerHTML does not run, so that each script is made anew.
        const here = document.querySelector(where);
        here.innerHTML = html;
        for (const dead of here.querySelectorAll("script")) {
            const alive = document.createElement("script");
            for (const { name, value } of dead.attributes) alive.setAttribute(name, value);
            dead.replaceWith(alive);
        }
    }"""
    added = """() => {
        const add = window.addEventListener;
        window.heard = 0;
        window.addEventListener = function (...all) {
            if (all[0] === "message") window.heard++;
            return add.apply(this, all);
        };
    }"""
    await page.evaluate(added)
    await page.evaluate(insert, ["#here", snippet(gateway, made)])
    await must_have_its_height(page, await frame_of(page, gateway))
    await page.evaluate(insert, ["#there", snippet(gateway, made)])
    second = page.locator("#there iframe")
    await second.scroll_into_view_if_needed()
    element = await second.element_handle()
    frame = await element.content_frame() if element else None
    assert frame is not None
    await frame.wait_for_load_state()
    await must_have_its_height(page, frame)
    assert await page.evaluate("window.heard") == 1, "however often the script runs"


@ONE_LOOK
async def test_a_script_that_comes_long_after_the_frame_still_finds_its_height(
    screen: Screen, gateway: Gateway, site: Site
) -> None:
    made = await make(gateway, allowed_origins=[site.origin])
    frame_alone, _, _ = snippet(gateway, made).partition("<script")
    page = screen.page
    await page.goto(site.put("/alone", frame_alone))
    frame = await frame_of(page, gateway)
    element = await frame.frame_element()
    assert await element.evaluate("one => one.offsetHeight") == 560
    await page.wait_for_timeout(500)
    await page.add_script_tag(url=f"{gateway.url}/embed.js")
    await must_have_its_height(page, frame)


@ONE_LOOK
async def test_the_page_is_told_a_height_and_nothing_else_and_believes_nobody_else(
    screen: Screen, gateway: Gateway, site: Site
) -> None:
    made = await make(gateway, allowed_origins=[site.origin, "https://www.example.org"])
    lie = "parent.postMessage({optgate: 1, height: 4321}, '*')"
    site.put("/stranger", f"<script>{lie}; setInterval(() => {lie}, 20)</script>")
    stranger = f'<iframe src="{site.another_origin}/stranger" title="x" data-optgate></iframe>'
    unmarked = f'<iframe src="{site.another_origin}/stranger" title="y"></iframe>'
    told = "<script>window.told = []; addEventListener('message', (e) => told.push([e.origin, e.data]))</script>"
    page = screen.page
    await page.goto(site.put("/watched", snippet(gateway, made) + unmarked, head=told))
    frame = await frame_of(page, gateway)
    height = await must_have_its_height(page, frame)
    await page.wait_for_timeout(200)
    heard = await page.evaluate("window.told")
    ours = [data for origin, data in heard if origin == gateway.url]
    assert ours
    assert all(data.keys() == {"optgate", "height"} and isinstance(data["height"], int) for data in ours)
    assert [1 for origin, _ in heard if origin == site.another_origin], "the stranger has lied"
    element = await frame.frame_element()
    assert await element.evaluate("one => one.offsetHeight") == height
    await page.goto(site.put("/planted", snippet(gateway, made) + stranger))
    await page.wait_for_timeout(300)
    marked = page.locator("iframe[title=x]")
    assert await marked.evaluate("one => one.style.height") != "4321px", "it is no form of the script's own site"


@ONE_LOOK
@pytest.mark.parametrize(
    "lie",
    ["9", "10001", "-1", "1e9", "41.5", "'900'", "NaN", "null", "[900]", "{}"],
)
async def test_a_height_that_is_none_is_not_taken(screen: Screen, gateway: Gateway, site: Site, lie: str) -> None:
    """From our own frame itself: what is taken from it has bounds all the same."""
    made = await make(gateway, allowed_origins=[site.origin])
    page = screen.page
    await page.goto(site.put("/lies", snippet(gateway, made)))
    frame = await frame_of(page, gateway)
    height = await must_have_its_height(page, frame)
    for said in (
        f"{{optgate: 1, height: {lie}}}",
        "{optgate: 1, height: 900, css: 'x'}",
        "{optgate: 2, height: 900}",
        "'optgate'",
        "null",
    ):
        await frame.evaluate(f"parent.postMessage({said}, '{site.origin}')")
    await page.wait_for_timeout(100)
    element = await frame.frame_element()
    assert await element.evaluate("one => one.offsetHeight") == height


# As Chromium's settings number them. What playwright emulates is of the whole window, the frames in it included.
SYSTEMS = {"dark": "--blink-settings=preferredColorScheme=0", "light": "--blink-settings=preferredColorScheme=1"}


@pytest.mark.parametrize("system", SYSTEMS)
async def test_in_a_frame_a_form_is_light_or_dark_as_the_page_around_it_declares(
    gateway: Gateway, site: Site, system: str
) -> None:
    made = await make(gateway, allowed_origins=[site.origin])
    papered = await make(gateway, allowed_origins=[site.origin], looks={"paper": "#12303a"})
    whole = snippet(gateway, made)
    alone, of_old = whole.partition("<script")[0], whole.replace(";color-scheme:light", "")
    script_first = whole.partition("</iframe>")[2] + alone
    assert of_old != whole
    by_page = {
        "": "light",
        "html { color-scheme: light; }": "light",
        "html { color-scheme: dark; }": "dark",
        "body { color-scheme: dark; }": "dark",
        "html { color-scheme: light dark; }": system,
        '<meta name="color-scheme" content="light">': "light",
        '<meta name="color-scheme" content="dark">': "dark",
        '<meta name="color-scheme" content="light dark">': system,
    }
    async with chromium(SYSTEMS[system]) as browser:
        page = await (await browser.new_context(color_scheme="null")).new_page()

        async def shown(html: str, declared: str) -> str:
            head = declared if declared.startswith("<") else f"<style>{declared}</style>"
            await page.goto(site.put("/tinted", html, head=head))
            frame = await frame_of(page, gateway)
            if "<script" in html:
                await must_have_its_height(page, frame)
            return await scheme_of(frame)

        for declared, expected in by_page.items():
            for html in (whole, of_old, script_first):
                assert await shown(html, declared) == expected, (declared, html)
            assert await shown(alone, declared) == "light", "without the script, as the snippet says"
        assert await shown(whole, "iframe { color-scheme: dark; }") == "dark", "the site's own word for the frame"
        assert await shown(snippet(gateway, papered), "html { color-scheme: light; }") == "dark", (
            "a paper is the same by day and by night"
        )
        assert await shown(whole, "") == "light"
        frame = await frame_of(page, gateway)
        for switched in ("dark", "light"):
            await page.evaluate("(to) => { document.documentElement.style.colorScheme = to }", switched)
            await page.wait_for_timeout(100)
            assert await scheme_of(frame) == switched, "a page with a switch"
        await page.goto(f"{gateway.url}/forms/{made['id']}")
        assert await scheme_of(page) == system, "alone it is as its reader prefers"


async def scheme_of(page: Page | Frame) -> str:
    """Whether its paper is light or dark."""
    paper = await page.evaluate("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)")
    return "dark" if max(paper) < 70 else "light"


@ONE_LOOK
async def test_in_a_frame_a_form_leads_on_in_the_whole_window(screen: Screen, gateway: Gateway, site: Site) -> None:
    thanks = site.put("/thanks", "<p>Thanks</p>")
    made = await make(gateway, allowed_origins=[site.origin], redirect_url=thanks)
    page = screen.page
    await page.goto(site.put("/news", snippet(gateway, made)))
    frame = await frame_of(page, gateway)
    await frame.get_by_label("E-mail address").fill("ana@example.org")
    await press(frame, gateway)
    async with page.expect_navigation():
        await frame.get_by_role("link", name="Continue").click()
    assert page.url == thanks
    await page.goto(f"{gateway.url}/forms/{made['id']}")
    await page.get_by_label("E-mail address").fill("ben@example.org")
    gateway.clock.advance(seconds=4)
    async with page.expect_navigation(url=thanks):
        await page.get_by_role("button").click()
    assert await sent_in(gateway) == 2


@ONE_LOOK
async def test_a_sites_own_page_posts_by_script_and_another_sites_may_not(
    screen: Screen, gateway: Gateway, site: Site
) -> None:
    made = await make(gateway, allowed_origins=[site.origin])
    site.put("/own", "<p>Own</p>")
    url = f"{gateway.url}/v1/forms/{made['id']}/submissions"
    post = """async ([url, address]) => {
        const headers = {"Content-Type": "application/json"};
        const got = await fetch(url, {method: "POST", headers, body: JSON.stringify({address})});
        return [got.status, await got.text()];
    }"""
    await screen.page.goto(f"{site.origin}/own")
    assert await screen.page.evaluate(post, [url, "ana@example.org"]) == [202, '{"status": "accepted"}\n']
    assert (await screen.page.evaluate(post, [url, "ana"]))[0] == 422
    await screen.page.goto(f"{site.another_origin}/own")
    with pytest.raises(Exception, match="Failed to fetch"):
        await screen.page.evaluate(post, [url, "ben@example.org"])
    assert await sent_in(gateway) == 1
