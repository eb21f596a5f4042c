"""The gateway on each database, with Twilio's stand-in behind two connections and a sandbox beside them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from gateway.scrape import WATCH
from gateway.settings import Settings
from tests import canaries
from tests.channels.requests_as_sent import ACCOUNT, ORIGIN, TOKEN
from tests.flows.running import OURS, OURS_ON_WHATSAPP, SECOND_ACCOUNT, SECOND_NUMBER, SECOND_TOKEN, Gateway
from tests.standins.twilio import TwilioStandIn


@pytest.fixture(autouse=True)
def log_lines() -> Iterator[list[str]]:
    """Every log line. Whatever a flow does: none holds a person's number or words, a key or a token."""
    with canaries.listening() as lines:
        yield lines
    canaries.must_not_stand_in(lines)


@pytest.fixture
async def twilio() -> AsyncIterator[TwilioStandIn]:
    async with TwilioStandIn(ACCOUNT, TOKEN) as standin:
        yield standin


@pytest.fixture
def settings(database_url: str, twilio: TwilioStandIn) -> Settings:
    ours = {"provider": "twilio", "account_sid": ACCOUNT, "auth_token": TOKEN, "api_url": twilio.url,
            "stop_notice": "never"}  # fmt: skip
    theirs = {"provider": "twilio", "account_sid": SECOND_ACCOUNT, "auth_token": SECOND_TOKEN, "api_url": twilio.url}
    return Settings.model_validate(
        {
            "server": {"public_url": ORIGIN},
            "database": {"url": database_url},
            "sending": {"quiet_hours": "off"},  # the tests run at any hour
            "organisation": {
                "name": "Example Theatre",
                "contact": "boxoffice@example.org",
                "postal_address": "12 Long Lane, London",
            },
            "connections": {
                "sms": ours | {"channel": "sms", "from": OURS},
                "whatsapp": ours | {"channel": "whatsapp", "from": f"whatsapp:{OURS_ON_WHATSAPP}"},
                "second": theirs | {"channel": "sms", "from": SECOND_NUMBER},
                "box": {"provider": "sandbox", "channel": "sms"},
            },
        }
    )


@pytest.fixture
async def gateway(settings: Settings) -> AsyncIterator[Gateway]:
    async with running(settings) as gateway:
        yield gateway


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Gateway]:
    """A gateway, and at its end nothing personal in its metrics."""
    gateway = Gateway(settings)
    await gateway.start()
    yield gateway
    # What stands there is the same on both databases: it is counted on one.
    page = await gateway.app[WATCH].page() if gateway.house.database.dialect == "sqlite" else b""
    await gateway.stop()
    canaries.must_not_stand_in(page.decode().splitlines())
