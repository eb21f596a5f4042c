"""The hash chain: each line of a profile's history carries a hash over itself and the line before.

Lines name people and addresses by id only. What identifies them is evidence, hashed with its own random salt, so
that erasing it leaves a chain that verifies. The chain's head stands apart, so a missing last line is found too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from consent.states import Event

START = ""  # the hash before the first line


def canonical(value: object) -> str:
    """One spelling for one value: sorted keys, no blanks, ASCII, times in UTC with microseconds."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=_spelled)


def _spelled(value: object) -> str:
    if isinstance(value, datetime):
        return _time(value)
    raise TypeError(f"{type(value).__name__} has no canonical spelling")


def _time(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="microseconds")


def plain(value: Mapping[str, object]) -> dict[str, Any]:
    """The value as a JSON column gives it back, whichever database: times spelled, whole numbers without a point."""
    result: dict[str, Any] = json.loads(canonical(value), parse_float=_number)
    return result


def _number(digits: str) -> float | int:
    number = float(digits)
    return int(number) if number.is_integer() else number


def evidence_hash(salt: str, body: Mapping[str, object]) -> str:
    return hashlib.sha256((salt + canonical(body)).encode()).hexdigest()


def line_hash(event: Event, *, seq: int, position: int, evidence: str, previous: str) -> str:
    """The hash of one line; `previous` is the hash of the profile's line before, START for the first."""
    line = [
        seq,
        position,
        event.id,
        event.change_id,
        event.profile_id,
        event.subject.kind,
        event.subject.key,
        event.address_id,
        event.with_address,
        event.from_state,
        event.to_state,
        event.basis,
        _time(event.expires_at) if event.expires_at else None,
        _time(event.at),
        _time(event.provider_at) if event.provider_at else None,
        event.source,
        event.actor,
        event.via,
        event.superseded,
        evidence,
        previous,
    ]
    return hashlib.sha256(canonical(line).encode()).hexdigest()
