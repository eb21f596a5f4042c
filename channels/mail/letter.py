"""A mail as it came, whoever brought it: values, no I/O."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a mail that is for machines: message/delivery-status, message/feedback-report, message/rfc822…"""

    content_type: str  # lower-cased, without parameters
    text: str


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail. Text holds no NUL and no lone surrogate."""

    provider_id: (
        str  # tells it from every other, for ever: the provider's, else its Message-ID with a hash of what it says
    )
    headers: tuple[tuple[str, str], ...]  # decoded (RFC 2047), unfolded, in order
    envelope_from: str | None  # "" is the null return path; None where the provider does not tell
    recipients: tuple[str, ...]  # of the envelope where it is told, else of To and Cc
    sender: str  # From's one mailbox, as written; "" where there is none, or several
    subject: str
    sender_name: str | None = None
    text: str | None = None  # the text/plain part that is read
    html: str | None = None  # the text/html part that is read
    parts: tuple[Part, ...] = ()
    dmarc_pass: bool = False  # by the provider's signed word, or our own relay's Authentication-Results

    def header(self, name: str) -> str | None:
        """The first header of this name, in any case."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)
