"""An audience over the API: as it is asked for, as it is kept, as it is shown."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator
from sqlalchemy import select

from audience import lists
from audience.lists import Members, Part
from audience.select import Audience
from gateway.api.bodies import Body
from gateway.problems import invalid
from profiles.addresses import AddressBook, BadAddress
from store.engine import Database
from store.tables import profiles

SLICE = 100  # addresses read at a stretch, some two milliseconds: then everybody else has a turn
PAGE = 1000  # profiles asked about at once


class AudienceIn(Body):
    """Exactly one of the four."""

    all: Literal[True] | None = None
    """Everybody known; those who did not say yes are skipped, with the reason."""
    tag: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None
    """Who has it when the broadcast is planned."""
    profiles: Annotated[list[str], Field(min_length=1)] | None = None
    """By their ids."""
    addresses: Annotated[list[str], Field(min_length=1)] | None = None
    """Of the broadcast's channel; one that nobody has is skipped as `unknown_address`."""

    @model_validator(mode="after")
    def _one(self) -> AudienceIn:
        if len([v for v in (self.all, self.tag, self.profiles, self.addresses) if v is not None]) != 1:
            raise ValueError('name exactly one of {"all": true}, {"tag"}, {"profiles"}, {"addresses"}')
        return self


async def read(
    wanted: AudienceIn, *, channel: str, book: AddressBook, database: Database
) -> tuple[Audience, Sequence[Part]]:
    """The audience, and the parts of its list; raises Problem. No write transaction is open meanwhile: it may take
    seconds, in which the gateway does all else that it is asked to."""
    if wanted.tag is not None:
        return Audience("tag", tag=wanted.tag), ()
    if wanted.profiles is not None:
        _check_size("profiles", wanted.profiles)
        members = await _known(wanted.profiles, database)
        return Audience.listed("profiles", members), await lists.cut(members)
    if wanted.addresses is not None:
        _check_size("addresses", wanted.addresses)
        members = await _parsed(wanted.addresses, channel, book)
        return Audience.listed("addresses", members), await lists.cut(members)
    return Audience("all"), ()


def _check_size(field: str, given: Sequence[str]) -> None:
    if len(given) > lists.MOST:
        raise invalid(
            f"audience.{field}",
            f"{len(given):,} are too many for one list, which takes {lists.MOST:,}: use several broadcasts, or a tag",
        )


async def _known(ids: Sequence[str], database: Database) -> Members:
    async with database.read() as conn:
        for start in range(0, len(ids), PAGE):
            part = ids[start : start + PAGE]
            known = set((await conn.execute(select(profiles.c.id).where(profiles.c.id.in_(part)))).scalars())
            if unknown := [profile_id for profile_id in part if profile_id not in known]:
                raise invalid("audience.profiles", f"there is no profile {unknown[0]}")
    return dict.fromkeys(ids)


async def _parsed(texts: Sequence[str], channel: str, book: AddressBook) -> Members:
    found: dict[str, str | None] = {}
    for index, text in enumerate(texts):
        if index % SLICE == 0:
            await asyncio.sleep(0)
        try:
            address = book.parse(channel, text)
        except BadAddress as error:
            raise invalid(f"audience.addresses.{index}", str(error)) from error
        found[address.hash] = address.value
    return found


def shown(audience: Audience) -> dict[str, Any]:
    """As it was asked for; of a long list only how many it holds: its members are the broadcast's deliveries."""
    if audience.kind == "all":
        return {"all": True}
    if audience.kind == "tag":
        return {"tag": audience.tag}
    if audience.count > len(audience.shown):
        return {f"{audience.kind}_count": audience.count}
    return {audience.kind: list(audience.shown)}
