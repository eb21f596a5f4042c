"""Consent over the API: flags set on somebody's word, the history, the verdict."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import structlog
from aiohttp import web
from pydantic import AfterValidator, Field, StringConstraints, field_validator
from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncConnection

from audience import history_sheet, spreadsheet
from consent import history, preferences
from consent.history import HistoryLine
from consent.states import CHANNELS, EVERYTHING, SOURCES, Change, State, Subject, Wish
from gateway.api import people, shapes
from gateway.api.answers import PART, Done, listing_in_parts
from gateway.api.base import PAGE, Call, Query, Route
from gateway.api.bodies import Body, parse_time
from gateway.problems import invalid
from outbox import dispositions, heed, interactions
from profiles import merges
from profiles.addresses import AddressBook, BadAddress
from profiles.records import Profile
from store.ids import new_id

log = structlog.get_logger("api")

MOST_EVIDENCE = 65_536  # characters, as JSON: it is kept for good, and each page of the history shows it

Channel = Literal["sms", "whatsapp", "email", "voice", "post"]
StateName = Literal["yes", "no", "not_asked"]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]


def _speaks_for_nobody(name: str) -> str:
    if " for " in name:
        raise ValueError("a name cannot hold ` for `: that is how the history says who spoke for whom")
    return name


def _usable(evidence: dict[str, Any]) -> dict[str, Any]:
    if evidence and len(json.dumps(evidence, ensure_ascii=False)) > MOST_EVIDENCE:
        raise ValueError(f"as JSON it holds at most {MOST_EVIDENCE:,} characters: say where the whole is kept")
    obtained = evidence.get("obtained_at")
    if obtained is not None:
        try:
            zoned = datetime.fromisoformat(str(obtained)).tzinfo is not None
        except ValueError:
            zoned = False
        if not zoned:
            raise ValueError("obtained_at: use an RFC 3339 time with a zone, such as 2026-11-22T09:30:00Z")
    return evidence


AgentName = Annotated[Name, AfterValidator(_speaks_for_nobody)]
Evidence = Annotated[dict[str, Any], AfterValidator(_usable)]


class By(Body):
    """Who said it: the customer to the caller, or an agent on the customer's word."""

    kind: Literal["customer", "agent"]
    """`customer`: it is the person's own act, and counts as one. `agent`: staff, who were told."""
    name: AgentName | None = None
    """Who of your staff."""


class ConsentIn(Body):
    """A change of consent; what is absent stays."""

    by: By | None = None
    """Whose word it is; absent: your system's."""
    at: datetime | None = None
    """When it was said, if not now; never believed to be later than the request."""
    wording: Annotated[str, StringConstraints(max_length=10_000)] | None = None
    """What they were asked or said, word for word."""
    basis: Literal["express", "implied", "soft_opt_in"] | None = None
    """Of a yes; `express` when absent."""
    expires_at: datetime | None = None
    """When a yes ends."""
    everything: StateName | None = None
    """About all there is: a no stops it all, also what is added later."""
    channels: dict[Channel, StateName] = Field(default_factory=dict)
    """By channel."""
    addresses: dict[str, StateName] = Field(default_factory=dict, max_length=1000)
    """By address, such as `sms:+14155550123`."""
    preferences: dict[str, StateName] = Field(default_factory=dict, max_length=1000)
    """By the preference's name."""
    evidence: Evidence = Field(default_factory=dict)
    """What shows it, at most 65,536 characters as JSON. Over a person's no a yes needs `obtained_at`, later than that
    no, and `how`."""

    @field_validator("at", "expires_at")
    @classmethod
    def _zoned(cls, value: datetime | None) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("the time needs a zone, such as Z or +01:00")
        try:
            return value.astimezone(UTC) if value is not None else None
        except OverflowError:
            raise ValueError("the time is out of range") from None


async def apply(conn: AsyncConnection, call: Call, profile: Profile, body: ConsentIn) -> heed.Heeded:
    """Record what the body says of the profile, in the caller's transaction; raises Problem, ledger.Refused.

    The caller holds the profile since before it was read: else an address that is named may have left it meanwhile.
    """
    wishes = await _wishes(conn, profile, body, call.house.book)
    if not wishes:
        raise invalid("", "name at least one of everything, channels, addresses, preferences")
    not_of_the_future(call, body.evidence)
    evidence = dict(body.evidence)
    if body.wording is not None:
        evidence["wording"] = body.wording
    if body.by is not None and body.by.name is not None:
        evidence["by"] = {"kind": body.by.kind, "name": body.by.name}
    change = Change(
        profile_id=profile.id,
        change_id=new_id("chg"),
        wishes=tuple(wishes),
        source="api",
        actor=_actor(call, body.by),
        said_at=body.at,
        received_at=call.received_at,
        by_person=body.by is not None and body.by.kind == "customer",
        by_agent=body.by is not None and body.by.kind == "agent",
        evidence=evidence,
    )
    return await heed.record(conn, [change], now=call.house.now())


