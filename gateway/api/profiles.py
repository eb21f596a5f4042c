"""Profiles over the API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import islice
from typing import Annotated, Any

from aiohttp import web
from pydantic import Field, StringConstraints, field_validator
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway import audit
from gateway.api import consent, people, shapes
from gateway.api.answers import Done, answer, listing_in_parts
from gateway.api.base import PAGE, Call, Query, Route
from gateway.api.bodies import Body, parse_time
from gateway.api.consent import Channel, ConsentIn
from gateway.problems import Problem, invalid
from outbox import heed
from outbox import people as flows
from outbox.people import Draft, Wanted
from profiles import records
from profiles.addresses import BadAddress
from profiles.links import Held
from profiles.search import Search, find
from profiles.zones import is_zone
from store.engine import Raced
from store.locks import lock_profiles

Text = Annotated[str, StringConstraints(max_length=500)]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=100, strip_whitespace=True)]
MOST_ADDRESSES = 100
MOST_WORDS = 10
SEARCHED = (
    Query("q", "Words in a name, an external id or an address, whatever their case.", may_be_empty=True),
    Query("address", "Who has it, such as `sms:+14155550123`."),
    Query("external_id", "Whose key in your own system it is."),
    Query("tag", "Who has the tag."),
    Query(
        "updated_since",
        "Who was changed since, or has said something. Ask for a minute before your last call: what was under way then "
        "stands at the time it came.",
        is_time=True,
    ),
)


class AddressIn(Body):
    """An address of theirs."""

    channel: Channel
    value: Annotated[str, StringConstraints(min_length=1, max_length=1000)]
    """A number in any form in which it can be dialled, a mailbox, or a postal address."""
    primary: bool = False
    """The one that is taken first on its channel; else the first that is named."""


class ProfileIn(Body):
    """What may be said of a profile; in a PATCH what is absent stays, null empties."""

    external_id: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = None
    """The key of this person in your own system; nobody else has it."""
    first_name: Text | None = None
    last_name: Text | None = None
    locale: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$")] | None = None
    """Their language, such as `es` or `pt-BR`."""
    timezone: Text | None = None
    """Such as `Europe/Madrid`; believed before what the number says, when it is a question of hours."""
    attributes: dict[str, Any] | None = None
    """Whatever you want to know of them, at most 65,536 characters as JSON. In a change these are merged: null takes
    one away (RFC 7396)."""
    tags: Annotated[list[Tag], Field(max_length=1000)] | None = None
    """All of them; in a change they replace those there are."""
    addresses: Annotated[list[AddressIn], Field(max_length=MOST_ADDRESSES)] | None = None
    """All of them; in a change they replace those there are. One that goes leaves its no behind."""
    phones: Annotated[list[str], Field(max_length=MOST_ADDRESSES)] | None = None
    """Numbers that are for texts and for calls: each is an `sms` and a `voice` address."""

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str | None) -> str | None:
        if value is not None and not is_zone(value):
            raise ValueError("use a name of the time zone database, such as Europe/Madrid")
        return value


class NewProfileIn(ProfileIn):
    """A new profile, with what the person has said already."""

    consent: ConsentIn | None = None
    """What they have said, as for `PATCH /v1/profiles/{id}/consent`; it needs the scope `consent:write`."""


def _draft(call: Call, body: ProfileIn, held: Sequence[Held] = ()) -> Draft:
    """What the body says; `phones` alone replaces the numbers, and leaves what else the profile has."""
    given = body.model_fields_set
    names = {name: getattr(body, name) for name in records.NAMES if name in given}
    addresses: list[Wanted] | None = None
    if "addresses" in given or body.phones is not None:
        addresses = [
            _wanted(call, a.channel, a.value, a.primary, f"addresses.{i}") for i, a in enumerate(body.addresses or ())
        ]
        if "addresses" not in given:
            addresses += [
                _wanted(call, h.channel, h.value, h.primary, "addresses")
                for h in held
                if h.channel not in ("sms", "voice")
            ]
        for index, number in enumerate(body.phones or ()):
            addresses += [_wanted(call, channel, number, False, f"phones.{index}") for channel in ("sms", "voice")]
        _one_primary(addresses)
    tags = body.tags if body.tags is not None else ([] if "tags" in given else None)
    attributes = body.attributes
    if "attributes" in given and attributes is None:
        raise invalid("attributes", "null would empty it all: name what is to go, each with null")
    return Draft(names, attributes, tags, addresses)


def _wanted(call: Call, channel: str, value: str, primary: bool, field: str) -> Wanted:
    try:
        return Wanted(call.house.book.parse(channel, value), primary)
    except BadAddress as error:
        raise invalid(f"{field}.value" if field.startswith("addresses") else field, str(error)) from error


def _one_primary(addresses: Sequence[Wanted]) -> None:
    primary = [w.address.channel for w in addresses if w.primary]
    twice = {channel for channel in primary if primary.count(channel) > 1}
    if twice:
        raise invalid("addresses", f"more than one primary address on {', '.join(sorted(twice))}")


async def create(call: Call) -> web.Response:
    """Make a profile."""
    body = call.body(NewProfileIn)
    _needs_consent_scope(call, body)

    async def work(conn: AsyncConnection) -> Done:
        return await _make(conn, call, body)

    return await call.commit(work)


def _needs_consent_scope(call: Call, body: NewProfileIn) -> None:
    if body.consent is not None and not call.key.may("consent:write"):
        raise Problem(403, "forbidden", "The key does not open this", "`consent` needs the scope consent:write")


async def _make(conn: AsyncConnection, call: Call, body: NewProfileIn) -> Done:
    profile_id = await flows.create(conn, _draft(call, body), now=call.house.now())
    heeded = heed.Heeded()
    if body.consent is not None:
        heeded = await consent.apply(conn, call, await people.require(conn, profile_id), body.consent)
    return Done(await people.view_one(conn, profile_id), 201, heeded.closed)


async def search(call: Call) -> web.Response:
    """Find profiles, in the order of their making."""
    query = call.query()
    after, limit = call.page()
    address_hash = None
    if "address" in query:
        try:
            address_hash = call.house.book.find_tagged(query["address"]).hash
        except BadAddress as error:
            raise invalid("address", str(error)) from error
    if len(query.get("q", "").split()) > MOST_WORDS:
        raise invalid("q", f"at most {MOST_WORDS} words")
    since = parse_time(query["updated_since"], "updated_since") if "updated_since" in query else None
    wanted = Search(query.get("q"), address_hash, query.get("external_id"), query.get("tag"), since)
    async with call.house.database.read() as conn:
        ids = iter(await find(conn, wanted, after=after, limit=limit))

        async def read(_after: str | None, count: int) -> tuple[Sequence[Any], Sequence[str]]:
            some = list(islice(ids, count))
            return await people.view(conn, some), some

        return await listing_in_parts(read, after, limit)


async def get(call: Call) -> web.Response:
    """Read a profile."""
    async with call.house.database.read() as conn:
        return answer(await people.view_one(conn, call.id))


async def patch(call: Call) -> web.Response:
    """Change what is named of a profile."""
    body = call.body(ProfileIn)

    async def work(conn: AsyncConnection) -> Done:
        profile = await people.hold(conn, call.id)
        heeded = await flows.change(conn, call.id, _draft(call, body, profile.addresses), now=call.house.now())
        return Done(await people.view_one(conn, call.id), closed=heeded.closed)

    return await call.commit(work)


async def put_by_external_id(call: Call) -> web.Response:
    """Create the profile with this external id, or change what is named of it."""
    body = call.body(NewProfileIn)
    external_id = call.request.match_info["external_id"]
    if body.external_id not in (None, external_id):
        raise invalid("external_id", "the path names another one")
    return await call.commit(putting(call, external_id, body))


def putting(call: Call, external_id: str, body: NewProfileIn) -> Callable[[AsyncConnection], Awaitable[Done]]:
    """The work of creating or changing the profile with this external id; raises Problem for what cannot be done."""
    _needs_consent_scope(call, body)
    if len(external_id) > 255:
        raise invalid("external_id", "at most 255 characters")
    body = body.model_copy(update={"external_id": external_id})
    body.model_fields_set.add("external_id")

    async def work(conn: AsyncConnection) -> Done:
        found = await records.by_external_id(conn, external_id)
        if found is None:
            try:
                return await _make(conn, call, body)
            except records.ExternalIdTaken as error:
                raise Raced("somebody made it meanwhile") from error  # then it is there to be changed
        await lock_profiles(conn, [found])
        if await records.by_external_id(conn, external_id) != found:
            raise Raced("it is nobody's any more, or another's")
        profile = await people.require(conn, found)
        draft = _draft(call, body, profile.addresses)
        heeded = await flows.change(conn, found, draft, now=call.house.now(), since=call.received_at)
        if body.consent is not None:
            changed = await people.require(conn, found)
            said = await consent.apply(conn, call, changed, body.consent)
            heeded = heed.Heeded(said.lines, heeded.closed | said.closed)
            left = {a.address_id for a in profile.addresses} - {a.address_id for a in changed.addresses}
            await flows.leave_behind(conn, found, left, now=call.house.now())
        return Done(await people.view_one(conn, found), closed=heeded.closed)

    return work


async def delete(call: Call) -> web.Response:
    """Delete a profile; its history stays, and every no on its addresses."""

    async def work(conn: AsyncConnection) -> Done:
        await people.hold(conn, call.id)
        now = call.house.now()
        await audit.note(conn, call.actor, "profile.deleted", call.id, {}, now=now)
        return Done(status=204, closed=(await flows.remove(conn, call.id, now=now)).closed)

    return await call.commit(work)


_NEW: Mapping[str, Any] = {
    "external_id": "crm-1042",
    "first_name": "Ana",
    "last_name": "García",
    "locale": "es",
    "timezone": "America/Los_Angeles",
    "tags": ["season-2026"],
    "addresses": [{"channel": "sms", "value": "+14155550123"}, {"channel": "email", "value": "ana@example.org"}],
    "consent": {
        "by": {"kind": "customer"},
        "channels": {"sms": "yes"},
        "wording": "Yes, text me about new plays.",
        "evidence": {"form": "https://example.org/season"},
    },
}
_KNOWN: Mapping[str, Any] = {
    "first_name": "Ana",
    "last_name": "García Ruiz",
    "phones": ["(415) 555-0123"],
    "attributes": {"seats": "balcony"},
}
_CHANGED: Mapping[str, Any] = {"tags": ["season-2026", "friends"], "attributes": {"row": 12, "seats": None}}

ROUTES: Sequence[Route] = (
    Route(
        "POST",
        "/v1/profiles",
        create,
        "profiles:write",
        NewProfileIn,
        example=_NEW,
        answers={201: shapes.Profile},
        problems=(409,),
    ),
    Route("GET", "/v1/profiles", search, "profiles:read", query=(*SEARCHED, *PAGE), answers={200: shapes.Profiles}),
    Route(
        "PUT",
        "/v1/profiles/by-external-id/{external_id}",
        put_by_external_id,
        "profiles:write",
        NewProfileIn,
        example=_KNOWN,
        answers={200: shapes.Profile, 201: shapes.Profile},
        problems=(409,),
    ),
    Route("GET", "/v1/profiles/{id}", get, "profiles:read", answers={200: shapes.Profile}, problems=(404,)),
    Route(
        "PATCH",
        "/v1/profiles/{id}",
        patch,
        "profiles:write",
        ProfileIn,
        example=_CHANGED,
        answers={200: shapes.Profile},
        problems=(404, 409),
    ),
    Route("DELETE", "/v1/profiles/{id}", delete, "profiles:write", answers={204: None}, problems=(404,)),
)
