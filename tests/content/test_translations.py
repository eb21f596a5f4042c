"""The catalogues: whatever customers read is there in every language, and compiled as it stands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date

import pytest

from content.languages import KNOWN, language
from content.letters import question_by_text
from content.locales import build
from content.own_page import confirm_by_text, fresh_link_by_text
from content.segments import is_gsm, segments
from rules.answers import is_yes

OTHERS = [code for code in KNOWN if code != "en"]
MARKS = re.compile(
    r"%\([a-z_]+\)[sd]|<[^>]+>|\b(?:STOP|START|JSON)\b"
)  # what is filled in, HTML, words that machines read


@pytest.fixture(scope="module")
def texts() -> build.Catalog:
    return build.said()


def test_the_texts_are_found(texts: build.Catalog):
    ids = {one.id for one in texts}
    assert len(ids) > 100
    assert {"Unsubscribe?", "news and offers by e-mail"} <= ids


@pytest.mark.parametrize("code", OTHERS)
def test_a_language_has_every_text_and_no_other(code: str, texts: build.Catalog):
    catalog = build.translated(code)
    assert list(build.lacking(build.brought_up_to_date(code, texts))) == [], "python3 dev.py translations"
    assert build.path(code).read_bytes() == build.as_po(build.brought_up_to_date(code, texts))
    assert not [one.id for one in catalog if one.fuzzy and one.id]


@pytest.mark.parametrize("code", OTHERS)
def test_what_is_compiled_is_what_stands_there(code: str):
    assert build.path(code, "mo").read_bytes() == build.as_mo(build.translated(code))
    assert language(code).texts.gettext("Unsubscribe?") != "Unsubscribe?"


@pytest.mark.parametrize("code", OTHERS)
def test_a_translation_fills_in_what_the_text_does_and_keeps_its_marks(code: str):
    for one in build.translated(code):
        english, forms = _forms(one.id), _forms(one.string)
        for text in forms if one.id else ():
            of_it = sorted(MARKS.findall(english[-1]))
            # "One thing is missing": the number may be in the words.
            assert sorted(MARKS.findall(text)) in ([of_it, []] if len(english) > 1 else [of_it]), text
            assert text == text.strip()


@pytest.mark.parametrize("code", OTHERS)
def test_every_number_of_things_has_its_words(code: str):
    one, many = "One thing is missing, or not right yet:", "%(n)s things are missing, or not right yet:"
    forms = {number: language(code).texts.ngettext(one, many, number) for number in range(1, 130)}
    assert forms[1] != forms[2]
    assert not {one, many} & set(forms.values())
    assert all("%(n)s" in text for number, text in forms.items() if number > 2)
    assert len({text for number, text in forms.items() if number > 2}) == (2 if code == "ar" else 1)


@pytest.mark.parametrize("code", [code for code in KNOWN if code != "ar"])
def test_what_goes_out_as_an_sms_is_in_the_gsm_alphabet(code: str):
    """A letter outside it, and the text costs twice as much."""
    link, speech = "https://example.org/preferences/" + "x" * 60, language(code)
    question = question_by_text(speech, "sms", organisation="Teatro")
    letters = [question, confirm_by_text(speech, link, organisation="Teatro")["body"]]
    letters += [fresh_link_by_text(speech, link, organisation="Teatro")["body"]]
    assert [text for text in letters if not is_gsm(text)] == []
    assert max(map(segments, letters)) <= 2


@pytest.mark.parametrize("code", KNOWN)
def test_the_word_that_a_question_asks_for_is_understood(code: str):
    asked = [question_by_text(language(code), "sms", organisation=name) for name in ("", "Teatro")]
    asked.append(
        language(code)(
            "One step is left: you will get a message of ours. Answer it with YES; until then nothing changes."
        )
    )
    for text in asked:
        assert any(is_yes(word.strip(".,;،؛")) for word in text.split()), text


def test_a_day_is_written_as_the_language_has_it():
    day = date(2026, 11, 3)
    written = {code: language(code).day(day) for code in KNOWN}
    assert written == {
        "en": "3 November 2026",
        "de": "03.11.2026",
        **dict.fromkeys(("fr", "es", "pt", "it", "ar"), "03/11/2026"),
    }


def _forms(text: str | Sequence[str]) -> Sequence[str]:
    return (text,) if isinstance(text, str) else text
