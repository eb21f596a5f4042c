"""A scanner opens every link of a mail in a browser, with JavaScript, and waits: nothing changes anywhere (F10)."""

from __future__ import annotations

import re
from collections import Counter
from urllib.parse import urlencode

import pytest
from playwright.async_api import Browser

from gateway.providers.sandbox import Sandbox
from gateway.settings import Settings
from outbox.manage_links import Opened
from tests.flows.centre import FORM, Centre, id_of
from tests.flows.pages.conftest import WIDE
from tests.flows.posting import form_of, send_in
from tests.flows.running import Gateway, eventually

ANA, NEW, VICTIM = "ana@example.org", "ana.new@example.org", "victim@example.org"
WAITED_SECONDS = 5.0
HREFS = "all => all.map(one => one.href)"
TOUCH = """
  for (const one of document.querySelectorAll("*")) {
    if (one.focus) one.focus();
    for (const kind of ["mouseover", "pointerenter", "scroll"]) one.dispatchEvent(new Event(kind, { bubbles: true }));
  }
  scrollTo(0, document.body.scrollHeight);
"""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    mail = Sandbox.model_validate({"provider": "sandbox", "channel": "email"})
    organisation = settings.organisation.model_copy(update={"postal_address": "12 Long Lane, London N1"})
    return settings.model_copy(update={"connections": {"mail": mail}, "organisation": organisation})


async def mailed(gateway: Gateway, *addresses: str) -> list[str]:
    """What was written to each, as often as it is named, once it is sent."""

    async def all_came() -> list[str] | None:
        sent = (await gateway.api("GET", "/v1/sandbox/messages"))["items"]
        assert Counter(one["to"] for one in sent) <= Counter(addresses)
        return [one["body"] for one in sent] if len(sent) == len(addresses) else None

    return list(await eventually(all_came) or [])


async def test_a_scanner_that_opens_every_link_of_our_mails_changes_nothing(browser: Browser, gateway: Gateway) -> None:
    await gateway.api("POST", "/v1/preferences", json={"name": "Drama", "linked_channel": "email"})
    form = await form_of(gateway, preferences=[{"name": "Drama"}], proof_of_work=False)
    worked = await form_of(gateway, proof_of_work=True)
    consent = {"channels": {"email": "yes"}, "preferences": {"Drama": "yes"}}
    ana = await gateway.person(f"email:{ANA}", consent=consent)
    await gateway.sent(
        {"profiles": [ana["id"]]}, channel="email", connection="mail", preference="Drama",
        content={"subject": "News", "text": f"On sale: {gateway.url}{form} or {gateway.url}{worked}"},
    )  # fmt: skip
    await send_in(gateway, form, VICTIM)
    await gateway.send("POST", "/preferences", data=urlencode({"address": ANA}).encode(), headers=FORM)
    mailbox = await id_of(gateway, ANA)
    link = gateway.house.manage_links(Opened(ana["id"], mailbox, "asked", gateway.clock()))
    await Centre(gateway, link).act("address", old=mailbox, new=NEW)
    links = {
        re.sub("^https?://[^/]+", "", link).rstrip(".,)")
        for mail in await mailed(gateway, ANA, VICTIM, ANA, ANA, NEW)
        for link in re.findall(r"https?://\S+", mail)
    }
    assert {link.split("/")[1] for link in links} == {"unsubscribe", "preferences", "confirm", "forms"}
    gateway.clock.advance(minutes=1)
    await settled(gateway)
    before = await gateway.everything()
    context = await browser.new_context(viewport={"width": WIDE.width, "height": WIDE.height})
    posted: list[str] = []
    context.on("request", lambda request: request.method != "GET" and posted.append(request.url))
    pages = []
    for link in sorted(links):
        page = await context.new_page()
        answer = await page.goto(gateway.url + link)
        assert answer
        assert answer.status == 200, link
        pages.append(page)
    found = {href for page in pages for href in await page.eval_on_selector_all("a[href]", HREFS)}
    for href in sorted(one for one in found if one.startswith(gateway.url)):  # and whatever those pages lead to
        if href.endswith(".json"):  # which a browser saves
            assert (await context.request.get(href)).ok
            continue
        page = await context.new_page()
        answer = await page.goto(href)
        assert answer
        assert answer.status == 200, href
        pages.append(page)
    await pages[-1].wait_for_timeout(WAITED_SECONDS * 1000)
    for page in pages:  # as somebody's assistant might look over it
        await page.evaluate(TOUCH)
    await pages[-1].wait_for_timeout(1000)
    assert posted == []
    assert await gateway.everything() == before
    await context.close()


async def settled(gateway: Gateway) -> None:
    """Nothing is on its way any more."""

    async def still() -> bool:
        sent = {row["status"] for row in await gateway.rows("deliveries")}
        return not sent & {"queued", "sending"} and {row["status"] for row in await gateway.rows("broadcasts")} == {
            "done"
        }

    await eventually(still)
