"""What must not pass the border in either direction."""

from __future__ import annotations

import re

# A number as people and providers write it; short numbers (error codes, short codes, amounts) stay.
_NUMBER = re.compile(r"\+?\d(?:[\s().-]{0,2}\d){6,}")
_SCOPED_ID = re.compile(r"\b[A-Z]{2}(?:\.[A-Za-z0-9]+)+\b")  # Meta's business-scoped id
_MAILBOX = re.compile(r"[^\s<>\"'@]+@[^\s<>\"'@]+")
# What XML 1.0 §2.2 has no way to write, not even as a reference.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REASON_LENGTH = 300


def without_nul(text: str) -> str:
    """The text without U+0000, which PostgreSQL cannot keep.

    It is taken out, not replaced by a sign: it comes from padding and from UTF-16 read as bytes, and so
    "STOP\\0" and "S\\0T\\0O\\0P\\0" both still say STOP.
    """
    return text.replace("\0", "")


def without_person(reason: str) -> str:
    """A provider's message without numbers, mailboxes and business-scoped ids; at most 300 characters."""
    bare = _SCOPED_ID.sub("[id]", _MAILBOX.sub("[mailbox]", _NUMBER.sub("[number]", without_nul(reason))))
    return bare[:_REASON_LENGTH]


def for_xml(text: str) -> str:
    """The text without the characters that XML 1.0 forbids (control characters, surrogates, U+FFFE, U+FFFF)."""
    return _NOT_XML.sub("", text)
