"""Amazon SNS over HTTPS: what it posts, whether Amazon signed it, and the one certificate that tells.

Sources: docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html, …/sns-message-and-json-formats.html,
…/SendMessageToHttp.prepare.html.
A signature proves Amazon, not whose topic it is: so no topic but those named is listened to, or subscribed to. SNS
does not try again after a 4xx, but after a 5xx: what cannot be told just now is Unproved.
"""

from __future__ import annotations

import asyncio
import binascii
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import aiohttp
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256

from channels import http
from channels.mail import events
from channels.mail.basic import the_one
from channels.mail.events import Odd, a_text, an_object
from channels.values import Forged, Unproved, WebhookRequest

Type = Literal["Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"]
TYPES: tuple[Type, ...] = ("Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation")
_TYPE, _MESSAGE_ID, _TOPIC = "x-amz-sns-message-type", "x-amz-sns-message-id", "x-amz-sns-topic-arn"

# A region's name begins with letters alone: sns.s3-us-west-2.amazonaws.com is a bucket that somebody has called "sns".
_HOST = r"sns\.[a-z]{2,4}(?:-[a-z]{2,12}){1,3}-\d{1,2}\.amazonaws\.com(?:\.cn)?"
_CERTIFICATE_URL = re.compile(rf"https://{_HOST}/SimpleNotificationService-[A-Za-z0-9]{{1,64}}\.pem")
_SUBSCRIBE_URL = re.compile(rf"https://{_HOST}/\?[!-~]{{1,2000}}")
SECONDS = 5.0  # SNS waits for 15
CERTIFICATES = 4  # kept
FETCHES_AT_ONCE = 4  # a stranger may name certificates that there are none of
_SMALLEST_KEY = 2048


@dataclass(frozen=True, slots=True)
class Envelope:
    """What SNS posts around a message. Nothing in it is proved until `verify`."""

    type: Type
    message_id: str
    topic: str
    message: str
    certificate_url: str
    subscribe_url: str
    token: str
    signed: bytes
    signature: bytes
    version: Literal["1", "2"]

    def verify(self, key: rsa.RSAPublicKey) -> None:
        """Raises Forged."""
        algorithm = SHA1() if self.version == "1" else SHA256()  # noqa: S303 - the older version is what SNS has by default
        try:
            key.verify(self.signature, self.signed, PKCS1v15(), algorithm)
        except InvalidSignature:
            raise Forged("wrong signature") from None


def read(request: WebhookRequest, topics: Collection[str]) -> Envelope:
    """The envelope in a request, of one of these topics, and its head says the same as its body; raises Forged."""
    if len(request.body) > events.STRANGERS_BYTES:  # Amazon's own limit for a message is 256 KiB
        raise Forged("too much to look at")
    try:
        body = an_object(events.from_json(request.body))
    except Odd:
        raise Forged("no envelope of SNS") from None
    type_ = next((one for one in TYPES if one == body.get("Type")), None)
    topic = body.get("TopicArn")
    if type_ is None or topic not in topics or not isinstance(topic, str):
        raise Forged("another topic, or none")
    if the_one(request.headers, _TYPE) != type_ or the_one(request.headers, _MESSAGE_ID) != body.get("MessageId"):
        raise Forged("head and body differ")
    if _TOPIC in request.headers and the_one(request.headers, _TOPIC) != topic:
        raise Forged("head and body differ")
    version = body.get("SignatureVersion")
    if version not in ("1", "2"):
        raise Forged("an unknown kind of signature")
    return Envelope(
        type=type_,
        message_id=_text(body, "MessageId"),
        topic=topic,
        message=_text(body, "Message"),
        certificate_url=_text(body, "SigningCertURL"),
        subscribe_url=a_text(body.get("SubscribeURL")),
        token=a_text(body.get("Token")),
        signed=_signed(type_, body),
        signature=_signature(body),
        version=version,
    )


def _signed(type_: Type, body: Mapping[str, Any]) -> bytes:
    """The string that is signed: names and values, a line each, in the order of the names."""
    names = ["Message", "MessageId", "Timestamp", "TopicArn", "Type"]
    names += ["Subject"] if type_ == "Notification" and body.get("Subject") is not None else []
    names += ["SubscribeURL", "Token"] if type_ != "Notification" else []
    lines = "".join(f"{name}\n{_text(body, name)}\n" for name in sorted(names))
    try:
        return lines.encode()
    except UnicodeEncodeError:  # half a character: Amazon signs none
        raise Forged("wrong signature") from None


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise Forged(f"missing: {name}")
    return value


def _signature(body: Mapping[str, Any]) -> bytes:
    try:
        return binascii.a2b_base64(_text(body, "Signature").encode(), strict_mode=True)
    except ValueError:
        raise Forged("wrong signature") from None


class Certificates:
    """The keys that Amazon signs with, each fetched once from Amazon's own host, over TLS, without a redirect."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._keys: dict[str, rsa.RSAPublicKey] = {}  # the oldest first
        self._at_once = asyncio.Semaphore(FETCHES_AT_ONCE)

    def known(self, url: str) -> rsa.RSAPublicKey:
        """Raises Forged for one that was not kept."""
        key = self._keys.get(url)
        if key is None:
            raise Forged("a certificate of a stranger")
        return key

    def keep(self, url: str, key: rsa.RSAPublicKey) -> None:
        """Keep a key that a signature held by: what a stranger has fetched takes the place of none."""
        self._keys.setdefault(url, key)
        if len(self._keys) > CERTIFICATES:
            del self._keys[next(iter(self._keys))]

    async def fetch(self, url: str) -> rsa.RSAPublicKey:
        """Raises Forged for a URL that is not Amazon's, Unproved where the certificate cannot be had just now."""
        if (key := self._keys.get(url)) is not None:
            return key
        if not _CERTIFICATE_URL.fullmatch(url):
            raise Forged("a certificate of a stranger")
        try:
            async with asyncio.timeout(2 * SECONDS), self._at_once:
                exchange = await http.get(self._session, url, headers={}, seconds=SECONDS)
        except TimeoutError:
            raise Unproved("too many certificates are asked for") from None
        if exchange.error is not None or exchange.status != 200:
            raise Unproved("the certificate could not be fetched")
        return _key(exchange.body)


def _key(pem: bytes) -> rsa.RSAPublicKey:
    try:
        key = x509.load_pem_x509_certificate(pem).public_key()
    except Exception as error:  # whatever a library makes of bytes that are no certificate
        raise Unproved("what was fetched is no certificate") from error
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < _SMALLEST_KEY:
        raise Unproved("what was fetched is no certificate of SNS")
    return key


async def confirm(session: aiohttp.ClientSession, envelope: Envelope) -> None:
    """Visit the URL by which a subscription is confirmed. The envelope must be verified, and its topic ours.

    Raises Forged where it leads elsewhere than to Amazon's own confirmation of that very topic, Unproved where that
    fails just now.
    """
    url = envelope.subscribe_url
    asked = parse_qs(urlsplit(url).query)
    wanted = {"Action": ["ConfirmSubscription"], "TopicArn": [envelope.topic], "Token": [envelope.token]}
    if not _SUBSCRIBE_URL.fullmatch(url) or any(asked.get(name) != value for name, value in wanted.items()):
        raise Forged("a subscription somewhere else")
    exchange = await http.get(session, url, headers={}, seconds=SECONDS)
    if exchange.error is not None or exchange.status != 200:
        raise Unproved("the subscription could not be confirmed")
