"""What a form's page posts, field by field: nonce, work, and who it comes from."""

from __future__ import annotations

import html
import json
import re
from typing import Any
from urllib.parse import urlencode

import altcha

from gateway.metrics import METRICS
from gateway.settings import Settings
from tests import canaries
from tests.flows.running import Gateway, Got

FORM = "application/x-www-form-urlencoded"
_HIDDEN = re.compile(r'<input type="hidden" name="nonce" value="([^"]*)">')
_CHALLENGE = re.compile(r'data-challenge="([^"]*)"')


def behind_a_proxy(settings: Settings) -> Settings:
    """Whoever asks says by X-Forwarded-For who it is, as our proxy would."""
    server = settings.server.model_copy(update={"trusted_proxies": ["127.0.0.1"]})
    return settings.model_copy(update={"server": server})


async def form_of(gateway: Gateway, channel: str = "email", **more: Any) -> str:
    """A new form's path."""
    words = {"description": "Autumn", "confirmation_message": "Send me news.", "button_text": "Send it"}
    made = await gateway.api("POST", "/v1/forms", status=201, json={**words, "channel": channel, **more})
    return f"/forms/{made['id']}"


async def opened(gateway: Gateway, path: str, **headers: str) -> str:
    """The page as it is shown."""
    got = await gateway.send("GET", path, headers=headers)
    assert got.status == 200, got.body
    return got.body.decode()


def nonce_in(page: str) -> str:
    found = _HIDDEN.search(page)
    assert found is not None, page
    return html.unescape(found[1])


def challenge_in(page: str) -> altcha.Challenge:
    found = _CHALLENGE.search(page)
    assert found is not None, page
    return altcha.Challenge.from_dict(json.loads(html.unescape(found[1])))


def worked(challenge: altcha.Challenge) -> str:
    """The solution, as a browser sends it."""
    solution = altcha.solve_challenge(challenge)
    assert solution is not None
    return str(altcha.Payload(challenge, solution).to_base64())


async def press(gateway: Gateway, path: str, *, client: str | None = None, **fields: str) -> Got:
    """The button, with what is in the fields."""
    canaries.plant(fields)
    headers = {"Content-Type": FORM} | ({"X-Forwarded-For": client} if client else {})
    return await gateway.send("POST", path, data=urlencode(fields).encode(), headers=headers)


def refused(gateway: Gateway) -> dict[str, float]:
    """By reason: how often something was not let through."""
    found = [one for one in gateway.app[METRICS].registry.collect() if one.name == "optgate_forms_refused"]
    return {sample.labels["reason"]: sample.value for one in found for sample in one.samples}


async def send_in(gateway: Gateway, path: str, address: str, *, client: str | None = None, **fields: str) -> Got:
    """A person opens the form, fills it in for some seconds, and sends it."""
    nonce = nonce_in(await opened(gateway, path))
    gateway.clock.advance(seconds=4)
    return await press(gateway, path, client=client, **{"nonce": nonce, "address": address} | fields)
