"""The hash chain: each line of a profile's history carries a hash over itself and the line before.

Lines name people and addresses by id only. What identifies them is evidence, hashed with its own random salt, so
that erasing it leaves a chain that verifies. The chain's head stands apart, so a missing last line is found too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from consent.states import Event

START = ""  # the hash before the first line


# What of a line is hashed, in this order: columns of consent_events.
COLUMNS = ("seq", "position", "id", "change_id", "profile_id", "subject_kind", "subject_key", "address_id",
           "with_address", "from_state", "to_state", "basis", "expires_at", "at", "provider_at", "source", "actor",
           "personal", "via", "superseded", "evidence_hash", "previous_hash")  # fmt: skip


def _spelled(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    raise TypeError(f"{type(value).__name__} has no canonical spelling")


# Made once: to make an encoder costs as much as to spell a line.
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=_spelled)


def canonical(value: object) -> str:
    """One spelling for one value: sorted keys, no blanks, ASCII, times in UTC with microseconds."""
    return _ENCODER.encode(value)


def plain(value: Mapping[str, object]) -> tuple[dict[str, Any], str]:
    """The value as a JSON column gives it back, whichever database, and its canonical spelling.

    Times are spelled, whole numbers have no point.
    """
    spelling, has_points = canonical(value), False

    def number(digits: str) -> float | int:
        nonlocal has_points
        has_points, number = True, float(digits)
        return int(number) if number.is_integer() else number

    body: dict[str, Any] = json.loads(spelling, parse_float=number)
    return body, canonical(body) if has_points else spelling


def evidence_hash(salt: str, body: Mapping[str, object]) -> str:
    return salted(salt, canonical(body))


def salted(salt: str, spelling: str) -> str:
    """The hash of evidence by its canonical spelling."""
    return hashlib.sha256((salt + spelling).encode()).hexdigest()


def line_hash(event: Event, *, seq: int, position: int, evidence: str, previous: str) -> str:
    """The hash of one line; `previous` is the hash of the profile's line before, START for the first."""
    beside = {
        "seq": seq,
        "position": position,
        "subject_kind": event.subject.kind,
        "subject_key": event.subject.key,
        "evidence_hash": evidence,
        "previous_hash": previous,
    }
    return hash_of([beside[name] if name in beside else getattr(event, name) for name in COLUMNS])


def hash_of(line: Sequence[object]) -> str:
    """The hash of the values of COLUMNS, as they stand in a row."""
    return hashlib.sha256(canonical(line).encode()).hexdigest()
