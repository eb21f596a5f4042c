"""Those who call the gateway: the provider that posts what people write, and the marketer; with their own logs."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import aiohttp

from tests.campaign.gateways import OUR_NUMBER
from tests.channels.requests_as_sent import ACCOUNT, FORM, signature

ENDED = ("done", "cancelled")


@dataclass(frozen=True)
class Text:
    """A text message from a person, as the provider knows it."""

    sender: str
    body: str
    sid: str = field(default_factory=lambda: f"SM{secrets.token_hex(16)}")

    def as_form(self) -> bytes:
        country = {"FromCountry": "US", "ToCountry": "US", "NumSegments": "1", "NumMedia": "0"}
        ids = {"MessageSid": self.sid, "SmsMessageSid": self.sid, "SmsSid": self.sid, "SmsStatus": "received"}
        message = {"From": self.sender, "To": OUR_NUMBER, "Body": self.body, "ApiVersion": "2010-04-01"}
        return urlencode(country | ids | message | {"AccountSid": ACCOUNT}).encode()


@dataclass(frozen=True)
class Answered:
    """A line of the client's log, by CLOCK_MONOTONIC."""

    text: Text
    sent_at_ns: int
    answered_at_ns: int  # when the answer's head was there; for none, when that was known
    status: int | None  # None: the connection ended without an answer
    body: bytes

    @property
    def seconds(self) -> float:
        return (self.answered_at_ns - self.sent_at_ns) / 1e9


@dataclass
class Provider:
    """Posts webhooks as Twilio does, signed by the twilio library."""

    session: aiohttp.ClientSession
    log: list[Answered] = field(default_factory=list)

    async def post(self, url: str, text: Text) -> Answered:
        body = text.as_form()
        headers = {"Content-Type": FORM, "X-Twilio-Signature": signature(body), "User-Agent": "TwilioProxy/1.1"}
        sent_at = time.monotonic_ns()
        status, answer = None, b""
        try:
            async with self.session.post(f"{url}/webhooks/sms", data=body, headers=headers) as response:
                answered_at = time.monotonic_ns()
                answer = await response.read()
                status = response.status
        except (aiohttp.ClientError, OSError):
            answered_at = time.monotonic_ns()
        line = Answered(text, sent_at, answered_at, status, answer)
        self.log.append(line)
        return line

    async def post_all(self, url: str, texts: Sequence[Text]) -> list[Answered]:
        """All at once."""
        return list(await asyncio.gather(*(self.post(url, text) for text in texts)))


@dataclass
class Marketer:
    """Sends broadcasts over the API."""

    session: aiohttp.ClientSession
    key: str
    url: str

    async def broadcast(self, audience: dict[str, Any], *, connection: str = "sms") -> str:
        """Create a broadcast; returns its id."""
        asked = {"name": "Premiere", "channel": "sms", "connection": connection, "content": {"body": "Tonight!"}}
        document = await self._call("POST", "/v1/broadcasts", json=asked | {"audience": audience})
        return str(document["id"])

    async def look(self, broadcast_id: str) -> dict[str, Any]:
        return await self._call("GET", f"/v1/broadcasts/{broadcast_id}")

    async def ended(self, broadcast_id: str, *, seconds: float) -> dict[str, Any]:
        """The broadcast once it is done; fails after so many seconds."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            shown = await self.look(broadcast_id)
            if shown["status"] in ENDED:
                return shown
            await asyncio.sleep(0.2)
        raise AssertionError(f"not done after {seconds} s: {shown['status']} {shown['counts']}")

    async def _call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.key}"}
        async with self.session.request(method, self.url + path, headers=headers, **options) as response:
            document: dict[str, Any] = await response.json()
            assert response.ok, document
            return document


@asynccontextmanager
async def open_clients() -> AsyncIterator[aiohttp.ClientSession]:
    """A session that opens as many connections as are asked for, and waits long enough for any answer."""
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield session


def told(answers: Sequence[Answered]) -> str:
    """How long answers took, for the test's output."""
    seconds = sorted(answer.seconds for answer in answers)
    p50, p99 = seconds[len(seconds) // 2], seconds[min(len(seconds) - 1, len(seconds) * 99 // 100)]
    return f"{len(seconds)} answers: p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, max {seconds[-1] * 1000:.0f} ms"
