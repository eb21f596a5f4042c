"""What the running gateway is made of, and how its parts are put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import aiohttp

from broadcasts.planner import Planner
from channels.sandbox import Sandbox
from channels.twilio.adapter import Twilio
from channels.values import Adapter
from gateway import settings as options
from gateway.errors import ConfigError
from gateway.settings import Settings
from inbox.receive import Desk
from outbox.dispatch import Dispatcher
from outbox.sandbox import SandboxOutbox
from profiles.addresses import AddressBook
from store.clock import Clock
from store.engine import Database


@dataclass(frozen=True, slots=True)
class House:
    """The parts that every request may need."""

    settings: Settings
    database: Database
    clock: Clock
    book: AddressBook
    desk: Desk
    adapters: Mapping[str, Adapter]
    dispatcher: Dispatcher
    planner: Planner

    def now(self) -> datetime:
        return self.clock()


def adapters_for(settings: Settings, session: aiohttp.ClientSession, sandbox: SandboxOutbox) -> dict[str, Adapter]:
    """An adapter for each configured connection; raises ConfigError."""
    made: dict[str, Adapter] = {}
    for name, connection in settings.connections.items():
        try:
            made[name] = _adapter(name, connection, settings, session, sandbox)
        except ValueError as error:
            raise ConfigError(f"[connections.{name}]: {error}") from error
    return made


def _adapter(
    name: str,
    connection: options.Connection,
    settings: Settings,
    session: aiohttp.ClientSession,
    sandbox: SandboxOutbox,
) -> Adapter:
    if isinstance(connection, options.Sandbox):
        return Sandbox(
            name=name,
            channel=connection.channel,
            keep=sandbox.keep,
            sender=connection.sender,
            delay_seconds=connection.delay_seconds,
            failures=connection.failures,
        )
    return Twilio(
        name=name,
        channel=connection.channel,
        account_sid=connection.account_sid,
        auth_token=connection.auth_token.get_secret_value(),
        public_url=settings.server.public_url,
        session=session,
        sender=connection.sender,
        messaging_service_sid=connection.messaging_service_sid,
        api_url=connection.api_url,
        signing_keys={key: secret.get_secret_value() for key, secret in connection.signing_keys.items()},
    )
