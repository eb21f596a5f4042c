"""Postmark: inbound mail, and webhooks.

Sources: postmarkapp.com/developer/webhooks/inbound-webhook, …/bounce-webhook, …/spam-complaint-webhook,
…/subscription-change-webhook, …/delivery-webhook.
Postmark signs nothing: who posts is proved by the user and password in the webhook's URL. What its JSON says of SPF or
spam stands among the headers of the mail, where the sender can write as well: no mail by Postmark is authentic.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from channels.mail import events, headers, mime, told
from channels.mail.basic import BasicAuthentication
from channels.mail.charsets import from_base64
from channels.mail.events import Event, Meaning, Odd, a_list, a_text, an_address, an_object, at_iso
from channels.mail.letter import Letter, Part
from channels.values import Told, WebhookRequest

# postmarkapp.com/developer/api/bounce-api#bounce-types. What is not here changes nothing: `Transient`, which is tried
# again, an auto-reply, a new address…
_BOUNCES: Final[dict[str, Meaning]] = {
    "HardBounce": "hard_bounce",
    "BadEmailAddress": "hard_bounce",
    "ManuallyDeactivated": "hard_bounce",
    "SoftBounce": "soft_bounce",
    "DnsError": "soft_bounce",
    "Blocked": "soft_bounce",
    "SpamNotification": "soft_bounce",
    "VirusNotification": "soft_bounce",
    "DMARCPolicy": "soft_bounce",
    "Unknown": "soft_bounce",
    "SpamComplaint": "complaint",
    "Unsubscribe": "stop",
    "SMTPApiError": "failed",
    "TemplateRenderingFailed": "failed",
}
_SUPPRESSED: Final[dict[str, Meaning]] = {"HardBounce": "hard_bounce", "SpamComplaint": "complaint"}


class Postmark:
    """What comes in by one connection (a `WayIn`)."""

    def __init__(self, *, name: str, user: str, password: str) -> None:
        self.account = f"postmark:{name}"
        self._name = name
        self._authentication = BasicAuthentication(user, password)

    def receive(self, request: WebhookRequest) -> Sequence[Told]:
        """The mail or the event in a request; raises Forged."""
        self._authentication.check(request)
        try:
            posted = events.from_json(request.body)
            if not isinstance(posted, dict):
                raise Odd("no object")
            if "RecordType" in posted:
                return events.each([posted], _read, self.account, request.body)
            letter = _letter(posted)
        except Odd as odd:
            return events.parked(request.body, str(odd))
        return told.read(letter, connection=self._name, account=self.account)

    report = receive  # whichever of its URLs an operator has pasted where


def _letter(posted: Mapping[str, Any]) -> Letter:
    """The mail in what was posted; raises Odd."""
    message_id, author = a_text(posted.get("MessageID")), an_object(posted.get("FromFull"))
    sender = a_text(author.get("Email")) or an_address(posted.get("From"))
    if not message_id or not sender:
        raise Odd("missing: MessageID or FromFull")
    pairs = [
        (a_text(one.get("Name")), a_text(one.get("Value")))
        for one in a_list(posted.get("Headers"))
        if isinstance(one, dict)
    ]
    return_path = next((value for name, value in pairs if name.lower() == "return-path"), None)
    given: dict[str, Any] = {
        "envelope_from": return_path,
        "recipients": _recipients(posted),
        "provider_id": message_id,
    }
    words = mime.Words(*(_words(posted.get(name)) for name in ("TextBody", "HtmlBody")))
    raw = a_text(posted.get("RawEmail"))
    if raw:
        letter = mime.read(raw.encode(), authserv_id=None, **given)
        return replace(letter, text=words.text, html=words.html) if words else letter
    pairs = [(name, value) for name, value in pairs if name.lower() not in ("from", "subject", "date")]
    pairs += [(name, a_text(posted.get(name))) for name in ("Subject", "Date")]
    parts = [
        part for one in map(an_object, a_list(posted.get("Attachments"))) if (part := _machine_part(one)) is not None
    ]
    letter = mime.assemble(headers.of_pairs(pairs), words, parts, **given)
    return replace(letter, sender=sender, sender_name=headers.plain(a_text(author.get("Name")))[:200] or None)


def _recipients(posted: Mapping[str, Any]) -> list[str]:
    """All it names: of mail that was forwarded to Postmark the address of ours stands in To only."""
    full = [*a_list(posted.get("ToFull")), *a_list(posted.get("CcFull"))]
    named = [a_text(posted.get("OriginalRecipient")), *(a_text(an_object(one).get("Email")) for one in full)]
    return [one for one in named if one]


def _words(value: object) -> str | None:
    text = a_text(value)[: mime.TEXT_CHARS]
    return text if text.strip() else None


def _machine_part(attachment: Mapping[str, Any]) -> Part | None:
    content = a_text(attachment.get("Content"))[: 8 * mime.MACHINE_CHARS].encode()
    return mime.machine_part(a_text(attachment.get("ContentType")), from_base64(content))


def _read(posted: Mapping[str, Any]) -> Iterator[Event]:
    """The event, none where it changes nothing (Open, Click, an auto-reply…). Raises Odd."""
    word = a_text(posted.get("RecordType"))
    kind = a_text(posted.get("Type"))
    meaning: Meaning | None = None
    if word in ("Bounce", "SpamComplaint"):
        meaning = "complaint" if word == "SpamComplaint" else _BOUNCES.get(kind)
    elif word == "SubscriptionChange":
        meaning = _changed(posted)
    elif word == "Delivery":
        meaning = "delivered"
    if meaning is not None:
        message_id = a_text(posted.get("MessageID"))
        at = next((given for name in ("ChangedAt", "BouncedAt", "DeliveredAt") if (given := posted.get(name))), None)
        whose = an_address(posted.get("Recipient") or posted.get("Email"))
        told_apart = (word, kind, meaning, message_id, a_text(posted.get("ID")), a_text(at), _digest(whose))
        yield Event(
            meaning=meaning,
            event_id=":".join(told_apart),
            address=whose,
            tag=_tag(posted),
            provider_id=message_id,
            code=kind or a_text(posted.get("SuppressionReason")) or None,
            at=at_iso(at),
        )


def _digest(address: str | None) -> str:
    """Of whom it is, without naming them: many are suppressed in one second, and then nothing else tells them apart."""
    return hashlib.sha256((address or "").lower().encode()).hexdigest()[:16]


def _changed(posted: Mapping[str, Any]) -> Meaning | None:
    """What a suppression means. One that staff has put there holds as well; to take one away is the person's alone."""
    if posted.get("SuppressSending") is True:
        return _SUPPRESSED.get(a_text(posted.get("SuppressionReason")), "stop")
    if posted.get("SuppressSending") is False:
        return "resume" if posted.get("Origin") == "Recipient" else None
    raise Odd("missing: SuppressSending")


def _tag(posted: Mapping[str, Any]) -> str | None:
    """The attempt, where the mail told it to Postmark: its own Message-ID Postmark does not echo."""
    metadata = an_object(posted.get("Metadata")).values()
    return next((tag for value in metadata if (tag := told.tag_of(a_text(value))) is not None), None)
