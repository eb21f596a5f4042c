"""Events of ours to others, signed the Standard Webhooks way (https://www.standardwebhooks.com, version 1)."""

from __future__ import annotations

import base64
import binascii
import hmac

PREFIX = "whsec_"
LEAST_BYTES = 24  # of a secret, by the specification
_MOST_BYTES = 64
HOW_TO_MAKE_ONE = f'`echo "{PREFIX}$(openssl rand -base64 32)"` makes one'


def read_secret(text: str) -> bytes:
    """The key in `whsec_` and base64; raises ValueError."""
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not text.startswith(PREFIX) or not LEAST_BYTES <= len(key) <= _MOST_BYTES:
        raise ValueError(
            f"write {PREFIX} and {LEAST_BYTES} to {_MOST_BYTES} bytes in base64 behind it: {HOW_TO_MAKE_ONE}"
        )
    return key


def headers(key: bytes, *, event_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """What a request carries besides its body: the same id however often it comes; `timestamp` in Unix seconds."""
    signed = hmac.digest(key, f"{event_id}.{timestamp}.".encode() + body, "sha256")
    return {
        "Content-Type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }
