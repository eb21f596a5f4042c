"""What every command needs: its configuration, a database, and how it says that something went wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gateway.errors import ConfigError, Unusable

if TYPE_CHECKING:
    from gateway.settings import Settings
    from store.engine import Database

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., Any])


class Usage(click.ClickException):
    """The configuration is wrong."""

    exit_code = 2


class Failed(click.ClickException):
    """The command could not be carried out."""

    exit_code = 1


def with_config(command: Command) -> Command:
    """Add --config, which every command takes after its own arguments."""
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        help="Configuration file; else OPTGATE_CONFIG, else ./optgate.toml.",
    )(command)


def settings_of(config: Path | None) -> Settings:
    from gateway.settings import load

    try:
        return load(config)
    except ConfigError as error:
        raise Usage(str(error)) from None


def run(settings: Settings, work: Awaitable[T]) -> T:
    async def awaited() -> T:
        return await work

    try:
        return asyncio.run(awaited())
    except Unusable as error:
        raise Failed(str(error)) from None
    except click.ClickException:
        raise
    except Exception as error:
        from gateway.mishaps import why
        from store.engine import normalise_url

        words = why(error, normalise_url(settings.database.url))
        if words is None:
            raise
        raise Failed(words) from None


def with_database(settings: Settings, work: Callable[[Database], Awaitable[T]]) -> T:
    """Do it with the database that is there, as it is."""
    from gateway.prepare import as_it_is

    async def worked() -> T:
        async with as_it_is(settings) as database:
            return await work(database)

    return run(settings, worked())


def with_prepared(settings: Settings, work: Callable[[Database], Awaitable[T]]) -> T:
    """Do it with a database that is brought up to date; where there is none it is made, which is said on standard
    error: in the wrong folder it is not the gateway's."""
    from gateway.prepare import prepared
    from store.clock import utcnow

    async def worked() -> T:
        async with prepared(settings, now=utcnow()) as (database, made):
            if made:
                click.echo(made, err=True)
            return await work(database)

    return run(settings, worked())
