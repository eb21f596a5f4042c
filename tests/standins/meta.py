"""A stand-in for Meta's Graph API: a real HTTP server on loopback that keeps a log of every message it is handed.

async with MetaStandIn("106540352242922", "token") as meta:
    meta.on["+14155550123"] = error(400, 131047, "Re-engagement message", "More than 24 hours have passed")
    …
    assert meta.accepted_to("+14155550199") == 1
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from channels.meta.send import VERSION


@dataclass(frozen=True)
class Answer:
    """What the stand-in does with a message."""

    name: str
    status: int = 200
    body: bytes | None = None  # None: the receipt
    headers: dict[str, str] = field(default_factory=dict)
    accept: bool = False  # it counts as sent
    delay_seconds: float = 0.0
    end: str = "answer"  # answer | reset | close | hang


def accepted(delay_seconds: float = 0.0) -> Answer:
    return Answer("accepted", accept=True, delay_seconds=delay_seconds)


def error(
    status: int, code: int, title: str, details: str = "", *, subcode: int | None = None, **headers: str
) -> Answer:
    """As /whatsapp/support/error-codes has it."""
    told: dict[str, Any] = {
        "message": f"(#{code}) {title}",
        "type": "OAuthException",
        "code": code,
        "fbtrace_id": "Az8",
    }
    if details:
        told["error_data"] = {"messaging_product": "whatsapp", "details": details}
    if subcode is not None:
        told["error_subcode"] = subcode
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(f"error {code}", status, json.dumps({"error": told}).encode(), named)


def odd(body: bytes, status: int = 200, accept: bool = True, **headers: str) -> Answer:
    """A well-formed answer with this body."""
    return Answer("odd body", status, body, headers, accept=accept)


def ends(how: str, accept: bool = True) -> Answer:
    """No answer: reset, close or hang."""
    return Answer(how, accept=accept, end=how)


NO_TOKEN = error(401, 190, "Invalid OAuth access token - Cannot parse access token")
NO_OBJECT = error(400, 100, "Unsupported get request. Object with ID does not exist", subcode=33)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the log."""

    at_ns: int  # time.monotonic_ns() when the request was read
    to: str  # the number, or the business-scoped id
    asked: dict[str, Any]
    wamid: str | None  # where it was accepted
    answered: str

    @property
    def tag(self) -> str:
        return str(self.asked.get("biz_opaque_callback_data"))

    @property
    def text(self) -> str:
        return str(self.asked.get("text", {}).get("body", ""))


class MetaStandIn:
    """Answers `POST /{version}/{phone_number_id}/messages` by `on[to]`, else `default`; `GET /{version}/{id}` is the
    number, unless `on_look` says otherwise. A wrong token is refused, as is another number."""

    def __init__(self, phone_number_id: str, access_token: str) -> None:
        self.phone_number_id = phone_number_id
        self.log: list[Line] = []
        self.default = accepted()
        self.on: dict[str, Answer] = {}
        self.on_look: Answer | None = None
        self.looks = 0
        self.url = ""
        self._authorization = f"Bearer {access_token}"

    async def __aenter__(self) -> MetaStandIn:
        self._closing = asyncio.Event()
        app = web.Application()
        app.router.add_post("/{version}/{id}/messages", self._message)
        app.router.add_get("/{version}/{id}", self._look)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._closing.set()
        await self._runner.cleanup()

    def accepted_to(self, to: str) -> int:
        """How many messages to this address count as sent."""
        return sum(1 for line in self.log if line.to == to and line.wamid)

    async def _message(self, request: web.Request) -> web.StreamResponse:
        at_ns, asked = time.monotonic_ns(), await request.json()
        to = str(asked.get("to") or asked.get("recipient") or "")
        answer = self._refusal(request) or self.on.get(to) or self.default
        wamid = f"wamid.{secrets.token_hex(16).upper()}" if answer.accept else None
        self.log.append(Line(at_ns, to, asked, wamid, answer.name))
        if answer.delay_seconds:
            await asyncio.sleep(answer.delay_seconds)
        receipt = {
            "messaging_product": "whatsapp",
            "contacts": [{"input": to, "wa_id": to.lstrip("+")}],
            "messages": [{"id": wamid, "message_status": "accepted"}],
        }
        return await self._end(request, answer, json.dumps(receipt).encode())

    async def _look(self, request: web.Request) -> web.StreamResponse:
        self.looks += 1
        number = {"display_phone_number": "+1 415-555-0101", "id": self.phone_number_id}
        answer = self._refusal(request) or self.on_look or Answer("number")
        return await self._end(request, answer, json.dumps(number).encode())

    def _refusal(self, request: web.Request) -> Answer | None:
        if request.headers.get("Authorization") != self._authorization:
            return NO_TOKEN
        known = request.match_info["version"] == VERSION and request.match_info["id"] == self.phone_number_id
        return None if known else NO_OBJECT

    async def _end(self, request: web.Request, answer: Answer, body: bytes) -> web.StreamResponse:
        transport = request.transport
        if answer.end == "hang":
            await self._closing.wait()
        if answer.end == "reset" and transport is not None:
            lingering = struct.pack("ii", 1, 0)  # close with RST
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, lingering)
        if answer.end != "answer" and transport is not None:
            transport.abort()
        headers = {"Content-Type": "application/json"} | answer.headers
        return web.Response(status=answer.status, body=body if answer.body is None else answer.body, headers=headers)
