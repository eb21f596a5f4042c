"""The unsubscribe link: GET asks, POST does (RFC 8058). No login, no cookie, nothing personal shown."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from urllib.parse import unquote_to_bytes

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncConnection

from forms.page import Client, news_by, page, unknown_link, who_asks
from outbox import heed, word
from outbox.optout_links import OptOutLinks
from outbox.word import Said
from store.clock import Clock
from store.engine import Database

_BODY_BYTES = 16_384  # a button or RFC 8058's one field
_STILL = "What you order, such as a ticket, may still come."


@dataclass(frozen=True, slots=True)
class Unsubscribing:
    """What the page needs of the house."""

    database: Database
    links: OptOutLinks
    organisation: str
    clock: Clock
    client: Client

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
        return unknown_link()
    what = news_by(found[1])
    return page(
        f"Stop {what}?",
        f"<p>Press the button, and {escape(desk.organisation)} sends you no more {what}. {_STILL}</p>"
        f'<form method="post"><button>Stop {what}</button></form>',
    )


async def do(request: web.Request) -> web.Response:
    """Opt out; the same answer however often, also when nobody is there any more."""
    desk = request.app[UNSUBSCRIBING]
    found = desk.links.read(request.match_info["token"])
    if found is None:
        return unknown_link()
    address_id, channel = found
    # Whatever else is posted, and however it breaks off, does not matter: a POST is a no.
    source = "one_click" if _is_one_click(await _begin_of_body(request)) else "unsubscribe_link"
    await desk.stop(Said(address_id, channel, source, who_asks(request, desk.client)))
    return page("Done", f"<p>{escape(desk.organisation)} sends you no more {news_by(channel)}. {_STILL}</p>")


async def _begin_of_body(request: web.Request) -> bytes:
    """What is posted, as far as it is of interest; it may come in pieces."""
    body = b""
    while len(body) < _BODY_BYTES and (piece := await request.content.read(_BODY_BYTES - len(body))):
        body += piece
    return body


def _is_one_click(body: bytes) -> bool:
    """Whether a mail program posts for its user: one field, urlencoded or multipart (RFC 8058, 3.1 and 3.2)."""
    return any(b"List-Unsubscribe" in one and b"One-Click" in one for one in (body, unquote_to_bytes(body)))
