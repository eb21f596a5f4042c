"""Questions of ours that a message leads to, and messages that answer one.

A yes by mail is not enough by itself, for a From is easily written: its owner is asked by mail, and confirms on a page.
Who was asked by text answers with a YES, which means nothing else anywhere: it counts as the answer to the open
question of that very address, and without one it is an ordinary message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from channels.values import Inbound
from consent.states import Wish
from content import languages, letters
from inbox.identity import Sender
from outbox import confirmations, confirmed, questions
from outbox.confirmations import BY_TEXT, Question, Wanted
from outbox.heed import Heeded
from profiles.addresses import AddressBook
from rules import replies
from rules.answers import is_yes
from rules.values import Rule
from store.tables import profiles


class Taken(Protocol):
    """A message on its way in, once its rule has been found and done."""

    message: Inbound
    sender: Sender
    message_id: str
    change_id: str | None
    rule: Rule | None
    answers: str | None
    reply: str | None
    letter: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wrote that they want, by a mail that is proved to be theirs."""

    by: Taken
    address_id: str
    wish: Wish
    evidence: Mapping[str, Any]


# --- asked by mail ----------------------------------------------------------------------------


async def ask(
    conn: AsyncConnection,
    asked: Sequence[Asked],
    *,
    link: Callable[[str], str],
    organisation: str,
    book: AddressBook,
    now: datetime,
) -> None:
    """Ask each, once in a while, in their language: the question is the reply to what they wrote."""
    if not asked:
        return
    wanted = [
        Wanted(
            address_id=one.address_id,
            channel=one.by.message.channel,
            wishes=(one.wish,),
            evidence=one.evidence,
            at=one.by.message.received_at or now,
            same_as=book.same_as(book.proved(one.by.message.channel, one.by.message.sender)),
        )
        for one in asked
    ]
    ids = await confirmations.ask(conn, wanted, now=now)
    locales = await _locales(conn, [one.by.sender.profile_ids[0] for one in asked])
    for one, id_ in zip(asked, ids, strict=True):
        if id_ is not None:
            speech = languages.choose(locales.get(one.by.sender.profile_ids[0]))
            points = await questions.in_words(conn, [one.wish], speech)
            one.by.letter = letters.question(speech, points, organisation=organisation, link=link(id_))
            one.by.reply = one.by.letter["text"]


async def _locales(conn: AsyncConnection, ids: Sequence[str]) -> dict[str, str | None]:
    rows = await conn.execute(select(profiles.c.id, profiles.c.locale).where(profiles.c.id.in_(sorted(set(ids)))))
    return {row.id: row.locale for row in rows}


# --- answered by text -------------------------------------------------------------------------


async def take_answers(conn: AsyncConnection, taken: Sequence[Taken], *, organisation: str, now: datetime) -> Heeded:
    """Let each YES that answers an open question confirm it; returns what that comes to, of all together.

    After the rules: a rule of an operator's own that knows the word comes first, and a no of the same moment too. The
    caller has locked the senders.
    """
    said = [(one, address_id) for one in taken if (address_id := _says_yes(one)) is not None]
    if not said:
        return Heeded()
    waiting = await confirmations.pending(conn, {address_id for _, address_id in said}, now=now)
    together = Heeded()
    for one, address_id in said:
        question = waiting.get(address_id)
        if question is None or not _answers(one.message, question):
            continue
        del waiting[address_id]
        _, heeded = await confirmed.confirm(conn, question.id, _how(one), now=now)
        one.answers = question.id
        one.change_id = heeded.lines[0].event.change_id if heeded.lines else None
        one.reply = replies.welcome(organisation=organisation)
        together = Heeded(together.lines + heeded.lines, together.closed | heeded.closed)
    return together


def _says_yes(one: Taken) -> str | None:
    """The address that a message says yes from, where neither a rule nor the provider has told what it means."""
    message = one.message
    if message.channel not in BY_TEXT or one.rule is not None or message.verdict is not None:
        return None
    if message.automatic is not None or not one.sender.profile_ids or not is_yes(message.text, message.payload):
        return None
    return one.sender.address_id


def _answers(message: Inbound, question: Question) -> bool:
    """Whether it can be the answer: on the channel of the question, which asks for a YES, and not written before it.

    Some tell seconds.
    """
    written_at = message.provider_at
    if question.channel != message.channel or not question.is_by_yes:
        return False
    return written_at is None or written_at >= question.asked_at.replace(microsecond=0)


def _how(one: Taken) -> dict[str, Any]:
    message = one.message
    return {
        "message_id": one.message_id,
        "provider_id": message.provider_id,
        "connection": message.connection,
        "text": message.text,
        "from": message.sender,
        "to": message.receiver,
    }
