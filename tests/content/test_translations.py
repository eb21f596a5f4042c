"""The catalogues: whatever customers read is there in every language, and compiled as it stands."""

from __future__ import annotations

import re

import pytest

from content.languages import KNOWN, language
from content.locales import build

OTHERS = [code for code in KNOWN if code != "en"]
FILLED_IN = re.compile(r"%\([a-z_]+\)[sd]")


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
def test_a_translation_fills_in_what_the_text_does(code: str):
    for one in build.translated(code):
        for text in one.string if isinstance(one.string, tuple | list) else (one.string,):
            of_id = one.id if isinstance(one.id, str) else one.id[-1]
            assert set(FILLED_IN.findall(str(text))) == set(FILLED_IN.findall(of_id)), of_id
