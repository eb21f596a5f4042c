"""What Twilio's message list knows of messages whose end we never saw.

Sources: twilio.com/docs/messaging/api/message-resource (read multiple Message resources), /docs/usage/twilios-response
(paging). The list is filtered by recipient and sender only: DateSent is the moment of sending, and what waits in
Twilio's queue has none yet. It comes by DateSent, the newest first.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

import aiohttp

from channels.http import Exchange, get
from channels.outcomes import retry_after_seconds, their_clock
from channels.text import without_nul
from channels.twilio.client import authorization
from channels.twilio.send import addressed
from channels.twilio.status import meaning
from channels.values import Listed, Sought, Unanswered

API_URL = "https://api.twilio.com"
SECONDS = 8.0  # for all pages together
PAGE_SIZE = 20  # a resource is up to 3 kB, an answer's at most channels.http.ANSWER_BYTES
PAGES = 5  # a person to whom a hundred messages went since is not worth more
ABOUT_US_SECONDS = 60.0
_SID = re.compile(r"[A-Z]{2}[0-9a-fA-F]{32}")


class MessageList:
    """The messages that one sender, or one Messaging Service, of an account has sent."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        account_sid: str,
        auth_token: str,
        *,
        sender: str | None,
        service: str | None,
        api_url: str | None = None,
    ) -> None:
        self._session = session
        self._base = (api_url or API_URL).rstrip("/")
        self._path = f"/2010-04-01/Accounts/{account_sid}/Messages.json"
        self._headers = authorization((account_sid, auth_token))
        self._sender, self._service = sender, service

    async def look_up(self, sought: Sought) -> Sequence[Listed] | Unanswered:
        """What was made in that time, the oldest first."""
        try:
            async with asyncio.timeout(SECONDS):
                return await self._pages(sought)
        except TimeoutError:
            return Unanswered("TimeoutError")

    async def _pages(self, sought: Sought) -> Sequence[Listed] | Unanswered:
        query = {"To": addressed(sought.channel, sought.to), "PageSize": str(PAGE_SIZE)}
        if self._sender and not self._service:  # a service sends from whichever of its numbers it likes
            query["From"] = addressed(sought.channel, self._sender)
        path: object = f"{self._path}?{urlencode(query)}"
        found: list[Listed] = []
        for _ in range(PAGES):
            if not isinstance(path, str) or not path.startswith(self._path + "?"):
                break  # the last page, or one that leads elsewhere with our credentials
            exchange = await get(self._session, self._base + path, headers=self._headers, seconds=SECONDS)
            page = _page(exchange)
            if page is None:
                return _unanswered(exchange)
            made = [(resource, _created_at(resource)) for resource in page["messages"] if isinstance(resource, dict)]
            found += [
                listed
                for resource, at in made
                if at is not None
                and sought.since <= at <= sought.until
                and self._is_ours(resource, sought)
                and (listed := _listed(resource, at)) is not None
            ]
            if made and all(at is not None and at < sought.since and r.get("date_sent") for r, at in made):
                break  # all that follows was sent earlier still
            path = page.get("next_page_uri")
        found.reverse()
        return sorted(found, key=lambda listed: listed.created_at)  # times are whole seconds: the list's order counts

    def _is_ours(self, resource: dict[str, Any], sought: Sought) -> bool:
        """Made over the API, for this recipient, by this connection's sender; never what TwiML answered."""
        if resource.get("direction") != "outbound-api" or resource.get("to") != addressed(sought.channel, sought.to):
            return False
        if self._service and resource.get("messaging_service_sid") == self._service:
            return True
        return bool(self._sender) and resource.get("from") == addressed(sought.channel, self._sender or "")


def _page(exchange: Exchange) -> dict[str, Any] | None:
    if exchange.status != 200 or exchange.error is not None:
        return None
    try:
        page = json.loads(exchange.body)
    except (ValueError, RecursionError):
        return None
    return page if isinstance(page, dict) and isinstance(page.get("messages"), list) else None


def _unanswered(exchange: Exchange) -> Unanswered:
    if exchange.error is not None:
        return Unanswered(type(exchange.error).__name__)
    wish = retry_after_seconds(exchange.headers.get("Retry-After"), their_clock(exchange.headers))
    if exchange.status is not None and 400 <= exchange.status < 500 and exchange.status != 429:
        wish = max(wish or 0.0, ABOUT_US_SECONDS)  # credentials, a suspended account, a wrong URL
    return Unanswered(f"HTTP {exchange.status}", wish)


def _created_at(resource: dict[str, Any]) -> datetime | None:
    try:
        at = parsedate_to_datetime(resource["date_created"])
    except (KeyError, ValueError, TypeError, OverflowError, IndexError, AttributeError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _listed(resource: dict[str, Any], at: datetime) -> Listed | None:
    sid, word, code, body = (resource.get(name) for name in ("sid", "status", "error_code", "body"))
    if not isinstance(sid, str) or not _SID.fullmatch(sid) or not isinstance(word, str):
        return None
    number = code if isinstance(code, int) and not isinstance(code, bool) else None
    report = meaning("", sid, word, number)
    return None if report is None else Listed(report, without_nul(body) if isinstance(body, str) else "", at)
