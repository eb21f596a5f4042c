"""The words that answer a question of ours with yes. They mean nothing where nothing was asked. Pure."""

from __future__ import annotations

from typing import Final

from rules.normalize import normalize, unaccented

# The whole message is the word, or the word and a courtesy. English first, then the languages of the pages.
_YES: Final = (
    *("YES", "Y", "YES PLEASE", "YES I DO"),
    *("OUI", "OUI MERCI"),
    *("SÍ", "SI POR FAVOR", "SÍ GRACIAS"),
    *("JA", "JA BITTE", "JA GERNE"),
    *("SIM", "SIM POR FAVOR"),
    *("SÌ", "SÌ GRAZIE"),
    *("نعم",),
)
_WORDS: Final = frozenset(unaccented(normalize(word)) for word in _YES)
_MOST_CHARACTERS: Final = 60  # with the commas, quotes and emoji around it


def is_yes(text: str, payload: str | None = None) -> bool:
    """Whether a message, or the payload of a button where its text is none, says yes and nothing else."""
    return any(_plain(one) in _WORDS for one in (text, payload) if one and len(one) <= _MOST_CHARACTERS)


def _plain(text: str) -> str:
    """Without the commas of a courtesy."""
    return unaccented(normalize(text.replace(",", " ")))
