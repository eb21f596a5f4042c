"""A stand-in for Lark Telecom, the imaginary provider of docs/adding-a-provider.md: a real HTTP server on loopback."""

from __future__ import annotations

import asyncio
import hmac
import json
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientSession, web

ACCOUNT, TOKEN, SECRET = "acme", "a token of the stand-in", "a secret of the stand-in"


@dataclass
class LarkStandIn:
    """Takes messages at `POST /v1/messages`, and posts what people write and how messages end, signed as Lark does.

    `on` gives another status than 201 to messages for a number; `log` is every request with a right token.
    """

    log: list[dict[str, Any]] = field(default_factory=list)
    on: dict[str, int] = field(default_factory=dict)
    url: str = ""

    async def __aenter__(self) -> LarkStandIn:
        app = web.Application()
        app.router.add_post("/v1/messages", self._take)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        self._session = ClientSession()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._session.close()
        await self._runner.cleanup()

    async def sent_to(self, number: str, text: str = "") -> dict[str, Any]:
        """The message to a number that holds this text, once it has come."""
        async with asyncio.timeout(60):
            while not (found := [one for one in self.log if one["to"] == number and text in one["text"]]):
                await asyncio.sleep(0.02)
        [message] = found
        return message

    async def post(self, url: str, event: dict[str, Any], *, secret: str = SECRET) -> tuple[int, bytes]:
        """Post an event to a webhook; returns status and body of the answer."""
        body = json.dumps({"account": ACCOUNT} | event).encode()
        signed = hmac.new(secret.encode(), b"1795176000." + body, "sha256").hexdigest()
        headers = {"Lark-Timestamp": "1795176000", "Lark-Signature": signed, "Content-Type": "application/json"}
        async with self._session.post(url, data=body, headers=headers) as answer:
            return answer.status, await answer.read()

    async def text_in(self, url: str, text: str, sender: str, *, id_: str, secret: str = SECRET) -> tuple[int, bytes]:
        """Somebody texts the theatre."""
        message = {"event": "message", "id": id_, "from": sender, "to": "+14155550100", "text": text}
        return await self.post(url, message, secret=secret)

    async def report(self, message: dict[str, Any], status: str, **more: str) -> int:
        """Tell how a message ended, where it asked to be told."""
        told = {"event": "delivery", "id": "lm_9", "reference": message["reference"], "status": status, **more}
        return (await self.post(message["callback_url"], told))[0]

    async def _take(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"code": "unauthorized"}, status=401)
        message = await request.json()
        self.log.append(message)
        status = self.on.get(message["to"], 201)
        return web.json_response({"id": f"lm_out_{len(self.log)}", "status": "queued"}, status=status)
