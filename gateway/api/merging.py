"""Merging two profiles over the API."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web
from pydantic import ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway import audit
from gateway.api import people, shapes
from gateway.api.answers import Done
from gateway.api.base import Call, Route, require_scope
from gateway.api.bodies import Body
from gateway.problems import invalid
from outbox import merges


class MergeIn(Body):
    """Which profile becomes part of the one in the path."""

    model_config = ConfigDict(populate_by_name=False)

    from_: str = Field(alias="from")
    """The id of the one that is gone afterwards."""


async def merge(call: Call) -> web.Response:
    """Let another profile of the same person become part of this one, for good.

    This one keeps its own names, attributes and `external_id`, and takes from the other what it lacks; it takes the
    other's addresses and tags. Attributes that are too large together are refused, and nothing is merged. Every no of
    the two wins. A channel's yes stays only where both had it; else it moves down to the addresses that it covered. The
    other's history stays under its id, and is read with this one's. The key needs the scope `consent:write` as well.
    """
    body = call.body(MergeIn)
    require_scope(call.key, "consent:write")
    if body.from_ == call.id:
        raise invalid("from", "name another profile: this is the one it would become part of")

    async def work(conn: AsyncConnection) -> Done:
        now = call.house.now()
        await people.require(conn, call.id)
        try:
            heeded = await merges.merge(conn, call.id, body.from_, actor=call.actor, now=now)
        except merges.Gone as error:
            await people.require(conn, call.id)  # it may have become part of another itself, meanwhile
            raise invalid("from", "there is no such profile") from error
        await audit.note(conn, call.actor, "profile.merged", call.id, {"from": body.from_}, now=now)
        return Done(await people.view_one(conn, call.id), closed=heeded.closed)

    return await call.commit(work)


ROUTES: Sequence[Route] = (
    Route(
        "POST",
        "/v1/profiles/{id}/merge",
        merge,
        "profiles:write",
        MergeIn,
        example={"from": "pro_01kaz3v8m2q6w0x4y9b7c5d1ef"},
        answers={200: shapes.Profile},
        problems=(404,),
    ),
)
