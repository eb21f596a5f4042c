"""The defences as people meet them: work that the browser does beside them, and errors that nobody may frame."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect

from gateway.settings import Settings
from tests.flows.filling import make, sent_in
from tests.flows.pages import sites
from tests.flows.pages.conftest import NARROW, NARROW_DARK, WIDE, WIDE_DARK, Look, Screen
from tests.flows.running import Gateway

LOOKS = pytest.mark.parametrize("look", [WIDE, WIDE_DARK, NARROW, NARROW_DARK], indirect=True, ids=str)
ONE_LOOK = pytest.mark.parametrize("look", [NARROW], indirect=True, ids=str)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    mail = Settings.model_validate({"connections": {"mail": {"provider": "sandbox", "channel": "email"}}})
    return settings.model_copy(update={"connections": settings.connections | mail.connections})


# --- work --------------------------------------------------------------------------------------


async def test_the_browser_works_while_the_form_is_filled_in(screen: Screen, gateway: Gateway, look: Look) -> None:
    made = await make(gateway, proof_of_work=True)
    page = await screen.open(f"/forms/{made['id']}")
    await screen.must_be_sound()
    assert await page.get_by_text("which needs JavaScript").count() == 0
    await expect(page.locator("[name=work]")).not_to_have_value("")
    assert await page.locator("#working").inner_text() == "", "nobody waited for it: nobody is told"
    await page.get_by_label("E-mail address").fill("ana@example.org")
    gateway.clock.advance(seconds=4)
    await page.get_by_role("button").click()
    await expect(page.locator("h1")).to_have_text("Thank you")
    assert await sent_in(gateway) == 1


@LOOKS
async def test_who_is_quicker_than_their_browser_waits_and_is_told(
    screen: Screen, gateway: Gateway, look: Look
) -> None:
    made = await make(gateway, proof_of_work=True)
    page = screen.page
    await page.add_init_script("navigator.__defineGetter__('hardwareConcurrency', () => 2);")
    await page.add_init_script(
        """const derive = SubtleCrypto.prototype.deriveBits;
        SubtleCrypto.prototype.deriveBits = async function (...given) {
          await new Promise((go) => setTimeout(go, window.slow ?? 10));
          return derive.apply(this, given);
        };"""
    )
    await screen.open(f"/forms/{made['id']}")
    gateway.clock.advance(seconds=4)
    await page.get_by_label("E-mail address").fill("ana@example.org")
    await page.keyboard.press("Enter")
    status = page.get_by_role("status")
    await expect(status).to_contain_text("One moment: your browser is working")
    await screen.must_be_sound()
    await page.evaluate("window.slow = 0")
    await expect(page.locator("h1")).to_have_text("Thank you", timeout=30_000)
    assert await sent_in(gateway) == 1


@ONE_LOOK
async def test_work_is_done_again_after_something_was_wrong(screen: Screen, gateway: Gateway, look: Look) -> None:
    made = await make(gateway, proof_of_work=True)
    page = await screen.open(f"/forms/{made['id']}")
    gateway.clock.advance(seconds=4)
    await page.get_by_label("E-mail address").fill("no address")
    await page.get_by_role("button").click()
    await expect(page.locator("#at-address")).to_have_attribute("aria-invalid", "true")
    await page.get_by_label("E-mail address").fill("ana@example.org")
    await page.get_by_role("button").click()
    await expect(page.locator("h1")).to_have_text("Thank you")
    assert await sent_in(gateway) == 1


@ONE_LOOK
async def test_where_the_browser_cannot_its_reader_is_told_what_to_do(
    browser: Browser, screen: Screen, gateway: Gateway, look: Look
) -> None:
    made = await make(gateway, proof_of_work=True)
    page = screen.page
    await page.add_init_script("Object.defineProperty(crypto, 'subtle', { value: undefined });")
    await screen.open(f"/forms/{made['id']}")
    await expect(page.get_by_role("status")).to_contain_text("use a newer one")
    context = await browser.new_context(java_script_enabled=False)
    without = await context.new_page()
    await without.goto(f"{gateway.url}/forms/{made['id']}")
    await expect(without.get_by_text("which needs JavaScript")).to_be_visible()
    await context.close()


# --- errors ------------------------------------------------------------------------------------


@ONE_LOOK
async def test_no_error_and_no_page_of_ours_shows_in_anybodys_frame(
    screen: Screen, gateway: Gateway, look: Look
) -> None:
    made = await make(gateway, allowed_origins=[])
    paths = ["/forms/frm_none", f"/forms/{made['id']}", "/forms", "/preferences", "/preferences/x", "/unsubscribe/x",
             "/confirm/x", "/nothing", "/v1/profiles", "/docs", "/healthz"]  # fmt: skip
    page = screen.page
    async with sites.running() as site:
        html = "".join(f'<iframe id="f{n}" src="{gateway.url}{path}"></iframe>' for n, path in enumerate(paths))
        refused: list[str] = []
        page.on("console", lambda said: "frame-ancestors" in said.text and refused.append(said.text))
        await page.goto(site.put("/hostile", html))
        await page.wait_for_load_state("networkidle")
        await page.wait_for_timeout(500)
        for n, path in enumerate(paths):
            element = await page.locator(f"#f{n}").element_handle()
            frame = await element.content_frame() if element else None
            assert frame is not None
            assert not frame.url.startswith(gateway.url), path
        assert len(refused) == len(paths)


@pytest.mark.parametrize("look", [WIDE, NARROW_DARK], indirect=True, ids=str)
@pytest.mark.parametrize(("path", "status"), [("/forms", 404), ("/unsubscribe/x/y", 404), ("/forms/frm_none", 404)])
async def test_what_is_not_there_is_said_on_a_page(
    screen: Screen, gateway: Gateway, look: Look, path: str, status: int
) -> None:
    page = await screen.open(path, status=status)
    await screen.must_be_sound()
    assert await page.locator("h1").count() == 1
