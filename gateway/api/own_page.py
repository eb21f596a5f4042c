"""A person's own page over the API: links to it for who is signed in elsewhere, and the receipt that is kept there."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import quote, urlsplit

from aiohttp import web
from pydantic import field_validator
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import receipts
from gateway.api import own_page_shapes as shapes
from gateway.api import people
from gateway.api.answers import Done, answer
from gateway.api.base import Call, Route
from gateway.api.bodies import Body
from gateway.api.consent import Channel
from gateway.problems import invalid
from gateway.services import controller_of
from outbox.manage_links import OPENS, Opened
from profiles import merges
from profiles.addresses import BadAddress
from profiles.links import Held
from profiles.records import Profile
from store.tables import forms

_LIKED = ("email", "sms", "whatsapp")  # whose unsubscribe link, where no channel is named


class LinksIn(Body):
    """For which page of yours the links are, and which else than the preference centre's."""

    embed_origin: str | None = None
    """The page that frames them, such as `https://www.example.org`; without it nobody may."""
    form: str | None = None
    """A form to be shown filled in, by its id."""
    channel: Channel | None = None
    """From which the unsubscribe link unsubscribes; else e-mail, or what they have."""
    address: str | None = None
    """Of which address; else the primary one of the channel."""

    @field_validator("embed_origin")
    @classmethod
    def _is_origin(cls, value: str | None) -> str | None:
        if value is not None and not is_origin(value):
            raise ValueError("an origin is https:// and a host, as in https://www.example.org: no path, no wildcard")
        return value


def is_origin(text: str) -> bool:
    """Whether it is an origin that may frame a page: by https, or a loopback address; nothing but it in ASCII."""
    if len(text) > 255:
        return False
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    plain = f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{f':{port}' if port is not None else ''}"
    if text != plain or not host or not all(char.isalnum() or char in "-.:" for char in host) or not host.isascii():
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


async def links(call: Call) -> web.Response:
    """Links to a person's own page, for who is signed in at yours: a yes may be given by them, for two hours."""
    body = call.body(LinksIn)

    async def work(conn: AsyncConnection) -> Done:
        profile = await people.require(conn, call.id)
        if body.form is not None and not await _is_form(conn, body.form):
            raise invalid("form", "there is no such form, or it is not active")
        address = _address(call, profile, body)
        house, now = call.house, call.received_at.replace(microsecond=0)
        opened = Opened(profile.id, None, "account", now, body.embed_origin)
        form = None
        if body.form is not None:
            token = house.manage_links.token(Opened(profile.id, None, "account", now, body.embed_origin, body.form))
            form = f"{house.settings.server.public_url}/forms/{quote(body.form)}?for={quote(token, safe='')}"
        return Done(
            {
                "preference_centre": house.manage_links(opened),
                "unsubscribe": house.links(address.address_id, address.channel) if address is not None else None,
                "form": form,
                "expires_at": now + OPENS["account"],
            }
        )

    return await call.commit(work)


async def _is_form(conn: AsyncConnection, form_id: str) -> bool:
    found = select(forms.c.id).where(forms.c.id == form_id, forms.c.active)
    return (await conn.execute(found)).scalar_one_or_none() is not None


def _address(call: Call, profile: Profile, body: LinksIn) -> Held | None:
    """The address that the unsubscribe link is of; raises Problem 422 where one is named that they have not."""
    if body.address is not None:
        try:
            book = call.house.book
            wanted = book.proved(body.channel, body.address) if body.channel else book.find_tagged(body.address)
        except BadAddress as error:
            raise invalid("address", str(error)) from error
        named = f"{wanted.channel}:{wanted.value}".casefold()
        for held in profile.addresses:
            if f"{held.channel}:{held.value}".casefold() == named:
                return held
        raise invalid("address", "the profile has no such address")
    for channel in (body.channel,) if body.channel is not None else _LIKED:
        having = [held for held in profile.addresses if held.channel == channel]
        if having:
            return next((held for held in having if held.primary), having[0])
    if body.channel is not None:
        raise invalid("channel", "the profile has no address on it")
    return None


async def receipt(call: Call) -> web.Response:
    """What the person said yes and no to, as a receipt (ISO/IEC TS 27560); it outlives the profile."""
    house = call.house
    async with house.database.read() as conn:
        family = await merges.family(conn, call.id)
        made = await receipts.for_person(
            conn, call.id, family, controller_of(house.settings.organisation), now=call.received_at
        )
        if not made["pii_processing"]["purposes"]:
            await people.require(conn, call.id)
    return answer(made)


ROUTES: Sequence[Route] = (
    Route(
        "POST",
        "/v1/profiles/{id}/links",
        links,
        "consent:write",
        LinksIn,
        example={"embed_origin": "https://www.example.org", "channel": "email"},
        answers={200: shapes.Links},
        problems=(404,),
    ),
    Route(
        "GET",
        "/v1/profiles/{id}/receipts",
        receipt,
        "consent:read",
        answers={200: shapes.Receipt},
        problems=(404,),
    ),
)
