"""Interactions over the API: how a talk with a customer ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

from aiohttp import web
from pydantic import Field, StringConstraints
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import history
from gateway.api import disposition_shapes as shapes
from gateway.api import people
from gateway.api.answers import Done, listing_in_parts
from gateway.api.base import PAGE, Call, Route
from gateway.api.bodies import Body, with_plus
from gateway.api.consent import AgentName, Channel, Evidence, Name, line_shown, not_of_the_future
from gateway.problems import invalid
from outbox import dispositions, interactions
from outbox.interactions import Interaction, Talk
from profiles import merges
from profiles.addresses import BadAddress
from profiles.links import Held
from profiles.records import Profile


class InteractionIn(Body):
    """A talk with a customer, and how it ended."""

    disposition: Name
    """The name of the disposition, or its id."""
    channel: Channel
    """By which they were contacted, or contacted you."""
    address: Annotated[str, StringConstraints(min_length=1, max_length=1000)] | None = None
    """At which of their own; a disposition that is about the address contacted needs it."""
    note: Annotated[str, StringConstraints(max_length=10_000)] | None = None
    """For your staff; it does not stand in the history of consent."""
    by: AgentName | None = None
    """Who of your staff talked to them."""
    reference: Annotated[str, StringConstraints(max_length=255)] | None = None
    """Of your own records, such as the id of the call."""
    evidence: Evidence = Field(default_factory=dict)
    """Over a person's own no a disposition's yes needs `obtained_at`, later than that no, and `how`."""


def shown(interaction: Interaction) -> dict[str, Any]:
    return asdict(interaction)


async def create(call: Call) -> web.Response:
    """Record how a talk with a customer ended; what its disposition changes is changed, on the word of your staff.

    Over the person's own no a yes needs `evidence`; with one change refused nothing of it is kept.
    """
    body = call.body(InteractionIn)
    not_of_the_future(call, body.evidence)

    async def work(conn: AsyncConnection) -> Done:
        profile = await people.hold(conn, call.id)
        talk = Talk(
            disposition=await dispositions.require(conn, body.disposition, hold=True),
            channel=body.channel,
            address=_contacted(call, profile, body.channel, body.address),
            note=body.note,
            by=body.by,
            reference=body.reference,
            told_by=call.actor,
            evidence=body.evidence,
            at=call.received_at,
        )
        made, heeded = await interactions.record(conn, profile, talk, now=call.house.now())
        lines = await history.by_ids(conn, [line.event.id for line in heeded.lines])
        told = {
            "events": [line_shown(line) for line in lines],
            "consent": (await people.view_one(conn, call.id))["consent"],
        }
        return Done(shown(await interactions.read(conn, made)) | told, 201, heeded.closed)

    return await call.commit(work)


def _contacted(call: Call, profile: Profile, channel: str, text: str | None) -> Held | None:
    """Which of the person's addresses that is; raises Problem where it is none."""
    if text is None:
        return None
    try:
        value = call.house.book.proved(channel, with_plus(text)).value.casefold()
    except BadAddress as error:
        raise invalid("address", str(error)) from error
    for held in profile.addresses:
        if held.channel == channel and held.value.casefold() == value:
            return held
    raise invalid("address", f"the profile has no such address on {channel}")


async def listed(call: Call) -> web.Response:
    """The talks with a customer, the newest first; with those of who was merged into them."""
    call.query()
    before, limit = call.page()
    async with call.house.database.read() as conn:
        await people.require(conn, call.id)
        family = await merges.family(conn, call.id)

        async def read(behind: str | None, count: int) -> tuple[Sequence[Any], Sequence[str]]:
            found = await interactions.listed(conn, family, before=behind, limit=count)
            return [shown(one) for one in found], [one.id for one in found]

        return await listing_in_parts(read, before, limit)


ROUTES: Sequence[Route] = (
    Route(
        "POST",
        "/v1/profiles/{id}/interactions",
        create,
        "consent:write",
        InteractionIn,
        example={
            "disposition": "Do not call again",
            "channel": "voice",
            "address": "+14155550123",
            "note": "She was at work, and would rather have letters.",
            "by": "Maria",
            "reference": "call-4711",
        },
        answers={201: shapes.InteractionMade},
        problems=(404, 409),
    ),
    Route(
        "GET",
        "/v1/profiles/{id}/interactions",
        listed,
        "consent:read",
        query=PAGE,
        answers={200: shapes.Interactions},
        problems=(404,),
    ),
)
