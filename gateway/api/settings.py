"""Defaults and preferences over the API."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import Field, StringConstraints
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import defaults, preferences
from consent.preferences import Preference
from gateway import audit
from gateway.api import shapes
from gateway.api.answers import Done, answer, listing
from gateway.api.base import PAGE, Call, Route
from gateway.api.bodies import Body
from gateway.api.consent import Channel, Name
from gateway.problems import invalid

YesNo = Literal["yes", "no"]


class DefaultsIn(Body):
    """The channels to change; the others stay."""

    sms: YesNo | None = None
    whatsapp: YesNo | None = None
    email: YesNo | None = None
    voice: YesNo | None = None
    post: YesNo | None = None


class PreferenceIn(Body):
    """A question put to customers."""

    name: Name
    """For staff and reports; no other has it."""
    text: Annotated[str, StringConstraints(min_length=1, max_length=2000)] | None = None
    """All that customers see of it; the name when absent."""
    description: Annotated[str, StringConstraints(max_length=2000)] | None = None
    """For staff."""
    selected_by_default: bool = False
    active: bool = True
    linked_channel: Channel | None = None
    """The channel whose no it follows, and whose yes it brings."""
    contexts: list[Annotated[str, StringConstraints(min_length=1, max_length=100)]] = Field(default_factory=list)
    """Where it is asked; none: everywhere."""
    partner: Name | None = None


async def get_defaults(call: Call) -> web.Response:
    """The answer per channel for profiles made now that are never asked."""
    async with call.house.database.read() as conn:
        return answer(await defaults.current(conn))


async def patch_defaults(call: Call) -> web.Response:
    """Change the defaults; nobody already known changes."""
    body = call.body(DefaultsIn)
    states = body.model_dump(exclude_none=True)
    for name in body.model_fields_set - states.keys():
        raise invalid(name, "cannot be null: use yes or no")
    now = call.house.now()

    async def work(conn: AsyncConnection) -> Done:
        if not states:
            return Done(await defaults.current(conn))
        await audit.note(conn, call.actor, "defaults.changed", None, states, now=now)
        return Done(await defaults.change(conn, states, actor=call.actor, now=now))

    return await call.commit(work)


async def apply_defaults(call: Call) -> web.Response:
    """Let the present defaults hold for everybody known as well, as an act of yours that is recorded.

    Nobody's answer changes: a default is never consent, it counts for those only who were never asked. What waits to be
    sent is judged by it when it is sent.
    """

    async def begin(conn: AsyncConnection) -> Done:
        version = await defaults.current_version(conn)
        await audit.note(conn, call.actor, "defaults.applying", None, {"version": version}, now=call.house.now())
        return Done({"version": version, "states": await defaults.of(conn, version)})

    begun = await _step(call, 0, begin)
    version, states = begun["version"], begun["states"]
    count, number = 0, 0
    last: str | None = ""
    while last is not None:
        number += 1
        done = await _step(call, number, partial(_extend, version=version, after=last))
        count, last = count + done["profiles"], done["last"]

    async def work(conn: AsyncConnection) -> Done:
        detail = {"version": version, "profiles": count, **states}
        await audit.note(conn, call.actor, "defaults.applied", None, detail, now=call.house.now())
        return Done({"defaults": states, "version": version, "profiles": count})

    return await call.commit(work)


async def _extend(conn: AsyncConnection, *, version: int, after: str) -> Done:
    ids = await defaults.extend(conn, version, after=after)
    return Done({"profiles": len(ids), "last": ids[-1] if ids else None})


async def _step(call: Call, number: int, work: Callable[[AsyncConnection], Awaitable[Done]]) -> Any:
    """What a step came to. Under an Idempotency-Key each is done once: who comes with it again, here or at another
    replica, goes the same way, with the defaults that it began with."""
    kept, _ = await call.once_only(work, call.once.part(number) if call.once is not None else None)
    return json.loads(kept.body)


def shown(preference: Preference) -> dict[str, Any]:
    return {
        "id": preference.id,
        "name": preference.name,
        "text": preference.text,
        "description": preference.description,
        "selected_by_default": preference.selected_by_default,
        "active": preference.active,
        "linked_channel": preference.linked_channel,
        "contexts": list(preference.contexts),
        "partner": preference.partner,
        "created_at": preference.created_at,
        "updated_at": preference.updated_at,
    }


async def create_preference(call: Call) -> web.Response:
    """Make a preference: a question put to customers."""
    body = call.body(PreferenceIn)
    now = call.house.now()

    async def work(conn: AsyncConnection) -> Done:
        made = await preferences.create(conn, **body.model_dump(), now=now)
        await audit.note(conn, call.actor, "preference.created", made.id, {"name": made.name}, now=now)
        return Done(shown(made), 201)

    return await call.commit(work)


async def list_preferences(call: Call) -> web.Response:
    """The preferences, in the order of their making."""
    call.query()
    after, limit = call.page()
    async with call.house.database.read() as conn:
        found = await preferences.listed(conn, after=after, limit=limit)
    return listing([shown(p) for p in found], [p.id for p in found], limit)


ROUTES: Sequence[Route] = (
    Route("GET", "/v1/settings/defaults", get_defaults, "configure", answers={200: shapes.Defaults}),
    Route(
        "PATCH",
        "/v1/settings/defaults",
        patch_defaults,
        "configure",
        DefaultsIn,
        example={"post": "yes"},
        answers={200: shapes.Defaults},
    ),
    Route("POST", "/v1/settings/defaults/apply", apply_defaults, "admin", answers={200: shapes.DefaultsApplied}),
    Route(
        "POST",
        "/v1/preferences",
        create_preference,
        "configure",
        PreferenceIn,
        example={"name": "Drama", "text": "New plays, about once a month", "linked_channel": "sms"},
        answers={201: shapes.Preference},
        problems=(409,),
    ),
    Route("GET", "/v1/preferences", list_preferences, "configure", query=PAGE, answers={200: shapes.Preferences}),
)
