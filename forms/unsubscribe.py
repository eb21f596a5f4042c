"""The unsubscribe link: GET asks, POST does (RFC 8058). No login, no cookie, nothing personal shown."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncConnection

from forms.desk import DESK, Desk, page, unknown_link, who_asks
from outbox import heed, word
from outbox.word import Said

_BODY_BYTES = 16_384  # a button or RFC 8058's one field


def mount(app: web.Application) -> None:
    """Add the routes; the application is given its Desk when it starts."""
    app.router.add_get("/unsubscribe/{token}", ask)
    app.router.add_post("/unsubscribe/{token}", do)


async def ask(request: web.Request) -> web.Response:
    """Ask. Mail scanners follow links, so a GET changes nothing."""
    found = request.app[DESK].optout_links.read(request.match_info["token"])
    if found is None:
        return unknown_link(request)
    return page(request, "unsubscribe.html", channel=found[1])


async def do(request: web.Request) -> web.Response:
    """Opt out; the same answer however often, also when nobody is there any more."""
    desk = request.app[DESK]
    found = desk.optout_links.read(request.match_info["token"])
    if found is None:
        return unknown_link(request)
    address_id, channel = found
    # Whatever else is posted, and however it breaks off, does not matter: a POST is a no.
    if _is_one_click(await _begin_of_body(request)):
        await _stop(desk, Said(address_id, channel, "one_click", who_asks(request, desk)))
        return web.Response(text="Done\n")  # a mail program has asked: nobody reads it
    await _stop(desk, Said(address_id, channel, "unsubscribe_link", who_asks(request, desk)))
    return page(request, "unsubscribed.html", channel=channel)


async def _stop(desk: Desk, said: Said) -> None:
    """Opt out; returns when nothing more begins to be sent."""

    async def work(conn: AsyncConnection) -> frozenset[str]:
        return await word.record(conn, [said], now=desk.clock())

    await heed.settle(desk.database, await desk.database.transact(work))


async def _begin_of_body(request: web.Request) -> bytes:
    """What is posted, as far as it is of interest; it may come in pieces."""
    body = b""
    while len(body) < _BODY_BYTES and (piece := await request.content.read(_BODY_BYTES - len(body))):
        body += piece
    return body


def _is_one_click(body: bytes) -> bool:
    """Whether a mail program posts for its user: one field, urlencoded or multipart (RFC 8058, 3.1 and 3.2)."""
    return any(b"List-Unsubscribe" in one and b"One-Click" in one for one in (body, unquote_to_bytes(body)))
