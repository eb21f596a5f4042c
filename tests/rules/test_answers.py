"""Which messages say yes, and nothing else."""

from __future__ import annotations

import pytest

from rules.answers import is_yes


@pytest.mark.parametrize(
    "text",
    ["YES", "yes", " Yes. ", "«Yes!»", "YES 👍", "Ｙｅｓ", "y", "Yes, please", "oui", "Oui, merci !", "sí", "si",
     "¡Sí!", "ja", "Ja, bitte", "JA GERNE", "sim", "sì", "Sì, grazie", "نعم", "نَعَم"],
)  # fmt: skip
def test_a_yes_in_seven_languages(text: str) -> None:
    assert is_yes(text)


@pytest.mark.parametrize(
    "text",
    ["", "👍", "no", "yes but later", "yesterday", "yes 2", "oui non", "START", "ok", "jazz", "YЕS", "y" * 2000,
     "yes\n\n" + "please " * 100],
)  # fmt: skip
def test_anything_else_is_none(text: str) -> None:
    """A look-alike letter (here a Cyrillic Е) counts for an opt-out alone."""
    assert not is_yes(text)


def test_a_button_says_it_by_its_payload() -> None:
    assert is_yes("Count me in", "YES")
    assert not is_yes("Count me in", "START_FLOW")
