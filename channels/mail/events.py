"""What the event webhooks of all providers have in common: JSON from a stranger → reports. Pure.

An event names our attempt where the provider echoes the Message-ID that we gave the mail, `<TAG@…>`; else only the
address is known.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from channels.mail import mailbox
from channels.mail.charsets import clean
from channels.mail.told import tag_of
from channels.values import AddressReport, Parked, Report, Told

Kind = Literal["stop", "resume", "complaint", "hard_bounce", "soft_bounce"]
Meaning = Kind | Literal["delivered", "failed"]  # of the message alone, not of the address

PARKED_BYTES = 1_048_576  # of what cannot be understood
STRANGERS_BYTES = 2_097_152  # of JSON that is looked at before it is known whose it is: as values it takes much more
_NOTHING_BEFORE = datetime(2000, 1, 1, tzinfo=UTC)
_ID_CHARS, _CODE_CHARS = 250, 100


class Odd(Exception):
    """The event cannot be understood. The message names what is wrong, never its content."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a provider, in words that mean the same for all of them."""

    meaning: Meaning
    event_id: str
    address: str | None = None
    message_id: str | None = None  # the Message-ID that the mail had from us
    tag: str | None = None  # the attempt's, where it is told otherwise
    provider_id: str | None = None  # the provider's own id of the mail
    code: str | None = None
    at: datetime | None = None

    def told(self, account: str) -> list[Told]:
        """What is to be kept of it: nothing where it is of a message that is not ours. Raises Odd."""
        tag = self.tag or tag_of(self.message_id)
        code = clean(self.code)[:_CODE_CHARS] if self.code else None
        provider_id = clean(self.provider_id)[:_ID_CHARS] if self.provider_id else None
        match self.meaning:
            case "delivered" | "failed" as status:
                return [] if tag is None else [Report(tag, provider_id or "", status, code=code)]
            case kind:
                if tag is None and self.address is None:
                    raise Odd("neither an address nor a message of ours")
                event_id = clean(self.event_id)[:_ID_CHARS]
                return [
                    AddressReport(
                        account, event_id, "email", kind, self.address, tag, provider_id, code=code, at=self.at
                    )
                ]


def each(
    entries: Sequence[object], read: Callable[[Mapping[str, Any]], Iterable[Event]], account: str, body: bytes
) -> list[Told]:
    """What the entries tell; one that cannot be understood is parked, and the others are kept."""
    told: list[Told] = []
    for entry in entries:
        try:
            if not isinstance(entry, dict):
                raise Odd("an event that is no object")
            told += [one for event in read(entry) for one in event.told(account)]
        except Odd as odd:
            told.append(Parked(_as_it_came(entry, body), str(odd)))
    return told


def parked(body: bytes, why: str) -> list[Told]:
    """A genuine request of which nothing can be understood: kept for an operator, as far as it is of use."""
    return [Parked(body[:PARKED_BYTES], why)]


def from_json(body: bytes | str) -> object:
    """The value; raises Odd."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Odd("not JSON") from None


def an_object(value: object) -> Mapping[str, Any]:
    """The value, where it is an object; else an empty one: what stands in a part that is missing is missing."""
    return value if isinstance(value, dict) else {}


def a_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def a_text(value: object) -> str:
    """The value, where it is text, or a number that is written as one; else ""."""
    if isinstance(value, str):
        return clean(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18 else ""


def an_address(value: object) -> str | None:
    """The one mailbox in it, with or without a name before it."""
    return mailbox.author([a_text(value)]).address or None


def at_unix(value: object) -> datetime | None:
    """The time of so many seconds since 1970, as a number or written."""
    try:
        return _possible(datetime.fromtimestamp(float(value), UTC))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def at_iso(value: object) -> datetime | None:
    """The time that is written so (ISO 8601); None without a zone."""
    try:
        at = datetime.fromisoformat(a_text(value))
        return _possible(at.astimezone(UTC)) if at.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _possible(at: datetime) -> datetime | None:
    """None for 1970 or year 1, which stand for no time, and would put a no behind every yes."""
    return at if at >= _NOTHING_BEFORE else None


def _as_it_came(entry: object, body: bytes) -> bytes:
    try:
        return json.dumps(entry).encode()[:PARKED_BYTES]
    except (ValueError, RecursionError):
        return body[:PARKED_BYTES]
