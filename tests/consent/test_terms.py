"""Which terms somebody is shown: pure, language by language."""

from __future__ import annotations

import pytest

from consent.terms import Version, Wording, chosen
from tests.acts import NOON


def version(*languages: str) -> Version:
    return Version(3, {language: Wording(f"in {language}", None) for language in languages}, NOON, "key:crm")


@pytest.mark.parametrize(
    ("languages", "asked", "found"),
    [
        (("en", "fr"), "fr", "fr"),
        (("en", "fr"), "FR", "fr"),
        (("en", "fr"), "fr-CA", "fr"),
        (("en", "fr"), "fr_CA", "fr"),
        (("en", "pt", "pt-BR"), "pt-br", "pt-BR"),
        (("en", "pt-BR"), "pt", "pt-BR"),
        (("en", "pt-BR"), "pt-PT", "pt-BR"),
        (("en", "fr"), "de", "en"),
        (("en-GB", "fr"), "en", "en-GB"),
        (("en", "fr"), None, "en"),
        (("fr", "it"), "de", "fr"),
        (("fr",), None, "fr"),
        ((), "fr", None),
        (("en", "fr"), "frr", "en"),
    ],
)
def test_the_language_asked_for_else_english_else_any(
    languages: tuple[str, ...], asked: str | None, found: str | None
) -> None:
    terms = chosen(version(*languages), asked)
    assert (terms.language if terms else None) == found
    assert terms is None or (terms.version, terms.text) == (3, f"in {found}")
