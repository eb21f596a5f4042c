"""Questions to the owner of an address: what waits for a confirmation, put into words and into the queue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from consent.states import Wish
from content import letters
from content.languages import Language
from outbox import confirmations, queue
from outbox.confirmations import BY_TEXT, GOOD_FOR, Wanted
from outbox.queue import Notice
from store.tables import preferences


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
    [id_] = await confirmations.ask(conn, [wanted], now=now)
    if id_ is None:
        return None
    notice = Notice(
        profile_id=to,
        address_id=wanted.address_id,
        channel=wanted.channel,
        connection=asking.connection,
        content=await _content(conn, id_, wanted, asking),
        not_after=now + GOOD_FOR,
    )
    await queue.add_notices(conn, [notice], now=now)
    return id_


async def _content(conn: AsyncConnection, id_: str, wanted: Wanted, asking: Asking) -> dict[str, str]:
    if wanted.channel in BY_TEXT:
        body = letters.question_by_text(asking.speech, wanted.channel, organisation=asking.organisation)
        return {"body": body}
    points = await in_words(conn, wanted.wishes, asking.speech)
    return letters.question(asking.speech, points, organisation=asking.organisation, link=asking.link(id_))


async def in_words(conn: AsyncConnection, wishes: Sequence[Wish], speech: Language, *, to: str = "yes") -> list[str]:
    """What the wishes for a yes (or a no) come to, a line each: a preference as customers see it."""
    asked = [wish.subject for wish in wishes if wish.to == to]
    ids = [subject.key for subject in asked if subject.kind == "preference"]
    texts: dict[str, str] = {}
    if ids:
        rows = await conn.execute(select(preferences.c.id, preferences.c.text).where(preferences.c.id.in_(ids)))
        texts = {row.id: row.text for row in rows}
    lines = [
        texts.get(subject.key, "") if subject.kind == "preference" else letters.news(speech, subject.key)
        for subject in asked
        if subject.kind != "address"
    ]
    return [line for line in dict.fromkeys(lines) if line]
