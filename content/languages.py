"""The languages we speak to customers in, and which of them to take. Pure; the catalogues are gettext's.

English stands in the source. A catalogue is `locales/LANGUAGE/LC_MESSAGES/optgate.po`, compiled beside it
(`python3 dev.py translations`).
"""

from __future__ import annotations

import gettext
import re
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from typing import Literal

DOMAIN = "optgate"
FOLDER = Path(__file__).parent / "locales"
KNOWN = ("en", "fr", "es", "de", "pt", "it", "ar")
NAMES = {
    "en": "English",
    "fr": "Français",
    "es": "Español",
    "de": "Deutsch",
    "pt": "Português",
    "it": "Italiano",
    "ar": "العربية",
}
_RIGHT_TO_LEFT = frozenset({"ar"})
# In figures where all who read the language take them in one order; English is read in London and in New York.
_DATES = {"de": "{:%d.%m.%Y}"} | dict.fromkeys(("fr", "es", "pt", "it", "ar"), "{:%d/%m/%Y}")
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_MOST_WISHES = 20  # of a browser's
_WISH = re.compile(r"\s*([A-Za-z]{1,8}|\*)(?:-[A-Za-z0-9-]{1,40})?\s*(?:;\s*q=\s*([01](?:\.[0-9]{0,3})?))?\s*")


@dataclass(frozen=True, slots=True)
class Language:
    code: str  # one of KNOWN
    texts: gettext.NullTranslations = field(compare=False, repr=False)

    @property
    def direction(self) -> Literal["ltr", "rtl"]:
        return "rtl" if self.code in _RIGHT_TO_LEFT else "ltr"

    @property
    def name(self) -> str:
        """In the language itself."""
        return NAMES[self.code]

    def day(self, day: date) -> str:
        """As it is written in the language."""
        if (pattern := _DATES.get(self.code)) is not None:
            return pattern.format(day)
        return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"

    def __call__(self, text: str, **values: object) -> str:
        """The text in this language, its `%(name)s` filled in."""
        return self.texts.gettext(text) % values if values else self.texts.gettext(text)


def marked(text: str) -> str:
    """The text as it is, marked for the catalogues where it is imported as `_`; a Language translates it."""
    return text


@cache
def language(code: str) -> Language:
    """One of KNOWN; raises KeyError."""
    if code not in KNOWN:
        raise KeyError(code)
    if code == "en":
        return Language(code, gettext.NullTranslations())
    return Language(code, gettext.translation(DOMAIN, FOLDER, [code], fallback=True))


def choose(*wished: str | None, accepted: str | None = None) -> Language:
    """The first of what is `wished` (locales such as `pt-BR`) that we speak, else what a browser accepts, else English.

    `accepted`: the Accept-Language header as it came (RFC 9110, 12.5.4).
    """
    for locale in (*wished, *_accepted(accepted or "")):
        code = re.split("[-_]", (locale or "").strip().lower(), maxsplit=1)[0]
        if code in KNOWN:
            return language(code)
    return language("en")


def _accepted(header: str) -> list[str]:
    """The languages of the header, the dearest first; what cannot be read counts for nothing."""
    found: list[tuple[float, str]] = []
    for wish in header[:1000].split(",")[:_MOST_WISHES]:
        if (match := _WISH.fullmatch(wish)) is not None and (weight := float(match[2] or 1)) > 0:
            found.append((-weight, match[1]))
    return [code for _, code in sorted(found, key=lambda one: one[0])]
