"""Whether a person wrote a mail: automatic replies (RFC 3834 and the non-standard ones), bounces, lists. Pure."""

from __future__ import annotations

from channels.mail.letter import Letter
from channels.values import Automatic


def why_automatic(letter: Letter) -> Automatic | None:
    """Why no rule may read it; None: a person wrote it to us."""
    said = (letter.header("Auto-Submitted") or "no").split(";")[0].strip().lower()
    if letter.envelope_from == "":
        return "bounce"
    return "auto_reply" if said != "no" else None
