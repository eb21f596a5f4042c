"""Requests as the providers of e-mail make them, signed as each of them signs. People, keys and tokens are invented."""

from __future__ import annotations

import base64
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from multidict import CIMultiDict

from channels.values import WebhookRequest

SAMPLES = Path(__file__).parent / "samples"
USER, PASSWORD = "optgate", "a-password-for-the-tests"
SIGNING_KEY = "key-test-signing"
TOPIC = "arn:aws:sns:us-east-1:123456789012:mail"
HOST = "sns.us-east-1.amazonaws.com"
CERTIFICATE_PATH = "/SimpleNotificationService-0123456789abcdef.pem"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ANA, OURS = "ana@customer.example", "hello@mail.theatre.example"
TAG = "att_" + "0" * 25 + "1"
BOUNDARY = "xYzZY"  # SendGrid's, always

EVENT_KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC_KEY = base64.b64encode(
    EVENT_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
).decode()

Posted = tuple[bytes, dict[str, str]]


def request(posted: Posted, path: str = "/webhooks/mail") -> WebhookRequest:
    body, headers = posted
    return WebhookRequest("POST", path, CIMultiDict(headers), body)


def sample(name: str) -> Any:
    """A recorded body of JSON."""
    return json.loads((SAMPLES / name).read_text())


def mail(
    text: str = "STOP", *, sender: str = f"Ana <{ANA}>", to: str = OURS, subject: str = "Re: News", **more: str
) -> bytes:
    """A mail as a client writes it."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, to, subject
    message["Message-ID"] = more.pop("message_id", f"<{secrets.token_hex(8)}@customer.example>")
    for name, value in more.items():
        message[name.replace("_", "-")] = value
    message.set_content(text)
    return message.as_bytes()


def basic(user: str = USER, password: str = PASSWORD) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def form_data(parts: Sequence[tuple[str, bytes]], boundary: str = BOUNDARY) -> bytes:
    """A multipart form of these fields; a name with a type behind it is a file."""
    lines: list[bytes] = []
    for given, value in parts:
        name, _, kind = given.partition("|")
        more = f'; filename="{name}"\r\nContent-Type: {kind}' if kind else ""
        lines.append(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value)
    return b"\r\n".join([*lines, f"--{boundary}--\r\n".encode()])


# --- SendGrid ---------------------------------------------------------------------------------


def sendgrid_fields(text: str = "STOP", sender: str = f"Ana <{ANA}>", **more: str | bytes) -> list[tuple[str, bytes]]:
    """The fields of a mail that SendGrid has taken apart."""
    given: dict[str, str | bytes] = {
        "headers": f"Received: by mx.sendgrid.example\nFrom: {sender}\nTo: {OURS}\nSubject: Re: News\n"
        "Message-ID: <m1@customer.example>\nMIME-Version: 1.0\n",
        "dkim": "{@customer.example : pass}",
        "to": OURS,
        "from": sender,
        "text": text,
        "sender_ip": "192.0.2.1",
        "envelope": json.dumps({"to": [OURS], "from": ANA}),
        "attachments": "0",
        "subject": "Re: News",
        "charsets": json.dumps({"to": "UTF-8", "subject": "UTF-8", "from": "UTF-8", "text": "UTF-8"}),
        "SPF": "pass",
    }
    return [(name, value if isinstance(value, bytes) else value.encode()) for name, value in (given | more).items()]


def sendgrid(fields: Sequence[tuple[str, bytes]]) -> Posted:
    return form_data(fields), {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", **basic()}


def sendgrid_raw(raw: bytes, recipient: str = OURS, **more: str) -> Posted:
    envelope = json.dumps({"to": [recipient], "from": ANA})
    fields = {"email": raw, "dkim": "{@customer.example : pass}", "SPF": "pass", "envelope": envelope, **more}
    return sendgrid([(name, value if isinstance(value, bytes) else value.encode()) for name, value in fields.items()])


def sendgrid_events(body: bytes, *, at: str | None = None, signed: bytes | None = None) -> Posted:
    at = str(int(NOW.timestamp())) if at is None else at
    signature = EVENT_KEY.sign(at.encode() + body, ec.ECDSA(SHA256())) if signed is None else signed
    return body, {
        "Content-Type": "application/json;charset=utf-8",
        "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
        "X-Twilio-Email-Event-Webhook-Timestamp": at,
    }


# --- Mailgun ----------------------------------------------------------------------------------


def mailgun_signature(token: str | None = None, *, at: datetime = NOW, key: str = SIGNING_KEY) -> dict[str, str]:
    stamp, token = str(int(at.timestamp())), secrets.token_hex(25) if token is None else token
    signature = hmac.new(key.encode(), f"{stamp}{token}".encode(), "sha256").hexdigest()
    return {"timestamp": stamp, "token": token, "signature": signature}


def mailgun_fields(text: str = "STOP", sender: str = f"Ana <{ANA}>", **more: str) -> dict[str, str]:
    """The fields of a mail that Mailgun has taken apart."""
    headers = [["X-Mailgun-Incoming", "Yes"], ["From", sender], ["To", OURS], ["Subject", "Re: News"],
               ["Message-Id", "<m1@customer.example>"]]  # fmt: skip
    return {
        "recipient": OURS,
        "sender": ANA,
        "from": sender,
        "subject": "Re: News",
        "body-plain": text,
        "stripped-text": text,
        "message-headers": json.dumps(headers),
        "Message-Id": "<m1@customer.example>",
        **more,
    }


def mailgun(fields: Mapping[str, str], signed: Mapping[str, str] | None = None) -> Posted:
    form = {**fields, **(mailgun_signature() if signed is None else signed)}
    return urlencode(form).encode(), {"Content-Type": "application/x-www-form-urlencoded"}


def mailgun_event(data: object, signed: Mapping[str, str] | None = None) -> Posted:
    posted = {"signature": mailgun_signature() if signed is None else signed, "event-data": data}
    return json.dumps(posted).encode(), {"Content-Type": "application/json"}


# --- Postmark ---------------------------------------------------------------------------------


def postmark(posted: object) -> Posted:
    return json.dumps(posted).encode(), {"Content-Type": "application/json", **basic()}


def postmark_mail(text: str = "STOP", **more: Any) -> dict[str, Any]:
    return sample("postmark/inbound.json") | {"TextBody": text} | more


# --- Amazon SES, by SNS -----------------------------------------------------------------------


class Amazon:
    """Whoever has the key of the certificate."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(65537, 2048)
        self.pem = certificate("sns.amazonaws.com", self.key).public_bytes(Encoding.PEM)

    def posts(self, message: object, *, message_id: str = "5f1e7c4e-0001", version: str = "2", **more: Any) -> Posted:
        """A notification, or with `Type` another; what is given as None is left out."""
        text = message if isinstance(message, str) else json.dumps(message)
        body: dict[str, Any] = {
            "Type": "Notification",
            "MessageId": message_id,
            "TopicArn": TOPIC,
            "Message": text,
            "Timestamp": "2026-11-20T12:00:00.000Z",
            "SignatureVersion": version,
            "SigningCertURL": f"https://{HOST}{CERTIFICATE_PATH}",
            **more,
        }
        return self.signs({name: value for name, value in body.items() if value is not None})

    def signs(self, body: Mapping[str, Any]) -> Posted:
        among = ("Subject",) if body["Type"] == "Notification" else ("SubscribeURL", "Token")
        names = sorted({"Message", "MessageId", "Timestamp", "TopicArn", "Type", *among} & body.keys())
        signed = "".join(f"{name}\n{body[name]}\n" for name in names).encode()
        algorithm = SHA1() if body["SignatureVersion"] == "1" else SHA256()
        signature = self.key.sign(signed, PKCS1v15(), algorithm)
        return as_posted({**body, "Signature": base64.b64encode(signature).decode()})

    def confirms(self, *, topic: str = TOPIC, url: str | None = None) -> Posted:
        """The confirmation of a subscription."""
        asked = urlencode({"Action": "ConfirmSubscription", "TopicArn": topic, "Token": "t0ken"})
        return self.posts(
            "You have chosen to subscribe to the topic.",
            Type="SubscriptionConfirmation",
            TopicArn=topic,
            Token="t0ken",
            SubscribeURL=f"https://{HOST}/?{asked}" if url is None else url,
        )


