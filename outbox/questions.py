"""Questions to the owner of an address: what waits for a confirmation, put into words and into the queue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from consent.states import Wish
from content import letters
from content.languages import Language
from outbox import confirmations, queue
from outbox.confirmations import ASKED, BY_TEXT, GOOD_FOR, Wanted
from outbox.queue import Notice
from store.tables import preferences

MOST_NAMED = 1000  # characters of preferences in a question by text; carriers take 1,600 of a whole text


@dataclass(frozen=True, slots=True)
class Asking:
    """How a question is asked."""

    connection: str
    organisation: str
    link: Callable[[str], str]  # to the page where it is confirmed, by its id
    speech: Language


async def ask(
    conn: AsyncConnection, wanted: Wanted, asking: Asking, *, to: str | None = None, now: datetime
) -> str | None:
    """Ask the owner of an address whether it is so; returns the question's id, None where they were asked lately.

    `to`: a profile that has the address. The caller holds the address row, and wakes the dispatcher after its commit.
    """
    content: dict[str, str] = {}
    if wanted.channel in BY_TEXT:
        wanted, content = await _in_a_text(conn, wanted, asking)
    [id_] = await confirmations.ask(conn, [wanted], now=now)
    if id_ is None:
        return None
    if not content:
        points = await in_words(conn, wanted.wishes, asking.speech)
        content = letters.question(asking.speech, points, organisation=asking.organisation, link=asking.link(id_))
    notice = Notice(
        profile_id=to,
        address_id=wanted.address_id,
        channel=wanted.channel,
        connection=asking.connection,
        content=content,
        not_after=now + GOOD_FOR,
    )
    await queue.add_notices(conn, [notice], now=now)
    return id_


async def _in_a_text(conn: AsyncConnection, wanted: Wanted, asking: Asking) -> tuple[Wanted, dict[str, str]]:
    """The question without those preferences that a text cannot name, and the text, which stays with it.

    A YES says yes to what the text names and to nothing else.
    """
    texts = await _texts(conn, wanted.wishes)
    named: list[str] = []
    unnamed: set[Wish] = set()
    for wish in wanted.wishes:
        if wish.to != "yes" or wish.subject.kind != "preference":
            continue
        if (text := texts.get(wish.subject.key)) and sum(map(len, [*named, text])) <= MOST_NAMED:
            named.append(text)
        else:
            unnamed.add(wish)
    body = letters.question_by_text(asking.speech, wanted.channel, named, organisation=asking.organisation)
    wishes = tuple(wish for wish in wanted.wishes if wish not in unnamed)
    return replace(wanted, wishes=wishes, evidence={**wanted.evidence, ASKED: body}), {"body": body}


async def _texts(conn: AsyncConnection, wishes: Sequence[Wish]) -> dict[str, str]:
    """What customers read of the preferences, by their ids."""
    ids = sorted({wish.subject.key for wish in wishes if wish.subject.kind == "preference"})
    if not ids:
        return {}
    rows = await conn.execute(select(preferences.c.id, preferences.c.text).where(preferences.c.id.in_(ids)))
    return {row.id: row.text for row in rows}


async def in_words(conn: AsyncConnection, wishes: Sequence[Wish], speech: Language, *, to: str = "yes") -> list[str]:
    """What the wishes for a yes (or a no) come to, a line each: a preference as customers see it."""
    asked = [wish.subject for wish in wishes if wish.to == to]
    texts = await _texts(conn, [wish for wish in wishes if wish.to == to])
    lines = [
        texts.get(subject.key, "") if subject.kind == "preference" else letters.news(speech, subject.key)
        for subject in asked
        if subject.kind != "address"
    ]
    return [line for line in dict.fromkeys(lines) if line]
