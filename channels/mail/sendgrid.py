"""SendGrid: Inbound Parse, and the Event Webhook.

Sources: twilio.com/docs/sendgrid/for-developers/parsing-email/setting-up-the-inbound-parse-webhook,
…/tracking-events/event, …/tracking-events/getting-started-event-webhook-security-features.
Inbound Parse signs nothing: who posts is proved by the user and password in the webhook's URL. It tries again only
after a 5xx, so whatever is genuine is kept, and what cannot be understood is parked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from channels.mail import events, fields, headers, mime, sendgrid_events, told
from channels.mail.basic import BasicAuthentication
from channels.mail.charsets import decode
from channels.mail.clock import Clock, utcnow
from channels.mail.events import Odd
from channels.mail.fields import Fields, NoForm
from channels.mail.headers import Head
from channels.mail.letter import Letter
from channels.mail.mailbox import normal_domain
from channels.values import Forged, Told, WebhookRequest

# One signature, and a name that can be in the DNS. Of several nothing is believed: what stands in them is the sender's.
_ONE_SIGNATURE = re.compile(r"\{\s*@([A-Za-z0-9.-]{1,255})\s*:\s*pass\s*\}")


class Sendgrid:
    """What comes in by one connection (a `WayIn`). Without `public_key` no events do."""

    def __init__(
        self, *, name: str, user: str, password: str, public_key: str | None = None, clock: Clock = utcnow
    ) -> None:
        self.account = f"sendgrid:{name}"
        self._name = name
        self._authentication = BasicAuthentication(user, password)
        self._signature = sendgrid_events.Signature(public_key, clock) if public_key else None

    def receive(self, request: WebhookRequest) -> Sequence[Told]:
        """The mail in a request of Inbound Parse, or events; raises Forged."""
        if sendgrid_events.is_signed(request):
            return self._events(request)
        self._authentication.check(request)
        content_type = request.headers.get("Content-Type", "")
        if "json" in content_type:
            raise Forged("events without a signature")
        try:
            letter = _letter(fields.read(content_type, request.body))
        except (NoForm, Odd) as odd:
            return events.parked(request.body, str(odd))
        return told.read(letter, connection=self._name, account=self.account)

    report = receive  # whichever of its URLs an operator has pasted where

    def _events(self, request: WebhookRequest) -> Sequence[Told]:
        if self._signature is None:
            raise Forged("no public_key is configured for events")
        self._signature.check(request)
        try:
            entries = events.from_json(request.body)
        except Odd as odd:
            return events.parked(request.body, str(odd))
        listed = entries if isinstance(entries, list) else [entries]
        return events.each(listed, sendgrid_events.read, self.account, request.body)


def _letter(form: Fields) -> Letter:
    """The mail in a form, raw or taken apart; raises Odd."""
    envelope = _json(form, "envelope")
    sender = envelope.get("from")
    given: dict[str, Any] = {
        "envelope_from": sender if isinstance(sender, str) else None,
        "recipients": [one for one in events.a_list(envelope.get("to")) if isinstance(one, str)],
        "proves": _Verdicts(form, sender).prove,
    }
    raw = form.get("email", mime.MAIL_BYTES)
    if raw is not None:
        return mime.read(raw, authserv_id=None, **given)
    charsets = _json(form, "charsets")

    def charset(field: str) -> str | None:
        return charsets[field] if isinstance(charsets.get(field), str) else None

    head = _head(form, charset("from"), charset("subject"))
    text, html = (mime.as_text(form.get(field, mime.TEXT_BYTES) or b"", charset(field)) for field in ("text", "html"))
    parts = [part for file in form.files if (part := mime.machine_part(file.content_type, file.data)) is not None]
    return mime.assemble(head, mime.Words(text, html), parts, **given)


def _head(form: Fields, from_charset: str | None, subject_charset: str | None) -> Head:
    """The head as it came; where it is missing, what SendGrid has read of it."""
    head = headers.read(form.get("headers", headers.HEAD_BYTES) or b"")
    if head.first("From") is not None:
        return head
    from_, subject = (form.get(field, headers.VALUE_CHARS) for field in ("from", "subject"))
    if from_ is None:
        raise Odd("missing: email, headers and from")
    more = {"From": decode(from_, from_charset), "Subject": decode(subject or b"", subject_charset)}
    return headers.of_pairs([*((name, value) for name, value in head.fields if name != "Subject"), *more.items()])


class _Verdicts:
    """What the fields `dkim` and `SPF` prove.

    A signature is the author's where it is of the very domain that the mail is from; that the relay may send for a
    domain (SPF) counts where the return path is in that very domain. Both hold whatever alignment the domain asks for
    in its DMARC record. No verdict counts in a form that the words of a mail may have had a hand in.
    """

    def __init__(self, form: Fields, envelope_from: object) -> None:
        signed = _ONE_SIGNATURE.fullmatch(form.text("dkim", 1_000).strip())
        domains = {normal_domain(signed[1])} if signed else set()
        if form.text("SPF", 100).strip().lower() == "pass" and isinstance(envelope_from, str) and "@" in envelope_from:
            domains.add(normal_domain(envelope_from.strip(" <>").rpartition("@")[2]))
        self._domains = domains if form.unmixed else set()

    def prove(self, domain: str) -> bool:
        return bool(domain) and domain in self._domains


def _json(form: Fields, field: str) -> Mapping[str, Any]:
    try:
        return events.an_object(events.from_json(form.text(field)))
    except Odd:
        return {}