def as_posted(body: Mapping[str, Any]) -> Posted:
    """The body, with the head that says the same."""
    return json.dumps(body).encode(), {
        "Content-Type": "text/plain; charset=UTF-8",
        "x-amz-sns-message-type": str(body["Type"]),
        "x-amz-sns-message-id": str(body["MessageId"]),
        "x-amz-sns-topic-arn": str(body["TopicArn"]),
    }


def ses_mail(raw: bytes, *, encoding: str = "UTF8", dmarc: str = "PASS", recipient: str = OURS) -> dict[str, Any]:
    """What SES publishes of a mail that it received."""
    content = base64.b64encode(raw).decode() if encoding == "BASE64" else raw.decode()
    received = sample("ses/received.json")
    received["receipt"]["action"]["encoding"] = encoding
    received["receipt"]["dmarcVerdict"]["status"] = dmarc
    received["receipt"]["recipients"] = [recipient]
    return received | {"content": content}


def certificate(
    name: str, key: rsa.RSAPrivateKey, authority: tuple[x509.Certificate, rsa.RSAPrivateKey] | None = None
) -> x509.Certificate:
    """One for a host of this name by an authority, or the authority's own."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer, by = (authority[0].subject, authority[1]) if authority is not None else (subject, key)
    now, uses = datetime.now(UTC), dict.fromkeys(_USES, False) | {"key_cert_sign": True, "digital_signature": True}
    made = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
    )
    if authority is None:
        made = made.add_extension(x509.KeyUsage(**uses), critical=True)
    return made.sign(by, SHA256())


_USES = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
         "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")  # fmt: skip
