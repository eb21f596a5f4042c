"""The line that tells how to opt out: in the person's language, and not where it is told already."""

from __future__ import annotations

import pytest

from content.notices import with_notice
from content.segments import segments

LINK = "https://gw.example.org/unsubscribe/t"


@pytest.mark.parametrize(
    ("locale", "line"),
    [
        (None, "Reply STOP to opt out."),
        ("", "Reply STOP to opt out."),
        ("en-GB", "Reply STOP to opt out."),
        ("ja", "Reply STOP to opt out."),
        ("fr_CA", "Répondez STOP pour ne plus recevoir."),
        ("ES", "Responda STOP para darse de baja."),
        ("de-AT", "Antworten Sie STOP zum Abmelden."),
        ("pt-BR", "Responda STOP para sair."),
        ("it", "Risponda STOP per annullare."),
    ],
)
def test_it_is_in_the_persons_language(locale: str | None, line: str) -> None:
    assert with_notice("On sale.", locale=locale, link=None) == f"On sale.\n{line}"
    assert with_notice("On sale.", locale=locale, link=LINK).endswith(LINK)
    again = with_notice(f"On sale.\n{line}", locale=locale, link=None)
    assert again == f"On sale.\n{line}", "what we say ourselves is told"


@pytest.mark.parametrize(
    "text",
    ["Sale! Reply STOP to end", "Text STOP to 12345.", "STOP=end", "Sale. STOP to opt out", "Txt the word STOP",
     "Antworte mit STOP", "Envoyez STOP au 36111", "Envía STOP", "STOP pour vous désabonner", "Invia STOP"],
)  # fmt: skip
def test_a_text_that_tells_it_is_left_as_it_is(text: str) -> None:
    assert with_notice(text, locale=None, link=None) == text


@pytest.mark.parametrize(
    "text",
    ["DON'T STOP THE MUSIC", "NON-STOP COMEDY", "Send NON-STOP laughs", "We STOP at nothing", "STOPPARD's Arcadia",
     "reply stop"],
)  # fmt: skip
def test_the_word_alone_tells_nothing(text: str) -> None:
    assert with_notice(text, locale=None, link=None) != text


def test_who_cannot_reply_is_told_the_link_once() -> None:
    once = with_notice("Reply STOP to end", locale="de", link=LINK)
    assert once == f"Reply STOP to end\nAbmelden: {LINK}"
    assert with_notice(once, locale="de", link=LINK) == once


def test_below_arabic_it_is_arabic_and_says_so_once() -> None:
    once = with_notice("عروض جديدة", locale="ar-EG", link=None)
    assert once == "عروض جديدة\nلإيقاف الرسائل يُرجى الرد بكلمة STOP."
    assert with_notice(once, locale="ar", link=None) == once
    assert with_notice("عروض جديدة", locale="ar", link=LINK) == f"عروض جديدة\nلإيقاف الرسائل: {LINK}"


def test_no_notice_turns_a_gsm_text_into_unicode() -> None:
    for locale in ("en", "fr", "es", "de", "pt", "it", "ar"):
        for link in (None, "https://x"):
            text = with_notice("x" * 100, locale=locale, link=link)
            assert segments(text) == 1, (locale, text)
