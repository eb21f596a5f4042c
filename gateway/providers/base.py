"""What the options of every connection are made of, and what an adapter needs besides them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    import aiohttp

    from channels.sandbox import SandboxMessage


class Section(BaseModel):
    """A table of the configuration: what is not named in it is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Rate = Annotated[float, Field(ge=0.01, le=100_000)]  # SMS segments, or messages of another channel, a second
StopNotice = Literal["first", "always", "never"]


@dataclass(frozen=True, slots=True)
class Parts:
    """What the house lends its adapters."""

    public_url: str  # what stands before `/webhooks/…` for the world
    session: aiohttp.ClientSession  # the one HTTP session; it asks for the lease last
    keep: Callable[[SandboxMessage], Awaitable[object]]  # where the sandbox puts what it sends
