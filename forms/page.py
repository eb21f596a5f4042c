"""What the plain pages have in common: how they look, what they forbid, and what is kept of who used them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from html import escape
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from aiohttp import web

_NEWS = {
    "sms": "news and offers by text message",
    "whatsapp": "news and offers by WhatsApp",
    "email": "news and offers by e-mail",
}
Client = Callable[[web.Request], IPv4Address | IPv6Address | None]  # who asks; None: nobody can tell

_STYLE = (
    "body{font:1.125rem/1.5 system-ui,sans-serif;max-width:32rem;margin:3rem auto;padding:0 1rem;color:#1a1a1a;"
    "background:#fff}h1{font-size:1.5rem}button{font:inherit;padding:.75rem 1.25rem;border:0;border-radius:.4rem;"
    "background:#1a4fa3;color:#fff;cursor:pointer}button:focus-visible{outline:3px solid #b35900;outline-offset:2px}"
    "@media(prefers-color-scheme:dark){body{color:#eee;background:#16181c}button{background:#9dc1ff;color:#16181c}"
    "button:focus-visible{outline-color:#f5a623}}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex",
}


def news_by(channel: str) -> str:
    """What the pages speak of: marketing. A ticket comes all the same, so that they must not promise an end of all."""
    return _NEWS.get(channel, "news and offers")


def who_asks(request: web.Request, client: Client) -> dict[str, Any]:
    """The evidence of who pressed the button."""
    address = client(request)
    return {"ip": str(address) if address else None, "user_agent": _storable(request.headers.get("User-Agent", ""))}


def _storable(header: str) -> str:
    """A header as any database keeps it: bytes that are no text arrive as halves of characters."""
    return header[:500].encode("utf-8", "replace").decode().replace("\0", "")


def unknown_link() -> web.Response:
    return page("This link does not work", "<p>It may have been cut off. Use the whole link.</p>", status=404)


def page(title: str, content: str, *, status: int = 200) -> web.Response:
    document = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body><main><h1>{escape(title)}</h1>{content}</main></body></html>\n"
    )
    return web.Response(status=status, text=document, content_type="text/html", headers=_HEADERS)
