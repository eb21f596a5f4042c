"""Reviews over the API: what reads like a no and met no rule, for people to decide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import Field, StringConstraints
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway import audit
from gateway.api import review_shapes as shapes
from gateway.api.answers import Done, answer, listing
from gateway.api.base import PAGE, Call, Query, Route
from gateway.api.bodies import Body
from gateway.problems import Problem, not_found
from inbox import review_list, reviews
from inbox.review_list import Review, Written
from rules.phrases import phrases


class DecisionIn(Body):
    """What the message meant."""

    decision: Literal["opt_out", "dismiss"]
    """`opt_out`: the person said no, with this message; all that is open of the address is decided with it.
    `dismiss`: they did not, with any message of this review."""
    messages: Annotated[int, Field(ge=1)] | None = None
    """How many of its messages were read, as the review's `messages` said. A dismissal of more than one needs it, and
    is refused where another has come meanwhile."""
    note: Annotated[str, StringConstraints(max_length=2000)] | None = None
    """Why; kept with the review, and with an opt-out's evidence."""


def shown(review: Review) -> dict[str, Any]:
    return {
        "id": review.id,
        "status": review.status,
        "channel": review.channel,
        "address": review.address,
        "profile_id": review.profile_id,
        "message": _written(review.first),
        "messages": review.messages,
        "latest": _written(review.latest) if review.latest is not None else None,
        "phrase": _phrase(review.phrase),
        "due_at": review.due_at,
        "legal_deadline": review_list.legal_deadline(review.created_at),
        "decided_at": review.decided_at,
        "decided_by": review.decided_by,
        "note": review.note,
        "change_id": review.change_id,
        "created_at": review.created_at,
    }


def _written(message: Written) -> dict[str, Any]:
    return {
        "id": message.id,
        "connection": message.connection,
        "from": message.sender,
        "to": message.receiver,
        "body": message.body,
        "subject": message.subject,
        "typed": message.typed,
    }


def _phrase(id_: str) -> dict[str, Any]:
    """The phrase and why it is listed; an older version may have had others."""
    phrase = phrases().get(id_)
    known = {"language": phrase.language, "why": phrase.why} if phrase else {"language": None, "why": None}
    return {"id": id_, **known}


async def listed(call: Call) -> web.Response:
    """Messages that no rule matched and that read like a no, by address, the one that has waited longest first.

    What comes from an address whose review is open joins it: `messages` says how many there are, `message` is the first
    and `latest` the newest; all of them are in `GET /v1/messages?profile_id=…&direction=inbound`. While one is open,
    marketing to its address is held. One that nobody decides becomes an opt-out at `due_at`; by `legal_deadline` the
    law of the United States wants a revocation honoured.
    """
    query = call.query()
    after, limit = call.page()
    async with call.house.database.read() as conn:
        found = await review_list.listed(
            conn, status=query.get("status"), channel=query.get("channel"), after=after, limit=limit
        )
    return listing([shown(review) for review in found], [review.id for review in found], limit)


async def _require(conn: AsyncConnection, review_id: str) -> Review:
    found = await review_list.read(conn, review_id)
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
            closed = await reviews.decide(
                conn, call.id, body.decision, by=call.actor, note=body.note, have_read=body.messages, now=now
            )
        except reviews.Decided as error:
            raise Problem(409, "already-decided", "The review is decided already", f"it is {error}") from error
        except reviews.Unread as error:
            words = f"it holds {error}: read them, and say so in `messages`"
            raise Problem(409, "unread-messages", "The review holds messages that were not read", words) from error
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
