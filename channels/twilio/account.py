"""What Twilio says of an account when it is asked with our credentials: nothing is sent, nothing is changed.

Source: twilio.com/docs/iam/api/account (fetch an Account resource). The resource holds the account's own secret, so no
more of it is kept than is named here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp

from channels.http import Exchange, get
from channels.looks import NotReached, Refused, ahead_seconds
from channels.twilio.client import authorization
from channels.twilio.lookup import API_URL


@dataclass(frozen=True, slots=True)
class Account:
    """The credentials are right."""

    status: str  # active | suspended | closed
    is_trial: bool
    ahead_seconds: float | None  # how far our clock is ahead of theirs; None where they do not tell theirs


async def look(
    session: aiohttp.ClientSession,
    account_sid: str,
    auth_token: str,
    *,
    api_url: str | None = None,
    seconds: float = 10.0,
) -> Account | Refused | NotReached:
    """Ask for the account, once, for so long at most."""
    url = f"{(api_url or API_URL).rstrip('/')}/2010-04-01/Accounts/{account_sid}.json"
    asked_at = datetime.now(UTC)
    exchange = await get(session, url, headers=authorization((account_sid, auth_token)), seconds=seconds)
    if exchange.status is None:
        return NotReached(exchange.error or TimeoutError())
    return _read(exchange, account_sid, asked_at) or Refused(exchange.status)


def _read(exchange: Exchange, account_sid: str, asked_at: datetime) -> Account | None:
    if exchange.status != 200 or exchange.error is not None:
        return None
    try:
        account = json.loads(exchange.body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(account, dict) or account.get("sid") != account_sid:
        return None
    is_trial = account.get("type") == "Trial"
    return Account(str(account.get("status")), is_trial, ahead_seconds(exchange.headers, asked_at, datetime.now(UTC)))
