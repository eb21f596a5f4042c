"""The checker: the clients' logs and the provider's journal against the gateway's books. Each finding is a sentence.

It takes no part in what it judges: nothing here is the gateway's own code but `gateway.verify` (which is run as
well) and, for I8, the pure fold. Every kind of violation is planted in test_checker.py and must be found.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from consent import reading, states
from gateway import verify
from store.engine import Database
from store.tables import (
    addresses,
    attempts,
    broadcasts,
    consent_events,
    consent_states,
    deliveries,
    messages,
    profile_addresses,
)
from tests.standins.twilio import Request
from tests.torture import checker_asked, checker_imports
from tests.torture.persons import FOR_EVER, WORDS, Standing
from tests.torture.records import Act, Record, Send

MAY_BE_OUT = frozenset({"sending", "in_doubt", "unknown", "accepted", "sent", "delivered", "read", "undelivered"})
NOT_OUT = frozenset({"unheard of", "not_sent", "abandoned", "rejected"})
MOST_REPEATS = 3  # of a transactional message
Attempt = tuple[str, str, str]  # its state, its delivery's status and class


# --- what the logs tell by themselves -----------------------------------------------------------


def of_logs(record: Record, journal: Sequence[Request]) -> Iterator[str]:
    """I2, I3 and I6, and answers that no client should get."""
    yield from begun_after_a_no(record, journal)
    yield from begun_after_a_pause(record.sends, journal)
    yield from sent_twice(record.sends, journal)
    for replay in record.replays:
        if replay.again != replay.first:
            yield f"I6: {replay.name} was answered {replay.first!r}, and when it came again {replay.again!r}"
    for refusal in record.refusals:
        yield f"I5: {refusal}"


def begun_after_a_no(record: Record, journal: Iterable[Request]) -> Iterator[str]:
    """I2: from the answer to a STOP until the next START is sent, no request for that number begins.

    Nor one for any number of a person who has said no, by whatever door and before a merge or after it, unless it is
    transactional.
    """
    kinds = {send.text: send.kind for send in record.sends}
    stopped, standing = closed_by_text(record.acts), Standing(record)
    for line in journal:
        spans = list(stopped.get(line.to, ()))
        if kinds.get(line.body) != "transactional":
            spans += standing.closed.get(line.to, ())
        since = [since for since, until in spans if since < line.at_ns < until]
        if since:
            late = (line.at_ns - max(since)) / 1e6
            yield f"I2: {line.body!r} to {line.to} began {late:.1f} ms after the no was answered (tag {line.tag})"


def closed_by_text(acts: Iterable[Act]) -> dict[str, list[tuple[int, int]]]:
    """Number → from when to when its STOP was answered and its next START was not sent yet."""
    closed: dict[str, list[tuple[int, int]]] = defaultdict(list)
    said: dict[str, list[Act]] = defaultdict(list)
    for act in acts:
        if act.channel == "sms" and act.kind in WORDS:
            said[act.number].append(act)
    for number, story in said.items():
        for place, act in enumerate(story):
            if act.kind == "stop" and act.is_acknowledged:
                starts = [later.sent_ns for later in story[place + 1 :] if later.kind == "start"]
                closed[number].append((act.answered_ns, min(starts, default=FOR_EVER)))
    return closed


def begun_after_a_pause(sends: Iterable[Send], journal: Iterable[Request]) -> Iterator[str]:
    """I2 of a broadcast: nothing of it begins between the answer to a pause and the next resume, or after a cancel."""
    closed: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    for send in sends:
        for place, control in enumerate(send.controls):
            if control.answered_ns and control.verb in ("pause", "cancel"):
                resumed = [c.sent_ns for c in send.controls[place + 1 :] if c.verb == "resume"]
                until = FOR_EVER if control.verb == "cancel" else min(resumed, default=FOR_EVER)
                closed[send.text].append((control.answered_ns, until, control.verb))
    for line in journal:
        for since, until, verb in closed.get(line.body, ()):
            if since < line.at_ns < until:
                yield f"I2: {line.body!r} to {line.to} began {(line.at_ns - since) / 1e6:.1f} ms after its {verb}"


def sent_twice(sends: Iterable[Send], journal: Iterable[Request]) -> Iterator[str]:
    """I3, by what the provider accepted; a transactional message may be repeated, under one tag."""
    kinds = {send.text: send.kind for send in sends}
    taken: dict[tuple[str, str], list[Request]] = defaultdict(list)
    for line in journal:
        if line.sid:
            taken[line.body, line.to].append(line)
    for (text, to), lines in taken.items():
        tags = {line.tag for line in lines}
        if len(lines) > (MOST_REPEATS if kinds.get(text) == "transactional" else 1):
            yield f"I3: {text!r} was accepted {len(lines)} times for {to} (tags {sorted(map(str, tags))})"
        elif len(tags) > 1:
            yield f"I3: {text!r} to {to} was repeated under other tags: {sorted(map(str, tags))}"


# --- what the books must hold -------------------------------------------------------------------


async def of_books(database: Database, record: Record, journal: Sequence[Request]) -> list[str]:
    """The gateway's own checks, and everything acknowledged is there; true at any moment, also after a kill."""
    found = [str(violation) for violation in await verify.verify(database)]
    async with database.read() as conn:
        kept = await _kept(conn)
        events = (await conn.execute(select(consent_events).order_by(consent_events.c.seq))).all()
        known = set((await conn.execute(select(broadcasts.c.id))).scalars())
        known |= set((await conn.execute(select(deliveries.c.id))).scalars())
        tags = await _statuses(conn)
        flags = (await conn.execute(select(consent_states))).all()
        channels = {row.id: row.channel for row in await conn.execute(select(addresses.c.id, addresses.c.channel))}
        found += await checker_asked.of_asked(conn, record)
        found += await checker_imports.of_rows(conn, record.rows)
    found += not_kept(record, kept, {line.change_id for line in events}, known)
    found += not_owned_up_to(journal, tags)
    found += disordered(events, flags, channels)
    return found


