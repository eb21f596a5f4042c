"""The way of a message: who wrote it, which rule it meets, what that changes, what is answered."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from channels.values import Adapter, HttpAnswer, Inbound
from consent.states import EVERYTHING, Change, State, Subject, Wish
from inbox import forwards, identity, questions, receipts, reviews, tokens
from inbox.identity import Sender
from inbox.questions import Asked
from inbox.receipts import EventKey
from inbox.rulebook import RuleCache, Rules
from outbox import heed, queue
from profiles.addresses import AddressBook, same_mailbox
from rules import replies
from rules.mail import foremost, said_in_mail
from rules.values import Rule
from store import bulk, crash
from store.ids import new_id
from store.parts import among
from store.tables import consent_events, profile_addresses, rule_replies
from store.tables import messages as messages_table
from store.upsert import upsert

QUIET = timedelta(minutes=10)  # one reply per address and rule
QUIET_UNPROVED = timedelta(hours=24)  # one reply per mailbox where nothing proves the sender
_ANY_RULE = ""

_RECENT = select(rule_replies).where(
    among(rule_replies.c.channel, "channels"),
    among(rule_replies.c.sender, "senders"),
    rule_replies.c.at > bindparam("since"),
)


@dataclass(frozen=True, slots=True)
class Desk:
    """What the inbox knows of the house it serves."""

    book: AddressBook
    adapters: Mapping[str, Adapter]  # by connection
    organisation: str
    contact: str = ""
    rules: RuleCache = field(default_factory=RuleCache)
    unsubscribed: Callable[[str], str | None] = lambda _: None  # whose address the token of `unsub+TOKEN@` is
    forwarded: frozenset[str] = frozenset()  # connections whose ordinary messages go on
    confirm_link: Callable[[str], str] | None = None  # None: nobody opts in by e-mail


@dataclass(frozen=True, slots=True)
class Answer:
    """What the provider is answered, once `closed` is settled."""

    http: HttpAnswer
    closed: frozenset[str] = frozenset()  # addresses an opt-out in the message closes, or a review of it holds


@dataclass(slots=True)
class _Arrival:
    """A message on its way through."""

    message: Inbound
    sender: Sender = identity.NOBODY
    message_id: str = field(default_factory=lambda: new_id("msg"))
    change_id: str | None = None
    owners: tuple[str, ...] = ()  # the addresses that tokens prove it to be the word of, whoever it says it is from
    owners_reach: frozenset[str] = frozenset()  # these, and all that their people have
    rule: Rule | None = None
    answers: str | None = None  # the question of ours that it says yes to
    reply: str | None = None
    letter: Mapping[str, Any] | None = None  # the reply as a mail, where it is more than its words


def _key(message: Inbound) -> EventKey:
    return (message.account, message.provider_id)


async def receive(conn: AsyncConnection, messages: Sequence[Inbound], *, desk: Desk, now: datetime) -> list[Answer]:
    """Keep the messages and do what they ask, in the caller's transaction.

    Returns an answer for each, in order; the first answer again for a message seen before. When the transaction has
    committed, an opt-out is on disk; the caller answers 2xx only after `heed.settle` of the answer's `closed`.
    """
    crash.point("inbound.opened")
    first: dict[EventKey, _Arrival] = {}
    for message in messages:
        first.setdefault(_key(message), _Arrival(message))
    claimed = await receipts.claim(conn, {key: arrival.message_id for key, arrival in first.items()}, now=now)
    crash.point("inbound.claimed")
    answers = await _answer_again(conn, {key: a.message for key, a in first.items() if key not in claimed}, desk)
    answers |= await _take_in(conn, [a for key, a in first.items() if key in claimed], desk=desk, now=now)
    return [answers[_key(message)] for message in messages]


async def _answer_again(
    conn: AsyncConnection, messages: Mapping[EventKey, Inbound], desk: Desk
) -> dict[EventKey, Answer]:
    """The first answers, each with what its message closed: the first delivery may not be settled yet."""
    if not messages:
        return {}
    seen = await receipts.known(conn, messages.keys())
    closed: dict[str, set[str]] = {receipt.message_id: set() for receipt in seen}
    rows = await conn.execute(
        select(messages_table.c.id, profile_addresses.c.address_id)
        .join(consent_events, consent_events.c.change_id == messages_table.c.change_id)
        .join(profile_addresses, profile_addresses.c.profile_id == consent_events.c.profile_id)
        .where(messages_table.c.id.in_(list(closed)), consent_events.c.to_state == "no")
    )
    for row in rows:
        closed[row.id].add(row.address_id)
    for message_id, address_id in await reviews.held_by(conn, closed):
        closed[message_id].add(address_id)
    for receipt in seen:
        if (message := messages[receipt.key]).unsubscribe_tokens:
            reach = await tokens.reach(conn, tokens.owners(message, desk.unsubscribed))
            closed[receipt.message_id].update(*reach.values())
    return {receipt.key: Answer(receipt.answer, frozenset(closed[receipt.message_id])) for receipt in seen}


async def _take_in(
    conn: AsyncConnection, arrivals: Sequence[_Arrival], *, desk: Desk, now: datetime
) -> dict[EventKey, Answer]:
    if not arrivals:
        return {}
    for arrival in arrivals:
        if arrival.message.unsubscribe_tokens:
            arrival.owners = tokens.owners(arrival.message, desk.unsubscribed)
    owners = {owner for arrival in arrivals for owner in arrival.owners}
    senders, held = await identity.resolve(
        conn, [arrival.message for arrival in arrivals], book=desk.book, now=now, also=owners
    )
    crash.point("inbound.sender")
    rules = await desk.rules.current(conn)
    changes: list[Change] = []
    for arrival, sender in zip(arrivals, senders, strict=True):
        arrival.sender = sender
        arrival.rule = _rule(arrival, rules)
        changes += _changes(arrival, rules)
    heeded = await heed.record(conn, changes, now=now, held=held)
    crash.point("inbound.heeded")
    recorded = {line.event.change_id for line in heeded.lines}
    stands = {line.event.change_id for line in heeded.lines if not line.event.superseded}
    for arrival in arrivals:
        arrival.change_id = arrival.change_id if arrival.change_id in recorded else None
    await _choose_replies(conn, arrivals, desk, now, stands=stands)
    await _ask(conn, arrivals, rules, desk, now)
    confirmed = await questions.take_answers(conn, arrivals, organisation=desk.organisation, now=now)
    closed = heeded.closed | confirmed.closed
    if owners:
        closed |= await tokens.heed(conn, arrivals, now=now)
    events = [line.event for line in heeded.lines + confirmed.lines]
    closed |= await reviews.take_up(conn, arrivals, events, now=now)
    await bulk.insert_rows(conn, messages_table, [_message_row(arrival, now) for arrival in arrivals])
    if ordinary := [(a.message_id, a.message.connection) for a in arrivals if _goes_on(a, desk)]:
        await forwards.add(conn, ordinary, now=now)
    await queue.add_notices(conn, [r for a in arrivals if (r := _reply_out(a, desk)) is not None], now=now)
    crash.point("inbound.kept")
    answers = {
        _key(a.message): Answer(
            desk.adapters[a.message.connection].answer(a.message, a.reply),
            closed & (a.sender.address_ids | a.owners_reach),
        )
        for a in arrivals
    }
    await receipts.answer(conn, {key: answer.http for key, answer in answers.items()})
    crash.point("inbound.receipt")
    return answers


# --- what it asks for -------------------------------------------------------------------------


def _rule(arrival: _Arrival, rules: Rules) -> Rule | None:
    """The rule that wins; none where the provider has decided already, and where no person wrote."""
    message = arrival.message
    if message.verdict is not None or message.automatic is not None:
        return None
    if arrival.owners:
        return _rule_beside_tokens(message, rules)
    if message.channel == "email":
        return _rule_of_mail(message, message.subject, rules)
    decision = rules.book.decide(
        message.text, channel=message.channel, receiver=message.receiver, payload=message.payload
    )
    return decision.rule


def _rule_of_mail(message: Inbound, subject: str | None, rules: Rules) -> Rule | None:
    """What the person typed comes before the subject, and an opt-out in either before all else."""
    said = said_in_mail(subject, message.text if message.typed is None else message.typed)
    decided = foremost(rules.book.decide(text, channel=message.channel, receiver=message.receiver) for text in said)
    return decided.rule if decided else None


def _rule_beside_tokens(message: Inbound, rules: Rules) -> Rule | None:
    """Of a mail to somebody's unsubscribe address an opt-out that was typed counts for who wrote it, too. The subject
    does not: our own link puts "unsubscribe" there, from whichever mailbox it is pressed.
    """
    rule = _rule_of_mail(message, None, rules)
    return rule if rule is not None and rule.action == "opt_out" else None


def _changes(arrival: _Arrival, rules: Rules) -> Iterable[Change]:
    """The change of consent that the message is, for every profile of its address."""
    message, rule = arrival.message, arrival.rule
    action = message.verdict or (rule.action if rule else None)
    if action not in ("opt_in", "opt_out") or not arrival.sender.profile_ids:
        return
    if _must_be_confirmed(arrival):
        return
    subject = _subject(message, rule, rules)
    to: State = "yes" if action == "opt_in" else "no"
    arrival.change_id = new_id("chg")
    for profile_id in arrival.sender.profile_ids:
        yield Change(
            profile_id=profile_id,
            change_id=arrival.change_id,
            wishes=(Wish(subject, to),),
            source="provider" if message.verdict else "keyword",
            actor="customer",
            address_id=arrival.sender.address_id,
            with_address=message.channel in ("sms", "whatsapp"),
            said_at=message.provider_at,
            received_at=message.received_at,
            evidence=_evidence(arrival),
        )


def _subject(message: Inbound, rule: Rule | None, rules: Rules) -> Subject:
    if rule is None or rule.subject_kind == "channel":
        return Subject("channel", message.channel)
    if rule.subject_kind == "everything":
        return EVERYTHING
    return Subject("preference", rules.preference_ids[rule.id])


def _evidence(arrival: _Arrival) -> dict[str, Any]:
    message, rule = arrival.message, arrival.rule
    return {
        "message_id": arrival.message_id,
        "provider_id": message.provider_id,
        "connection": message.connection,
        "text": message.text if message.typed is None else message.typed,
        **({"subject": message.subject} if message.subject else {}),
        **({} if message.authentic else {"weak": reviews.WEAK}),
        "from": message.sender,
        "to": message.receiver,
        **({"rule": {"id": rule.id, "keyword": rule.keyword, "match": rule.match}} if rule else {}),
        **({"provider_verdict": message.verdict} if message.verdict else {}),
    }


# --- what only mail has -----------------------------------------------------------------------


def _must_be_confirmed(arrival: _Arrival) -> bool:
    """Whether the message is a yes that is not enough by itself: a From is easily written."""
    return arrival.message.channel == "email" and arrival.rule is not None and arrival.rule.action == "opt_in"


async def _ask(conn: AsyncConnection, arrivals: Sequence[_Arrival], rules: Rules, desk: Desk, now: datetime) -> None:
    """Ask those who said yes by a mail that is proved to be theirs to confirm it; nobody else hears of it."""
    if desk.confirm_link is None:
        return
    asked = [
        Asked(a, address_id, Wish(_subject(a.message, a.rule, rules), "yes"), _evidence(a))
        for a in arrivals
        if _must_be_confirmed(a)
        and a.message.authentic
        and a.sender.profile_ids
        and (address_id := a.sender.address_id) is not None
    ]
    await questions.ask(conn, asked, link=desk.confirm_link, organisation=desk.organisation, book=desk.book, now=now)


# --- what is answered -------------------------------------------------------------------------


async def _choose_replies(
    conn: AsyncConnection, arrivals: Sequence[_Arrival], desk: Desk, now: datetime, *, stands: Collection[str]
) -> None:
    """Give each arrival its rule's reply: once per address and rule in ten minutes, never to ourselves.

    Where nothing proves who wrote a mail the reply may reach a stranger in whose name somebody writes: it goes to who
    was known before, and to a mailbox once a day, whatever the rule. Who is no address, whose word could not be kept,
    is not told that it was; nor that they are subscribed who have said no since (what `stands` are the changes that
    nothing later has superseded).
    """
    asking = [
        (arrival, rule)
        for arrival in arrivals
        if (rule := arrival.rule) is not None
        and (arrival.change_id is not None or rule.action == "reply_only")
        and not _must_be_confirmed(arrival)
        and (arrival.change_id in stands or rule.action != "opt_in")
        and not any(arrival.message.sender in adapter.own_addresses for adapter in desk.adapters.values())
        and (arrival.message.authentic or arrival.sender.is_known)
    ]
    keys = {_reply_key(a, rule) for a, rule in asking}
    if not keys:
        return
    channels, senders = sorted({key[0] for key in keys}), sorted({key[1] for key in keys})
    recent = await bulk.rows(conn, _RECENT, channels=channels, senders=senders, since=now - QUIET_UNPROVED)
    spent = {
        (row.channel, row.sender, row.rule_id) for row in recent if row.rule_id == _ANY_RULE or row.at > now - QUIET
    }
    given: set[tuple[str, str, str]] = set()
    for arrival, rule in asking:
        key = _reply_key(arrival, rule)
        text = replies.reply_to(rule, organisation=desk.organisation, contact=desk.contact)
        if key in spent or key in given or not text:
            continue
        arrival.reply = text
        given.add(key)
    await upsert(
        conn,
        rule_replies,
        [{"channel": c, "sender": s, "rule_id": r, "at": now} for c, s, r in sorted(given)],
    )


def _reply_key(arrival: _Arrival, rule: Rule) -> tuple[str, str, str]:
    """Of which one is answered in a while: channel, sender, rule."""
    message = arrival.message
    if message.authentic:
        return message.channel, message.sender, rule.id
    return message.channel, same_mailbox(message.sender), _ANY_RULE


def _reply_out(arrival: _Arrival, desk: Desk) -> queue.Notice | None:
    """The reply as a message of ours: gone with the answer, or to be sent."""
    if arrival.reply is None or arrival.sender.address_id is None:
        return None
    return queue.Notice(
        profile_id=arrival.sender.profile_ids[0],
        address_id=arrival.sender.address_id,
        channel=arrival.message.channel,
        connection=arrival.message.connection,
        content=arrival.letter or {"body": arrival.reply},
        in_reply_to=arrival.message_id,
        rule_id=arrival.rule.id if arrival.rule else None,
        sent=desk.adapters[arrival.message.connection].replies_in_answer,
        answers=arrival.message.mail_id,
    )


def _goes_on(arrival: _Arrival, desk: Desk) -> bool:
    """Whether the message is an ordinary one, of a connection whose messages are read elsewhere."""
    message = arrival.message
    if message.connection not in desk.forwarded:
        return False
    is_read = arrival.rule is not None or arrival.answers is not None or bool(arrival.owners)
    return not is_read and message.verdict is None and message.automatic is None


def _message_row(arrival: _Arrival, now: datetime) -> dict[str, Any]:
    message = arrival.message
    return {
        "id": arrival.message_id,
        "connection": message.connection,
        "channel": message.channel,
        "account": message.account,
        "provider_id": message.provider_id,
        "address_id": arrival.sender.address_id,
        "profile_id": arrival.sender.profile_ids[0] if arrival.sender.profile_ids else None,
        "sender": message.sender,
        "receiver": message.receiver,
        "body": message.text,
        "payload": message.payload,
        "fields": dict(message.fields),
        "verdict": message.verdict,
        "subject": message.subject,
        "typed": message.typed,
        "authentic": message.authentic,
        "automatic": message.automatic,
        "rule_id": arrival.rule.id if arrival.rule else None,
        "change_id": arrival.change_id,
        "provider_at": message.provider_at,
        "created_at": now,
    }
