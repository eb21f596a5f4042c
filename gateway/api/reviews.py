"""Reviews over the API: what reads like a no and met no rule, for people to decide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import StringConstraints
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway import audit
from gateway.api import shapes
from gateway.api.answers import Done, answer, listing
from gateway.api.base import PAGE, Call, Query, Route
from gateway.api.bodies import Body
from gateway.problems import Problem, not_found
from inbox import reviews
from inbox.reviews import Review
from rules.phrases import phrases


class DecisionIn(Body):
    """What the message meant."""

    decision: Literal["opt_out", "dismiss"]
    """`opt_out`: the person said no, with this message; all that is open of the address is decided with it.
    `dismiss`: they did not, with this one."""
    note: Annotated[str, StringConstraints(max_length=2000)] | None = None
    """Why; kept with the review, and with an opt-out's evidence."""


def shown(review: Review) -> dict[str, Any]:
    return {
        "id": review.id,
        "status": review.status,
        "channel": review.channel,
        "address": review.address,
        "profile_id": review.profile_id,
        "message": {
            "id": review.message_id,
            "connection": review.connection,
            "from": review.sender,
            "to": review.receiver,
            "body": review.body,
            "subject": review.subject,
            "typed": review.typed,
        },
        "phrase": _phrase(review.phrase),
        "due_at": review.due_at,
        "legal_deadline": reviews.legal_deadline(review.created_at),
        "decided_at": review.decided_at,
        "decided_by": review.decided_by,
        "note": review.note,
        "change_id": review.change_id,
        "created_at": review.created_at,
    }


def _phrase(id_: str) -> dict[str, Any]:
    """The phrase and why it is listed; an older version may have had others."""
    phrase = phrases().get(id_)
    known = {"language": phrase.language, "why": phrase.why} if phrase else {"language": None, "why": None}
    return {"id": id_, **known}


async def listed(call: Call) -> web.Response:
    """Messages that no rule matched and that read like a no, the one that has waited longest first.

    While one is open, marketing to its address is held. One that nobody decides becomes an opt-out at `due_at`; by
    `legal_deadline` the law of the United States wants a revocation honoured.
    """
    query = call.query()
    after, limit = call.page()
    async with call.house.database.read() as conn:
        found = await reviews.listed(
            conn, status=query.get("status"), channel=query.get("channel"), after=after, limit=limit
        )
    return listing([shown(review) for review in found], [review.id for review in found], limit)


async def _require(conn: AsyncConnection, review_id: str) -> Review:
    found = await reviews.read(conn, review_id)
    if found is None:
        raise not_found("review")
    return found


async def get(call: Call) -> web.Response:
    """Read a review."""
    async with call.house.database.read() as conn:
        return answer(shown(await _require(conn, call.id)))


async def decide(call: Call) -> web.Response:
    """Decide a review: the person said no, or did not.

    An opt-out is the person's own word and as old as the message: what they have said since stands.
    """
    body = call.body(DecisionIn)
    now = call.house.now()

    async def work(conn: AsyncConnection) -> Done:
        await _require(conn, call.id)
        try:
            closed = await reviews.decide(conn, call.id, body.decision, by=call.actor, note=body.note, now=now)
        except reviews.Decided as error:
            raise Problem(409, "already-decided", "The review is decided already", f"it is {error}") from error
        await audit.note(conn, call.actor, "review.decided", call.id, {"decision": body.decision}, now=now)
        return Done(shown(await _require(conn, call.id)), closed=closed)

    return await call.commit(work)


CHOSEN = (
    Query("status", "Which; all of them when absent.", reviews.STATUSES),
    Query("channel", "Of which channel.", ("sms", "whatsapp", "email")),
)

ROUTES: Sequence[Route] = (
    Route("GET", "/v1/reviews", listed, "consent:read", query=(*CHOSEN, *PAGE), answers={200: shapes.Reviews}),
    Route("GET", "/v1/reviews/{id}", get, "consent:read", answers={200: shapes.Review}, problems=(404,)),
    Route(
        "POST",
        "/v1/reviews/{id}",
        decide,
        "consent:write",
        DecisionIn,
        example={"decision": "opt_out", "note": "She asked at the box office as well."},
        answers={200: shapes.Review},
        problems=(404, 409),
    ),
)
