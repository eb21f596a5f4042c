"""A signed body → what it holds, whoever's it is.

Meta gathers up to 1,000 updates into one request: entries of accounts, in them changes of fields, in them messages,
statuses and preferences. One bad part must not cost the others, so each is read by itself, and a bad one is parked.

The secret is the app's, and an app may have several numbers; so each change is asked whose it is. One for another
number is not ours. But a `stop` among preferences is taken whatever number it names, for Meta sends that field to the
app's own webhook always (…/webhooks/override): it is the person's no to this business, and no other door hears of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from channels.meta import inbound, preferences, status
from channels.meta.reading import Table, Unreadable, address, as_table, rows, table, word, written
from channels.values import Forged, Malformed, Parked, Told

OBJECT = "whatsapp_business_account"
# `standby` is `messages` while Meta's own agent answers on the number: a STOP is one there, too.
_MESSAGES = ("messages", "standby")
_PREFERENCES = "user_preferences"
_MOST_VALUES = 300_000  # 1,000 updates hold some 50,000


@dataclass(frozen=True, slots=True)
class Ours:
    """Whose messages are read."""

    connection: str
    phone_number_id: str

    @property
    def account(self) -> str:
        return account(self.phone_number_id)


def account(phone_number_id: str) -> str:
    """Under which the events of a number are known for ever."""
    return f"meta:{phone_number_id}"


@dataclass(frozen=True, slots=True)
class _Change:
    field: str
    value: Table
    raw: object

    @property
    def phone_number_id(self) -> str:
        return word(table(self.value, "metadata"), "phone_number_id")


def read(body: bytes, ours: Ours) -> list[Told]:
    """All that the body tells us; parts that cannot be understood are parked.

    Raises Malformed for what is no batch of WhatsApp's, Forged where all of it is another number's.
    """
    told: list[Told] = []
    others: list[Parked] = []
    is_ours = False
    for change in _changes(_entries(body)):
        if isinstance(change, Parked):
            told.append(change)
        elif change.field == _PREFERENCES:
            told += _preferences(change, ours)
        elif change.phone_number_id == ours.phone_number_id:
            told += _messages(change.value, ours)
            is_ours = True
        elif not change.phone_number_id:
            told.append(_parked(change.raw, f"{change.field}: missing or unreadable: metadata"))
        else:
            others.append(_parked(change.raw, f"{change.field}: of another number: give each its own webhook"))
    if others and not (told or is_ours):
        raise Forged("another number")
    return [*told, *others]


def _entries(body: bytes) -> list[object]:
    if sum(map(body.count, (b",", b"[", b"{"))) > _MOST_VALUES:
        raise Malformed("more values than any batch has")
    try:
        batch = as_table(json.loads(body))
    except (ValueError, RecursionError):
        raise Malformed("not JSON") from None
    entries = batch.get("entry")
    if batch.get("object") != OBJECT or not isinstance(entries, list):
        raise Malformed(f"missing or unknown: {'object' if batch.get('object') != OBJECT else 'entry'}")
    return entries


def _changes(entries: Iterable[object]) -> Iterator[_Change | Parked]:
    """The changes of the fields that are known here."""
    for entry in entries:
        changes = as_table(entry).get("changes")
        if not isinstance(changes, list):
            yield _parked(entry, "entry: missing or unreadable: changes")
            continue
        for raw in changes:
            field, value = word(as_table(raw), "field"), as_table(raw).get("value")
            if not field or not isinstance(value, dict):
                yield _parked(raw, f"change: missing or unreadable: {'value' if field else 'field'}")
            elif field in _MESSAGES or field == _PREFERENCES:
                yield _Change(field, value, raw)


def _messages(value: Table, ours: Ours) -> Iterator[Told]:
    messages = rows(value, "messages")
    contacts = inbound.Contacts.of(_contacts(value), messages=len(messages))
    receiver = address(word(table(value, "metadata"), "display_phone_number")) or ""

    def message(one: Table) -> Iterator[Told | None]:
        yield inbound.read(one, connection=ours.connection, account=ours.account, receiver=receiver, contacts=contacts)

    yield from _each(messages, "message", message)
    yield from _each(rows(value, "statuses"), "status", lambda one: [status.read(one)])


def _preferences(change: _Change, ours: Ours) -> Iterator[Told]:
    is_ours = change.phone_number_id == ours.phone_number_id
    heard = [one for one in rows(change.value, _PREFERENCES) if is_ours or preferences.is_stop(one)]
    contacts = _contacts(change.value)
    contact = contacts[0] if len(contacts) == len(heard) == 1 else {}
    of = account(change.phone_number_id)
    yield from _each(heard, "preference", lambda one: preferences.read(one, account=of, contact=contact))


def _contacts(value: Table) -> list[Table]:
    return [as_table(one) for one in rows(value, "contacts")]


def _each(parts: Iterable[object], kind: str, read_one: Callable[[Table], Iterable[Told | None]]) -> Iterator[Told]:
    """What each part says; a part that cannot be understood is parked."""
    for part in parts:
        try:
            if not isinstance(part, dict):
                raise Unreadable("all of it")
            yield from [told for told in read_one(part) if told is not None]
        except Unreadable as error:
            yield _parked(part, f"{kind}: missing or unreadable: {error}")


def _parked(part: object, why: str) -> Parked:
    return Parked(written(part).encode(), why)
