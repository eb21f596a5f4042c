"""The twilio library's asynchronous client over the gateway's one session.

The stock AsyncTwilioHttpClient is not safe to use (dependencies.md §0.2, version 9.13): it ignores its time-out,
posts again on a 500 (a second SMS), hands one call another call's answer through a shared attribute, raises
deprecation warnings on aiohttp ≥ 3.14, and logs numbers and texts. This one posts once and keeps what was seen for
the call that asked.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping
from contextvars import ContextVar
from urllib.parse import urlencode

import aiohttp
from twilio.http import AsyncHttpClient  # type: ignore[import-untyped]
from twilio.http.response import Response  # type: ignore[import-untyped]
from twilio.rest import Client  # type: ignore[import-untyped]

from channels.http import Exchange, post

seen: ContextVar[list[Exchange] | None] = ContextVar("twilio_exchanges", default=None)


class NoAnswer(Exception):
    """There was none; the Exchange says why."""


class SessionClient(AsyncHttpClient):  # type: ignore[misc]
    """Posts forms, once each; every Exchange is appended to the caller's `seen`."""

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
    ) -> Response:
        if method != "POST" or params or allow_redirects:
            raise NotImplementedError(f"{method} {uri}")
        exchange = await post(
            self._session,
            uri,
            # A lone surrogate goes out as "?": it has no UTF-8, and must not end a send in an exception.
            data=urlencode(data or {}, doseq=True, errors="replace").encode(),
            headers={**(headers or {}), **authorization(auth)},
            seconds=timeout or self._seconds,
        )
        if (call := seen.get()) is not None:
            call.append(exchange)
        if exchange.status is None:
            raise NoAnswer
        return Response(exchange.status, exchange.body.decode("utf-8", "replace"), exchange.headers)


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
    if auth is None:
        return {}
    return {"Authorization": "Basic " + base64.b64encode(":".join(auth).encode()).decode()}
