"""The history as rows of a sheet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.api.answers import spelled

COLUMNS = ("seq", "id", "change_id", "profile_id", "subject", "subject_name", "address", "from", "to", "basis",
           "expires_at", "at", "provider_at", "source", "actor", "via", "superseded", "evidence", "hash")  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def cells(line: Mapping[str, Any]) -> list[str]:
    """A line of the history as it is shown, in the order of COLUMNS."""
    subject = line["subject"]
    name = {"preference": subject.get("name"), "channel": subject.get("channel"), "address": subject.get("address")}
    shown = {**line, "subject": subject["kind"], "subject_name": name.get(subject["kind"])}
    return [_cell(shown[column]) for column in COLUMNS]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return json.dumps(value, default=spelled, ensure_ascii=False)
    return value if isinstance(value, str) else json.dumps(value, default=spelled).strip('"')


def row(values: Sequence[str]) -> bytes:
    """One row, in UTF-8. What a spreadsheet would take for a formula is led by an apostrophe, numbers excepted."""
    out = io.StringIO()
    csv.writer(out).writerow([f"'{v}" if v.startswith(_FORMULA) and not v[1:].isdigit() else v for v in values])
    return out.getvalue().encode()
