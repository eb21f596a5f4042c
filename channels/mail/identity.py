"""What tells a mail from every other that comes by SMTP, so that each has one effect, for ever. Pure.

A Message-ID does not: the sender chooses it, and who knows that of another's mail could write it upon his own and make
the other's vanish as something seen before. So it is a hash: of the sender and the recipients of the envelope, and of
all that was written, headers and body.

- The relay that did not hear our answer brings the same bytes again: the same mail.
- The sender's server that did not hear the relay's answer brings it to the relay again, which adds other traces of the
  way (`_TRACE`): they do not count. Nor do those that a relay may write anew for each try.
- All else counts, for it may decide what the mail does: who sent it, what was found about that
  (Authentication-Results), whether a machine wrote it (Auto-Submitted).
- Only Date and Message-ID make a mail one of a kind: "STOP" without them, sent today and sent again after a START, are
  two mails with the same words. So without both of them the traces count.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

# Received, Return-Path: RFC 5321, 4.4. Delivered-To, X-Original-To: Postfix. Envelope-To, Delivery-Date: Exim.
TRACES = frozenset({"received", "return-path", "delivered-to", "x-original-to", "envelope-to", "delivery-date"})
_TRACE = "|".join(sorted(TRACES)).encode()
_TRACES = re.compile(rb"^(?:" + _TRACE + rb")[ \t]*+:[^\n]*+\n(?:[ \t][^\n]*+\n)*+", re.IGNORECASE | re.MULTILINE)
_LOOKED_AT = 262_144  # bytes of a head, for traces and marks: beyond them it is nobody's mail, and all of it counts
_MARKS = [re.compile(rb"^" + name + rb"[ \t]*+:", re.IGNORECASE | re.MULTILINE) for name in (b"date", b"message-id")]


def of_mail(raw: bytes, *, envelope_from: str, recipients: Iterable[str]) -> str:
    """The same word for the same mail, another for any other; `raw` has lines that end with CR LF."""
    found = raw.find(b"\r\n\r\n")
    end = found + 2 if found >= 0 else len(raw)
    head = raw[: min(end, _LOOKED_AT)]
    if all(mark.search(head) for mark in _MARKS):
        head = _TRACES.sub(b"", head)
    digest = hashlib.sha256()
    for text in (envelope_from, "\n".join(sorted(set(recipients)))):
        _add(digest, text.encode(errors="surrogatepass"))
    _add(digest, head)
    _add(digest, memoryview(raw)[min(end, _LOOKED_AT) :])
    return f"mail:{digest.hexdigest()}"


def _add(digest: hashlib._Hash, part: bytes | memoryview) -> None:
    """A part, and where it ends."""
    digest.update(len(part).to_bytes(8, "big"))
    digest.update(part)
