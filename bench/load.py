"""People who text: signed webhooks over kept connections, from a process of its own that costs little itself.

    python -m bench.load URL --kind stop --concurrency 64 --seconds 2 --first 0 [--rate 100]

Every message is from a new number, counted from `--first`, with the twenty fields that Twilio sends. With a rate they
come evenly, whether answered or not, and a wait for a free connection counts as part of an answer's time. Prints JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import hmac
import itertools
import json
import statistics
import time
from collections import deque
from collections.abc import Iterator
from urllib.parse import quote_plus, urlsplit

TOKEN = b"0123456789abcdef0123456789abcdef"
ACCOUNT = "AC" + "0" * 32
URL = "http://127.0.0.1:8080/webhooks/sms"
WORDS = {"stop": "STOP", "start": "START", "text": "Is the matinee on Sunday still on? See you there!"}
# https://www.twilio.com/docs/messaging/guides/webhook-request
FIELDS = {
    "ToCountry": "US", "ToState": "CA", "SmsMessageSid": "{sid}", "NumMedia": "0", "ToCity": "SAN FRANCISCO",
    "FromZip": "94103", "SmsSid": "{sid}", "FromState": "CA", "SmsStatus": "received", "FromCity": "SAN FRANCISCO",
    "Body": "{body}", "FromCountry": "US", "To": "+14155550100", "ToZip": "94105", "NumSegments": "1",
    "MessageSid": "{sid}", "AccountSid": ACCOUNT, "From": "+1{number}", "ApiVersion": "2010-04-01",
    "MessagingServiceSid": "MG" + "0" * 32,
}  # fmt: skip


def requests(kind: str, first: int) -> Iterator[bytes]:
    """One request after another; `mix` is STOP, START and a plain text in turn."""
    kinds = ("stop", "start", "text") if kind == "mix" else (kind,)
    signed, sent = {}, {}
    for name in kinds:
        fields = {key: value.replace("{body}", WORDS[name]) for key, value in FIELDS.items()}
        signed[name] = URL + "".join(key + fields[key] for key in sorted(fields))
        sent[name] = "&".join(f"{key}={quote_plus(value, safe='{}')}" for key, value in fields.items())
    path = urlsplit(URL).path
    for number, name in zip(itertools.count(first), itertools.cycle(kinds), strict=False):
        sid, phone = f"SM{number:032d}", f"{2012000000 + number}"
        text = signed[name].replace("{sid}", sid).replace("{number}", phone)
        signature = base64.b64encode(hmac.digest(TOKEN, text.encode(), hashlib.sha1)).decode()
        body = sent[name].replace("{sid}", sid).replace("{number}", phone)
        yield (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Twilio-Signature: {signature}\r\n"
            "Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\nAccept: */*\r\n"
            "User-Agent: TwilioProxy/1.1\r\nI-Twilio-Idempotency-Token: 7f0ba0a5-3d1c-4c0e-a6a4-6f3b8b1b8c9f\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()


class Caller(asyncio.Protocol):
    """One connection: a request at a time."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._buffer = b""
        self._missing: int | None = None
        self.began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def call(self, request: bytes, began: float) -> None:
        self.began = began
        self._transport.write(request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        at = head.index(b"content-length:") + 15
        length = int(head[at:].split(b"\r", 1)[0])
        if len(self._buffer) < end + 4 + length:
            return
        if not head.startswith(b"http/1.1 200"):
            self._load.failed(head.splitlines()[0].decode())
        self._buffer = b""
        self._load.answered(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._load.failed(f"the connection was closed: {error}")


class Load:
    """Closed: as many as there are connections are under way. Paced: they come evenly."""

    def __init__(self, source: Iterator[bytes], seconds: float, rate: float) -> None:
        self._source, self._seconds, self._rate = source, seconds, rate
        self._free: deque[Caller] = deque()
        self._due: deque[float] = deque()
        self._over = asyncio.Event()
        self._done = False
        self._error = ""
        self.times: list[float] = []
        self.spent = 0.0

    def failed(self, why: str) -> None:
        if not self._done:
            self._error = self._error or why
            self._over.set()

    def answered(self, caller: Caller) -> None:
        now = time.perf_counter()
        self.times.append(now - caller.began)
        if self._rate:
            if self._due:
                caller.call(next(self._source), self._due.popleft())
            else:
                self._free.append(caller)
        elif now < self._until:
            caller.call(next(self._source), now)
        else:
            self._free.append(caller)
            if len(self._free) == self._callers:
                self.spent = now - self._began
                self._over.set()

    async def run(self, callers: list[Caller]) -> None:
        self._callers = len(callers)
        self._began = time.perf_counter()
        self._until = self._began + self._seconds
        if self._rate:
            await self._pace(callers)
        else:
            for caller in callers:
                caller.call(next(self._source), time.perf_counter())
            await self._over.wait()
        self._done = True
        if self._error:
            raise SystemExit(self._error)

    async def _pace(self, callers: list[Caller]) -> None:
        self._free.extend(callers)
        for place in range(int(self._seconds * self._rate)):
            due = self._began + place / self._rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            if self._free:
                self._free.popleft().call(next(self._source), due)
            else:
                self._due.append(due)
        while (len(self._free) < len(callers) or self._due) and not self._over.is_set():
            await asyncio.sleep(0.01)
        self.spent = time.perf_counter() - self._began


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--kind", default="stop", choices=(*WORDS, "mix"))
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--rate", type=float, default=0.0)
    chosen = parser.parse_args()
    address = urlsplit(chosen.url)
    source = requests(chosen.kind, chosen.first)
    expected = int(chosen.seconds * (chosen.rate or 4000))
    made = list(itertools.islice(source, expected))  # beforehand: it takes the time of the one that is measured
    load = Load(itertools.chain(made, source), chosen.seconds, chosen.rate)
    loop = asyncio.get_running_loop()
    callers = [
        (await loop.create_connection(lambda: Caller(load), address.hostname, address.port))[1]
        for _ in range(chosen.concurrency)
    ]
    await load.run(callers)
    times = sorted(load.times)
    cut = statistics.quantiles(times, n=100, method="inclusive")
    print(json.dumps({"answers": len(times), "seconds": load.spent, "p50_ms": cut[49] * 1e3, "p99_ms": cut[98] * 1e3}))


if __name__ == "__main__":
    asyncio.run(main())
