"""What tells a mail from every other that comes by SMTP, so that each has one effect, for ever. Pure.

A Message-ID does not: the sender chooses it, and who knows that of another's mail could write it upon his own and make
the other's vanish as something seen before. So it is a hash: of the sender and the recipients of the envelope, and of
all that was written, headers and body.

- The relay that did not hear our answer brings the same bytes again: the same mail.
- The sender's server that did not hear the relay's answer brings it to the relay again, which adds other traces of the
  way (`_TRACES`): they do not count. Nor do those that a relay may write anew for each try.
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
_TRACES = frozenset({b"received", b"return-path", b"delivered-to", b"x-original-to", b"envelope-to", b"delivery-date"})
_MARKS = frozenset({b"date", b"message-id"})
_FIELD_ENDS = re.compile(rb"\r\n(?![ \t])")


def of_mail(raw: bytes, *, envelope_from: str, recipients: Iterable[str]) -> str:
    """The same word for the same mail, another for any other; `raw` has lines that end with CR LF."""
    head, _, body = raw.partition(b"\r\n\r\n")
    fields = [(field.partition(b":")[0].rstrip().lower(), field) for field in _FIELD_ENDS.split(head)]
    marked = {name for name, _ in fields} >= _MARKS
    written = b"\r\n".join(field for name, field in fields if not (marked and name in _TRACES))
    digest = hashlib.sha256()
    for part in (_bytes(envelope_from), _bytes("\n".join(sorted(set(recipients)))), written, body):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return f"mail:{digest.hexdigest()}"


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")
