"""By which channel and connection, over the API: one, or several in order of wish."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gateway.api.base import Call
from gateway.api.bodies import Body
from gateway.problems import invalid

Channel = Literal["sms", "whatsapp", "email"]


class RoutesIn(Body):
    """`channel` and its `connection`; or `channels` and their `connections`, which may be absent where there is one."""

    channel: Channel | None = None
    """By which channel; or name several as `channels`."""
    connection: str | None = None
    """By which of your connections; absent where the channel has one."""
    channels: Annotated[list[Channel], Field(min_length=1)] | None = None
    """Several in order of wish: the first on which the person may be sent to, never two."""
    connections: dict[Channel, str] | None = None
    """By channel, for `channels`."""


def read(call: Call, given: RoutesIn) -> dict[str, str]:
    """Channel → connection, in order of wish; raises Problem."""
    if given.channels is None:
        if given.channel is None:
            raise invalid("channel", "name one, or several in order of wish as `channels`")
        if given.connections is not None:
            raise invalid("connections", "that is for `channels`: beside `channel` stands `connection`")
        return {given.channel: connection_for(call, given.channel, given.connection, "connection")}
    if given.channel is not None:
        raise invalid("channels", "give `channel` or `channels`, not both")
    if given.connection is not None:
        raise invalid("connection", 'with several channels write `connections`, such as {"sms": "sms"}')
    if len(set(given.channels)) != len(given.channels):
        raise invalid("channels", "each channel once")
    named = dict(given.connections or {})
    if strange := sorted(named.keys() - set(given.channels)):
        raise invalid(f"connections.{strange[0]}", "this channel is not among `channels`")
    return {c: connection_for(call, c, named.get(c), f"connections.{c}") for c in given.channels}


def connection_for(call: Call, channel: str, named: str | None, field: str) -> str:
    """The connection for a channel: the one named, or the only one; raises Problem."""
    fitting = [name for name, adapter in call.house.adapters.items() if adapter.channel == channel]
    if named is not None:
        if named not in fitting:
            known = ", ".join(fitting) or "none"
            raise invalid(field, f"there is no such connection for {channel}; known are {known}")
        return named
    if not fitting:
        raise invalid(field, f"none is configured for {channel}: add one to [connections] and restart")
    if len(fitting) > 1:
        raise invalid(field, f"name one: {', '.join(fitting)}")
    return fitting[0]
