"""What a row of people says, column by column. Pure.

An import adds and changes; it takes nothing away. An empty cell says nothing. Evidence (`obtained_at`, `how`,
`wording`) and terms (`basis`, `expires_at`) are those of every answer of the row, or under a longer name
(`obtained_at.sms`) of one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

from audience.spreadsheet import Record, Unreadable, separated
from consent.states import BASES, CHANNELS, EVERYTHING, STATES, State, Subject
from profiles.addresses import Address, AddressBook, BadAddress
from profiles.records import MOST_CHARACTERS as MOST_OF_ATTRIBUTES
from profiles.records import NAMES, AttributesTooLarge, merged
from profiles.zones import is_zone

TERMS = ("obtained_at", "how", "wording", "basis", "expires_at")
PLAIN = ("profile_id", *NAMES, "tags", "attributes", "phone", *CHANNELS, "consent.addresses", *TERMS)
ABOUT = ("everything", *CHANNELS)  # with preference.NAME: what stands behind `consent.` and `obtained_at.`
# What the API takes, a file takes: what is exported must come in again, or a no in it would be lost.
MOST = {"external_id": 255, "how": 65_536, "wording": 65_536}  # characters
MOST_CHARACTERS = 500  # of any other name
MOST_TAGS = 1000
MOST_ITEMS = 1000  # in any other cell
TOO_LARGE = f"all of them together, as JSON, hold at most {MOST_OF_ATTRIBUTES:,} characters"
_LOCALE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*", re.ASCII)
_NO = re.compile(r"\bno\b", re.IGNORECASE)
_OF_ADDRESS = re.compile(
    r"(?P<to>yes|no|not_asked)(?: at (?P<at>\S+))?(?: as (?P<basis>\S+))?(?: until (?P<until>\S+))? (?P<of>[a-z]+:.+)"
)


class BadRow(Exception):
    """The row cannot be taken; the message says which column and why."""

    def __init__(self, column: str, why: str) -> None:
        super().__init__(f"{column}: {why}")
        self.code = "bad_cell"


@dataclass(frozen=True, slots=True)
class Answer:
    """A yes or no of the row, with what shows it. The key of an address as subject is its hash."""

    subject: Subject
    to: State
    basis: str | None = None
    expires_at: datetime | None = None
    obtained_at: datetime | None = None
    how: str | None = None
    wording: str | None = None

    @property
    def is_shown(self) -> bool:
        """Whether anything shows that it was said."""
        return bool(self.obtained_at or self.how or self.wording)


@dataclass(frozen=True, slots=True)
class Row:
    """What a row says of one person."""

    line: int
    profile_id: str | None
    names: Mapping[str, str]  # of profiles.records.NAMES
    attributes: Mapping[str, Any]  # a merge patch
    tags: tuple[str, ...]
    addresses: tuple[Address, ...]
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Columns:
    """The header, understood."""

    names: tuple[str, ...]
    about: Mapping[str, Subject]  # what stands behind `consent.` → what it is about

    @property
    def preferences(self) -> dict[str, str]:
        """Id → name."""
        return {
            subject.key: name.partition(".")[2] for name, subject in self.about.items() if subject.kind == "preference"
        }


def understood(names: Sequence[str], preferences: Mapping[str, str]) -> Columns:
    """The columns of a header; `preferences` gives name → id. Raises Unreadable for one that means nothing."""
    about = {"everything": EVERYTHING} | {channel: Subject("channel", channel) for channel in CHANNELS}
    about |= {f"preference.{name}": Subject("preference", id_) for name, id_ in preferences.items()}
    for name in names:
        if name in PLAIN or (name.startswith("attributes.") and name != "attributes."):
            continue
        first, _, rest = name.partition(".")
        if first not in ("consent", *TERMS) or rest not in about:
            raise Unreadable(_unknown(name, first, rest))
    return Columns(tuple(names), about)


def preferences_in(names: Sequence[str]) -> set[str]:
    """The preferences that a header names."""
    parts = [name.split(".", 2) for name in names]
    return {part[2] for part in parts if len(part) == 3 and part[1] == "preference"}


def _unknown(name: str, first: str, rest: str) -> str:
    if first in ("consent", *TERMS) and rest.startswith("preference."):
        return f"the column {name}: there is no such preference"
    if ";" in name or "\t" in name:
        return "the first row names one column only: write commas between the columns"
    return (
        f"the column {name or '(without a name)'} means nothing here; take it out, or name it one of "
        f"{', '.join(PLAIN)}, attributes.NAME, consent.SUBJECT or {', '.join(f'{term}.SUBJECT' for term in TERMS)}, "
        f"where SUBJECT is {', '.join(ABOUT)} or preference.NAME"
    )


def read(columns: Columns, record: Record, book: AddressBook, *, now: datetime) -> Row:
    """What the row says; raises BadRow."""
    if len(record.cells) != len(columns.names):
        raise BadRow("row", f"it has {len(record.cells)} cells where the first row has {len(columns.names)}")
    cells = {name: text for name, cell in zip(columns.names, record.cells, strict=True) if (text := cell.strip())}
    for name, cell in cells.items():
        if "\x00" in cell:
            raise BadRow(name, "a NUL character cannot be stored")
    addresses = _addresses(cells, book)
    row = Row(
        line=record.line,
        profile_id=cells.get("profile_id"),
        names={name: _name(name, cells[name]) for name in NAMES if name in cells},
        attributes=_attributes(cells),
        tags=_tags(cells.get("tags", "")),
        addresses=addresses,
        answers=(*_answers(columns, cells, now), *_of_addresses(cells, addresses, book, now)),
    )
    if not row.addresses and not {"external_id", "profile_id"} & cells.keys():
        raise BadRow("row", "it names nobody: it needs an external_id or an address")
    return row


def _name(name: str, cell: str) -> str:
    if len(cell) > (most := MOST.get(name, MOST_CHARACTERS)):
        raise BadRow(name, f"at most {most} characters")
    if name == "timezone" and not is_zone(cell):
        raise BadRow(name, "use a name of the time zone database, such as Europe/Madrid")
    if name == "locale" and not _LOCALE.fullmatch(cell):
        raise BadRow(name, "use a language, such as es or pt-BR")
    return cell


def _attributes(cells: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "attributes" in cells:
        try:
            found = json.loads(cells["attributes"], parse_constant=_not_finite)
        except (ValueError, RecursionError):
            raise BadRow("attributes", "it is not JSON") from None
        if not isinstance(found, dict) or not _can_be_stored(found):
            raise BadRow("attributes", "it must be a JSON object, of what can be stored")
    own = {name.partition(".")[2]: cell for name, cell in cells.items() if name.startswith("attributes.")}
    try:
        return merged({}, found | own)  # null would take away
    except AttributesTooLarge:
        raise BadRow("attributes", TOO_LARGE) from None


def _can_be_stored(value: Mapping[str, Any]) -> bool:
    """Whether any database keeps it: no NUL, no half of a character, no number beyond all bounds."""
    try:
        spelled = json.dumps(value, allow_nan=False, ensure_ascii=False)
        return bool(spelled.encode()) and "\\u0000" not in spelled
    except (ValueError, RecursionError):
        return False


def _not_finite(_: str) -> NoReturn:
    raise ValueError


def _tags(cell: str) -> tuple[str, ...]:
    tags = _few("tags", separated(cell), MOST_TAGS)
    if any(len(tag) > 100 for tag in tags):
        raise BadRow("tags", "a tag has at most 100 characters")
    return tuple(dict.fromkeys(tags))


def _few(column: str, items: list[str], most: int = MOST_ITEMS) -> list[str]:
    if len(items) > most:
        raise BadRow(column, f"at most {most} in one cell")
    return items


def _addresses(cells: Mapping[str, str], book: AddressBook) -> tuple[Address, ...]:
    """Each once, in the order of the columns; a phone is an sms and a voice address.

    With a no in the row an address may be one that only a sender can have, as exports hold some: no such no is lost.
    """
    parse = book.proved if _says_no(cells) else book.parse
    found: dict[str, Address] = {}
    for column in ("phone", *CHANNELS):
        for value in _few(column, separated(cells.get(column, ""))):
            for channel in ("sms", "voice") if column == "phone" else (column,):
                try:
                    address = parse(channel, value)
                except BadAddress as error:
                    raise BadRow(column, str(error)) from error
                found[address.hash] = address
    return tuple(found.values())


def _says_no(cells: Mapping[str, str]) -> bool:
    return any(name.startswith("consent.") and _NO.search(cell) for name, cell in cells.items())


# --- answers -----------------------------------------------------------------------------------


def _answers(columns: Columns, cells: Mapping[str, str], now: datetime) -> list[Answer]:
    found: list[Answer] = []
    for name, subject in columns.about.items():
        column = f"consent.{name}"
        if column in cells:
            terms = {term: cells.get(f"{term}.{name}", cells.get(term)) for term in TERMS}
            found.append(_answer(column, subject, cells[column].casefold(), terms, now))
    return found


def _of_addresses(
    cells: Mapping[str, str], addresses: Sequence[Address], book: AddressBook, now: datetime
) -> list[Answer]:
    """`no at 2026-01-02T03:04:05Z sms:+14155550123`: what was said about addresses of the row."""
    column, own = "consent.addresses", {address.hash for address in addresses}
    found: dict[str, Answer] = {}
    for item in _few(column, separated(cells.get(column, ""))):
        said = _OF_ADDRESS.fullmatch(item)
        if said is None:
            raise BadRow(column, "write `no at 2026-01-02T03:04:05Z sms:+14155550123`, with | between several")
        try:
            address = book.find_tagged(said["of"])
        except BadAddress as error:
            raise BadRow(column, str(error)) from error
        if address.hash not in own:
            raise BadRow(column, "the address is none of the row's own")
        own_terms = {"obtained_at": said["at"], "basis": said["basis"], "expires_at": said["until"]}
        terms = {term: own_terms.get(term) or cells.get(term) for term in TERMS}
        subject = Subject("address", address.hash)
        found[address.hash] = _answer(column, subject, said["to"], terms, now)
    return list(found.values())


def _answer(column: str, subject: Subject, to: str, terms: Mapping[str, str | None], now: datetime) -> Answer:
    if to not in STATES:
        raise BadRow(column, f"use one of {', '.join(STATES)}")
    for term in ("how", "wording"):
        if len(terms[term] or "") > MOST[term]:
            raise BadRow(term, f"at most {MOST[term]} characters")
    is_yes = to == "yes"
    if is_yes and terms["basis"] is not None and terms["basis"] not in BASES:
        raise BadRow("basis", f"use one of {', '.join(BASES)}")
    obtained_at = _time("obtained_at", terms["obtained_at"])
    if obtained_at is not None and obtained_at > now:
        raise BadRow("obtained_at", "it lies in the future")
    return Answer(
        subject,
        to,  # type: ignore[arg-type]
        basis=terms["basis"] if is_yes else None,
        expires_at=_time("expires_at", terms["expires_at"]) if is_yes else None,
        obtained_at=obtained_at,
        how=terms["how"],
        wording=terms["wording"],
    )


def _time(column: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise BadRow(column, "write a time with its zone, such as 2026-11-22T09:30:00Z")
