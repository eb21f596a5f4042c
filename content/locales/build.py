"""Bring the catalogues up to date: every text that a page or a letter says, in every language, compiled.

    python3 dev.py translations

What is new stands in a catalogue with an empty translation; what nobody says any more goes. Babel reads and writes
them here; the gateway itself reads what is compiled, by gettext alone.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from content.languages import DOMAIN, FOLDER, KNOWN

ROOT = Path(__file__).parents[2]
SAID_IN = {"forms": [("pages/**.html", "jinja2")], "content": [("**.py", "python")], "rules": [("**.py", "python")]}
OPTIONS = {"pages/**.html": {"trimmed": "true", "extensions": "jinja2.ext.i18n"}}
KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2)}
# In what tone a language speaks, at the head of its catalogue: whoever adds a text keeps to it.
TONE = {
    "fr": "vous, as at the box office; no exclamation marks.",
    "es": "usted; words that Spain and America share where there are such.",
    "de": "Sie.",
    "pt": "the third person without você; words and spellings that Brazil and Portugal share where there are such.",
    "it": "Lei, with a capital; buttons and links in the familiar imperative, as programs have them.",
    "ar": "Modern Standard Arabic; requests by yurja and a noun, so that they fit men and women alike.",
}
SMS = "What goes out as an SMS keeps to letters of the GSM alphabet, or it costs twice as much."
_NO_DATE = datetime(2000, 1, 1, tzinfo=UTC)


def said() -> Catalog:
    """Every text of ours, in English."""
    found = Catalog(charset="utf-8")
    for room, methods in SAID_IN.items():
        for _file, _line, text, comments, _context in extract_from_dir(
            ROOT / room, methods, OPTIONS, keywords=KEYWORDS, comment_tags=("translators:",)
        ):
            found.add(text, None, auto_comments=comments)
    return found


def translated(code: str) -> Catalog:
    """The catalogue of a language as it stands."""
    file = path(code)
    if not file.exists():
        return Catalog(code, charset="utf-8")
    return read_po(io.BytesIO(file.read_bytes()), locale=code)


def brought_up_to_date(code: str, texts: Catalog) -> Catalog:
    """The language's catalogue with exactly these texts, in the order of their letters."""
    before, after = translated(code), Catalog(code, charset="utf-8")
    for text in sorted(texts, key=lambda one: str(one.id)):
        if text.id:
            known = before.get(text.id if isinstance(text.id, str) else text.id[0])
            after.add(text.id, known.string if known else None, flags=text.flags, auto_comments=text.auto_comments)
    return after


def as_po(catalog: Catalog) -> bytes:
    """With a header that says what a reader of it needs, and neither dates nor names."""
    into = io.BytesIO()
    write_po(into, catalog, width=100, no_location=True, omit_header=True)
    head = (
        f"# {catalog.locale.english_name} texts of Optgate.\n# Tone: {TONE[str(catalog.locale)]}\n# {SMS}\n"
        f'msgid ""\nmsgstr ""\n"Language: {catalog.locale}\\n"\n'
        '"Content-Type: text/plain; charset=utf-8\\n"\n'
        f'"Plural-Forms: {catalog.plural_forms}\\n"\n\n'
    )
    return head.encode() + into.getvalue().lstrip()


def as_mo(catalog: Catalog) -> bytes:
    """Compiled; without the date that Babel would put in."""
    plain = read_po(io.BytesIO(as_po(catalog)), locale=str(catalog.locale))
    plain.project, plain.creation_date, plain.revision_date = "Optgate", _NO_DATE, _NO_DATE
    plain.last_translator = plain.language_team = plain.msgid_bugs_address = ""
    into = io.BytesIO()
    write_mo(into, plain)
    return into.getvalue()


def path(code: str, ending: str = "po") -> Path:
    return FOLDER / code / "LC_MESSAGES" / f"{DOMAIN}.{ending}"


def lacking(catalog: Catalog) -> Iterator[str]:
    """The texts that it has no translation of."""
    for one in catalog:
        if one.id and not (all(one.string) if isinstance(one.string, tuple | list) else one.string):
            yield str(one.id)


def main() -> int:
    """Write every catalogue anew; the exit status says whether one lacks something."""
    texts, missing = said(), 0
    for code in KNOWN:
        if code == "en":
            continue
        catalog = brought_up_to_date(code, texts)
        path(code).parent.mkdir(parents=True, exist_ok=True)
        path(code).write_bytes(as_po(catalog))
        path(code, "mo").write_bytes(as_mo(catalog))
        absent = list(lacking(catalog))
        missing += len(absent)
        print(f"{code}: {len(list(catalog)) - 1} texts, {len(absent)} without a translation")  # noqa: T201
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
