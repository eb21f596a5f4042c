"""Whether the world reaches the gateway under its public URL."""

from __future__ import annotations

import json

import aiohttp

from channels.http import Exchange, get
from gateway.checks.configuration import leaving
from gateway.checks.findings import Finding, ok, problem, warn
from gateway.checks.wire import certificate_trouble, is_unknown_host, why_no_answer
from gateway.settings import Settings

ABOUT = "public url"


async def findings(settings: Settings, session: aiohttp.ClientSession, *, seconds: float) -> list[Finding]:
    """Who answers there, asked from this machine: the world may see it otherwise."""
    url = f"{settings.server.public_url}/healthz"
    exchange = await get(session, url, headers={}, seconds=seconds)
    if exchange.status is None:
        return [_unanswered(settings, url, exchange.error)]
    return [_answered(url, exchange)]


def _unanswered(settings: Settings, url: str, error: Exception | None) -> Finding:
    """Nobody there is right before the gateway is started; what its start does not mend is a problem."""
    sentence = f"{url} was asked in vain: {why_no_answer(error)}"
    if certificate_trouble(error) is not None or (is_unknown_host(error) and leaving(settings)):
        return problem(ABOUT, f"{sentence}. A provider would get no further")
    return warn(ABOUT, f"{sentence}. Is the gateway running, and does your proxy lead to it?")


def _answered(url: str, exchange: Exchange) -> Finding:
    status = exchange.status or 0
    if status == 200 and _is_ours(exchange):
        return ok(ABOUT, f"{url} answers, and it is an Optgate")
    if 300 <= status < 400:
        return problem(ABOUT, f"{url} leads elsewhere ({status}): let [server] public_url name the last place")
    if status in (502, 503, 504):
        return warn(ABOUT, f"{url} is answered by a proxy that finds no gateway ({status}): is it running?")
    if status in (401, 403):
        return problem(ABOUT, f"{url} asks for a login ({status}): providers and customers have none")
    return problem(ABOUT, f"{url} is answered by something else ({status}): is it the gateway's address and path?")


def _is_ours(exchange: Exchange) -> bool:
    """By what `healthz` answers; a proxy may have put its own name into the headers."""
    try:
        return bool(json.loads(exchange.body) == {"status": "ok"})
    except (ValueError, RecursionError):
        return False
