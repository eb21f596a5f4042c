"""Where ordinary messages are read: a real HTTP server on loopback that checks the signature, and keeps a log."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections.abc import Iterable
from typing import Any

from aiohttp import web

KEY = bytes(range(32))
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"


class Reader:
    """`async with Reader() as reader`: answers what it was told to, then 200; `log` holds (webhook-id, event)."""

    def __init__(self, answers: Iterable[int | tuple[int, dict[str, str]]] = ()) -> None:
        self.answers = list(answers)
        self.log: list[tuple[str, dict[str, Any]]] = []
        self.asked = asyncio.Event()
        self.answering = asyncio.Event()  # cleared: it hears, and answers nothing until it is set
        self.answering.set()

    async def __aenter__(self) -> Reader:
        app = web.Application()
        app.router.add_post("/in", self._take)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/in"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        id_, at = request.headers["webhook-id"], request.headers["webhook-timestamp"]
        wanted = base64.b64encode(hmac.digest(KEY, f"{id_}.{at}.".encode() + body, "sha256")).decode()
        if request.headers["webhook-signature"] != f"v1,{wanted}":
            return web.Response(status=401)
        self.log.append((id_, json.loads(body)))
        self.asked.set()
        await self.answering.wait()
        told = self.answers.pop(0) if self.answers else 200
        status, headers = told if isinstance(told, tuple) else (told, {})
        return web.Response(status=status, headers=headers)
