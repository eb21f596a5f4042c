"""The secret that signs links: whoever changes it changes what is signed next, and nothing that was."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import SecretStr

from gateway import signing
from gateway.prepare import prepare
from gateway.settings import Server, Settings
from store.clock import utcnow
from store.engine import Database

FIRST, SECOND, THIRD = ("a first secret, kept", "a second secret, kept", "a third secret, kept")


async def believed(database: Database, secret: str | None = None, *old: str) -> list[str]:
    """A gateway starts with this configuration; returns what signs, and what is believed besides."""
    given: dict[str, Any] = {"old_secrets": [SecretStr(one) for one in old]}
    server = Server(**given | ({"secret": SecretStr(secret)} if secret else {}))
    await prepare(database, Settings(server=server), now=utcnow())
    async with database.read() as conn:
        return await signing.believed(conn, server)


async def test_without_one_a_secret_is_made_once(database: Database) -> None:
    [made] = await believed(database)
    assert len(made) == 64
    assert await believed(database) == [made]


async def test_a_configured_one_signs_and_all_before_it_are_believed(database: Database) -> None:
    [made] = await believed(database)
    assert await believed(database, FIRST) == [FIRST, made]
    assert await believed(database, SECOND) == [SECOND, FIRST, made]
    assert await believed(database, SECOND) == [SECOND, FIRST, made], "it is said once"
    assert await believed(database, FIRST) == [FIRST, SECOND, made], "back again"
    assert await believed(database) == [FIRST, SECOND, made], "taken out of the configuration it signs still"


async def test_those_of_another_database_are_believed_while_they_are_named(database: Database) -> None:
    assert await believed(database, FIRST, THIRD) == [FIRST, THIRD]
    assert await believed(database, FIRST) == [FIRST]


async def test_of_gateways_that_start_at_once_none_loses_a_secret(database: Database) -> None:
    [made] = await believed(database)
    await asyncio.gather(*(believed(database, one) for one in (FIRST, SECOND, THIRD) * 3))
    assert sorted(await believed(database)) == sorted([made, FIRST, SECOND, THIRD])
