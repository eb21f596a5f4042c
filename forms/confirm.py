"""The link in a question that was sent: GET asks, POST confirms. No login, no cookie, nothing personal shown."""

from __future__ import annotations

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncConnection

from forms.desk import DESK, page, unknown_link, who_asks
from outbox import confirmations, heed
from outbox.confirmations import Question


def mount(app: web.Application) -> None:
    """Add the routes; the application is given its Desk when it starts."""
    app.router.add_get("/confirm/{token}", ask)
    app.router.add_post("/confirm/{token}", do)


async def ask(request: web.Request) -> web.Response:
    """Ask. Mail scanners follow links, so a GET changes nothing."""
    desk = request.app[DESK]
    confirmation_id = desk.confirm_links.read(request.match_info["token"])
    if confirmation_id is None:
        return unknown_link(request)
    async with desk.database.read() as conn:
        found = await confirmations.find(conn, confirmation_id, now=desk.clock())
    if found is None or found.is_expired or found.is_confirmed:
        return _ended(request, found)
    return page(request, "confirm.html", channel=found.channel)


async def do(request: web.Request) -> web.Response:
    """Confirm; the same answer however often."""
    desk = request.app[DESK]
    confirmation_id = desk.confirm_links.read(request.match_info["token"])
    if confirmation_id is None:
        return unknown_link(request)
    how = who_asks(request, desk)

    async def work(conn: AsyncConnection) -> tuple[Question | None, heed.Heeded]:
        return await confirmations.confirm(conn, confirmation_id, how, now=desk.clock())

    found, heeded = await desk.database.transact(work)
    await heeded.settled(desk.database)
    return _ended(request, found)


def _ended(request: web.Request, found: Question | None) -> web.Response:
    """What is said of a question that is none any more."""
    if found is None:
        return unknown_link(request)
    if found.is_expired and not found.is_confirmed:
        return page(request, "confirm_too_late.html", status=410)
    return page(request, "confirmed.html", channel=found.channel)
