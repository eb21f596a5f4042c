"""Whether a request bears the user and password of the webhook's URL (RFC 7617)."""

from __future__ import annotations

import binascii
import hashlib
import hmac
from collections.abc import Mapping

from channels.values import Forged, WebhookRequest


class BasicAuthentication:
    """The one user and password that are let in."""

    def __init__(self, user: str, password: str) -> None:
        if not user or not password or ":" in user:
            raise ValueError("user and password are needed, and no colon in the user")
        self._expected = hashlib.sha256(f"{user}:{password}".encode()).digest()

    def check(self, request: WebhookRequest) -> None:
        """Raises Forged where they are missing, wrong, or given twice."""
        scheme, _, given = the_one(request.headers, "Authorization").partition(" ")
        try:
            decoded = binascii.a2b_base64(given.strip().encode(), strict_mode=True)
        except ValueError:
            decoded = b""
        right = hmac.compare_digest(hashlib.sha256(decoded).digest(), self._expected)
        if scheme.lower() != "basic" or not right:
            raise Forged("wrong user or password")


def the_one(headers: Mapping[str, str], name: str) -> str:
    """The value of a header that must be there once; raises Forged."""
    getall = getattr(headers, "getall", None)
    values = getall(name, []) if getall else [headers[name]] if name in headers else []
    if len(values) != 1:
        raise Forged(f"not one {name}")
    return str(values[0])
