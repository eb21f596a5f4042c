"""Adapters as a configuration makes them, for tests of what is above them."""

from __future__ import annotations

import aiohttp

from channels.twilio.adapter import Twilio
from tests.channels.requests_as_sent import ACCOUNT, ORIGIN, TOKEN
from tests.standins.twilio import TwilioStandIn


def twilio_at(standin: TwilioStandIn, session: aiohttp.ClientSession, name: str = "sms") -> Twilio:
    """A connection of this name to the stand-in, which has the account ACCOUNT."""
    return Twilio(
        name=name,
        channel="sms",
        account_sid=ACCOUNT,
        auth_token=TOKEN,
        public_url=ORIGIN,
        session=session,
        sender="+14155550100",
        api_url=standin.url,
    )
