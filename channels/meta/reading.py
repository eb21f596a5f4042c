"""What is in a JSON value of Meta's, wherever it fits what we look for; nothing is trusted to be there."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime

from channels.text import without_nul

Table = Mapping[str, object]

_SURROGATE = re.compile("[\ud800-\udfff]")
_NUMBER = re.compile(r"\+?([1-9]\d{6,14})", re.ASCII)
_SCOPED_ID = re.compile(r"[A-Z]{2}(\.[A-Za-z0-9]{1,128}){1,3}")  # US.1234, and a parent's US.ENT.1234
_MESSAGE_ID = re.compile(r"[!-~]{1,256}")
_DIGITS = re.compile(r"\d{1,15}", re.ASCII)
_MILLISECONDS_FROM = 10**11  # in seconds that is the year 5138
_WHATSAPP_BEGAN = 1_230_768_000  # 2009; a time before it is none, and would put a STOP behind every yes


class Unreadable(Exception):
    """A part that we cannot do without is missing; the message names it, never what was there."""


def as_table(value: object) -> Table:
    """The value, where it is an object; else an empty one."""
    return value if isinstance(value, Mapping) else {}


def table(holder: Table, name: str) -> Table:
    """The object under this name; empty where there is none."""
    return as_table(holder.get(name))


def rows(holder: Table, name: str) -> list[object]:
    """The list under this name; empty where there is none."""
    found = holder.get(name)
    return found if isinstance(found, list) else []


def word(holder: Table, name: str) -> str:
    """The text under this name, such that any database keeps it; a number as its digits, anything else as nothing."""
    found = holder.get(name)
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    return _SURROGATE.sub("\ufffd", without_nul(found)) if isinstance(found, str) else ""


def message_id(holder: Table) -> str:
    """The id of a message (wamid.…); raises Unreadable."""
    found = word(holder, "id")
    if not _MESSAGE_ID.fullmatch(found):
        raise Unreadable("id")
    return found


def address(given: str) -> str | None:
    """E.164 of digits with or without their plus, a business-scoped id as it is; None for anything else."""
    if number := _NUMBER.fullmatch(given):
        return f"+{number[1]}"
    return given if _SCOPED_ID.fullmatch(given) else None


def moment(holder: Table, name: str = "timestamp") -> datetime | None:
    """Seconds or milliseconds since 1970, written as text; None where it is no time."""
    digits = word(holder, name)
    if not _DIGITS.fullmatch(digits):
        return None
    value = int(digits)
    if value >= _MILLISECONDS_FROM:
        seconds, milliseconds = divmod(value, 1000)
    else:
        seconds, milliseconds = value, 0
    if not _WHATSAPP_BEGAN <= seconds < _MILLISECONDS_FROM:
        return None
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=milliseconds * 1000)


def written(value: object) -> str:
    """The value as JSON again, in ASCII: the same text for the same value."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True)
