"""A stand-in for Twilio's API: a real HTTP server on loopback that keeps a log of every request.

    async with TwilioStandIn("AC…", "token") as twilio:
        twilio.on["+14155550123"] = error(400, 21610, "…")
        …
        assert twilio.accepted_to("+14155550199") == 1

By itself: `python -m tests.standins.twilio --port 9999` prints its URL; `GET /log` gives the log as JSON lines.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import random
import secrets
import socket
import struct
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from aiohttp import web
from aiohttp.web_protocol import RequestHandler


@dataclass(frozen=True)
class Answer:
    """What the stand-in does with a request."""

    name: str
    status: int = 201
    body: bytes | None = None  # None: the message resource
    headers: dict[str, str] = field(default_factory=dict)
    accept: bool = False  # it counts as sent
    delay_seconds: float = 0.0
    end: str = "answer"  # answer | reset | close | hang | raw


def accepted(delay_seconds: float = 0.0) -> Answer:
    return Answer("accepted", accept=True, delay_seconds=delay_seconds)


def error(status: int, code: int, message: str, headers: dict[str, str] | None = None) -> Answer:
    """Twilio's way to refuse: `{code, message, more_info, status}`."""
    more = f"https://www.twilio.com/docs/errors/{code}"
    body = json.dumps({"code": code, "message": message, "more_info": more, "status": status}).encode()
    return Answer(f"error {code}", status, body, headers or {})


def throttled(retry_after: str | None = None) -> Answer:
    return error(429, 20429, "Too Many Requests", {"Retry-After": retry_after} if retry_after else None)


def broken(status: int = 500, accept: bool = False) -> Answer:
    return Answer(f"broken {status}", status, b"<html>Internal Server Error</html>", accept=accept)


def reset(accept: bool = True) -> Answer:
    return Answer("reset", accept=accept, end="reset")


def close(accept: bool = True) -> Answer:
    return Answer("close", accept=accept, end="close")


def hang(accept: bool = True) -> Answer:
    return Answer("hang", accept=accept, end="hang")


def odd(body: bytes, status: int = 201, accept: bool = True) -> Answer:
    """A well-formed answer with this body."""
    return Answer("odd body", status, body, accept=accept)


def raw(answer: bytes, accept: bool = True) -> Answer:
    """These bytes and no others, then the end."""
    return Answer("raw", body=answer, accept=accept, end="raw")


def redirect(to: str, status: int = 307) -> Answer:
    return Answer("redirect", status, b"", {"Location": to})


@dataclass(frozen=True, slots=True)
class Request:
    """A line of the log."""

    at_ns: int  # time.monotonic_ns() at the first byte; one clock for all processes of the machine
    to: str
    sender: str
    body: str
    tag: str | None  # from the status callback's URL
    form: dict[str, str]
    sid: str | None  # of the message, where it was accepted
    answered: str
    made_at: float = 0.0  # time.time()


class _Handler(RequestHandler):
    """Keeps the instant of a request's first byte."""

    __slots__ = ("first_byte_ns",)

    def data_received(self, data: bytes) -> None:
        if getattr(self, "first_byte_ns", None) is None:
            self.first_byte_ns = time.monotonic_ns()
        super().data_received(data)


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return _Handler(self, loop=self._loop, **self._kwargs)


Decide = Callable[[dict[str, str]], Answer | None]


def mixed_faults(dice: random.Random, share: float) -> Decide:
    """Of so many requests, all that can go wrong, in no order; the same for the same dice and order of requests."""
    kinds: list[tuple[float, Callable[[], Answer]]] = [
        (16, lambda: reset(accept=True)),
        (12, lambda: reset(accept=False)),
        (10, lambda: close(accept=True)),
        (8, lambda: close(accept=False)),
        (12, lambda: broken(dice.choice((500, 502, 503)), accept=True)),
        (12, lambda: broken(dice.choice((500, 502, 503)))),
        (10, lambda: odd(dice.choice((b"", b"{", b"<html>", b"[]", b'{"sid": 1}', b"\xff\xfe")), accept=True)),
        (4, lambda: raw(b"HTTP/1.1 201 Cre", accept=True)),
        (4, lambda: raw(b"HTTP/1.1 201 Created\r\nContent-Length: 900\r\n\r\n{", accept=True)),
        (6, lambda: error(400, 21408, "Permission to send an SMS has not been enabled")),
        (4, lambda: accepted(dice.uniform(0.1, 1.0))),
        (0.5, lambda: hang(accept=True)),
        (0.5, lambda: hang(accept=False)),
        (1, lambda: throttled(dice.choice((None, "1", "soon", format_datetime(datetime.now(UTC), usegmt=True))))),
    ]

    def decide(_: dict[str, str]) -> Answer | None:
        if dice.random() >= share:
            return None
        return dice.choices([kind for _, kind in kinds], [weight for weight, _ in kinds])[0]()

    return decide


