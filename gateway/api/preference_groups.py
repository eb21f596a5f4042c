"""Groups of preferences over the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from aiohttp import web
from pydantic import Field, StringConstraints
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import groups
from consent.groups import Group
from forms import catalogue
from gateway import audit, uses
from gateway.api import preference_shapes as shapes
from gateway.api.answers import Done, answer, listing_of_all
from gateway.api.base import PAGE, Call, Route
from gateway.api.bodies import Body, not_null
from gateway.api.consent import Name
from gateway.api.renewing import renew_forms
from gateway.problems import not_found

Text = Annotated[str, StringConstraints(max_length=2000)]
Place = Annotated[int, Field(ge=0, le=100_000)]


class GroupIn(Body):
    """A group of preferences."""

    headline: Name
    """Shown above its preferences; no other group has it."""
    text: Text | None = None
    """Shown below the headline."""
    active: bool = True
    """Whether what stands in it is shown."""
    order: Place | None = None
    """Its place among the groups, from 0; the last when absent."""


class GroupPatch(Body):
    """What is absent stays; null empties."""

    headline: Name | None = None
    text: Text | None = None
    active: bool | None = None
    order: Place | None = None


class GroupOrderIn(Body):
    """All groups, in the order they are to stand in."""

    ids: Annotated[list[Name], Field(max_length=10_000)]
    """Each group once, by its id or its headline."""


def shown(group: Group) -> dict[str, Any]:
    return {
        "id": group.id,
        "headline": group.headline,
        "text": group.text,
        "active": group.active,
        "partner": group.partner,
        "order": group.position,
        "created_at": group.created_at,
        "updated_at": group.updated_at,
    }


async def create(call: Call) -> web.Response:
    """Make a group of preferences."""
    body = call.body(GroupIn)
    now = call.house.now()

    async def work(conn: AsyncConnection) -> Done:
        made = await groups.create(conn, **body.model_dump(exclude={"order"}), place=body.order, now=now)
        await audit.note(conn, call.actor, "preference_group.created", made.id, {"headline": made.headline}, now=now)
        return Done(shown(made), 201)

    return await call.commit(work)


async def listed(call: Call) -> web.Response:
    """The groups, in their order."""
    call.query()
    after, limit = call.page()
    async with call.house.database.read() as conn:
        found = await groups.listed(conn)
    return listing_of_all([shown(group) for group in found], [group.id for group in found], after, limit)


async def get(call: Call) -> web.Response:
    """Read a group."""
    async with call.house.database.read() as conn:
        return answer(shown(await _require(conn, call.id)))


async def patch(call: Call) -> web.Response:
    """Change a group."""
    body = call.body(GroupPatch)
    not_null(body, "headline", "active", "order")
    now = call.house.now()

    async def work(conn: AsyncConnection) -> Done:
        await catalogue.hold_words(conn)
        found = await _require(conn, call.id)
        given = body.model_dump(include=body.model_fields_set)
        if given:
            place = given.pop("order", None)
            fields = sorted(body.model_fields_set)
            found = await groups.change(conn, call.id, given, place=place, now=now)
            await audit.note(conn, call.actor, "preference_group.changed", call.id, {"fields": fields}, now=now)
            await renew_forms(conn, call, now=now)
        return Done(shown(found))

    return await call.commit(work)


async def delete(call: Call) -> web.Response:
    """Delete a group in which no preference stands; another is refused, with the names of those that do."""
    now = call.house.now()

    async def work(conn: AsyncConnection) -> Done:
        if not await groups.hold(conn, call.id):
            raise not_found("preference group")
        found = await uses.of_group(conn, call.id)
        uses.refuse(found, "Preferences stand in the group", "move them, or make the group inactive")
        await groups.remove(conn, call.id)
        await audit.note(conn, call.actor, "preference_group.deleted", call.id, {}, now=now)
        return Done(status=204)

    return await call.commit(work)


async def arrange(call: Call) -> web.Response:
    """Let the groups stand in this order; all of them must be named."""
    body = call.body(GroupOrderIn)
    now = call.house.now()

    async def work(conn: AsyncConnection) -> Done:
        await groups.arrange(conn, body.ids)
        await audit.note(conn, call.actor, "preference_groups.arranged", None, {"groups": len(body.ids)}, now=now)
        return Done({"items": [shown(group) for group in await groups.listed(conn)], "next": None})

    return await call.commit(work)


async def _require(conn: AsyncConnection, group_id: str) -> Group:
    found = await groups.find(conn, group_id)
    if found is None:
        raise not_found("preference group")
    return found


ROUTES: Sequence[Route] = (
    Route(
        "POST",
        "/v1/preference-groups",
        create,
        "configure",
        GroupIn,
        example={"headline": "What would you like to hear about?", "text": "Tick as many as you like."},
        answers={201: shapes.PreferenceGroup},
        problems=(409,),
    ),
    Route("GET", "/v1/preference-groups", listed, "configure", query=PAGE, answers={200: shapes.PreferenceGroups}),
    Route(
        "PUT",
        "/v1/preference-groups/order",
        arrange,
        "configure",
        GroupOrderIn,
        example={"ids": ["What would you like to hear about?"]},
        answers={200: shapes.PreferenceGroups},
    ),
    Route(
        "GET",
        "/v1/preference-groups/{id}",
        get,
        "configure",
        answers={200: shapes.PreferenceGroup},
        problems=(404,),
    ),
    Route(
        "PATCH",
        "/v1/preference-groups/{id}",
        patch,
        "configure",
        GroupPatch,
        example={"text": "Tick as many as you like. You can change your mind at any time.", "order": 0},
        answers={200: shapes.PreferenceGroup},
        problems=(404, 409),
    ),
    Route("DELETE", "/v1/preference-groups/{id}", delete, "configure", answers={204: None}, problems=(404, 409)),
)
