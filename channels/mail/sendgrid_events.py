"""Events of SendGrid: their signature, and what each means.

Sources: twilio.com/docs/sendgrid/for-developers/tracking-events/event and
…/tracking-events/getting-started-event-webhook-security-features.
"""

from __future__ import annotations

import binascii
import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from channels.mail.basic import the_one
from channels.mail.clock import Clock, is_within
from channels.mail.events import Event, Meaning, Odd, a_text, an_address, at_unix
from channels.values import Forged, WebhookRequest

SIGNATURE = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP = "X-Twilio-Email-Event-Webhook-Timestamp"
# SendGrid tries again for a day, and whether it signs anew it does not say. An event counts once anyhow, by its id.
AGE = timedelta(days=2)

_MEANINGS: Final[dict[str, Meaning]] = {
    "delivered": "delivered",
    "spamreport": "complaint",
    "unsubscribe": "stop",
    "group_unsubscribe": "stop",
    "group_resubscribe": "resume",
}
# Why a mail was not even tried: what SendGrid has heard of the address before.
_DROPPED: Final[dict[str, Meaning]] = {
    "bounced address": "hard_bounce",
    "unsubscribed address": "stop",
    "spam reporting address": "complaint",
}


def is_signed(request: WebhookRequest) -> bool:
    """Whether the request says that it holds events."""
    return SIGNATURE in request.headers


class Signature:
    """Checks the signature of the Event Webhook: ECDSA over P-256 with SHA-256, of the time and the body.

    `public_key` is base64, as SendGrid shows it. Raises ValueError where it is none.
    """

    def __init__(self, public_key: str, clock: Clock) -> None:
        try:
            key = load_der_public_key(binascii.a2b_base64("".join(public_key.split()), strict_mode=True))
        except ValueError as error:
            raise ValueError("public_key is no key: copy it from the Event Webhook's settings") from error
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ValueError("public_key is no key of the Event Webhook")
        self._key = key
        self._clock = clock

    def check(self, request: WebhookRequest) -> None:
        """Raises Forged."""
        given, at = (the_one(request.headers, name) for name in (SIGNATURE, TIMESTAMP))
        try:
            signature = binascii.a2b_base64(given.encode(), strict_mode=True)
            self._key.verify(signature, at.encode() + request.body, ec.ECDSA(SHA256()))
        except (InvalidSignature, ValueError):
            raise Forged("wrong signature") from None
        if not is_within(at, AGE, self._clock()):
            raise Forged("a signature of another day")


def read(entry: Mapping[str, Any]) -> Iterator[Event]:
    """The event in an entry, none where it changes nothing (processed, deferred, open, click…). Raises Odd."""
    word = a_text(entry.get("event")).lower()
    if not word:
        raise Odd("missing: event")
    meaning = _MEANINGS.get(word)
    code = a_text(entry.get("status")) or None
    if word == "bounce":  # `blocked`, as it is for a time: by the mail, or by who sends it
        meaning = "hard_bounce" if a_text(entry.get("type")).lower() in ("", "bounce") else "soft_bounce"
    elif word == "dropped":
        reason = a_text(entry.get("reason")).strip().lower()
        meaning, code = _DROPPED.get(reason, "failed"), "dropped"
    if meaning is not None:
        yield Event(
            meaning=meaning,
            event_id=a_text(entry.get("sg_event_id")) or _digest(entry),
            address=an_address(entry.get("email")),
            message_id=a_text(entry.get("smtp-id")),
            provider_id=a_text(entry.get("sg_message_id")),
            code=code,
            at=at_unix(entry.get("timestamp")),
        )


def _digest(entry: Mapping[str, Any]) -> str:
    try:
        return hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()
    except (ValueError, RecursionError):
        raise Odd("missing: sg_event_id") from None
