"""The verdict over the API: may we send this, to this person or this address, now? And why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from aiohttp import web
from pydantic import Field

from consent import preferences
from consent.states import CHANNELS
from gateway.api import people, shapes
from gateway.api.answers import answer
from gateway.api.base import Call, Query, Route
from gateway.api.bodies import Body, with_plus
from gateway.api.consent import Channel
from gateway.problems import invalid, invalid_fields
from outbox import asking
from outbox.asking import Answer, Question
from profiles.addresses import BadAddress
from profiles.records import Profile

MOST_ITEMS = 1000
MOST_PREFERENCES = 50  # of one request: each is a statement of its own
MOST_ERRORS = 100


class VerdictIn(Body):
    """What is to be sent, and where to."""

    channel: Channel
    address: str
    preference: str | None = None
    """By name."""


class VerdictsIn(Body):
    """Up to 1,000 questions at once, for a system that sends by itself."""

    items: Annotated[list[VerdictIn], Field(min_length=1, max_length=MOST_ITEMS)]
    require_opt_in: bool = True
    """False: asked for transactional messages."""


async def of_profile(call: Call) -> web.Response:
    """May we send this person marketing on this channel now, and why.

    Without `address` it is asked of the one that would be taken: the primary one, else the next that may be sent to.
    """
    query = call.query()
    channel = query["channel"]
    async with call.house.database.read() as conn:
        profile = await people.require(conn, call.id)
        preference_id = await preferences.require(conn, query["preference"]) if "preference" in query else None
        address_id = _address_id(call, profile, channel, query.get("address"))
        question = Question(channel, "marketing", preference_id)
        found = await asking.of_profile(conn, profile.id, question, address_id=address_id, now=call.house.now())
    return answer(_shown(found))


def _address_id(call: Call, profile: Profile, channel: str, text: str | None) -> str | None:
    if text is None:
        return None
    try:
        wanted = call.house.book.proved(channel, _bare(channel, text))
    except BadAddress as error:
        raise invalid("address", str(error)) from error
    for held in profile.addresses:
        if held.channel == channel and held.value.casefold() == wanted.value.casefold():
            return held.address_id
    raise invalid("address", "the profile has no such address")


async def of_addresses(call: Call) -> web.Response:
    """May we send to these addresses now, and why: one answer for each, in their order.

    Ask right before you send, and send at once: what a person says after the answer counts as well. A no of anybody who
    has an address is the reason; one that nobody has is `unknown_address`. With `require_opt_in: false` it is asked for
    transactional messages, which only the strongest no stops.
    """
    body = call.body(VerdictsIn)
    hashes = _hashes(call, body)
    names = {item.preference for item in body.items if item.preference is not None}
    if len(names) > MOST_PREFERENCES:
        raise invalid("items", f"at most {MOST_PREFERENCES} different preferences at once")
    class_ = "marketing" if body.require_opt_in else "transactional"
    async with call.house.database.read() as conn:
        known = await preferences.by_names(conn, names)
        if unknown := [i for i, item in enumerate(body.items) if item.preference and item.preference not in known]:
            raise invalid(f"items.{unknown[0]}.preference", "there is no such preference")
        asked = [
            (digest, Question(item.channel, class_, known[item.preference] if item.preference else None))
            for digest, item in zip(hashes, body.items, strict=True)
        ]
        found = await asking.of_addresses(conn, asked, now=call.house.now())
    items = [_shown(one) | {"address": item.address} for one, item in zip(found, body.items, strict=True)]
    return answer({"items": items})


def _hashes(call: Call, body: VerdictsIn) -> list[str]:
    hashes, errors = [], []
    for index, item in enumerate(body.items):
        try:
            hashes.append(call.house.book.proved(item.channel, _bare(item.channel, with_plus(item.address))).hash)
        except BadAddress as error:
            errors.append({"field": f"items.{index}.address", "message": str(error)})
    if errors:
        raise invalid_fields(errors[:MOST_ERRORS])
    return hashes


def _bare(channel: str, text: str) -> str:
    """The value alone, where its channel is written before it."""
    return text.removeprefix(f"{channel}:")


def _shown(found: Answer) -> dict[str, Any]:
    return {"allowed": found.allowed, "reason": found.reason, "address": found.address}


ROUTES: Sequence[Route] = (
    Route(
        "GET",
        "/v1/profiles/{id}/verdict",
        of_profile,
        "consent:read",
        query=(
            Query("channel", "By which channel.", CHANNELS, is_needed=True),
            Query("preference", "About what, by the preference's name."),
            Query("address", "At which of the profile's addresses; else the one that would be taken."),
        ),
        answers={200: shapes.Verdict},
        problems=(404,),
    ),
    Route(
        "POST",
        "/v1/verdicts",
        of_addresses,
        "consent:read",
        VerdictsIn,
        example={
            "items": [
                {"channel": "sms", "address": "+14155550123", "preference": "Drama"},
                {"channel": "sms", "address": "+14155550124"},
            ]
        },
        answers={200: shapes.Verdicts},
    ),
)
