"""What Meta says of a number when it is asked with our token: nothing is sent, nothing is changed.

Source: …/whatsapp/reference/whatsapp-business-phone-number (fetch a phone number).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp

from channels.http import Exchange, get
from channels.looks import NotReached, Refused, ahead_seconds
from channels.meta.codes import error_of
from channels.meta.reading import as_table, word
from channels.meta.send import API_URL, VERSION


@dataclass(frozen=True, slots=True)
class Number:
    """The token is accepted, and opens the number."""

    shown_as: str  # as people see it, +1 555-078-3881
    ahead_seconds: float | None  # how far our clock is ahead of theirs; None where they do not tell theirs


@dataclass(frozen=True, slots=True)
class NoToken:
    """Meta does not accept the token."""


@dataclass(frozen=True, slots=True)
class NoNumber:
    """There is no such number, or the token does not open it; Meta does not tell which."""


Told = Number | NoToken | NoNumber | Refused | NotReached


async def look(
    session: aiohttp.ClientSession,
    phone_number_id: str,
    access_token: str,
    *,
    api_url: str | None = None,
    seconds: float = 10.0,
) -> Told:
    """Ask for the number, once, for so long at most."""
    url = f"{(api_url or API_URL).rstrip('/')}/{VERSION}/{phone_number_id}?fields=display_phone_number"
    asked_at = datetime.now(UTC)
    exchange = await get(session, url, headers={"Authorization": f"Bearer {access_token}"}, seconds=seconds)
    if exchange.status is None:
        return NotReached(exchange.error or TimeoutError())
    return _number(exchange, phone_number_id, asked_at) or _refusal(exchange, exchange.status)


def _number(exchange: Exchange, phone_number_id: str, asked_at: datetime) -> Number | None:
    if exchange.status != 200 or exchange.error is not None:
        return None
    try:
        number = as_table(json.loads(exchange.body))
    except (ValueError, RecursionError):
        return None
    if word(number, "id") != phone_number_id:
        return None
    ahead = ahead_seconds(exchange.headers, asked_at, datetime.now(UTC))
    return Number(word(number, "display_phone_number"), ahead)


def _refusal(exchange: Exchange, status: int) -> Told:
    code, subcode, _ = error_of(exchange.body)
    if code == 190 or (code is not None and status == 401):
        return NoToken()
    if (code, subcode) == (100, 33) or (code is not None and status == 403):
        return NoNumber()
    return Refused(status)
