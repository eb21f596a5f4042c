"""The unsubscribe link: GET asks, POST does (RFC 8058). No login, no cookie, nothing personal shown."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from ipaddress import IPv4Address, IPv6Address

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncConnection

from outbox import heed, word
from outbox.optout_links import OptOutLinks
from outbox.word import Said
from store.clock import Clock
from store.engine import Database

_BODY_BYTES = 16_384  # a button or RFC 8058's one field
_WHAT = {"sms": "text messages", "whatsapp": "WhatsApp messages", "email": "e-mails"}
_STYLE = (
    "body{font:1.125rem/1.5 system-ui,sans-serif;max-width:32rem;margin:3rem auto;padding:0 1rem;color:#1a1a1a;"
    "background:#fff}h1{font-size:1.5rem}button{font:inherit;padding:.75rem 1.25rem;border:0;border-radius:.4rem;"
    "background:#1a4fa3;color:#fff;cursor:pointer}button:focus-visible{outline:3px solid #f5a623;outline-offset:2px}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex",
}


@dataclass(frozen=True, slots=True)
class Unsubscribing:
    """What the page needs of the house."""

    database: Database
    links: OptOutLinks
    organisation: str
    clock: Clock
    client: Callable[[web.Request], IPv4Address | IPv6Address | None]  # who asks; None: nobody can tell

    async def stop(self, said: Said) -> None:
        """Opt out; returns when nothing more begins to be sent."""

        async def work(conn: AsyncConnection) -> frozenset[str]:
            return await word.record(conn, [said], now=self.clock())

        await heed.settle(self.database, await self.database.transact(work))


UNSUBSCRIBING: web.AppKey[Unsubscribing] = web.AppKey("unsubscribing", Unsubscribing)


def mount(app: web.Application) -> None:
    """Add the routes; the application is given its Unsubscribing when it starts."""
    app.router.add_get("/unsubscribe/{token}", ask)
    app.router.add_post("/unsubscribe/{token}", do)


async def ask(request: web.Request) -> web.Response:
    """Ask. Mail scanners follow links, so a GET changes nothing."""
    desk = request.app[UNSUBSCRIBING]
    found = desk.links.read(request.match_info["token"])
    if found is None:
        return _unknown()
    what = _WHAT.get(found[1], "messages")
    return _page(
        f"Stop {what}?",
        f"<p>Press the button, and you will get no more {what} from {escape(desk.organisation)}.</p>"
        f'<form method="post"><button>Stop {what}</button></form>',
    )


async def do(request: web.Request) -> web.Response:
    """Opt out; the same answer however often, also when nobody is there any more."""
    desk = request.app[UNSUBSCRIBING]
    found = desk.links.read(request.match_info["token"])
    if found is None:
        return _unknown()
    address_id, channel = found
    body = await request.content.read(_BODY_BYTES)
    # One field, urlencoded or multipart: RFC 8058 §3.1. What else there is does not matter: a POST is a no.
    source = "one_click" if b"List-Unsubscribe" in body and b"One-Click" in body else "unsubscribe_link"
    client = desk.client(request)
    evidence = {"ip": str(client) if client else None, "user_agent": _storable(request.headers.get("User-Agent", ""))}
    await desk.stop(Said(address_id, channel, source, evidence))
    what = _WHAT.get(channel, "messages")
    return _page("Done", f"<p>You will get no more {what} from {escape(desk.organisation)}.</p>")


def _storable(header: str) -> str:
    """A header as any database keeps it: bytes that are no text arrive as halves of characters."""
    return header[:500].encode("utf-8", "replace").decode().replace("\0", "")


def _unknown() -> web.Response:
    return _page("This link does not work", "<p>It may have been cut off. Use the whole link.</p>", status=404)


def _page(title: str, content: str, *, status: int = 200) -> web.Response:
    document = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body><main><h1>{escape(title)}</h1>{content}</main></body></html>\n"
    )
    return web.Response(status=status, text=document, content_type="text/html", headers=_HEADERS)