class TwilioStandIn:
    """Answers `POST /2010-04-01/Accounts/{sid}/Messages.json` as scripted: `decide`, then `on[to]`, then `default`.

    `GET` of it lists what was accepted, as it stands (`statuses`), unless `decide_list` says otherwise; `lookups` is
    the log of that. `GET /2010-04-01/Accounts/{sid}.json` is the account, as `account` says, unless `decide_account`
    says otherwise. `on_accepted` runs beside the answer, which may be slower: a status callback can come early.
    """

    def __init__(self, account_sid: str, auth_token: str, port: int = 0) -> None:
        self.account_sid = account_sid
        self.log: list[Request] = []
        self.default = accepted()
        self.on: dict[str, Answer] = {}
        self.decide: Decide = lambda form: None
        self.decide_list: Decide = lambda query: None
        self.lookups: list[dict[str, str]] = []
        self.decide_account: Decide = lambda query: None
        self.account = {"status": "active", "type": "Full"}
        self.statuses: dict[str, tuple[str, int | None]] = {}  # sid → status, error code
        self.on_accepted: Callable[[Request], Coroutine[Any, Any, None]] | None = None
        self._accepted_to: dict[str, list[Request]] = defaultdict(list)
        self._tasks: set[asyncio.Task[None]] = set()
        self._authorization = "Basic " + base64.b64encode(f"{account_sid}:{auth_token}".encode()).decode()
        self._auth_token = auth_token
        self._path = f"/2010-04-01/Accounts/{account_sid}/Messages.json"
        self._port = port
        self.url = ""

    async def __aenter__(self) -> TwilioStandIn:
        self._closing = asyncio.Event()
        self._server = _Server(self._answer, access_log=None, keepalive_timeout=75)
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(self._server, "127.0.0.1", self._port, backlog=1024)
        self.url = f"http://127.0.0.1:{self._listening.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._closing.set()
        for task in self._tasks:
            task.cancel()
        self._listening.close()
        await self._server.shutdown(0.1)

    def accepted_to(self, to: str) -> int:
        """How many messages to this address count as sent."""
        return sum(1 for line in self.log if line.to == to and line.sid)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        handler = request.protocol
        at_ns = handler.first_byte_ns  # type: ignore[attr-defined]
        form = dict(parse_qsl((await request.read()).decode(), keep_blank_values=True))
        handler.first_byte_ns = None  # type: ignore[attr-defined]  # the next byte begins another request
        if request.method == "GET" and request.path == "/log":
            return web.Response(text="".join(json.dumps(asdict(line)) + "\n" for line in self.log))
        if request.method == "GET" and request.path == self._path:
            return await self._list(request)
        if request.method == "GET" and request.path == f"/2010-04-01/Accounts/{self.account_sid}.json":
            return await self._account(request)
        answer = self._choose(request, form)
        sid = f"SM{secrets.token_hex(16)}" if answer.accept else None
        tag = parse_qs(urlsplit(form.get("StatusCallback", "")).query).get("tag", [None])[0]
        sender = form.get("From", form.get("MessagingServiceSid", ""))
        line = Request(
            at_ns, form.get("To", ""), sender, form.get("Body", ""), tag, form, sid, answer.name, time.time()
        )
        self._keep(line)
        if answer.delay_seconds:
            await asyncio.sleep(answer.delay_seconds)
        return await self._end(request, answer, self._resource(line) if answer.body is None else answer.body)

    def _keep(self, line: Request) -> None:
        self.log.append(line)
        if line.sid is None:
            return
        self._accepted_to[line.to].append(line)
        if self.on_accepted is not None:
            task = asyncio.create_task(self.on_accepted(line))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _list(self, request: web.BaseRequest) -> web.StreamResponse:
        """The message list: by To and From, the newest first, in pages that are linked."""
        query = dict(request.query)
        self.lookups.append(query)
        answer = self.decide_list(query) or Answer("list", 200)
        if request.headers.get("Authorization") != self._authorization:
            answer = error(401, 20003, "Authenticate")
        if answer.delay_seconds:
            await asyncio.sleep(answer.delay_seconds)
        size, page = int(query.get("PageSize", "50")), int(query.get("Page", "0"))
        found = [
            line
            for line in reversed(self._accepted_to[query["To"]] if "To" in query else self.log)
            if line.sid and query.get("From") in (None, line.form.get("From"))
        ]
        rows = [json.loads(self._resource(line)) for line in found[page * size : (page + 1) * size]]
        more = {**query, "Page": str(page + 1), "PageToken": f"PA{page}"} if len(found) > (page + 1) * size else None
        following = f"{self._path}?{urlencode(more)}" if more else None
        body = json.dumps({"messages": rows, "next_page_uri": following, "page": page, "page_size": size}).encode()
        return await self._end(request, answer, body if answer.body is None else answer.body)

    async def _account(self, request: web.BaseRequest) -> web.StreamResponse:
        """As documented on twilio.com/docs/iam/api/account; the account's own secret stands in it."""
        answer = self.decide_account({}) or Answer("account", 200)
        if request.headers.get("Authorization") != self._authorization:
            answer = error(401, 20003, "Authenticate")
        if answer.delay_seconds:
            await asyncio.sleep(answer.delay_seconds)
        now = format_datetime(datetime.now(UTC))
        body = json.dumps({
            "auth_token": self._auth_token, "date_created": now, "date_updated": now, "friendly_name": "Theatre",
            "owner_account_sid": self.account_sid, "sid": self.account_sid, **self.account,
            "uri": f"/2010-04-01/Accounts/{self.account_sid}.json",
        }).encode()  # fmt: skip
        return await self._end(request, answer, body if answer.body is None else answer.body)

    def _choose(self, request: web.BaseRequest, form: dict[str, str]) -> Answer:
        if request.headers.get("Authorization") != self._authorization:
            return error(401, 20003, "Authenticate")
        if request.method != "POST" or request.path != self._path:
            return error(404, 20404, f"The requested resource {request.path} was not found")
        return self.decide(form) or self.on.get(form.get("To", "")) or self.default

    async def _end(self, request: web.BaseRequest, answer: Answer, body: bytes) -> web.StreamResponse:
        transport = request.transport
        if answer.end == "hang":
            await self._closing.wait()
        if answer.end == "reset" and transport is not None:
            lingering = struct.pack("ii", 1, 0)  # close with RST
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, lingering)
        if answer.end == "raw" and transport is not None:
            transport.write(body)
            transport.close()
        elif answer.end != "answer" and transport is not None:
            transport.abort()
        return web.Response(
            status=answer.status, body=body, headers={"Content-Type": "application/json"} | answer.headers
        )

    def _resource(self, line: Request) -> bytes:
        """As documented on twilio.com/docs/messaging/api/message-resource."""
        now = format_datetime(datetime.fromtimestamp(line.made_at, UTC))
        service = line.form.get("MessagingServiceSid")
        uri = f"/2010-04-01/Accounts/{self.account_sid}/Messages/{line.sid}.json"
        status, code = self.statuses.get(line.sid or "", ("accepted" if service else "queued", None))
        return json.dumps({
            "account_sid": self.account_sid, "api_version": "2010-04-01", "body": line.body, "date_created": now,
            "date_sent": None if status in ("accepted", "queued") else now, "date_updated": now,
            "direction": "outbound-api", "error_code": code, "error_message": None, "from": line.form.get("From"),
            "messaging_service_sid": service, "num_media": "0", "num_segments": "0" if service else "1", "price": None,
            "price_unit": "USD", "sid": line.sid, "status": status,
            "subresource_uris": {"media": uri[:-5] + "/Media.json"}, "to": line.to, "uri": uri,
        }).encode()  # fmt: skip


async def _main() -> None:
    parser = argparse.ArgumentParser(description="A stand-in for Twilio on 127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--account-sid", default="AC" + "0" * 32)
    parser.add_argument("--auth-token", default="token")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    asked = parser.parse_args()
    async with TwilioStandIn(asked.account_sid, asked.auth_token, asked.port) as standin:
        standin.default = replace(standin.default, delay_seconds=asked.delay)
        print(standin.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main())
