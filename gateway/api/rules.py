"""Rules over the API."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import StringConstraints, field_validator, model_validator
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import preferences
from gateway import audit
from gateway.api import rule_shapes as shapes
from gateway.api.answers import Done, answer, listing
from gateway.api.base import PAGE, Call, Route
from gateway.api.bodies import Body, not_null
from gateway.problems import Problem, invalid, not_found
from inbox import rulebook
from inbox.rulebook import RuleRow
from inbox.trial import Trial, attempt
from profiles.addresses import BadAddress
from rules.keywords import check_keyword

_SHORT_CODE = re.compile(r"[0-9]{3,8}")
RuleChannel = Literal["sms", "whatsapp", "email"]


class SubjectIn(Body):
    kind: Literal["channel", "everything", "preference"] = "channel"
    name: str | None = None

    @model_validator(mode="after")
    def _named(self) -> SubjectIn:
        if (self.kind == "preference") != (self.name is not None):
            raise ValueError("`name` goes with the kind preference, and only with it")
        return self


Keyword = Annotated[str, StringConstraints(min_length=1, max_length=160)]
Reply = Annotated[str, StringConstraints(max_length=1600)]


class RuleIn(Body):
    """What a message that begins with a keyword does."""

    channel: RuleChannel
    received_on: str | None = None
    """The number or mailbox of ours that it came to; null: any."""
    keyword: Keyword
    """Compared whatever its case, accents and punctuation."""
    match: Literal["starts_with", "exact"] = "starts_with"
    """Whether more words may follow."""
    action: Literal["opt_in", "opt_out", "reply_only"]
    subject: SubjectIn = SubjectIn()
    """What the word is about."""
    reply: Reply | None = None
    """Null: the action's own reply; empty: silence."""
    active: bool = True

    @field_validator("keyword")
    @classmethod
    def _usable(cls, value: str) -> str:
        check_keyword(value)
        return value


class RulePatch(Body):
    channel: RuleChannel | None = None
    received_on: str | None = None
    keyword: Keyword | None = None
    match: Literal["starts_with", "exact"] | None = None
    action: Literal["opt_in", "opt_out", "reply_only"] | None = None
    subject: SubjectIn | None = None
    reply: Reply | None = None
    active: bool | None = None

    @field_validator("keyword")
    @classmethod
    def _usable(cls, value: str | None) -> str | None:
        if value is not None:
            check_keyword(value)
        return value


class TestIn(Body):
    channel: RuleChannel
    received_on: str | None = None
    text: Annotated[str, StringConstraints(max_length=100_000)]
    email_subject: str | None = None


