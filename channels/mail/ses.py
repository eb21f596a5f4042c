"""Amazon SES, by SNS: mail that it received, and what became of mail that it sent.

Sources: docs.aws.amazon.com/ses/latest/dg/receiving-email-notifications-contents.html.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import aiohttp

from channels.mail import events, headers, mime, ses_events, sns, told
from channels.mail.charsets import from_base64
from channels.mail.events import Odd, a_list, a_text, an_object, at_iso
from channels.mail.letter import Letter
from channels.mail.sns import Certificates, Envelope
from channels.values import Parked, Told, WebhookRequest

# What SES and SNS write once to a new topic, in words.
_GREETING = "Successfully validated SNS topic"


class Ses:
    """What comes in by one connection (a `WayIn`, and `Fetching`): of these topics and no other."""

    def __init__(self, *, name: str, topic_arns: Collection[str], session: aiohttp.ClientSession) -> None:
        self.account = f"ses:{name}"
        self._name = name
        self._topics = frozenset(topic_arns)
        self._session = session
        self._certificates = Certificates(session)

    async def fetch(self, request: WebhookRequest) -> None:
        """Get the certificate that tells whether it is genuine, and confirm a subscription to a topic of ours.

        Raises Forged, and Unproved where Amazon does not answer.
        """
        envelope = sns.read(request, self._topics)
        key = await self._certificates.fetch(envelope.certificate_url)
        envelope.verify(key)
        self._certificates.keep(envelope.certificate_url, key)
        if envelope.type == "SubscriptionConfirmation":
            await sns.confirm(self._session, envelope)

    def receive(self, request: WebhookRequest) -> Sequence[Told]:
        """The mail or the events in a request whose certificate was fetched; raises Forged."""
        envelope = sns.read(request, self._topics)
        envelope.verify(self._certificates.known(envelope.certificate_url))
        match envelope.type:
            case "SubscriptionConfirmation":
                return []
            case "UnsubscribeConfirmation":  # whoever had a notification could do that: it holds the URL for it
                return events.parked(request.body, "the topic will bring nothing more: it was unsubscribed from")
            case "Notification":
                return [] if envelope.message.startswith(_GREETING) else self._notified(envelope, request.body)

    report = receive  # whichever of its URLs an operator has pasted where

    def _notified(self, envelope: Envelope, body: bytes) -> Sequence[Told]:
        try:
            message = events.from_json(envelope.message)
            if not isinstance(message, dict):
                raise Odd("no object")
            if message.get("notificationType") != "Received":
                return events.each(
                    [message], lambda entry: ses_events.read(entry, envelope.message_id), self.account, body
                )
            return self._mail(message, envelope.message_id, body)
        except Odd as odd:
            return events.parked(body, str(odd))

    def _mail(self, message: Mapping[str, Any], message_id: str, body: bytes) -> list[Told]:
        """The mail. One that SES put into S3 brings its head alone: that is read, and kept for an operator."""
        mail = an_object(message.get("mail"))
        letter = _letter(message, message_id)
        taken_at = at_iso(mail.get("timestamp"))
        kept = list(told.read(letter, connection=self._name, account=self.account, taken_at=taken_at))
        if not isinstance(message.get("content"), str):
            kept.append(Parked(body[: events.PARKED_BYTES], "a mail without its content: let SES publish it to SNS"))
        return kept


def _letter(message: Mapping[str, Any], message_id: str) -> Letter:
    """The mail in a notification; raises Odd."""
    mail, receipt = an_object(message.get("mail")), an_object(message.get("receipt"))
    passed = an_object(receipt.get("dmarcVerdict")).get("status") == "PASS"
    source = mail.get("source")
    given: dict[str, Any] = {
        "envelope_from": source if isinstance(source, str) else None,
        "recipients": [one for one in a_list(receipt.get("recipients")) if isinstance(one, str)],
        "provider_id": message_id,
        "proves": lambda _domain: passed,
    }
    content = message.get("content")
    if isinstance(content, str):
        encoding = a_text(an_object(receipt.get("action")).get("encoding")).upper()
        data = content.encode("utf-8", "replace")
        return mime.read(from_base64(data) if encoding == "BASE64" else data, authserv_id=None, **given)
    fields = [an_object(one) for one in a_list(mail.get("headers"))]
    if not fields:
        raise Odd("missing: content and headers")
    head = headers.of_pairs((a_text(one.get("name")), a_text(one.get("value"))) for one in fields)
    return mime.assemble(head, mime.Words(), (), **given)
