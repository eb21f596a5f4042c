"""Texting us to opt in: the link that opens the message, ready to send, and the same as a code for the camera.

It costs nothing to offer, and what comes is the person's own message: stronger than any number that was typed.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

import segno
from markupsafe import Markup
from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from inbox import rulebook
from rules.keywords import Rulebook
from store.tables import rules

_USUAL = "START"


@dataclass(frozen=True, slots=True)
class Texting:
    """What people text, and where to."""

    channel: str  # sms | whatsapp
    number: str  # E.164, or a short code
    keyword: str

    @property
    def link(self) -> str:
        """Opens the message on a telephone.

        `?&body=` is read by Android, which wants `?`, and by iOS, which wants `&`; RFC 5724 has `?body=` alone.
        """
        if self.channel == "whatsapp":
            return f"https://wa.me/{self.number.removeprefix('+')}?text={quote(self.keyword, safe='')}"
        return f"sms:{self.number}?&body={quote(self.keyword, safe='')}"

    @property
    def code(self) -> Markup:
        """The link as a QR code, an SVG to stand in the page. On white, since cameras want it so."""
        # SMSTO is what cameras have understood the longest; a wa.me link is a link.
        said = self.link if self.channel == "whatsapp" else f"SMSTO:{self.number}:{self.keyword}"
        made = segno.make(said, error="m", micro=False)
        svg = made.svg_inline(scale=4, border=3, omitsize=True, light="#fff", svgclass=None, lineclass=None)
        return Markup(svg)  # noqa: S704 - segno's, and holds nothing but numbers


def has_number(sender: str | None) -> bool:
    """Whether people can write to it: a number or a short code, and no name."""
    return bool(sender) and (sender or "").removeprefix("+").isdigit()


async def keyword_for(conn: AsyncConnection, channel: str, number: str, wished: str | None) -> str | None:
    """What opts in to the channel when it is texted to this number; None where nothing does, nor what is wished."""
    if wished is not None:
        return wished if await opts_in(conn, channel, number, wished) else None
    rule = rules.c
    found = await conn.execute(
        select(rule.keyword, rule.received_on, rule.builtin)
        .where(
            rule.channel == channel,
            rule.active,
            rule.action == "opt_in",
            rule.subject_kind == "channel",
            or_(rule.received_on.is_(None), rule.received_on == number),
        )
        .order_by(rule.id)
    )
    rows = sorted(found, key=lambda row: (row.received_on is None, row.keyword != _USUAL, row.builtin is not None))
    return rows[0].keyword if rows else None


async def opts_in(conn: AsyncConnection, channel: str, number: str, keyword: str) -> bool:
    """Whether a message of this word alone opts in."""
    book = Rulebook(row.rule for row in await rulebook.read(conn))
    rule = book.decide(keyword, channel=channel, receiver=number).rule
    return rule is not None and rule.action == "opt_in"
