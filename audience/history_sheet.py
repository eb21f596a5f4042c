"""The history as a sheet, whoever asks for it: `optgate export consent-events`, or the API."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from consent.history import HistoryLine
from consent.preferences import in_reports

COLUMNS = ("seq", "id", "change_id", "profile_id", "subject", "subject_name", "address", "with_address", "from", "to",
           "basis", "expires_at", "at", "provider_at", "source", "actor", "via", "superseded", "evidence",
           "hash")  # fmt: skip


def cells(line: HistoryLine) -> list[str]:
    """A line in the order of COLUMNS, as the API shows it; its evidence as JSON, what is not there left empty."""
    return [
        str(line.seq),
        line.id,
        line.change_id,
        line.profile_id,
        line.kind,
        _named(line),
        line.address or "",
        _answer(line.with_address),
        line.from_state,
        line.to_state,
        line.basis or "",
        _spelled(line.expires_at),
        _spelled(line.at),
        _spelled(line.provider_at),
        line.source,
        line.actor,
        line.via or "",
        _answer(line.superseded),
        json.dumps(line.evidence, ensure_ascii=False, sort_keys=True) if line.evidence is not None else "",
        line.hash,
    ]


def _named(line: HistoryLine) -> str:
    """Which channel, preference (by name) or address (`sms:+14155550123`); what is erased by its id."""
    if line.kind == "preference":
        return in_reports(line.preference, bool(line.preference_active)) if line.preference else line.key
    if line.kind == "address":
        return f"{line.subject_channel or 'address'}:{line.subject_value or line.key}"
    return line.key


def _answer(is_so: bool) -> str:
    return "true" if is_so else "false"


def _spelled(at: datetime | None) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z") if at is not None else ""