def shown(row: RuleRow) -> dict[str, Any]:
    rule = row.rule
    subject: dict[str, Any] = {"kind": rule.subject_kind}
    if rule.subject_name is not None:
        subject["name"] = rule.subject_name
    return {
        "id": rule.id,
        "channel": rule.channel,
        "received_on": rule.received_on,
        "keyword": rule.keyword,
        "match": rule.match,
        "action": rule.action,
        "subject": subject,
        "reply": rule.reply,
        "active": rule.active,
        "builtin": rule.builtin is not None,
        "pack": rule.builtin,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


async def _columns(conn: AsyncConnection, given: dict[str, Any], subject: SubjectIn | None) -> dict[str, Any]:
    columns = {name: value for name, value in given.items() if name != "subject"}
    if subject is not None:
        columns["subject_kind"] = subject.kind
        columns["preference_id"] = None
        if subject.name is not None:
            known = await preferences.by_names(conn, [subject.name], hold=True)
            if subject.name not in known:
                raise invalid("subject.name", "there is no such preference")
            columns["preference_id"] = known[subject.name]
    return columns


def _receiver(call: Call, channel: str, received_on: str | None) -> str | None:
    """The receiving number or mailbox as messages name it; raises Problem where it is none on the channel."""
    if received_on is None or (channel == "sms" and _SHORT_CODE.fullmatch(received_on)):
        return received_on
    try:
        return call.house.book.proved(channel, received_on).value
    except BadAddress as error:
        raise invalid("received_on", f"no number or mailbox of ours on {channel}: {error}") from error


async def create(call: Call) -> web.Response:
    """Make a rule; it holds for the next message."""
    body = call.body(RuleIn)
    received_on = _receiver(call, body.channel, body.received_on)
    now = call.house.now()

    async def work(conn: AsyncConnection) -> Done:
        values = await _columns(conn, body.model_dump(exclude={"subject"}), body.subject)
        values["received_on"] = received_on
        rule_id = await rulebook.create(conn, values, now=now)
        await audit.note(conn, call.actor, "rule.created", rule_id, {"keyword": body.keyword}, now=now)
        return Done(shown((await rulebook.read(conn, rule_id=rule_id))[0]), 201)

    return await call.commit(work)


async def listed(call: Call) -> web.Response:
    """The rules, built-in ones too."""
    call.query()
    after, limit = call.page()
    async with call.house.database.read() as conn:
        rows = await rulebook.read(conn, after=after, limit=limit)
    return listing([shown(row) for row in rows], [row.rule.id for row in rows], limit)


async def _require(conn: AsyncConnection, rule_id: str) -> RuleRow:
    found = await rulebook.read(conn, rule_id=rule_id)
    if not found:
        raise not_found("rule")
    return found[0]


async def get(call: Call) -> web.Response:
    """Read a rule."""
    async with call.house.database.read() as conn:
        return answer(shown(await _require(conn, call.id)))


async def patch(call: Call) -> web.Response:
    """Change a rule; it holds for the next message."""
    body = call.body(RulePatch)
    not_null(body, "channel", "keyword", "match", "action", "active", "subject")
    now = call.house.now()

    async def work(conn: AsyncConnection) -> Done:
        before = await _require(conn, call.id)
        if before.rule.builtin is not None and body.action not in (None, before.rule.action):
            raise Problem(
                409, "builtin-rule", "A built-in rule keeps its action", "switch it off, and make a rule of your own"
            )
        values = await _columns(conn, body.model_dump(include=body.model_fields_set - {"subject"}), body.subject)
        channel = body.channel or before.rule.channel
        if {"channel", "received_on"} & values.keys():
            received_on = values.get("received_on", before.rule.received_on)
            values["received_on"] = _receiver(call, channel, received_on)
        if values:
            await rulebook.change(conn, call.id, values, now=now)
            await audit.note(conn, call.actor, "rule.changed", call.id, {"fields": sorted(values)}, now=now)
        document = shown(await _require(conn, call.id))
        narrowed = body.active is False or {"keyword", "match", "channel", "received_on", "subject"} & values.keys()
        if before.rule.builtin is not None and before.rule.action == "opt_out" and narrowed:
            document["warning"] = f"people who write {before.rule.keyword} may no longer be opted out by this rule"
        return Done(document)

    return await call.commit(work)


async def delete(call: Call) -> web.Response:
    """Delete a rule; a built-in one can only be switched off."""
    now = call.house.now()

    async def work(conn: AsyncConnection) -> Done:
        await _require(conn, call.id)
        await rulebook.remove(conn, call.id, now=now)
        await audit.note(conn, call.actor, "rule.deleted", call.id, {}, now=now)
        return Done(status=204)

    return await call.commit(work)


async def test(call: Call) -> web.Response:
    """What a message would do, and why; nothing is kept."""
    body = call.body(TestIn)
    async with call.house.database.read() as conn:
        trial = await attempt(
            conn,
            body.text,
            channel=body.channel,
            received_on=body.received_on,
            organisation=call.house.desk.organisation,
            contact=call.house.desk.contact,
            email_subject=body.email_subject,
        )
    return answer(trial_shown(trial))


def trial_shown(trial: Trial) -> dict[str, Any]:
    return {
        "matched": shown(trial.matched) if trial.matched else None,
        "normalized": trial.normalized,
        "changes": trial.changes,
        "reply": trial.reply,
        "review": trial.review,
        "others": [{"rule": shown(row), "why": why} for row, why in trial.others],
    }


ROUTES: Sequence[Route] = (
    Route(
        "POST",
        "/v1/rules",
        create,
        "configure",
        RuleIn,
        example={
            "channel": "sms",
            "keyword": "DRAMA",
            "action": "opt_in",
            "subject": {"kind": "preference", "name": "Drama"},
            "reply": "You will hear of every new play. Reply STOP to hear no more.",
        },
        answers={201: shapes.Rule},
    ),
    Route("GET", "/v1/rules", listed, "configure", query=PAGE, answers={200: shapes.Rules}),
    Route(
        "POST",
        "/v1/rules/test",
        test,
        "configure",
        TestIn,
        example={"channel": "sms", "text": "stop it, please"},
        answers={200: shapes.Trial},
    ),
    Route("GET", "/v1/rules/{id}", get, "configure", answers={200: shapes.Rule}, problems=(404,)),
    Route(
        "PATCH",
        "/v1/rules/{id}",
        patch,
        "configure",
        RulePatch,
        example={"reply": "Drama it is. Reply STOP to hear no more.", "match": "exact"},
        answers={200: shapes.Rule},
        problems=(404, 409),
    ),
    Route("DELETE", "/v1/rules/{id}", delete, "configure", answers={204: None}, problems=(404, 409)),
)
