"""What was sent in by a form, as it is handed on and kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Submission:
    """A form as it was sent in, once its defences have let it through."""

    form_id: str
    version: int
    channel: str
    address: str  # normalised, as profiles.addresses.Address.value
    answers: Mapping[str, bool]  # preference id → yes or no, of every one that was shown (a statement: yes)
    untouched: tuple[str, ...] = ()  # of these, preference ids that were preselected and left so
    names: Mapping[str, str] = field(default_factory=dict)  # first_name, last_name
    attributes: Mapping[str, str] = field(default_factory=dict)
    language: str = "en"  # that it was shown in
    is_filled_in: bool = False  # it showed the person's own answers, and so preselected nothing
    is_proved: bool = True  # it came from our own page; else it is confirmed whatever the form says
    profile_id: str | None = None  # whose own signed link it was sent in by, however old, at an address of theirs
    noes_alone: bool = False  # a budget was spent: but for what they decline by that link, it is nothing
    evidence: Mapping[str, Any] = field(default_factory=dict)  # page, ip, user_agent, wording
    at: datetime | None = None


def spelled(submission: Submission) -> dict[str, Any]:
    """As JSON."""
    return asdict(submission) | {"at": submission.at.isoformat() if submission.at is not None else None}


def read(body: Mapping[str, Any]) -> Submission:
    """What `spelled` has made."""
    at = body["at"]
    fields = {**body, "untouched": tuple(body["untouched"]), "at": datetime.fromisoformat(at) if at else None}
    return Submission(**fields)
