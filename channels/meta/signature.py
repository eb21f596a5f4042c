"""Did Meta sign this, with our app's secret? And is it Meta who asks whose webhook this is?

The signature covers the bytes as they came, and nothing else: neither the path nor a time
(developers.facebook.com/docs/graph-api/webhooks/getting-started). Whom a request is for stands in it (`batch`).
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from urllib.parse import parse_qs, urlsplit

from channels.values import Forged, HttpAnswer, WebhookRequest

HEADER = "X-Hub-Signature-256"
_FIELDS_AT_MOST = 20
_CHALLENGE_LENGTH = 1000


def check(request: WebhookRequest, app_secret: bytes) -> None:
    """Raises Forged unless the one signature there is holds for the raw body."""
    expected = "sha256=" + hmac.new(app_secret, request.body, sha256).hexdigest()
    if not _equal(_only(request), expected):
        raise Forged("wrong signature")


def answer(request: WebhookRequest, verify_token: str) -> HttpAnswer:
    """The challenge itself, as plain text, for whoever knows the token; raises Forged."""
    try:
        query = parse_qs(urlsplit(request.raw_path).query, keep_blank_values=True, max_num_fields=_FIELDS_AT_MOST)
    except ValueError:
        raise Forged("too many fields") from None
    mode, token, challenge = (_single(query.get(f"hub.{name}", [])) for name in ("mode", "verify_token", "challenge"))
    if not _equal(token, verify_token) or mode != "subscribe":
        raise Forged("wrong verify token")
    if not 0 < len(challenge) <= _CHALLENGE_LENGTH:
        raise Forged("no challenge")
    return HttpAnswer("text/plain", challenge.encode(errors="replace"))


def _only(request: WebhookRequest) -> str:
    headers = request.headers
    getall = getattr(headers, "getall", None)
    given = getall(HEADER, []) if getall else [headers[HEADER]] if HEADER in headers else []
    if len(given) != 1:
        raise Forged("no signature" if not given else "more than one signature")
    return str(given[0])


def _single(values: list[str]) -> str:
    return values[0] if len(values) == 1 else ""


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())
