"""What the running gateway is made of, and how its parts are put together."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiohttp
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from broadcasts.planner import Planner
from channels.sandbox import Sandbox
from channels.twilio.adapter import Twilio
from channels.values import Adapter
from consent import defaults
from gateway import settings as options
from gateway.settings import ConfigError, Settings
from inbox import rulebook
from inbox.receive import Desk
from outbox.dispatch import Dispatcher
from outbox.sandbox import SandboxOutbox
from profiles.addresses import AddressBook
from store.clock import Clock
from store.engine import Database
from store.migrate import migrate
from store.tables import settings as settings_table
from store.upsert import insert_missing


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


async def prepare(database: Database, settings: Settings, *, now: datetime) -> AddressBook:
    """Migrate, and fill what a first start fills: keys, defaults, built-in rules. Safe to repeat, and to race."""
    await migrate(database)

    async def fill(conn: AsyncConnection) -> str:
        given = settings.server.secret.get_secret_value() if settings.server.secret else secrets.token_hex(32)
        await insert_missing(
            conn,
            settings_table,
            [
                # The key of the addresses' hashes never rotates: suppressions are found by it.
                {"key": "address_key", "value": secrets.token_hex(32), "updated_at": now},
                {"key": "secret", "value": given, "updated_at": now},
            ],
        )
        await defaults.ensure(conn, settings.defaults.states, now=now)
        await rulebook.refresh_builtin(conn, settings.rules.packs, now=now)
        return str(await setting(conn, "address_key"))

    return AddressBook(bytes.fromhex(await database.transact(fill)), settings.defaults.region)


async def setting(conn: AsyncConnection, key: str) -> Any:
    """A value of the settings table."""
    return (await conn.execute(select(settings_table.c.value).where(settings_table.c.key == key))).scalar_one()


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
