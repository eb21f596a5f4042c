"""The links below a page: the same page in another language, and nothing else of it lost."""

from __future__ import annotations

import re
from html import unescape

import pytest

from content.languages import KNOWN, NAMES
from gateway.settings import Settings
from tests.flows.centre import own, person, with_mail
from tests.flows.filling import PAGE, SITE, fill, look, make
from tests.flows.running import Gateway


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return with_mail(settings)


def links(html: str) -> dict[str, str]:
    """Where the page leads to in each other language; each is marked as being in its own."""
    found = re.findall(r'<a href="([^"]+)" lang="([a-z]{2})" hreflang="([a-z]{2})">([^<]+)</a>', html)
    assert [(lang, name) for _, lang, _, name in found] == [(lang, NAMES[lang]) for _, _, lang, _ in found]
    return {lang: unescape(href) for href, lang, _, _ in found}


async def test_each_page_leads_to_itself_in_the_other_languages(gateway: Gateway) -> None:
    page = await own(gateway, await person(gateway, locale="es"))
    html = (await page.open("?context=a%26b&context=c&lang=it")).replace("&amp;", "&")
    assert '<html lang="it" dir="ltr">' in html
    assert '<span lang="it" aria-current="true">Italiano</span>' in html
    found = links(html)
    assert found == {code: f"?context=a%26b&context=c&lang={code}" for code in KNOWN if code != "it"}
    for code, href in found.items():
        assert f'<html lang="{code}"' in await page.open(href)
    assert '<html lang="es"' in await page.open(), "a link chooses for the page that it leads to, and no further"


async def test_what_is_chosen_stays_when_something_is_sent_and_what_a_post_shows_has_no_links(gateway: Gateway) -> None:
    """A link from there would ask for the page anew, and what was done would seem undone."""
    page = await own(gateway, await person(gateway))
    page.path += "?lang=de"
    await page.open()
    assert "Gespeichert." in await page.save(tick=("E-Mail",))
    assert links(page.text) == {}


async def test_in_a_frame_the_site_around_it_has_chosen(gateway: Gateway) -> None:
    made = await make(gateway)
    assert links((await look(gateway, made["id"], Referer=PAGE)).html) == {}
    assert made["allowed_origins"] == [SITE]
    alone = await look(gateway, made["id"], **{"Sec-Fetch-Dest": "document"})
    assert links(alone.html)["fr"] == "?lang=fr"
    sent = await fill(gateway, made["id"], "ana@example.org", query="?lang=fr")
    assert (sent.language, links(sent.html)) == ("fr", {})
