"""The link in a question that was sent: GET asks, POST confirms. No login, no cookie, nothing personal shown.

The page says what is confirmed in the words in which it was asked for, and in that language: every yes and no that the
button takes, and none besides. Whoever sent the form in may be a stranger, so nothing that they typed stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncConnection

from consent.states import State
from content.languages import Language
from forms.desk import DESK, page, unknown_link, who_asks
from forms.look import spoken
from outbox import confirmations, confirmed, heed, questions
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
        if found is not None and found.is_open:
            name = "confirm_choices.html" if _is_own(found) else "confirm.html"
            said = await _said(conn, found, spoken(request, _language(found)))
            return page(request, name, _language(found), **said)
    return _ended(request, found, is_past=True)


async def do(request: web.Request) -> web.Response:
    """Confirm; the same answer however often."""
    desk = request.app[DESK]
    confirmation_id = desk.confirm_links.read(request.match_info["token"])
    if confirmation_id is None:
        return unknown_link(request)
    how = who_asks(request, desk)

    async def work(conn: AsyncConnection) -> tuple[Question | None, heed.Heeded]:
        return await confirmed.confirm(conn, confirmation_id, how, now=desk.clock())

    found, heeded = await desk.database.transact(work)
    await heeded.settled(desk.database)
    return _ended(request, found)


def _ended(request: web.Request, found: Question | None, *, is_past: bool = False) -> web.Response:
    """What is said of a question that is none any more; `is_past`: much may have been said since it was confirmed."""
    if found is None:
        return unknown_link(request)
    if found.is_expired and not found.is_confirmed:
        return page(request, "confirm_too_late.html", _language(found), status=410)
    is_past = is_past or found.is_expired  # a no has come since
    return page(
        request, "confirmed.html", _language(found), channel=found.channel, is_own=_is_own(found), is_past=is_past
    )


def _is_own(found: Question) -> bool:
    """Whether it was asked for on the person's own page."""
    return bool(found.evidence.get("preference_centre"))


def _language(found: Question) -> str | None:
    """That the question was asked in."""
    language = found.evidence.get("language")
    return language if isinstance(language, str) else None


async def _said(conn: AsyncConnection, found: Question, speech: Language) -> dict[str, Any]:
    """What is confirmed, a line each: a yes to the channel itself is what the page speaks of anyway."""
    beside = [wish for wish in found.wishes if wish.subject.key != found.channel]
    shown = _texts_shown(found.evidence)
    rest = [wish for wish in beside if wish.subject.key not in shown]

    async def said(to: State) -> list[str]:
        as_shown = [shown[wish.subject.key] for wish in beside if wish.to == to and wish.subject.key in shown]
        return as_shown + await questions.in_words(conn, rest, speech, to=to)

    return {
        "channel": found.channel,
        "yes": (_is_own(found) and found.evidence.get("asked_for")) or await said("yes"),
        "no": await said("no"),
        "more": bool(found.details.names or found.details.attributes),
        "replaces": found.details.replaces is not None,
    }


def _texts_shown(evidence: Mapping[str, Any]) -> dict[str, str]:
    """The preferences of a form by their ids, in the words in which they were shown."""
    shown = evidence.get("preferences")
    return {str(one["id"]): str(one["text"]) for one in shown} if isinstance(shown, list) else {}
