"""Dispositions over the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import Field, model_validator
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import preferences
from gateway import audit, uses
from gateway.api import disposition_shapes as shapes
from gateway.api.answers import Done, answer, listing_of_all
from gateway.api.base import PAGE, Call, Route
from gateway.api.bodies import Body, not_null
from gateway.api.consent import Channel, Name, StateName
from gateway.api.preference_groups import Place
from gateway.problems import invalid, not_found
from outbox import dispositions
from outbox.dispositions import Disposition, Turn


class DispositionChangeIn(Body):
    """One change that it makes."""

    kind: Literal["everything", "channel", "address", "preference"]
    to: StateName
    channel: Channel | None = None
    """Of a channel, or of all addresses of one; absent: the one contacted."""
    address: Literal["contacted", "all"] | None = None
    """Of an address: the one contacted, which is meant when absent, or all that the person has on the channel."""
    name: Name | None = None
    """Of a preference."""

    @model_validator(mode="after")
    def _fits(self) -> DispositionChangeIn:
        if (self.kind == "preference") != (self.name is not None):
            raise ValueError("`name` goes with the kind preference, and only with it")
        if self.address is not None and self.kind != "address":
            raise ValueError("`address` goes with the kind address only")
        if self.channel is not None and self.kind != "channel" and self.address != "all":
            raise ValueError("`channel` goes with the kind channel, or with all addresses")
        return self

    @property
    def about(self) -> tuple[Any, ...]:
        return (self.kind, self.channel, self.address or "contacted", self.name)


Changes = Annotated[list[DispositionChangeIn], Field(max_length=100)]


def _each_once(changes: Sequence[DispositionChangeIn] | None) -> None:
    if changes is not None and len({change.about for change in changes}) != len(changes):
        raise ValueError("`changes` name the same twice")


class DispositionIn(Body):
    """How a talk with a customer may end."""

    name: Name
    """No other has it."""
    changes: Changes = Field(default_factory=list)
    """What it changes, on the word of whoever talked to the customer; none: nothing."""
    undeliverable: bool = False
    """Whether the address reaches somebody else, or nobody; that is no change of consent."""
    active: bool = True
    """Whether it may still be picked."""
    order: Place | None = None
    """Its place among the dispositions, from 0; the last when absent."""

    @model_validator(mode="after")
    def _once(self) -> DispositionIn:
        _each_once(self.changes)
        return self


class DispositionPatch(Body):
    """What is absent stays; null empties. `changes` replace those there are."""

    name: Name | None = None
    changes: Changes | None = None
    undeliverable: bool | None = None
    active: bool | None = None
    order: Place | None = None

    @model_validator(mode="after")
    def _once(self) -> DispositionPatch:
        _each_once(self.changes)
        return self


class DispositionOrderIn(Body):
    """All dispositions, in the order they are to stand in."""

    ids: Annotated[list[Name], Field(max_length=10_000)]
    """Each once, by its id or its name."""


async def shown(conn: AsyncConnection, found: Sequence[Disposition]) -> list[dict[str, Any]]:
    asked = {turn.preference_id for one in found for turn in one.changes if turn.preference_id is not None}
    names = await preferences.names_of(conn, asked) if asked else {}
    return [
        {
            "id": one.id,
            "name": one.name,
            "changes": [_turn_shown(turn, names) for turn in one.changes],
            "undeliverable": one.undeliverable,
            "active": one.active,
            "order": one.position,
            "created_at": one.created_at,
            "updated_at": one.updated_at,
        }
        for one in found
    ]


def _turn_shown(turn: Turn, names: dict[str, str]) -> dict[str, Any]:
    told = {"kind": turn.kind, "to": turn.to, "channel": turn.channel, "address": turn.address}
    told["name"] = names.get(turn.preference_id) if turn.preference_id is not None else None
    return {name: value for name, value in told.items() if value is not None}


async def _turns(conn: AsyncConnection, changes: Sequence[DispositionChangeIn]) -> list[Turn]:
    """As they are kept; raises Problem for a preference that there is not."""
    named = [change.name for change in changes if change.name is not None]
    known = await preferences.by_names(conn, named, hold=True) if named else {}
    turns: list[Turn] = []
    for at, change in enumerate(changes):
        if change.name is not None and change.name not in known:
            raise invalid(f"changes.{at}.name", "there is no such preference")
        preference_id = known[change.name] if change.name is not None else None
        address = change.address or "contacted" if change.kind == "address" else None
        turns.append(Turn(change.kind, change.to, change.channel, address, preference_id))
    return turns


async def create(call: Call) -> web.Response:
    """Make a disposition: how a talk with a customer may end, and what that changes."""
    body = call.body(DispositionIn)
    now = call.house.now()

    async def work(conn: AsyncConnection) -> Done:
        given = body.model_dump(exclude={"order", "changes"})
        changes = await _turns(conn, body.changes)
        made = await dispositions.create(conn, **given, changes=changes, place=body.order, now=now)
        await audit.note(conn, call.actor, "disposition.created", made.id, {"name": made.name}, now=now)
        return Done((await shown(conn, [made]))[0], 201)

    return await call.commit(work)


async def listed(call: Call) -> web.Response:
    """The dispositions, in their order; inactive ones too."""
    call.query()
    after, limit = call.page()
    async with call.house.database.read() as conn:
        found = await dispositions.listed(conn)
        return listing_of_all(await shown(conn, found), [one.id for one in found], after, limit)


async def get(call: Call) -> web.Response:
    """Read a disposition."""
    async with call.house.database.read() as conn:
        return answer((await shown(conn, [await _require(conn, call.id)]))[0])


async def patch(call: Call) -> web.Response:
    """Change a disposition; what ended with it before stays as it was."""
    body = call.body(DispositionPatch)
    not_null(body, "name", "undeliverable", "active", "order")
    now = call.house.now()

    async def work(conn: AsyncConnection) -> Done:
        found = await _require(conn, call.id)
        given = body.model_dump(include=body.model_fields_set)
        if given:
            place = given.pop("order", None)
            if "changes" in given:
                given["changes"] = await _turns(conn, body.changes or [])
            found = await dispositions.change(conn, found, given, place=place, now=now)
            fields = sorted(body.model_fields_set)
            await audit.note(conn, call.actor, "disposition.changed", call.id, {"fields": fields}, now=now)
        return Done((await shown(conn, [found]))[0])

    return await call.commit(work)


async def delete(call: Call) -> web.Response:
    """Delete a disposition with which no talk has ended; another is refused: make that inactive."""
    now = call.house.now()

    async def work(conn: AsyncConnection) -> Done:
        found = await _require(conn, call.id, hold=True)
        used = await uses.of_disposition(conn, call.id)
        uses.refuse(used, "The disposition is in use", "make it inactive instead")
        await dispositions.remove(conn, call.id)
        await audit.note(conn, call.actor, "disposition.deleted", call.id, {"name": found.name}, now=now)
        return Done(status=204)

    return await call.commit(work)


async def arrange(call: Call) -> web.Response:
    """Let the dispositions stand in this order; all of them must be named."""
    body = call.body(DispositionOrderIn)
    now = call.house.now()

    async def work(conn: AsyncConnection) -> Done:
        await dispositions.arrange(conn, body.ids)
        found = await dispositions.listed(conn)
        await audit.note(conn, call.actor, "dispositions.arranged", None, {"dispositions": len(found)}, now=now)
        return Done({"items": await shown(conn, found), "next": None})

    return await call.commit(work)


async def _require(conn: AsyncConnection, disposition_id: str, *, hold: bool = False) -> Disposition:
    found = await dispositions.find(conn, disposition_id, hold=hold)
    if found is None:
        raise not_found("disposition")
    return found


ROUTES: Sequence[Route] = (
    Route(
        "POST",
        "/v1/dispositions",
        create,
        "configure",
        DispositionIn,
        example={
            "name": "Do not call again",
            "changes": [{"kind": "channel", "channel": "voice", "to": "no"}, {"kind": "address", "to": "no"}],
        },
        answers={201: shapes.Disposition},
        problems=(409,),
    ),
    Route("GET", "/v1/dispositions", listed, "consent:read", query=PAGE, answers={200: shapes.Dispositions}),
    Route(
        "PUT",
        "/v1/dispositions/order",
        arrange,
        "configure",
        DispositionOrderIn,
        example={"ids": ["Do not call again"]},
        answers={200: shapes.Dispositions},
    ),
    Route("GET", "/v1/dispositions/{id}", get, "consent:read", answers={200: shapes.Disposition}, problems=(404,)),
    Route(
        "PATCH",
        "/v1/dispositions/{id}",
        patch,
        "configure",
        DispositionPatch,
        example={"changes": [{"kind": "channel", "to": "no"}], "undeliverable": False},
        answers={200: shapes.Disposition},
        problems=(404, 409),
    ),
    Route("DELETE", "/v1/dispositions/{id}", delete, "configure", answers={204: None}, problems=(404, 409)),
)
