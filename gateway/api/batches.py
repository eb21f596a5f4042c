"""Many profiles at once, each with a result of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from aiohttp import web
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.api import profiles, shapes
from gateway.api.answers import Done, encoded
from gateway.api.base import Call, Route
from gateway.api.bodies import Body
from gateway.api.profiles import NewProfileIn
from gateway.problems import from_exception, invalid
from outbox import heed

MOST_ITEMS = 500


class BatchIn(Body):
    """Up to 500 profiles as `PUT /v1/profiles/by-external-id/{external_id}` takes them, each with its `external_id`."""

    items: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MOST_ITEMS)]


async def upsert(call: Call) -> web.Response:
    """Create or change many profiles, by their `external_id`; each item has a result of its own, in their order.

    An item that cannot be carried out changes nothing and holds up no other: its result is the problem. Each is a
    transaction of its own; with an `Idempotency-Key` each has one effect, however often the batch is sent.
    """
    body = call.body(BatchIn)
    items = [await _one(call, index, item) for index, item in enumerate(body.items)]

    async def work(_conn: AsyncConnection) -> Done:
        return Done(b'{"items": [' + b", ".join(items) + b"]}\n")

    return await call.commit(work)


async def _one(call: Call, index: int, item: Mapping[str, Any]) -> bytes:
    """Its result, as JSON: five hundred large profiles are not read and written once more for it."""
    try:
        wanted = NewProfileIn.model_validate_json(json.dumps(item))
        if wanted.external_id is None:
            raise invalid("external_id", "each item needs it: by it the profile is found again")
        once = call.once.part(index) if call.once is not None else None
        kept, _ = await call.once_only(profiles.putting(call, wanted.external_id, wanted), once)
    except Exception as error:
        problem = from_exception(error)
        if problem is None or problem.status >= 500 or problem.is_about_key:
            raise
        return encoded({"index": index, "status": problem.status, "profile": None, "problem": problem.document})
    await heed.settle(call.house.database, kept.closed)
    return b'{"index": %d, "status": %d, "profile": %b, "problem": null}' % (index, kept.status, kept.body.strip())


ROUTES: Sequence[Route] = (
    Route(
        "POST",
        "/v1/profiles/batch",
        upsert,
        "profiles:write",
        BatchIn,
        example={
            "items": [
                {"external_id": "crm-1042", "first_name": "Ana", "phones": ["+14155550123"]},
                {"external_id": "crm-1043", "first_name": "Ben", "tags": ["friends"]},
            ]
        },
        answers={200: shapes.Batch},
    ),
)
