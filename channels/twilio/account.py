"""What Twilio says of an account when it is asked with our credentials: nothing is sent, nothing is changed.

Source: twilio.com/docs/iam/api/account (fetch an Account resource). The resource holds the account's own secret, so no
more of it is kept than is named here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp

from channels.http import Exchange, get
from channels.twilio.client import authorization
from channels.twilio.lookup import API_URL


@dataclass(frozen=True, slots=True)
class Account:
    """The credentials are right."""

    status: str  # active | suspended | closed
    is_trial: bool
    ahead_seconds: float | None  # how far our clock is ahead of theirs; None where they do not tell theirs


@dataclass(frozen=True, slots=True)
class Refused:
    """Twilio answered, and did not tell."""

    status: int


@dataclass(frozen=True, slots=True)
class NotReached:
    """There was no answer."""

    error: Exception


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


def ahead_seconds(headers: Mapping[str, str], asked_at: datetime, answered_at: datetime) -> float | None:
    """How far ours is ahead of their clock, at the least: Date is a whole second in between."""
    try:
        theirs = parsedate_to_datetime(headers["Date"])
    except (KeyError, ValueError, TypeError, OverflowError, IndexError):
        return None
    theirs = theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC)
    least, most = (asked_at - theirs).total_seconds() - 1, (answered_at - theirs).total_seconds()
    return least if least > 0 else min(most, 0.0)
