"""Other people's sites: pages of another origin than the gateway's, that show its forms."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web


class Site:
    """A site on this machine. It is `localhost` to one and `127.0.0.1` to another: two sites to a browser."""

    def __init__(self) -> None:
        self.pages: dict[str, str] = {}
        self.port = 0

    @property
    def origin(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def another_origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def put(self, path: str, body: str, *, head: str = "") -> str:
        """A page with this in it; returns its URL."""
        self.pages[path] = (
            f'<!doctype html><html lang="en"><head><meta name="viewport" content="width=device-width">{head}'
            f"<title>A site</title></head><body><main><h1>A site</h1>{body}</main></body></html>"
        )
        return self.origin + path


@asynccontextmanager
async def running() -> AsyncIterator[Site]:
    site = Site()

    async def page(request: web.Request) -> web.Response:
        if request.path not in site.pages:
            return web.Response(status=204)
        return web.Response(text=site.pages[request.path], content_type="text/html")

    app = web.Application()
    app.router.add_get("/{path:.*}", page)
    runner = web.AppRunner(app)
    await runner.setup()
    listening = web.TCPSite(runner, "127.0.0.1", 0)
    await listening.start()
    site.port = runner.addresses[0][1]
    try:
        yield site
    finally:
        await runner.cleanup()
