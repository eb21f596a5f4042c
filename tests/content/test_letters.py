"""Letters of our own: what they say, and that they are whole without an organisation's name."""

from __future__ import annotations

import gettext

import pytest

from content import letters, mail
from content.languages import KNOWN, Language, language
from content.segments import segments
from rules.answers import is_yes

LINK = "https://gw.example.org/confirm/cnf_1.x-Y_z"


class Shouted(gettext.NullTranslations):
    """A language in which everything is said loudly: what is not translated shows."""

    def gettext(self, message: str) -> str:
        return (
            message.upper()
            .replace("%(ORGANISATION)S", "%(organisation)s")
            .replace("%(DAYS)D", "%(days)d")
            .replace("%(WHAT)S", "%(what)s")
        )


@pytest.mark.parametrize("organisation", ["Example Theatre", "  ", "Tom & <Jerry> 100%"])
def test_a_question_names_who_asks_what_for_and_the_link_and_is_the_same_in_both_parts(organisation: str) -> None:
    found = letters.question(language("en"), ["news & <b>"], organisation=organisation, link=LINK)
    for text in (found["text"], mail.finish(found, None, subject="").html or ""):
        assert LINK in text
        assert "do nothing" in text
        assert "7 days" in text
    assert organisation.strip() in found["text"]
    assert "- news & <b>\n" in found["text"]
    assert "<li>news &amp; &lt;b&gt;</li>" in found["html"]
    assert "  " not in found["subject"]
    assert not found["subject"].endswith(": ")


def test_every_word_of_it_is_translated() -> None:
    loud = Language("ar", Shouted())
    found = letters.question(loud, ["NEWS"], organisation="EXAMPLE", link="HTTPS://X/")
    text = letters.question_by_text(loud, "sms", organisation="EXAMPLE")
    assert found["subject"].isupper()
    assert found["text"].isupper()
    assert text.isupper()
    assert 'dir="rtl"' in found["html"]


def test_a_question_by_text_names_the_preferences_that_a_yes_to_it_sets() -> None:
    text = letters.question_by_text(language("en"), "sms", ["New plays", "Opera"], organisation="EXAMPLE")
    assert text.startswith("EXAMPLE: reply YES to get news and offers by text message (New plays; Opera). ")


@pytest.mark.parametrize("code", KNOWN)
@pytest.mark.parametrize("channel", ["sms", "whatsapp"])
@pytest.mark.parametrize("organisation", ["Example Theatre", ""])
def test_a_question_by_text_says_yes_and_stop_and_is_short(code: str, channel: str, organisation: str) -> None:
    text = letters.question_by_text(language(code), channel, organisation=organisation)
    assert any(is_yes(word) for word in text.split())
    assert "STOP" in text
    assert organisation in text
    assert code != "en" or segments(text) == 1
