"""Requests as Twilio makes them, signed by the twilio library itself."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl

from multidict import CIMultiDict, MultiDict
from twilio.request_validator import RequestValidator

from channels.values import WebhookRequest

SAMPLES = Path(__file__).parent / "samples" / "twilio"
ACCOUNT = "AC00000000000000000000000000000001"
TOKEN = "0123456789abcdef0123456789abcdef"
ORIGIN = "https://gw.example.test"
PATH = "/webhooks/sms"
FORM = "application/x-www-form-urlencoded; charset=UTF-8"


def sample(name: str) -> bytes:
    """The body of a recorded request: one `name=value` a line, percent-encoded as it came."""
    return "&".join((SAMPLES / f"{name}.txt").read_text().split("\n")[:-1]).encode()


def signature(body: bytes, url: str = ORIGIN + PATH, token: str = TOKEN, algorithm: str | None = None) -> str:
    form = MultiDict(parse_qsl(body.decode(), keep_blank_values=True))
    return RequestValidator(token).compute_signature(url, form, algorithm)


def posted(
    body: bytes, given: str | None = None, *, path: str = PATH, content_type: str = FORM, **more: str
) -> WebhookRequest:
    """A POST with this signature, or with the right one."""
    headers = CIMultiDict({"Content-Type": content_type, "User-Agent": "TwilioProxy/1.1"})
    headers["X-Twilio-Signature"] = signature(body) if given is None else given
    headers.extend({name.replace("_", "-"): value for name, value in more.items()})
    return WebhookRequest("POST", path, headers, body)
