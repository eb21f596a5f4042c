"""The limit of the way in: a handler that reads the form and computes the signature, and does nothing more."""

from __future__ import annotations

import asyncio

from aiohttp import web
from twilio.request_validator import RequestValidator

from bench.gateways import PATH, TOKEN, URL, serve

ANSWER = '<?xml version="1.0" encoding="UTF-8"?><Response/>'


async def limit(request: web.Request) -> web.Response:
    form = await request.post()
    RequestValidator(TOKEN).compute_signature(URL, form)
    return web.Response(text=ANSWER, content_type="application/xml")


async def main() -> None:
    app = web.Application()
    app.router.add_post(PATH, limit)
    _, url = await serve(app)
    print(url.removesuffix(PATH), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