async def _kept(conn: Any) -> dict[str, tuple[int, str | None]]:
    """Provider id → how often it was kept, and its change."""
    rows = await conn.execute(
        select(
            messages.c.provider_id, func.count().label("n"), func.max(messages.c.change_id).label("change")
        ).group_by(messages.c.provider_id)
    )
    return {row.provider_id: (row.n, row.change) for row in rows}


async def _statuses(conn: Any) -> dict[str, Attempt]:
    """Tag → the state of its attempt and the status of its delivery; of several attempts, one that may be out."""
    tag = func.coalesce(attempts.c.tag, attempts.c.id).label("of_tag")
    rows = await conn.execute(
        select(tag, attempts.c.state, deliveries.c.status, deliveries.c["class"].label("class_"))
        .join(deliveries, deliveries.c.id == attempts.c.delivery_id)
        .where(deliveries.c.channel == "sms")  # what goes to the provider's stand-in
    )
    return {
        row.of_tag: (row.state, row.status, row.class_)
        for row in sorted(rows, key=lambda row: row.state not in NOT_OUT)
    }


def not_kept(
    record: Record, kept: dict[str, tuple[int, str | None]], changes: set[str], known: set[str]
) -> Iterator[str]:
    """I5: what was acknowledged is there; I6: once."""
    for act in record.acts:
        count, change = kept.get(act.sid, (0, None))
        if count > 1:
            yield f"I6: {act.sid} was kept {count} times"
        if not act.is_acknowledged:
            continue
        if count == 0:
            yield f"I5: {act.kind} from {act.number} ({act.sid}) was acknowledged and is gone"
        elif act.kind in WORDS and change not in changes:
            yield f"I5: {act.kind} from {act.number} ({act.sid}) was acknowledged and is not in the history"
    for send in record.sends:
        if send.id is not None and send.id not in known:
            yield f"I5: {send.kind} {send.id} was acknowledged and is gone"


def not_owned_up_to(journal: Iterable[Request], tags: dict[str, Attempt]) -> Iterator[str]:
    """I4 by the truth: what the provider took is in nobody's books as never begun, skipped or refused."""
    for line in journal:
        state, _, _ = tags.get(line.tag or "", ("unheard of", "", ""))
        if line.sid and state in NOT_OUT:
            yield f"I4: the provider accepted {line.body!r} for {line.to}, but its attempt {line.tag} is {state}"


def disordered(
    events: Sequence[Any], flags: Iterable[Any], channels: dict[str, str], shuffles: int = 1
) -> Iterator[str]:
    """I8: the same history in another order of arrival comes to the same states."""
    stories: dict[str, list[Any]] = defaultdict(list)
    for line in events:
        if line.via is None:
            stories[line.profile_id].append(line)
    present = {(f.profile_id, f.kind, f.key): f.state for f in flags if f.via is None}
    chance = random.Random(len(events))
    for profile_id, story in stories.items():
        for _ in range(shuffles):
            chance.shuffle(story)
            folded = states.fold([reading.event_from(line) for line in story], channels)
            for subject, flag in folded.items():
                here = present.get((profile_id, subject.kind, subject.key), flag.state)
                if here != flag.state:
                    yield f"I8: {subject.kind} {subject.key} of {profile_id} is {here}, in another order {flag.state}"


# --- what must be true at the end ---------------------------------------------------------------


async def of_the_end(database: Database, record: Record, journal: Sequence[Request]) -> list[str]:
    """When all was acknowledged and nothing is under way: flags as the people said, and everyone accounted for."""
    async with database.read() as conn:
        holders: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
        for row in await conn.execute(
            select(addresses.c.channel, addresses.c.value, addresses.c.id, profile_addresses.c.profile_id).join(
                profile_addresses, profile_addresses.c.address_id == addresses.c.id
            )
        ):
            holders[row.channel, row.value].append((row.profile_id, row.id))
        flags = {(row.profile_id, row.kind, row.key): row.state for row in await conn.execute(select(consent_states))}
        tags = await _statuses(conn)
        open_ = Counter((await conn.execute(select(deliveries.c.status))).scalars())
        last = await ends(conn)
    found = list(unlike_what_was_said(record, holders, flags))
    found += unlike_what_was_taken(journal, tags)
    found += [f"I4: {one}" for one in in_doubt_still(last, journal)]
    found += unexplained(last, record, journal)
    found += [f"I4: {open_[s]} deliveries are still {s} at the end" for s in ("queued", "sending") if open_[s]]
    return found


