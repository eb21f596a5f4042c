"""Preferences over the API: the questions put to customers, and who has answered them how."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Annotated, Any

from aiohttp import web
from pydantic import AfterValidator, Field, StringConstraints, model_validator
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import groups, preferences
from consent.preferences import Preference
from consent.states import STATES
from gateway import audit, uses
from gateway.api import people
from gateway.api import preference_shapes as shapes
from gateway.api import shapes as others
from gateway.api.answers import Done, answer, listing_in_parts, listing_of_all
from gateway.api.base import PAGE, Call, Query, Route
from gateway.api.bodies import Body, not_null
from gateway.api.consent import Channel, Name
from gateway.api.preference_groups import Place
from gateway.api.renewing import renew_forms
from gateway.problems import not_found

Text = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
Description = Annotated[str, StringConstraints(max_length=2000)]
MOST_CONTEXTS = 100
Contexts = Annotated[
    list[Annotated[str, StringConstraints(min_length=1, max_length=100)]], Field(max_length=MOST_CONTEXTS)
]


def _is_a_column(name: str) -> str:
    """A sheet of people has it in the name of a column, around which blanks mean nothing."""
    if name != name.strip():
        raise ValueError("a name neither begins nor ends with a blank")
    return name


OwnName = Annotated[Name, AfterValidator(_is_a_column)]


class PreferenceIn(Body):
    """A question put to customers."""

    name: OwnName
    """For staff and reports; no other has it. It neither begins nor ends with a blank."""
    text: Text | None = None
    """All that customers see of it; the name when absent."""
    description: Description | None = None
    """For staff."""
    group: Name | None = None
    """The headline or the id of the group it stands in; absent: before all groups."""
    selected_by_default: bool = False
    """Whether its box is checked for people who are new."""
    active: bool = True
    """An inactive one is not shown any more, and still counts wherever it was answered."""
    linked_channel: Channel | None = None
    """The channel whose no it follows, and whose yes it brings."""
    contexts: Contexts = Field(default_factory=list)
    """Where it is asked, such as `donation`; none: everywhere."""
    partner: Name | None = None
    """For whom it is asked, where that is another organisation: it stands in the partner group then, and is asked
    where the page names `partner:NAME`."""
    order: Place | None = None
    """Its place in its group, from 0; the last when absent."""


class PreferencePatch(Body):
    """What is absent stays; null empties."""

    name: OwnName | None = None
    text: Text | None = None
    description: Description | None = None
    group: Name | None = None
    selected_by_default: bool | None = None
    active: bool | None = None
    linked_channel: Channel | None = None
    contexts: Contexts | None = None
    partner: Name | None = None
    order: Place | None = None


class PreferenceOrderIn(Body):
    """All preferences of one group, in the order they are to stand in."""

    group: Name | None = None
    """The headline or the id of the group; absent: those that stand in none."""
    names: Annotated[list[Name], Field(max_length=10_000)] | None = None
    """Each of them once, by its name."""
    ids: Annotated[list[Name], Field(max_length=10_000)] | None = None
    """Or by its id."""

    @model_validator(mode="after")
    def _either(self) -> PreferenceOrderIn:
        if (self.names is None) == (self.ids is None):
            raise ValueError("give `names` or `ids`")
        return self


def shown(preference: Preference) -> dict[str, Any]:
    return {
        "id": preference.id,
        "name": preference.name,
        "text": preference.text,
        "description": preference.description,
        "group": preference.group,
        "group_id": preference.group_id,
        "selected_by_default": preference.selected_by_default,
        "active": preference.active,
        "linked_channel": preference.linked_channel,
        "contexts": list(preference.contexts),
        "partner": preference.partner,
        "order": preference.position,
        "created_at": preference.created_at,
        "updated_at": preference.updated_at,
    }


async def create(call: Call) -> web.Response:
    """Make a preference: a question put to customers."""
    body = call.body(PreferenceIn)
    now = call.house.now()

    async def work(conn: AsyncConnection) -> Done:
        made = await preferences.create(conn, **body.model_dump(exclude={"order"}), place=body.order, now=now)
        await audit.note(conn, call.actor, "preference.created", made.id, {"name": made.name}, now=now)
        return Done(shown(made), 201)

    return await call.commit(work)


async def listed(call: Call) -> web.Response:
    """The preferences as they are shown: those without a group, then group by group; inactive ones too."""
    call.query()
    after, limit = call.page()
    async with call.house.database.read() as conn:
        found = await preferences.listed(conn)
    return listing_of_all([shown(one) for one in found], [one.id for one in found], after, limit)


async def get(call: Call) -> web.Response:
    """Read a preference, with how many people have answered it how."""
    async with call.house.database.read() as conn:
        found = await _require(conn, call.id)
        return answer(shown(found) | {"counts": await preferences.counts(conn, call.id)})


async def patch(call: Call) -> web.Response:
    """Change a preference. What people have answered stays, and the words they answered stand in the history.

    A new name is refused while the text of a broadcast under way says the old one, and a linked channel while one about
    the preference goes out on another.
    """
    body = call.body(PreferencePatch)
    not_null(body, "name", "selected_by_default", "active", "order")
    now = call.house.now()

    async def work(conn: AsyncConnection) -> Done:
        found = await _require(conn, call.id, hold=True)
        given = body.model_dump(include=body.model_fields_set)
        if given:
            place = given.pop("order", None)
            if "contexts" in given:
                given["contexts"] = given["contexts"] or []
            await _refuse_under_way(conn, found, given)
            found = await preferences.change(conn, found, given, place=place, now=now)
            fields = sorted(body.model_fields_set)
            await audit.note(conn, call.actor, "preference.changed", call.id, {"fields": fields}, now=now)
            await renew_forms(conn, call, now=now)
        return Done(shown(found))

    return await call.commit(work)


async def _refuse_under_way(conn: AsyncConnection, preference: Preference, given: dict[str, Any]) -> None:
    """Raises Problem where a broadcast that has begun, or is to, counts on what would change."""
    if given.get("name", preference.name) != preference.name:
        found = await uses.broadcasts_with(conn, preference.name)
        uses.refuse(found, "The name is in use", "wait until they are done, or cancel them")
    channel = given.get("linked_channel")
    if channel is not None:
        found = await uses.broadcasts_on_others(conn, preference.id, channel)
        uses.refuse(found, "A linked preference is of its channel", "wait until they are done, or cancel them")


async def delete(call: Call) -> web.Response:
    """Delete a preference that was never used; another is refused, with every use named.

    What people have answered stays in the history for good: make such a preference inactive instead.
    """
    now = call.house.now()

    async def work(conn: AsyncConnection) -> Done:
        found = await _require(conn, call.id, hold=True)
        used = await uses.of_preference(conn, found, now=now)
        uses.refuse(used, "The preference is in use", "make it inactive instead")
        await preferences.remove(conn, found)
        await audit.note(conn, call.actor, "preference.deleted", call.id, {"name": found.name}, now=now)
        return Done(status=204)

    return await call.commit(work)


async def arrange(call: Call) -> web.Response:
    """Let the preferences of a group stand in this order; all of them must be named."""
    body = call.body(PreferenceOrderIn)
    now = call.house.now()

    async def work(conn: AsyncConnection) -> Done:
        group = await groups.require(conn, body.group) if body.group is not None else None
        group_id = group.id if group is not None else None
        found = await preferences.arrange(conn, group_id, body.names if body.names is not None else body.ids or [])
        await audit.note(conn, call.actor, "preferences.arranged", group_id, {"preferences": len(found)}, now=now)
        return Done({"items": [shown(one) for one in found], "next": None})

    return await call.commit(work)


async def who(call: Call) -> web.Response:
    """The profiles whose answer this is, in the order of their making."""
    query = call.query()
    after, limit = call.page()
    async with call.house.database.read() as conn:
        await _require(conn, call.id)
        state = query["state"]
        ids = iter(await preferences.who(conn, call.id, state, after=after, limit=limit))  # type: ignore[arg-type]

        async def read(_after: str | None, count: int) -> tuple[Sequence[Any], Sequence[str]]:
            some = list(islice(ids, count))
            return await people.view(conn, some), some

        return await listing_in_parts(read, after, limit)


async def _require(conn: AsyncConnection, preference_id: str, *, hold: bool = False) -> Preference:
    found = await (preferences.hold if hold else preferences.find)(conn, preference_id)
    if found is None:
        raise not_found("preference")
    return found


ROUTES: Sequence[Route] = (
    Route(
        "POST",
        "/v1/preferences",
        create,
        "configure",
        PreferenceIn,
        example={"name": "Drama", "text": "New plays, about once a month", "linked_channel": "sms"},
        answers={201: shapes.Preference},
        problems=(409,),
    ),
    Route("GET", "/v1/preferences", listed, "configure", query=PAGE, answers={200: shapes.Preferences}),
    Route(
        "PUT",
        "/v1/preferences/order",
        arrange,
        "configure",
        PreferenceOrderIn,
        example={"names": ["Drama"]},
        answers={200: shapes.Preferences},
    ),
    Route(
        "GET",
        "/v1/preferences/{id}",
        get,
        "configure",
        answers={200: shapes.PreferenceInFull},
        problems=(404,),
    ),
    Route(
        "PATCH",
        "/v1/preferences/{id}",
        patch,
        "configure",
        PreferencePatch,
        example={"text": "I would like to hear about new plays by text", "selected_by_default": False},
        answers={200: shapes.Preference},
        problems=(404, 409),
    ),
    Route("DELETE", "/v1/preferences/{id}", delete, "configure", answers={204: None}, problems=(404, 409)),
    Route(
        "GET",
        "/v1/preferences/{id}/profiles",
        who,
        "profiles:read",
        query=(Query("state", "Which answer.", STATES, is_needed=True), *PAGE),
        answers={200: others.Profiles},
        problems=(404,),
    ),
)
