"""The README's pictures: what customers see, as it is. `python3 dev.py pictures` makes them anew."""

from __future__ import annotations

import os
from base64 import b64decode
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, ViewportSize

from gateway.settings import Settings
from tests.flows.centre import own, with_mail
from tests.flows.filling import make
from tests.flows.pages import sites
from tests.flows.pages.test_forms import frame_of, must_have_its_height, snippet
from tests.flows.running import ANA, Gateway

INTO = os.environ.get("OPTGATE_TEST_PICTURES")
KEPT = Path(__file__).parents[3] / "docs" / "pictures"
MOST_BYTES = 60_000
NAMES = ["embedded-form.webp", "preference-centre.webp"]
# A theatre's own page: nothing of it is ours but the frame.
SITE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Example Theatre</title><style>
body { margin: 0; font: 17px/1.55 Georgia, "DejaVu Serif", serif; color: #2b2226; background: #fdfaf5; }
header { display: flex; gap: 2rem; align-items: baseline; padding: 1.1rem 4rem; background: #8a1c3b; color: #fff; }
header b { font-size: 1.5rem; margin-inline-end: auto; }
.stage { height: 90px;
  background: repeating-linear-gradient(90deg, #5c1127 0 22px, #74162f 22px 44px, #8a1c3b 44px 66px); }
.page { display: grid; grid-template-columns: 1fr 27.5rem; gap: 4rem; padding: 2.5rem 4rem; align-items: start; }
h1 { font-size: 2.1rem; line-height: 1.2; margin: 0 0 1rem; } h2 { font-size: 1.15rem; margin: 1.6rem 0 .2rem; }
p { margin: 0 0 .8rem; } aside { border: 1px solid #e2d6c6; background: #fff; padding: .5rem; }
</style></head><body>
<header><b>Example Theatre</b><span>What’s on</span><span>Visit</span><span>Support us</span></header>
<div class="stage"></div><div class="page"><div><h1>The autumn season</h1>
<p>Seven plays, two operas and a winter tale for everybody over six. Booking opens on Monday at ten.</p>
<h2>The Glass Orchard</h2><p>A new drama about a family and the land that it sells. From 9 October.</p>
<h2>The Night Ferry</h2><p>An opera in one act, on a stage of water. From 6 November.</p>
<h2>The Snow Clerk</h2><p>For children over six, and whoever brings them. From 4 December.</p></div>
<aside>FRAME</aside></div></body></html>"""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return with_mail(settings)


async def on_our_stages(gateway: Gateway) -> None:
    await gateway.api("POST", "/v1/preference-groups", json={"headline": "On our stages"})
    for name, words in (
        ("Drama", "I would like to hear about new drama"),
        ("Opera", "I would like to hear about opera and ballet"),
        ("Families", "I would like to hear about plays for families"),
    ):
        given = {"name": name, "text": words, "group": "On our stages"}
        await gateway.api("POST", "/v1/preferences", json=given)


async def embedded_form(gateway: Gateway, page: Page) -> None:
    await on_our_stages(gateway)
    async with sites.running() as site:
        made = await make(
            gateway,
            headline="Be the first to know",
            fields=["first_name"],
            preferences=[{"name": "Drama"}, {"name": "Opera"}],
            confirmation_message="News of the season about once a month. You can stop it at any time.",
            button_text="Keep me posted",
            looks={"accent": "#8a1c3b"},
            allowed_origins=[site.origin],
        )
        site.pages["/season"] = SITE.replace("FRAME", snippet(gateway, made))
        await page.goto(f"{site.origin}/season")
        await must_have_its_height(page, await frame_of(page, gateway))
        await page.evaluate("scrollTo(0, 0)")


async def preference_centre(gateway: Gateway, page: Page) -> None:
    await on_our_stages(gateway)
    ana = await gateway.person("email:ana.ruiz@example.org", f"sms:{ANA}", first_name="Ana", last_name="Ruiz")
    said = {"Drama": "yes", "Opera": "no"}
    await gateway.say(ana["id"], channels={"email": "yes", "sms": "no"}, preferences=said, by={"kind": "customer"})
    await page.goto(gateway.url + (await own(gateway, ana)).path)


@pytest.mark.parametrize(
    ("name", "scene", "size"),
    [
        (NAMES[0], embedded_form, ViewportSize(width=1120, height=860)),
        (NAMES[1], preference_centre, ViewportSize(width=700, height=860)),
    ],
    ids=NAMES,
)
async def test_a_picture_can_be_taken(
    gateway: Gateway, browser: Browser, tmp_path: Path, name: str, scene: object, size: ViewportSize
) -> None:
    page = await browser.new_page(viewport=size, locale="en")
    await scene(gateway, page)  # type: ignore[operator]
    path = (Path(INTO) if INTO else tmp_path) / name
    path.parent.mkdir(exist_ok=True)
    taken = await (await page.context.new_cdp_session(page)).send(
        "Page.captureScreenshot", {"format": "webp", "quality": 80}
    )
    path.write_bytes(b64decode(taken["data"]))
    assert 10_000 < path.stat().st_size <= MOST_BYTES
    await page.close()


def test_the_pictures_that_are_kept_are_small_and_shown() -> None:
    assert sorted(one.name for one in KEPT.iterdir()) == NAMES
    assert all(one.stat().st_size <= MOST_BYTES for one in KEPT.iterdir())
    readme = (KEPT.parents[1] / "README.md").read_text()
    assert all(f"docs/pictures/{name}" in readme for name in NAMES)
