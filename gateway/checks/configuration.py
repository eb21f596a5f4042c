"""What stands in the configuration, and what was left as it comes although that is risky."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from gateway.checks.findings import Finding, ok, problem, warn
from gateway.providers.sandbox import Sandbox
from gateway.settings import Server, Settings

ABOUT = "configuration"


def findings(settings: Settings, file: Path | None) -> list[Finding]:
    """All that can be told without asking anybody."""
    found = [_source(settings, file)]
    if leaving(settings):
        found += [*_organisation(settings), *_public_url(settings)]
        if settings.sending.quiet_hours == "off":
            found.append(warn(ABOUT, "[sending] quiet_hours is off: marketing goes out at any hour of the night"))
    found += _defaults(settings)
    return found


def leaving(settings: Settings) -> list[str]:
    """The connections whose messages leave this machine: a provider's, unless a stand-in here takes its place."""
    return [
        name
        for name, connection in settings.connections.items()
        if not isinstance(connection, Sandbox) and not (connection.leads_to and is_here(connection.leads_to))
    ]


def is_here(url: str) -> bool:
    """Whether a URL leads to this very machine."""
    return Server.model_construct(public_url=url).is_loopback


def _source(settings: Settings, file: Path | None) -> Finding:
    names = ", ".join(settings.connections) or "none"
    count = len(settings.connections)
    connections = f"{count} connection{'' if count == 1 else 's'}: {names}"
    if not settings.connections:
        return warn(ABOUT, f"{file} has no connections: nothing can come in or go out")
    if file is None:
        return warn(ABOUT, f"no file is named, and none is here: what is built in counts, {connections}")
    return ok(ABOUT, f"{file} can be used, {connections}")


def _organisation(settings: Settings) -> list[Finding]:
    found: list[Finding] = []
    if "name" not in settings.organisation.model_fields_set:
        name = settings.organisation.name
        found.append(warn(ABOUT, f"[organisation] name is not set: people are answered in the name of {name!r}"))
    if not settings.organisation.contact:
        found.append(warn(ABOUT, "[organisation] contact is empty: HELP is answered without a way to reach you"))
    return found


def _public_url(settings: Settings) -> list[Finding]:
    url = settings.server.public_url
    if settings.server.is_loopback:
        sentence = f"[server] public_url is {url}, where no provider can reach this machine: set what the world sees"
        return [problem(ABOUT, sentence)]
    if urlsplit(url).scheme == "http":
        sentence = f"[server] public_url is {url}: what people write comes in unencrypted; put https in front"
        return [warn(ABOUT, sentence)]
    return []


def _defaults(settings: Settings) -> list[Finding]:
    yes = [channel for channel, state in settings.defaults.states.items() if state == "yes"]
    if not yes:
        return []
    return [warn(ABOUT, f"[defaults] {', '.join(yes)}: who was never asked is sent marketing; that is no consent")]
