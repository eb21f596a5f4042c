"""Mailgun: routes, and webhooks.

Sources: documentation.mailgun.com/docs/mailgun/user-manual/receive-forward-store/receive-http,
…/webhooks/securing-webhooks, …/webhooks/webhook-payloads.
What is signed is a time and a token, and not the body: whoever sees a request could post another body with them. So
the token is the event's id, and each counts once, for ever. Mailgun tries again for eight hours, with the same token.
No verdict is worth anything in a body that is not signed: no mail by Mailgun is authentic.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from threading import Lock
from typing import Any, Final

from channels.mail import events, fields, headers, mime, told
from channels.mail.clock import Clock, is_within, utcnow
from channels.mail.events import Event, Meaning, Odd, a_text, an_address, an_object, at_unix
from channels.mail.fields import Fields, NoForm
from channels.mail.letter import Letter
from channels.values import Forged, Told, WebhookRequest

AGE = timedelta(hours=12)
_TOKENS = 10_000  # remembered by each process

# Why a mail was not even tried: what Mailgun has heard of the address before.
_SUPPRESSED: Final[dict[str, Meaning]] = {
    "suppress-bounce": "hard_bounce",
    "suppress-unsubscribe": "stop",
    "suppress-complaint": "complaint",
}
_OF_THE_MAIL = frozenset({"old", "espblock"})  # tried too long; refused for who sends it


class Mailgun:
    """What comes in by one connection (a `WayIn`)."""

    def __init__(self, *, name: str, signing_key: str, clock: Clock = utcnow) -> None:
        if not signing_key:
            raise ValueError("signing_key is empty: anyone could sign with it")
        # By the key, not by the connection: what is signed for one can be posted to another, and counts once.
        self.account = "mailgun:" + hmac.new(signing_key.encode(), b"optgate", "sha256").hexdigest()[:16]
        self._name = name
        self._key = signing_key.encode()
        self._clock = clock
        self._one_by_one = Lock()  # large mails are read in threads
        self._uses: dict[str, str] = {}  # token → what it came with, the oldest first

    def receive(self, request: WebhookRequest) -> Sequence[Told]:
        """The mail in a route's request, or the event in a webhook's; raises Forged."""
        content_type = request.headers.get("Content-Type", "")
        if headers.parameters(content_type)[0] == "application/json":
            return self._event(request.body)
        try:
            form = fields.read(content_type, request.body)
        except NoForm as none:
            raise Forged(str(none)) from None
        token = self._token({name: form.text(name, 200) for name in ("timestamp", "token", "signature")}, "mail")
        try:
            letter = _letter(form, token)
        except Odd as odd:
            return events.parked(request.body, str(odd))
        return told.read(letter, connection=self._name, account=self.account)

    report = receive  # whichever of its URLs an operator has pasted where

    def _event(self, body: bytes) -> Sequence[Told]:
        if len(body) > events.STRANGERS_BYTES:
            raise Forged("too much to look at")
        try:
            posted = an_object(events.from_json(body))
        except Odd:
            raise Forged("no signature") from None
        data = an_object(posted.get("event-data"))
        use = f"{a_text(data.get('event'))}:{a_text(data.get('id'))}"
        token = self._token(an_object(posted.get("signature")), use)
        return events.each([data], lambda entry: _read(entry, token), self.account, body)

    def _token(self, signed: Mapping[str, Any], use: str) -> str:
        """The token of a signature that holds; raises Forged.

        That it came before with a mail, and now with an event, or with another one, is no second try of Mailgun's.
        """
        at, token = a_text(signed.get("timestamp")), a_text(signed.get("token"))
        expected = hmac.new(self._key, f"{at}{token}".encode(), hashlib.sha256).hexdigest()
        # An event of a subaccount is signed by the primary account as well.
        given = [a_text(signed.get(name)) for name in ("signature", "parent-signature")]
        if not [one for one in given if hmac.compare_digest(one.encode(), expected.encode())]:
            raise Forged("wrong signature")
        if not token or not is_within(at, AGE, self._clock()):
            raise Forged("a signature of another time")
        with self._one_by_one:
            if self._uses.setdefault(token, use) != use:
                raise Forged("a token that was used for something else")
            if len(self._uses) > _TOKENS:
                del self._uses[next(iter(self._uses))]
        return token


def _letter(form: Fields, token: str) -> Letter:
    """The mail in a form, raw or taken apart; raises Odd."""
    given: dict[str, Any] = {
        "envelope_from": form.text("sender", 1_000) if "sender" in form.raw else None,
        "recipients": [one.strip() for one in form.text("recipient", 10_000).split(",")],
        "provider_id": token,
    }
    raw = form.get("body-mime", mime.MAIL_BYTES if not form.encoded else _ENCODED_BYTES)
    if raw is not None:
        return mime.read(raw, authserv_id=None, **given)
    pairs = _headers(form)
    if not any(name.lower() == "from" for name, _ in pairs):
        if "from" not in form.raw:
            raise Odd("missing: body-mime, message-headers and from")
        pairs += [("From", form.text("from")), ("Subject", form.text("subject"))]
    text, html = (mime.as_text(form.get(name, mime.TEXT_BYTES) or b"", "utf-8") for name in ("body-plain", "body-html"))
    parts = [part for file in form.files if (part := mime.machine_part(file.content_type, file.data)) is not None]
    return mime.assemble(headers.of_pairs(pairs), mime.Words(text, html), parts, **given)


_ENCODED_BYTES = 8_388_608  # of a raw mail that comes urlencoded: to decode takes a while, and words stand in front


def _headers(form: Fields) -> list[tuple[str, str]]:
    try:
        listed = events.a_list(events.from_json(form.text("message-headers", headers.HEAD_BYTES)))
    except Odd:
        return []
    return [(a_text(pair[0]), a_text(pair[1])) for pair in listed if isinstance(pair, list) and len(pair) == 2]


def _read(data: Mapping[str, Any], token: str) -> Iterator[Event]:
    """The event, none where it changes nothing. A failure for a time is tried again by Mailgun: it is none yet."""
    word, severity = a_text(data.get("event")).lower(), a_text(data.get("severity")).lower()
    if not word:
        raise Odd("missing: event-data")
    reason = a_text(data.get("reason")).lower()
    meanings: dict[str, Meaning] = {
        "delivered": "delivered",
        "complained": "complaint",
        "unsubscribed": "stop",
        "rejected": "failed",
    }
    meaning = meanings.get(word)
    if word == "failed" and severity == "permanent":
        meaning = _SUPPRESSED.get(reason, "soft_bounce" if reason in _OF_THE_MAIL else "hard_bounce")
    if meaning is not None:
        message = an_object(an_object(data.get("message")).get("headers")).get("message-id")
        yield Event(
            meaning=meaning,
            event_id=token,  # `id` is unique within a day only
            address=an_address(data.get("recipient")),
            message_id=a_text(message),
            provider_id=a_text(message) or None,
            code=a_text(an_object(data.get("delivery-status")).get("code")) or reason or None,
            at=at_unix(data.get("timestamp")),
        )
