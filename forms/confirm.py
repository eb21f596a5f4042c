"""The link in a question that was mailed: GET asks, POST confirms. No login, no cookie, nothing personal shown."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncConnection

from forms.page import Client, news_by, page, unknown_link, who_asks
from outbox import confirmations, heed
from outbox.confirmations import ConfirmLinks, Question
from store.clock import Clock
from store.engine import Database


@dataclass(frozen=True, slots=True)
class Confirming:
    """What the page needs of the house."""

    database: Database
    links: ConfirmLinks
    organisation: str
    clock: Clock
    client: Client


CONFIRMING: web.AppKey[Confirming] = web.AppKey("confirming", Confirming)


def mount(app: web.Application) -> None:
    """Add the routes; the application is given its Confirming when it starts."""
    app.router.add_get("/confirm/{token}", ask)
    app.router.add_post("/confirm/{token}", do)


async def ask(request: web.Request) -> web.Response:
    """Ask. Mail scanners follow links, so a GET changes nothing."""
    desk = request.app[CONFIRMING]
    confirmation_id = desk.links.read(request.match_info["token"])
    if confirmation_id is None:
        return unknown_link()
    async with desk.database.read() as conn:
        found = await confirmations.find(conn, confirmation_id, now=desk.clock())
    if found is None or found.is_expired or found.is_confirmed:
        return _ended(found, desk)
    what = news_by(found.channel)
    return page(
        f"Get {what}?",
        f"<p>Press the button to confirm that you want {what} from {escape(desk.organisation)}. "
        "You can stop them at any time.</p>"
        f'<form method="post"><button>Yes, send me {what}</button></form>',
    )


async def do(request: web.Request) -> web.Response:
    """Confirm; the same answer however often."""
    desk = request.app[CONFIRMING]
    confirmation_id = desk.links.read(request.match_info["token"])
    if confirmation_id is None:
        return unknown_link()
    how = who_asks(request, desk.client)

    async def work(conn: AsyncConnection) -> tuple[Question | None, heed.Heeded]:
        return await confirmations.confirm(conn, confirmation_id, how, now=desk.clock())

    found, heeded = await desk.database.transact(work)
    await heeded.settled(desk.database)
    return _ended(found, desk)


def _ended(found: Question | None, desk: Confirming) -> web.Response:
    """What is said of a question that is none any more."""
    if found is None:
        return unknown_link()
    if found.is_expired and not found.is_confirmed:
        return page(
            "This link is too old",
            f"<p>Nothing has changed. Ask {escape(desk.organisation)} once more, and you will get a new one.</p>",
            status=410,
        )
    what = news_by(found.channel)
    return page("Done", f"<p>You will get {what} from {escape(desk.organisation)}. You can stop them at any time.</p>")
