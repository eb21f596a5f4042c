"""The audit over the API: who did what that is no change of consent."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from gateway import audit
from gateway.api import shapes
from gateway.api.answers import listing
from gateway.api.base import PAGE, Call, Query, Route
from gateway.api.bodies import parse_time


async def listed(call: Call) -> web.Response:
    """Who did what, the newest first: keys, rules, settings, broadcasts, messages without an opt-in, deletions, merges.

    Changes of consent stand in the history, which keeps its proof with each.
    """
    query = call.query()
    before, limit = call.page()
    times = {name: parse_time(query[name], name) for name in ("since", "until") if name in query}
    chosen = audit.Chosen(query.get("actor"), query.get("action"), query.get("target"), **times)
    async with call.house.database.read() as conn:
        found = await audit.listed(conn, chosen, before=before, limit=limit)
    items = [
        {"id": a.id, "at": a.at, "actor": a.actor, "action": a.action, "target": a.target, "detail": a.detail}
        for a in found
    ]
    return listing(items, [act.id for act in found], limit)


ROUTES: Sequence[Route] = (
    Route(
        "GET",
        "/v1/audit",
        listed,
        "admin",
        query=(
            Query("actor", "Who did it, such as `key:crm` or `system`."),
            Query("action", "What was done, such as `rule.changed`."),
            Query("target", "To what, by its id."),
            Query("since", "From this time on.", is_time=True),
            Query("until", "Before this time.", is_time=True),
            *PAGE,
        ),
        answers={200: shapes.Acts},
    ),
)
