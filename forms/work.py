"""A proof of work: what costs a person's browser a second, and whoever sends in thousands some hours.

ALTCHA's second protocol (https://altcha.org), deterministic: a key is derived again and again by PBKDF2 with a counter,
until it begins as the challenge says. Everybody's machine needs about as long, for browsers derive it natively. It
belongs to the nonce of the very page, and so works once, as that does; pages/work.js is who does it.
"""

from __future__ import annotations

import binascii
import hmac
import json
import secrets
from base64 import b64decode
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import altcha

COST = 5_000  # rounds of each try: 2.6 ms here, and as much for us when a page is shown
FEWEST, MOST = 200, 400  # tries; nobody is let off with few
_MOST_CHARS = 2_000


def challenge(key: bytes, *, about: Mapping[str, str], expires_at: datetime) -> str:
    """What is to be solved, as JSON. `about`: what it is for; it proves nothing for anything else."""
    made = altcha.create_challenge(
        "PBKDF2/SHA-256",
        COST,
        counter=FEWEST + secrets.randbelow(MOST - FEWEST),
        expires_at=expires_at,
        data=dict(about),
        hmac_secret=_key(key, b"challenge"),
        hmac_key_secret=_key(key, b"solution"),
    )
    return json.dumps(made.to_dict(), separators=(",", ":"))


def is_done(key: bytes, solution: str, *, about: Mapping[str, str], now: datetime) -> bool:
    """Whether it is the solution of a challenge of ours, about this, that has not expired."""
    if not 0 < len(solution) <= _MOST_CHARS:
        return False
    try:
        told: Any = json.loads(b64decode(solution, validate=True))
        payload = altcha.Payload.from_dict(told)
    except (binascii.Error, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
    try:
        result = altcha.verify_solution(payload, _key(key, b"challenge"), hmac_key_secret=_key(key, b"solution"))
    except (ValueError, TypeError):  # what is in it is of other kinds than a challenge of ours holds
        return False
    parameters = payload.challenge.parameters  # which we have signed, if it is verified
    return result.verified and parameters.data == dict(about) and int(parameters.expires_at or 0) > now.timestamp()


def _key(key: bytes, purpose: bytes) -> bytes:
    return hmac.digest(key, b"optgate.work." + purpose, "sha256")
