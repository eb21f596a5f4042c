"""The twilio library's asynchronous client over the gateway's one session.

The stock AsyncTwilioHttpClient is not safe to use (dependencies.md §0.2, version 9.13): it ignores its time-out,
posts again on a 500 (a second SMS), hands one call another call's answer through a shared attribute, raises
deprecation warnings on aiohttp ≥ 3.14, and logs numbers and texts. This one posts once and keeps what was seen for
the call that asked.
"""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Never

import aiohttp
from twilio.http import AsyncHttpClient  # type: ignore[import-untyped]
from twilio.rest import Client  # type: ignore[import-untyped]

from channels.http import Exchange, post

seen: ContextVar[list[Exchange] | None] = ContextVar("twilio_exchanges", default=None)


class Seen(Exception):
    """What came of the request is kept: the library, whose reading of it nobody asks for, need not read it."""


class SessionClient(AsyncHttpClient):  # type: ignore[misc]
    """Posts forms, once each; every Exchange is appended to the caller's `seen`, and ends in Seen."""

    def __init__(self, session: aiohttp.ClientSession, seconds: float) -> None:
        super().__init__(logging.getLogger(__name__), is_async=True)
        self._session = session
        self._seconds = seconds

    async def request(
        self,
        method: str,
        uri: str,
        params: Mapping[str, object] | None = None,
        data: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
        allow_redirects: bool = False,
    ) -> Never:
        if method != "POST" or params or allow_redirects:
            raise NotImplementedError(f"{method} {uri}")
        exchange = await post(
            self._session,
            uri,
            data=form(data or {}),
            headers={**(headers or {}), **authorization(auth)},
            seconds=timeout or self._seconds,
        )
        if (call := seen.get()) is not None:
            call.append(exchange)
        raise Seen


def open_client(
    session: aiohttp.ClientSession, account_sid: str, auth_token: str, *, seconds: float, api_url: str | None = None
) -> Client:
    """A client for the account. Only what is passed counts: TWILIO_EDGE and its like in the environment do not."""
    environment = {"TWILIO_ACCOUNT_SID": account_sid}  # an empty one would mean os.environ
    client = Client(account_sid, auth_token, http_client=SessionClient(session, seconds), environment=environment)
    if api_url is not None:
        client.api.base_url = api_url.rstrip("/")
    _ = client.messages  # the library imports half a second's worth of modules on first use: not within a lease
    return client


def authorization(auth: tuple[str, str] | None) -> dict[str, str]:
    """The header of HTTP's basic scheme."""
    return {} if auth is None else {"Authorization": _basic(auth)}


@lru_cache(maxsize=64)
def _basic(auth: tuple[str, str]) -> str:
    return "Basic " + base64.b64encode(":".join(auth).encode()).decode()


_QUOTED = re.compile(rb"[^A-Za-z0-9_.~-]")
_CODES = {bytes([code]): b"+" if code == 0x20 else b"%%%02X" % code for code in range(256)}


def form(data: Mapping[str, object]) -> bytes:
    """What `urllib.parse.urlencode` makes of it, in a third of the time. A lone surrogate goes out as "?": it has no
    UTF-8, and must not end a send in an exception."""
    return b"&".join([_quoted(name) + b"=" + _quoted(str(value)) for name, value in data.items()])


def _quoted(text: str) -> bytes:
    return _QUOTED.sub(lambda found: _CODES[found[0]], text.encode(errors="replace"))