def not_of_the_future(call: Call, evidence: Mapping[str, Any]) -> None:
    """Raise Problem for what is said to have been obtained after the call."""
    obtained = evidence.get("obtained_at")
    if obtained is not None and datetime.fromisoformat(str(obtained)) > call.received_at:
        raise invalid("evidence.obtained_at", "it lies in the future")


def _actor(call: Call, by: By | None) -> str:
    if by is None:
        return call.actor
    if by.kind == "customer":
        return f"{call.actor} for customer"
    return f"{call.actor} for agent:{by.name}" if by.name else f"{call.actor} for agent"


async def _wishes(conn: AsyncConnection, profile: Profile, body: ConsentIn, book: AddressBook) -> list[Wish]:
    def wish(subject: Subject, to: State) -> Wish:
        return Wish(subject, to, body.basis, body.expires_at)

    wishes: list[Wish] = []
    if body.everything is not None:
        wishes.append(wish(EVERYTHING, body.everything))
    wishes += [wish(Subject("channel", channel), to) for channel, to in body.channels.items()]
    held = {f"{a.channel}:{a.value}".casefold(): a.address_id for a in profile.addresses}
    for text, to in body.addresses.items():
        try:
            address = str(book.find_tagged(text)).casefold()
        except BadAddress as error:
            raise invalid(f"addresses.{text}", str(error)) from error
        if address not in held:
            raise invalid(f"addresses.{text}", "the profile has no such address")
        if any(w.subject.key == held[address] for w in wishes):
            raise invalid(f"addresses.{text}", "the same address is named twice")
        wishes.append(wish(Subject("address", held[address]), to))
    known = await preferences.by_names(conn, body.preferences, hold=True)
    for name, to in body.preferences.items():
        if name not in known:
            raise invalid(f"preferences.{name}", "there is no such preference")
        wishes.append(wish(Subject("preference", known[name]), to))
    return wishes


async def patch(call: Call) -> web.Response:
    """Set flags of a profile, on somebody's word."""
    body = call.body(ConsentIn)

    async def work(conn: AsyncConnection) -> Done:
        profile = await people.hold(conn, call.id)
        heeded = await apply(conn, call, profile, body)
        shown = (await people.view_one(conn, call.id))["consent"]
        ids = [line.event.id for line in heeded.lines]
        lines = await history.by_ids(conn, ids)
        document = {
            "change_id": heeded.lines[0].event.change_id if heeded.lines else None,
            "events": [line_shown(line) for line in lines],
            "consent": shown,
        }
        return Done(document, closed=heeded.closed)

    return await call.commit(work)


# --- the history ------------------------------------------------------------------------------


def line_shown(line: HistoryLine) -> dict[str, Any]:
    subject: dict[str, Any] = {"kind": line.kind}
    if line.kind == "channel":
        subject["channel"] = line.key
    elif line.kind == "address":
        subject |= {"channel": line.subject_channel, "address": line.subject_value}
    elif line.kind == "preference":
        subject["name"] = line.preference
        if line.preference_active is False:
            subject["active"] = False
    return {
        "id": line.id,
        "seq": line.seq,
        "change_id": line.change_id,
        "profile_id": line.profile_id,
        "subject": subject,
        "address": line.address,
        "with_address": line.with_address,
        "from": line.from_state,
        "to": line.to_state,
        "basis": line.basis,
        "expires_at": line.expires_at,
        "at": line.at,
        "provider_at": line.provider_at,
        "source": line.source,
        "actor": line.actor,
        "via": line.via,
        "superseded": line.superseded,
        "evidence": line.evidence,
        "hash": line.hash,
    }


async def profile_history(call: Call) -> web.Response:
    """The history of a profile, the newest first; it outlives the profile.

    That of those who were merged into it is told with it, each line under the id that it was said under.
    """
    call.query()
    after, limit = call.page()
    async with call.house.database.read() as conn:
        chosen = history.Filter(profile_ids=await merges.family(conn, call.id))
        if after is None and not await history.read(conn, chosen, before=None, limit=1):
            await people.require(conn, call.id)
        return await _listed(conn, chosen, after, limit)


