"""A broadcast as it is asked for over the API, and what it comes to: routes, times, content."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, field_validator
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from audience.select import Audience
from broadcasts.records import Draft
from consent import preferences
from gateway.api import contents, routes
from gateway.api.audiences import AudienceIn
from gateway.api.base import Call
from gateway.api.bodies import Body, parse_time
from gateway.api.contents import ContentIn
from gateway.api.routes import RoutesIn
from gateway.problems import invalid
from outbox.hours import BadHours, outside
from store.tables import preferences as preferences_table

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
_HOURS = 'use null, false, or {"from": "21:00", "to": "08:00"}: the hours in which nothing is sent'


class HoursIn(Body):
    """The hours in which nothing is sent, in the person's own time; over midnight where `to` comes before `from`."""

    model_config = ConfigDict(populate_by_name=False)

    from_: str = Field(alias="from")
    to: str


class BroadcastIn(RoutesIn):
    """A broadcast as it is asked for."""

    name: Name
    """For you and your colleagues."""
    content: ContentIn
    audience: AudienceIn
    preference: str | None = None
    """By name: sent only to who said yes to it."""
    send_at: str | None = None
    """Null: now."""
    not_after: str | None = None
    """What has not begun by then is skipped as `too_late`."""
    quiet_hours: HoursIn | Literal[False] | None = None
    """Null: as `[sending]` says. False: none, which is recorded. Else these, in each person's own time."""
    rate: Annotated[float, Field(ge=0.01, le=100_000)] | None = None
    """SMS segments a second, or other messages; null: the connection's."""
    dry_run: bool = False
    """Only count: 200, and nothing is stored."""

    @field_validator("quiet_hours", mode="before")
    @classmethod
    def _hours(cls, value: Any) -> Any:
        if value is None or value is False:
            return value
        if not isinstance(value, dict) or value.keys() != {"from", "to"}:
            raise ValueError(_HOURS)
        try:
            outside(value["from"], value["to"])
        except BadHours as error:
            raise ValueError(str(error)) from None
        return value


def draft(call: Call, body: BroadcastIn, now: datetime) -> Draft:
    """What is asked for, but for its audience and its preference; raises Problem."""
    ways = _routes(call, body)
    if any(way["channel"] == "email" for way in ways):
        contents.must_have_postal_address(call)
    send_at, not_after = _times(body, now)
    hours = body.quiet_hours
    return Draft(
        name=body.name,
        routes=ways,
        content=contents.content_for(call, body.content, {way["channel"]: way["connection"] for way in ways}),
        audience=Audience("all"),
        send_at=send_at,
        not_after=not_after,
        quiet_hours=hours.model_dump(by_alias=True) if isinstance(hours, HoursIn) else hours,
        rate=body.rate,
    )


def _routes(call: Call, body: BroadcastIn) -> list[dict[str, str]]:
    found = routes.read(call, body)
    if len(found) > 1 and body.audience.addresses is not None:
        raise invalid("channels", "an address is of one channel: name that one")
    return [{"channel": channel, "connection": connection} for channel, connection in found.items()]


def _times(body: BroadcastIn, now: datetime) -> tuple[datetime | None, datetime | None]:
    send_at = parse_time(body.send_at, "send_at") if body.send_at is not None else None
    not_after = parse_time(body.not_after, "not_after") if body.not_after is not None else None
    if not_after is not None and not_after <= max(now, send_at or now):
        raise invalid("not_after", "it must be later than " + ("send_at" if send_at and send_at > now else "now"))
    return send_at, not_after


async def preference_for(conn: AsyncConnection, name: str | None, channels: Sequence[str], *, hold: bool) -> str | None:
    """The id of the preference that a broadcast on these channels names; raises Problem. `hold` as in `by_names`."""
    if name is None:
        return None
    known = await preferences.by_names(conn, [name], hold=hold)
    if name not in known:
        raise invalid("preference", "there is no such preference")
    linked = (
        await conn.execute(select(preferences_table.c.linked_channel).where(preferences_table.c.id == known[name]))
    ).scalar_one()
    for channel in channels:
        if linked is not None and linked != channel:
            raise invalid("preference", f"it is linked to {linked}: a broadcast on {channel} cannot name it")
    return known[name]
