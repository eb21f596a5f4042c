"""Messages over the API: sent one by one, sent again, and read: what people wrote, what went out to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiohttp import web
from pydantic import ConfigDict, Field, model_validator
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import preferences
from content import composition
from gateway import audit
from gateway.api import contents, routes
from gateway.api import message_shapes as shapes
from gateway.api.answers import Done, answer, listing
from gateway.api.base import PAGE, Call, Query, Route, require_scope
from gateway.api.bodies import Body, with_plus
from gateway.api.contents import ContentIn
from gateway.problems import Problem, invalid, not_found
from inbox import mailbox
from inbox.mailbox import Message
from outbox import resends, sandbox, singles
from outbox.resends import Held, MayBeDuplicate, NotResendable, Repeated
from outbox.singles import NotAllowed, Single
from outbox.statuses import STATUSES
from profiles import merges, records
from profiles.addresses import BadAddress

TRANSACTIONAL = "send:transactional"


class To(Body):
    """One person, or one address."""

    profile_id: str | None = None
    address: str | None = None

    @model_validator(mode="after")
    def _one(self) -> To:
        if (self.profile_id is None) == (self.address is None):
            raise ValueError("name `profile_id` or `address`")
        return self


class MessageIn(routes.RoutesIn):
    """A message to one person. `requireOptIn` is `require_opt_in`, as other systems spell it."""

    model_config = ConfigDict(populate_by_name=False)

    to: To
    content: ContentIn
    require_opt_in: bool | None = None
    """Absent: true. With false it is transactional: only the strongest no stops it; needs `send:transactional` too."""
    require_opt_in_too: bool | None = Field(default=None, alias="requireOptIn")
    """The same, as other systems spell it."""
    preference: str | None = None
    """By name: sent only to who said yes to it."""

    @property
    def class_(self) -> str:
        """Raises Problem."""
        said = {self.require_opt_in, self.require_opt_in_too} - {None}
        if len(said) > 1:
            raise invalid("requireOptIn", "it is the same as `require_opt_in`, which says otherwise")
        return "transactional" if said == {False} else "marketing"


class ResendIn(Body):
    """How a message is sent again."""

    accept_duplicate: bool = False
    """Send it though the person may have got it already."""


# --- sent -------------------------------------------------------------------------------------


async def create(call: Call) -> web.Response:
    """Send a message to one person, on the first channel whose verdict allows."""
    body = call.body(MessageIn)
    class_ = body.class_
    if class_ == "transactional":
        require_scope(call.key, TRANSACTIONAL)
    by_channel = routes.read(call, body)
    content = contents.content_for(call, body.content, by_channel, class_)
    wishes = [_route(call, channel, connection, body.to.address) for channel, connection in by_channel.items()]

    async def work(conn: AsyncConnection) -> Done:
        await contents.check_preferences(conn, content)
        if body.to.profile_id is not None and not await records.read(conn, [body.to.profile_id]):
            raise invalid("to.profile_id", "there is no such profile")
        named = body.preference
        preference_id = await preferences.require(conn, named, hold=True) if named is not None else None
        single = Single(wishes, content, class_, call.actor, profile_id=body.to.profile_id, preference_id=preference_id)
        message_id = await singles.queue(conn, single, now=call.house.now())
        if class_ == "transactional":
            detail = {"channels": list(by_channel)}
            await audit.note(conn, call.actor, "message.without_opt_in", message_id, detail, now=call.house.now())
        told = {"warnings": found} if (found := contents.warnings(content)) else {}
        return Done({"id": message_id, "status": "queued"} | told, 202)

    try:
        response = await call.commit(work)
    except NotAllowed as error:
        raise _refused(error, body.to.address or error.address) from error
    call.house.dispatcher.wake()
    return response


def _route(call: Call, channel: str, connection: str, text: str | None) -> singles.Route:
    if text is None:
        return singles.Route(channel, connection)
    book = call.house.book
    try:
        address = book.parse(channel, with_plus(text))
    except BadAddress as error:
        raise invalid("to.address", str(error)) from error
    return singles.Route(channel, connection, address, book.elsewhere(address))


def _refused(error: NotAllowed, address: str | None) -> Problem:
    more: dict[str, Any] = {"address": address}
    if len(error.reasons) > 1:
        more["channels"] = error.reasons
    if "window_closed" not in error.reasons.values():
        words = f"the opt-in check answers {error.reason}; nothing was queued"
        return Problem(403, "not-opted-in", "This may not be sent to them", words, reason=error.reason, **more)
    # They may be sent to, only not in these words.
    words = "the person has not written to us on WhatsApp within 24 hours, so only a template may go to them: use one"
    errors = [{"field": "content.template", "message": words}]
    title = "WhatsApp takes a template only"
    return Problem(422, "window-closed", title, words, errors=errors, reason="window_closed", **more)


# --- sent again -------------------------------------------------------------------------------


async def resend(call: Call) -> web.Response:
    """Send a message again that failed, or whose end is unknown, if that may be: then the person may get it twice."""
    body = call.body(ResendIn)

    async def work(conn: AsyncConnection) -> Done:
        held = await resends.hold(conn, call.id)
        if held is None:
            raise not_found("outbound message")
        _check_resend(call, held, body)
        now = call.house.now()
        message_id = await resends.send_again(conn, held, created_by=call.actor, now=now)
        detail = {"resend_of": held.id, "was": held.status, "accept_duplicate": body.accept_duplicate}
        await audit.note(conn, call.actor, "message.resent", message_id, detail, now=now)
        return Done({"id": message_id, "status": "queued", "resend_of": call.id}, 202)

    try:
        response = await call.commit(work)
    except NotAllowed as error:
        raise _refused(error, error.address) from error
    call.house.dispatcher.wake()
    return response


def _check_resend(call: Call, held: Held, body: ResendIn) -> None:
    if held.class_ == "transactional":
        require_scope(call.key, TRANSACTIONAL)
    try:
        resends.check(held, accept_duplicate=body.accept_duplicate, now=call.house.now())
    except NotResendable as error:
        raise Problem(409, "not-resendable", "This is not to be sent again", str(error)) from error
    except Repeated as error:
        words = f"the message {error} repeats it, or is repeated by it, and did not fail"
        raise Problem(409, "already-resent", "It was sent again already", words, message_id=str(error)) from error
    except MayBeDuplicate as error:
        words = (
            "nobody knows whether the person got it: the provider's answer was lost. Sent again, it may reach them "
            'twice; if it should be, send {"accept_duplicate": true}'
        )
        raise Problem(409, "may-be-a-duplicate", "The person may have got it", words) from error
    if held.connection not in call.house.adapters:
        words = f"the connection {held.connection} is configured no more; send a new message instead"
        raise Problem(409, "not-resendable", "This is not to be sent again", words)


# --- read -------------------------------------------------------------------------------------


def shown(message: Message) -> dict[str, Any]:
    return {
        "id": message.id,
        "direction": message.direction,
        "class": message.class_,
        "channel": message.channel,
        "connection": message.connection,
        "profile_id": message.profile_id,
        "from": message.sender,
        "to": message.receiver,
        "subject": message.content.get("subject"),
        "body": composition.words(message.content),
        "typed": message.typed,
        "automatic": message.automatic,
        "template": message.content.get("template"),
        "provider_id": message.provider_id,
        "status": message.status,
        "reason": message.reason,
        "error": message.error,
        "rule_id": message.rule_id,
        "in_reply_to": message.in_reply_to,
        "created_by": message.created_by,
        "resend_of": message.resend_of,
        "created_at": message.created_at,
    }


async def listed(call: Call) -> web.Response:
    """Messages, the newest first; of broadcasts see their deliveries."""
    query = call.query()
    before, limit = call.page()
    async with call.house.database.read() as conn:
        asked = query.get("profile_id")
        found = await mailbox.listed(
            conn,
            profile_ids=await merges.family(conn, asked) if asked is not None else (),
            direction=query.get("direction"),
            status=query.get("status"),
            before=before,
            limit=limit,
        )
    return listing([shown(m) for m in found], [m.id for m in found], limit)


async def get(call: Call) -> web.Response:
    """One message, inbound or outbound, with what was tried."""
    async with call.house.database.read() as conn:
        found = await mailbox.read(conn, call.id)
    if found is None:
        raise not_found("message")
    tried = [{"state": a.state, "error": a.error, "at": a.at} for a in found.attempts]
    return answer({**shown(found), "attempts": tried})


async def sandbox_messages(call: Call) -> web.Response:
    """What the sandbox connections sent, the newest first."""
    query = call.query()
    before, limit = call.page()
    async with call.house.database.read() as conn:
        kept = await sandbox.listed(
            conn, connection=query.get("connection"), to=query.get("to"), before=before, limit=limit
        )
    items = [
        {"id": k.id, "connection": k.connection, "from": k.sender, "to": k.receiver, "body": k.body, "at": k.at}
        for k in kept
    ]
    return listing(items, [k.id for k in kept], limit)


ROUTES: Sequence[Route] = (
    Route(
        "POST",
        "/v1/messages",
        create,
        "send",
        MessageIn,
        example={
            "channel": "sms",
            "connection": "sms",
            "to": {"address": "+14155550123"},
            "content": {"body": "Two seats for tonight are free again: row 12, seats 4 and 5."},
        },
        answers={202: shapes.Queued},
        problems=(403,),
    ),
    Route(
        "GET",
        "/v1/messages",
        listed,
        "profiles:read",
        query=(
            Query("profile_id", "To or from whom."),
            Query("direction", "From people, or to them.", ("inbound", "outbound")),
            Query("status", "How far they have come.", (*STATUSES, "received")),
            *PAGE,
        ),
        answers={200: shapes.Messages},
    ),
    Route("GET", "/v1/messages/{id}", get, "profiles:read", answers={200: shapes.MessageInFull}, problems=(404,)),
    Route(
        "POST",
        "/v1/messages/{id}/resend",
        resend,
        "send",
        ResendIn,
        example={"accept_duplicate": True},
        answers={202: shapes.Queued},
        problems=(403, 404, 409),
    ),
    # As for broadcasts' deliveries: whoever sends may see what went out, and to whom.
    Route(
        "GET",
        "/v1/sandbox/messages",
        sandbox_messages,
        "send",
        query=(Query("connection", "By which connection."), Query("to", "To which number or mailbox."), *PAGE),
        answers={200: shapes.SandboxMessages},
    ),
)