EVENTS_CHOSEN = (
    Query("since", "From this time on. What was under way at your last call stands at the time it came.", is_time=True),
    Query("until", "Before this time.", is_time=True),
    Query("source", "By which door it came.", sorted(SOURCES)),
    Query("actor", "Who said it, such as `customer` or `key:crm`."),
    Query("subject", "About what.", ("everything", "channel", "address", "preference")),
    Query("channel", "About which channel, or an address of it.", CHANNELS),
    Query("disposition", "By talks that ended with it, by its name or id."),
    Query("format", "json, or csv.", ("json", "csv")),
)


async def consent_events(call: Call) -> web.StreamResponse:
    """Every opt-in and opt-out, the newest first.

    With `format=csv` all of them as one file, whatever the limit.
    """
    query = call.query()
    after, limit = call.page()
    chosen = history.Filter(
        since=parse_time(query["since"], "since") if "since" in query else None,
        until=parse_time(query["until"], "until") if "until" in query else None,
        source=query.get("source"),
        actor=query.get("actor"),
        kind=query.get("subject"),
        channel=query.get("channel"),
        changes=await _changes_by(call, query["disposition"]) if "disposition" in query else None,
    )
    if query.get("format") == "csv":
        return await _as_csv(call, chosen, before=_seq(after))
    async with call.house.database.read() as conn:
        return await _listed(conn, chosen, after, limit)


async def _changes_by(call: Call, named: str) -> Select[tuple[str]]:
    """The changes that talks with this end have made; raises UnknownDisposition."""
    async with call.house.database.read() as conn:
        return interactions.changes_by((await dispositions.require(conn, named)).id)


async def _listed(conn: AsyncConnection, chosen: history.Filter, after: str | None, limit: int) -> web.Response:
    async def read(behind: str | None, count: int) -> tuple[Sequence[Any], Sequence[str]]:
        lines = await history.read(conn, chosen, before=_seq(behind), limit=count)
        return [line_shown(line) for line in lines], [str(line.seq) for line in lines]

    return await listing_in_parts(read, after, limit)


async def _as_csv(call: Call, chosen: history.Filter, *, before: int | None) -> web.StreamResponse:
    """All of it as a file, a page at a time: `limit` is for those who read page by page."""
    response = web.StreamResponse(headers={"Content-Disposition": 'attachment; filename="consent-events.csv"'})
    response.content_type, response.charset = "text/csv", "utf-8"
    await response.prepare(call.request)
    await response.write(spreadsheet.encoded([history_sheet.COLUMNS]))
    try:
        while True:
            async with call.house.database.read() as conn:
                lines = await history.read(conn, chosen, before=before, limit=PART)
            await response.write(spreadsheet.encoded(map(history_sheet.cells, lines)))
            if len(lines) < PART:
                break
            before = lines[-1].seq
    except Exception as error:
        log.warning("export.cut", error=type(error).__name__)
        if call.request.transport is not None:
            call.request.transport.abort()  # a file that ends early must not look whole
        return response
    await response.write_eof()
    return response


def _seq(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not cursor.isdecimal() or len(cursor) > 18:
        raise invalid("cursor", "use the `next` of an earlier answer as it is")
    return int(cursor)


ROUTES: Sequence[Route] = (
    Route(
        "PATCH",
        "/v1/profiles/{id}/consent",
        patch,
        "consent:write",
        ConsentIn,
        example={
            "by": {"kind": "agent", "name": "Maria"},
            "channels": {"sms": "yes"},
            "preferences": {"Drama": "yes"},
            "wording": "May we text you about new plays?",
            "evidence": {"how": "at the box office", "obtained_at": "2026-03-14T18:40:00Z"},
        },
        answers={200: shapes.Changed},
        problems=(404, 409),
    ),
    Route(
        "GET",
        "/v1/profiles/{id}/history",
        profile_history,
        "consent:read",
        query=PAGE,
        answers={200: shapes.Lines},
        problems=(404,),
    ),
    Route(
        "GET",
        "/v1/consent-events",
        consent_events,
        "consent:read",
        query=(*EVENTS_CHOSEN, *PAGE),
        answers={200: shapes.Lines},
        files=("text/csv",),
    ),
)
