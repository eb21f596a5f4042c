"""Complaints by feedback loop: the Abuse Reporting Format (RFC 5965). Pure."""

from __future__ import annotations

from dataclasses import dataclass

from channels.mail.letter import Letter


@dataclass(frozen=True, slots=True)
class Complaint:
    """That somebody called a mail of ours spam."""

    address: str | None  # Original-Rcpt-To; many providers leave it out
    message_id: str | None  # of the mail complained of, without its angle brackets


def read(letter: Letter) -> Complaint | None:  # noqa: ARG001
    """The complaint in a report of Feedback-Type abuse (fraud, virus, not-spam… are none)."""
    return None
