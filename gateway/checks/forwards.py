"""Ordinary messages that go nowhere: what nobody took, and what waits for a connection that forwards no more."""

from __future__ import annotations

from collections.abc import Collection

from gateway.checks.findings import Finding, ok, warn
from inbox import forwards
from store.engine import Database

ABOUT = "forwards"


async def findings(database: Database, *, going_on: Collection[str]) -> list[Finding]:
    """What an operator has to do; `going_on` are the connections with a `forward_to`."""
    async with database.read() as conn:
        counts = await forwards.counted(conn)
    found = [_amiss(connection, status, count, going_on) for (connection, status), count in sorted(counts.items())]
    amiss = [finding for finding in found if finding is not None]
    return amiss or [ok(ABOUT, f"none is parked, {sum(counts.values())} on the way")]


def _amiss(connection: str, status: str, count: int, going_on: Collection[str]) -> Finding | None:
    where = f"`GET /v1/forwards?status={status}&connection={connection}` lists them"
    if status == "parked":
        taken = f"{count} of connection {connection} were taken by nobody for three days"
        return warn(ABOUT, f"{taken}: {where}, and `POST /v1/forwards/ID/retry` tries one again")
    if connection not in going_on:
        waiting = f"{count} wait for connection {connection}, which forwards nothing any more"
        return warn(ABOUT, f"{waiting}: {where}; with a `forward_to` in [connections.{connection}] they go on")
    return None
