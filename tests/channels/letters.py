"""Letters out of mails as they come, by the standard library's parser."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from email.message import EmailMessage
from email.utils import parseaddr
from typing import cast

from channels.mail.letter import Letter, Part

FOR_MACHINES = ("message/", "text/rfc822-headers")


def letter_of(
    mail: str, *, envelope_from: str | None = None, recipients: tuple[str, ...] = ("hello@example.org",)
) -> Letter:
    """The letter of a mail; its Return-Path is the envelope's, where nothing else is said."""
    message = cast(EmailMessage, email.message_from_string(mail.lstrip("\n"), policy=email.policy.default))
    if envelope_from is None and "Return-Path" in message:
        envelope_from = str(message["Return-Path"]).strip("<> ")
    bodies = {kind: message.get_body((kind,)) for kind in ("plain", "html")}
    return Letter(
        provider_id=str(message.get("Message-ID", "none")),
        headers=tuple((name, str(value)) for name, value in message.items()),
        envelope_from=envelope_from,
        recipients=recipients,
        sender=parseaddr(str(message.get("From", "")))[1],
        subject=str(message.get("Subject", "")),
        text=_text(bodies["plain"]),
        html=_text(bodies["html"]),
        parts=tuple(_for_machines(message)),
    )


def _text(body: EmailMessage | None) -> str | None:
    return None if body is None else cast(str, body.get_content())


def _for_machines(message: EmailMessage) -> Iterator[Part]:
    parts = message.iter_parts() if message.is_multipart() and message.get_content_maintype() == "multipart" else []
    for part in parts:
        if not part.get_content_type().startswith(FOR_MACHINES):
            continue
        held = part.get_payload()
        text = "\n".join(str(one) for one in held) if isinstance(held, list) else str(held)
        yield Part(part.get_content_type(), text)