def said_last(acts: Iterable[Act]) -> dict[tuple[str, str], str]:
    """(channel, number) → the state that acts come to which tell their time: the last by that; a tie is a no."""
    last: dict[tuple[str, str], tuple[tuple[datetime, bool], str]] = {}
    for act in acts:
        if act.kind in WORDS and act.is_acknowledged and act.said_at is not None:
            state = WORDS[act.kind]
            now = (act.said_at, state == "no"), state
            last[act.channel, act.number] = max(last.get((act.channel, act.number), now), now)
    return {place: state for place, (_, state) in last.items()}


def unlike_what_was_said(
    record: Record, holders: dict[tuple[str, str], list[tuple[str, str]]], flags: dict[tuple[str, str, str], str]
) -> Iterator[str]:
    """I5 and I8: everybody who has the number stands where its last word puts them, channel and address."""
    standing = Standing(record)
    wanted = {place: {"channel": state, "address": state} for place, state in said_last(record.acts).items()}
    wanted |= {("sms", number): {"channel": state} for number, state in standing.states.items()}
    for number, state in standing.numbers.items():
        wanted.setdefault(("sms", number), {})["address"] = state
    for (channel, number), states_ in wanted.items():
        if not holders.get((channel, number)):
            yield f"I5: nobody has {number}, which said {max(states_.values())} to {channel}"
        for profile_id, address_id in holders.get((channel, number), ()):
            for kind, state in states_.items():
                here = flags.get((profile_id, kind, address_id if kind == "address" else channel), "not_asked")
                if here != state:
                    yield f"I8: {number} said {state}, but {kind} {channel} of {profile_id} is {here}"


def unlike_what_was_taken(journal: Iterable[Request], tags: dict[str, Attempt]) -> Iterator[str]:
    """I4: what the provider took may be out in the books, and what is out in the books the provider took."""
    taken = {line.tag for line in journal if line.sid}
    for tag, (state, status, class_) in tags.items():
        # What is transactional is tried again while in doubt, and may be refused, or forbidden, by then.
        if tag in taken and status not in MAY_BE_OUT and class_ == "marketing":
            yield f"I4: the provider took {tag}, but its delivery is {status}"
        if state == "accepted" and tag not in taken:
            yield f"I4: {tag} is accepted in the books, but the provider never took it"


@dataclass(frozen=True)
class End:
    """How a message by text ended, with the tags it was tried under."""

    id: str
    broadcast_id: str | None
    to: str
    status: str
    reason: str | None
    tags: frozenset[str]


async def ends(conn: Any) -> list[End]:
    tag = func.coalesce(attempts.c.tag, attempts.c.id).label("of_tag")
    rows = await conn.execute(
        select(deliveries, addresses.c.value, tag)
        .join(addresses, addresses.c.id == deliveries.c.address_id)
        .outerjoin(attempts, attempts.c.delivery_id == deliveries.c.id)
        .where(deliveries.c.channel == "sms")
    )
    by_id: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        by_id[row.id].append(row)
    return [
        End(
            id_,
            of[0].broadcast_id,
            of[0].value,
            of[0].status,
            of[0].reason,
            frozenset(r.of_tag for r in of if r.of_tag),
        )
        for id_, of in by_id.items()
    ]


def in_doubt_still(last: Iterable[End], journal: Iterable[Request]) -> Iterator[str]:
    """What the provider took and would tell of, and nobody has asked for, or found."""
    taken = {line.tag for line in journal if line.sid}
    for end in last:
        if end.status in ("in_doubt", "unknown") and end.tags & taken:
            yield f"{end.id} to {end.to} is {end.status}, and the provider has it"


NEVER_HERE = frozenset({"frequency_capped", "too_late", "window_closed"})  # nothing in this world asks for them


def unexplained(last: Iterable[End], record: Record, journal: Sequence[Request]) -> Iterator[str]:
    """I4: who is not sent to has a reason that those outside know of, too."""
    refused = {line.tag for line in journal if line.answered.startswith("error")}
    unreachable = {line.to for line in journal if line.answered == "error 21211"}
    cancelled = {send.id for send in record.sends if any(control.verb == "cancel" for control in send.controls)}
    for end in last:
        if end.reason in NEVER_HERE:
            yield f"I4: {end.id} to {end.to} was skipped as {end.reason}, of which there is none here"
        if end.status == "failed" and not end.tags & refused:
            yield f"I4: {end.id} to {end.to} failed, and the provider never refused it"
        if end.to in record.silent and end.status == "skipped" and end.to not in unreachable:
            yield f"I4: {end.id} to {end.to}, who said yes and never no, was skipped as {end.reason}"
        if end.to in record.silent and end.status == "cancelled" and end.broadcast_id not in cancelled:
            yield f"I4: {end.id} to {end.to} was cancelled, and nobody had asked for it"
