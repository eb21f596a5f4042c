"""Complaints by feedback loop: the Abuse Reporting Format (RFC 5965), and Outlook.com's own. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from channels.mail import report_fields
from channels.mail.letter import Letter

_REPORT: Final = "message/feedback-report"
_ORIGINAL: Final = frozenset(("message/rfc822", "text/rfc822-headers", "message/rfc822-headers", "message/global"))
# `opt-out` is of the drafts before RFC 5965, and some still send it: the person asked for no more.
_COMPLAINTS: Final = frozenset(("abuse", "opt-out", "opt-out-list"))
_OUTLOOK: Final = frozenset(("staff@hotmail.com", "staff@outlook.com"))
_REDACTED: Final = frozenset(("redacted", "removed", "hidden", "unknown", "anonymous", "undisclosed"))


@dataclass(frozen=True, slots=True)
class Complaint:
    """That somebody called a mail of ours spam."""

    address: str | None  # Original-Rcpt-To; many providers leave it out
    message_id: str | None  # of the mail complained of, without its angle brackets


def read(letter: Letter) -> Complaint | None:
    """The complaint in a report of Feedback-Type abuse (fraud, virus, not-spam… are none)."""
    original = next((part.text for part in letter.parts if part.content_type in _ORIGINAL), "")
    message_id = report_fields.message_id(report_fields.header(original, "message-id"))
    for part in letter.parts:
        if part.content_type == _REPORT:
            return _complaint(_all(part.text), message_id)
    if letter.sender.lower() in _OUTLOOK and letter.subject.lower().startswith("complaint about message from"):
        return Complaint(_mailbox(report_fields.header(original, "x-hmxmroriginalrecipient")), message_id)
    return None


def _all(report: str) -> Mapping[str, str]:
    """All fields of a report, which is one group, though some put a blank line before or within."""
    return {name: value for group in reversed(report_fields.groups(report)) for name, value in group.items()}


def _complaint(report: Mapping[str, str], message_id: str | None) -> Complaint | None:
    if report.get("feedback-type", "").partition(";")[0].strip().lower() not in _COMPLAINTS:
        return None
    given = report.get("original-rcpt-to") or report.get("removal-recipient")
    return Complaint(_mailbox(given), message_id or report_fields.message_id(report.get("original-message-id")))


def _mailbox(given: str | None) -> str | None:
    """The mailbox, unless the provider took it out (RFC 6590)."""
    address = (given or "").rpartition(";")[2].strip().strip("<>").strip()
    name, at, domain = address.rpartition("@")
    is_gone = not at or not name or not domain or name.lower() in _REDACTED or not name.lower().strip("x*-_.[]")
    return None if is_gone or " " in address else address
