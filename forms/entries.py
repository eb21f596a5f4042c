"""What somebody typed and ticked, read as the form shows it. Pure.

What is wrong is named by a word for each field (`missing`, `not_mail`, …); the pages and the API say it in sentences.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import phonenumbers

from consent.terms import Terms
from forms.catalogue import Box, Shown
from profiles.addresses import Address, AddressBook, BadAddress, is_number

MOST_OF_A_FIELD = 200  # characters
_MOBILE = {
    phonenumbers.PhoneNumberType.MOBILE,
    phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE,  # in North America nobody can tell
}
# What is said of an address or a field to another system; a page says it in the reader's language.
WORDS = {
    "missing": "it is needed",
    "not_mail": "this is no e-mail address: write it as ana@example.org",
    "not_number": "this is no phone number: write it with + and the country code",
    "country": "the form takes no numbers of this country",
    "not_mobile": "this is no mobile number",
    "too_long": f"at most {MOST_OF_A_FIELD} characters",
    "tick": "the form can be sent only with it",
    "statement": "the form shows it without a box, and its button is the yes: show it, and send true when that is"
    " pressed; who has not said yes to it has not sent the form in",
}


@dataclass(frozen=True, slots=True)
class Typed:
    """As it came."""

    address: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    ticked: frozenset[str] = frozenset()  # preference ids
    seen: frozenset[str] | None = None  # the preferences that were shown; None: all of the form's


@dataclass(frozen=True, slots=True)
class Entry:
    """What it says; where `wrong` names anything, nothing of it counts."""

    address: Address | None
    names: Mapping[str, str]
    attributes: Mapping[str, str]
    answers: Mapping[str, bool]
    untouched: tuple[str, ...]
    wrong: Mapping[str, str]  # field → why; a box is `preference.ID`


def read(shown: Shown, typed: Typed, *, book: AddressBook, countries: Collection[str]) -> Entry:
    """The entry of a form; `countries`: whose numbers are taken."""
    wrong: dict[str, str] = {}
    address = _address(shown.channel, typed.address, book, countries)
    if isinstance(address, str):
        wrong["address"] = address
    told = {name: value for name in shown.fields if (value := tidied(typed.fields.get(name, "")))}
    wrong |= {name: "too_long" for name, value in told.items() if len(value) > MOST_OF_A_FIELD}
    seen = [box for box in shown.boxes if typed.seen is None or box.id in typed.seen]
    answers = {box.id: box.id in typed.ticked or (typed.seen is None and _is_statement(box)) for box in seen}
    missed = [box for box in shown.boxes if not answers.get(box.id)]
    wrong |= {f"preference.{box.id}": "tick" for box in missed if box.required}
    wrong |= {f"preference.{box.id}": "statement" for box in missed if _is_statement(box)}
    return Entry(
        address if isinstance(address, Address) else None,
        names={name: value for name, value in told.items() if not name.startswith("attributes.")},
        attributes={
            name.removeprefix("attributes."): value for name, value in told.items() if name.startswith("attributes.")
        },
        answers=answers,
        untouched=tuple(box.id for box in seen if box.selected and answers[box.id]),
        wrong=wrong,
    )


def _is_statement(box: Box) -> bool:
    return box.shown_as == "statement"


def _address(channel: str, text: str, book: AddressBook, countries: Collection[str]) -> Address | str:
    """The address, or why it is none that the form takes."""
    if not text.strip():
        return "missing"
    try:
        address = book.parse(channel, text)
    except BadAddress:
        return "not_mail" if channel == "email" else "not_number"
    return address if channel == "email" else _taken(address, countries)


def _taken(address: Address, countries: Collection[str]) -> Address | str:
    """A number that was typed is texted at our cost: whose country and kind nobody has allowed, is not."""
    if not is_number(address.value):
        return "not_number"
    number = phonenumbers.parse(address.value, None)
    region = phonenumbers.region_code_for_number(number)
    if region is None:  # none that anybody has
        of_code = phonenumbers.region_codes_for_country_code(number.country_code or 0)
        return "not_mobile" if set(of_code) & set(countries) else "country"
    if region not in countries:
        return "country"
    return address if phonenumbers.number_type(number) in _MOBILE else "not_mobile"


def tidied(text: str) -> str:
    """In one line, without what cannot be seen."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def wording(shown: Shown, entry: Entry, terms: Terms | None) -> str:
    """What the person had before them when they pressed the button, and what was ticked: the proof in words."""
    lines = [_line(box, entry) for box in shown.boxes if box.id in entry.answers]
    if terms is not None:
        lines.append(f"{terms.text} ({terms.link})" if terms.link else terms.text)
    return "\n".join((*lines, shown.confirmation_message, f"[{shown.button_text}]"))


def _line(box: Box, entry: Entry) -> str:
    if _is_statement(box):
        return box.text
    return f"[{'x' if entry.answers[box.id] else ' '}] {box.text}"
