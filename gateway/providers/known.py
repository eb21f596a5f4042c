"""Every provider there is. One more is one more in the union, and mypy asks it for all that the gateway needs."""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import Field

from gateway.providers.base import Section
from gateway.providers.meta import Meta
from gateway.providers.sandbox import Sandbox
from gateway.providers.smtp import Smtp
from gateway.providers.twilio import Twilio

Connection = Annotated[Twilio | Meta | Smtp | Sandbox, Field(discriminator="provider")]

# By the word that stands in the configuration as `provider`.
PROVIDERS: dict[str, type[Section]] = {
    get_args(options.model_fields["provider"].annotation)[0]: options for options in get_args(get_args(Connection)[0])
}
