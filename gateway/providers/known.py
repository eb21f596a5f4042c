"""Every provider there is. One more is one more in the union, and mypy asks it for all that the gateway needs."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from pydantic import Field

from gateway.providers.base import Section
from gateway.providers.meta import Meta
from gateway.providers.sandbox import Sandbox
from gateway.providers.smtp import Inbound, Smtp
from gateway.providers.twilio import Twilio

Connection = Annotated[Twilio | Meta | Smtp | Sandbox, Field(discriminator="provider")]


def _by_word(union: Any) -> dict[str, type[Section]]:
    """By what stands in the configuration as `provider`."""
    return {get_args(one.model_fields["provider"].annotation)[0]: one for one in get_args(get_args(union)[0])}


PROVIDERS = _by_word(Connection)
WAYS_IN = _by_word(Inbound)  # of mail
