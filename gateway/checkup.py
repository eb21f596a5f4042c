"""`optgate check`: what an operator wants to know before the first message, and whenever something is odd."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.terminal import run, settings_of, with_config

if TYPE_CHECKING:
    from gateway.checks.findings import Finding
    from gateway.settings import Settings

SECONDS = 10.0  # for each answer over the network
LEDGER_SECONDS = 60.0
_COLOURS = {"ok": "green", "warn": "yellow", "problem": "red"}


@click.command("check")
@click.option("--json", "as_json", is_flag=True, help="The findings for machines, on standard output.")
@with_config
def check_command(as_json: bool, config: Path | None) -> None:
    """Look at configuration, database, ledger, providers and public URL.

    One line for each finding: ok, warn or problem. Exit status 0 when nothing is a problem, else 1.
    """
    from gateway.settings import find_file

    settings = settings_of(config)

    async def work() -> list[Finding]:
        found: list[Finding] = []
        async for finding in looked_at(settings, find_file(config)):
            found.append(finding)
            if not as_json:
                level = click.style(f"{finding.level:<8}", fg=_COLOURS[finding.level])
                click.echo(level + str(finding).removeprefix(f"{finding.level:<8}"))
        return found

    found = run(settings, work())
    troubled = any(finding.level == "problem" for finding in found)
    if as_json:
        click.echo(json.dumps({"ok": not troubled, "findings": [asdict(one) for one in found]}, ensure_ascii=False))
    if troubled:
        sys.exit(1)


async def looked_at(settings: Settings, file: Path | None) -> AsyncIterator[Finding]:
    """Everything, one after the other; what goes over the network is asked meanwhile."""
    from channels.http import open_session
    from gateway.checks import configuration, providers, reach

    for finding in configuration.findings(settings, file):
        yield finding
    async with open_session() as session:
        asking = asyncio.gather(
            providers.findings(settings, session, seconds=SECONDS), reach.findings(settings, session, seconds=SECONDS)
        )
        try:
            async for finding in _of_database(settings):
                yield finding
            for told in await asking:
                for finding in told:
                    yield finding
        finally:
            asking.cancel()


def _bar(length: int) -> Any:
    """How far the ledger is read, for who watches."""
    hidden = not sys.stderr.isatty()
    return click.progressbar(length=length, label="Reading the ledger", file=sys.stderr, hidden=hidden)


async def _of_database(settings: Settings) -> AsyncIterator[Finding]:
    from gateway.checks import forwards, history, reviews, storage, submissions
    from gateway.checks.findings import problem
    from gateway.errors import NotReady
    from gateway.mishaps import why
    from gateway.prepare import as_it_is
    from store.clock import utcnow
    from store.engine import normalise_url

    try:
        async with as_it_is(settings) as database:
            for finding in await storage.findings(database):
                yield finding
            for finding in await reviews.findings(database, now=utcnow()):
                yield finding
            going_on = {name for name, one in settings.connections.items() if one.forward_to is not None}
            for finding in await forwards.findings(database, going_on=going_on):
                yield finding
            for finding in await submissions.findings(database):
                yield finding
            with _bar(await history.length(database)) as bar:
                found = await history.findings(database, seconds=LEDGER_SECONDS, told=bar.update)
            for finding in found:
                yield finding
    except NotReady as error:
        yield problem(storage.ABOUT, " ".join(str(error).split()))
    except Exception as error:
        words = why(error, normalise_url(settings.database.url))
        if words is None:
            raise
        yield problem(storage.ABOUT, words)
