"""Defaults over the API."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Literal

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import defaults
from gateway import audit
from gateway.api import shapes
from gateway.api.answers import Done, answer
from gateway.api.base import Call, Route
from gateway.api.bodies import Body
from gateway.problems import invalid

YesNo = Literal["yes", "no"]


class DefaultsIn(Body):
    """The channels to change; the others stay."""

    sms: YesNo | None = None
    whatsapp: YesNo | None = None
    email: YesNo | None = None
    voice: YesNo | None = None
    post: YesNo | None = None


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
)
