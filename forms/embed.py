"""A form on a page of the organisation's own: a frame that works alone, and a script that gives it its height."""

from __future__ import annotations

from aiohttp import web
from markupsafe import escape

from forms.catalogue import Shown
from forms.look import text_of

_HEIGHT = 560  # CSS pixels, until the script knows better
_HEADERS = {
    "Cache-Control": "public, max-age=3600",
    "Cross-Origin-Resource-Policy": "cross-origin",  # it is for other sites' pages
    "X-Robots-Tag": "noindex",
}


def mount(app: web.Application) -> None:
    """Add the route."""
    app.router.add_get("/embed.js", script)


async def script(_request: web.Request) -> web.Response:
    """The script of the snippet; the same for every form."""
    return web.Response(text=text_of("embed.js"), content_type="text/javascript", headers=_HEADERS)


def url_of(public_url: str, form_id: str) -> str:
    """The form's own page."""
    return f"{public_url}/forms/{form_id}"


def snippet(public_url: str, form_id: str, shown: Shown) -> str:
    """The HTML that shows the form on a page of one of its allowed origins, also where a tag manager puts it in late.

    `referrerpolicy`: the page that shows the form is part of the proof, and browsers tell its site alone unless asked.
    `color-scheme`: a browser hands the frame's own to what is in it, and the reader's where the frame has none; a page
    that declares none is light. Where it declares one, the script lets the frame have that.
    """
    title = shown.headline or shown.button_text
    return (
        f'<iframe src="{escape(url_of(public_url, form_id))}" title="{escape(title)}"'
        f' style="width:100%;border:0;color-scheme:light" height="{_HEIGHT}" loading="lazy"'
        ' referrerpolicy="no-referrer-when-downgrade" data-optgate></iframe>'
        f'<script src="{escape(public_url)}/embed.js" async></script>'
    )
