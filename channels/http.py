"""The gateway's one HTTP session towards providers, and one request on it with all that happened on the wire.

Never a redirect, never a second try: what goes wrong is told, and the outcome table decides (`outcomes`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import BytesPayload
from multidict import CIMultiDict

from channels import lease

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

ANSWER_BYTES = 65_536  # a provider's answer is a few kB; more is not read
CONNECT_SECONDS = 5.0
CONNECTIONS = 200


@dataclass(slots=True)
class Exchange:
    """What happened on the wire: facts, filled in as they happen."""

    began: bool = False  # a connection was handed over for writing: from here on a byte may have gone out
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=CIMultiDict)
    body: bytes = b""
    error: Exception | None = None  # what ended it, where it did not end by itself


_exchange: ContextVar[Exchange | None] = ContextVar("exchange", default=None)


Told = Callable[[str], object]  # hears of each step of a send by its name


def nobody(_step: str) -> None:
    """Nobody listens."""


class AnswerTooLarge(Exception):
    """The answer is longer than any provider's: not read to its end."""


class LeasedConnector(aiohttp.TCPConnector):
    """Hands over a connection only while the lease lasts; the wait for one may have been long.

    Raises LeaseOver after giving the connection back. Raising in TraceConfig hooks instead leaks the connection
    and, when the pool is full, blocks it for ever (reliability.md; tried).
    """

    told: Told = staticmethod(nobody)

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout) -> Connection:  # noqa: ASYNC109
        self.told("send.connecting")
        connection = await super().connect(req, traces, timeout)
        try:
            lease.check()
        except lease.LeaseOver:
            connection.release()
            raise
        if (exchange := _exchange.get()) is not None:
            exchange.began = True
        self.told("send.connected")
        return connection


class LeasedBody(BytesPayload):
    """A body that is written only while the lease lasts: the last check before the first byte.

    aiohttp keeps the head of a request until its body is written, which on Python 3.11 is a turn of the loop after
    `connect`, and a turn can be long. What is raised here closes the connection with nothing written.
    """

    refused = False
    told: Told = staticmethod(nobody)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        try:
            lease.check()
        except lease.LeaseOver:
            self.refused = True
            raise
        await super().write_with_length(writer, content_length)
        self.told("send.written")


def open_session(connections: int = CONNECTIONS, told: Told = nobody) -> aiohttp.ClientSession:
    """The one session; the caller closes it. No cookies, no proxy from the environment, every wait bounded."""
    connector = LeasedConnector(limit=connections, keepalive_timeout=15, ttl_dns_cache=30)
    connector.told = told
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        timeout=aiohttp.ClientTimeout(total=30, sock_connect=CONNECT_SECONDS, sock_read=20),
        max_line_size=8190,
        max_field_size=8190,
    )


def require_plain(url: str) -> None:
    """Raises ValueError for what is no http(s) URL, or one with more than a path, to which no path can be added."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("not a plain http(s) URL")
    _ = parts.port  # raises ValueError where it is no port


async def post(
    session: aiohttp.ClientSession, url: str, *, data: bytes, headers: Mapping[str, str], seconds: float
) -> Exchange:
    """Post once and tell what happened; never follows a redirect.

    Raises LeaseOver when the lease was over before the first byte; a cancellation passes through. Everything else
    is in the Exchange: after the first byte even a surprise must end in a fact, or nobody knows what was sent.
    """
    exchange, body = Exchange(), LeasedBody(data)
    body.told = told = getattr(session.connector, "told", nobody)
    token = _exchange.set(exchange)
    try:
        async with session.post(
            url,
            data=body,
            headers=headers,
            allow_redirects=False,
            timeout=_timeout(seconds),
        ) as answer:
            await _keep(answer, exchange)
    except lease.LeaseOver:
        raise
    except Exception as error:
        exchange.error = error
    finally:
        _exchange.reset(token)
    if body.refused:
        raise lease.LeaseOver
    told("send.answered")
    return exchange


async def get(session: aiohttp.ClientSession, url: str, *, headers: Mapping[str, str], seconds: float) -> Exchange:
    """Get once and tell what happened; never follows a redirect."""
    exchange = Exchange()
    try:
        async with session.get(
            url,
            headers=headers,
            allow_redirects=False,
            timeout=_timeout(seconds),
        ) as answer:
            await _keep(answer, exchange)
    except Exception as error:
        exchange.error = error
    return exchange


@cache
def _timeout(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds, sock_connect=min(CONNECT_SECONDS, seconds))


async def _keep(answer: aiohttp.ClientResponse, exchange: Exchange) -> None:
    """Status first: what was read of it is a fact, however the body ends."""
    exchange.status, exchange.headers = answer.status, answer.headers
    exchange.body = await _read(answer.content)


async def _read(content: aiohttp.StreamReader) -> bytes:
    body = await content.readany()
    while len(body) <= ANSWER_BYTES and not content.at_eof():
        body += await content.readany()
    if len(body) > ANSWER_BYTES:
        raise AnswerTooLarge
    return body
