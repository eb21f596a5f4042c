"""The dispatcher against a provider with one slow line: what cannot begin in time goes back, and is sent later."""

from __future__ import annotations

import asyncio

from sqlalchemy import func, select

from channels.http import open_session
from channels.twilio.adapter import Twilio
from outbox.dispatch import Dispatcher
from outbox.protocol import LEASE_SECONDS
from store.clock import utcnow
from store.engine import Database
from store.tables import attempts, deliveries
from tests.channels.requests_as_sent import ACCOUNT, ORIGIN, TOKEN
from tests.outbox.conftest import POLICY, Planned
from tests.standins.twilio import TwilioStandIn, accepted

PEOPLE = [f"sms:+1415555010{n}" for n in range(4)]


async def tally(database: Database) -> tuple[dict[str, int], dict[str, int]]:
    """Deliveries by status, attempts by state."""
    async with database.read() as conn:
        by_status = await conn.execute(select(deliveries.c.status, func.count()).group_by(deliveries.c.status))
        by_state = await conn.execute(select(attempts.c.state, func.count()).group_by(attempts.c.state))
        return {row[0]: row[1] for row in by_status}, {row[0]: row[1] for row in by_state}


async def test_a_send_whose_lease_is_over_goes_back_to_the_queue_and_is_sent_later(
    database: Database, planned: Planned
) -> None:
    await planned(*PEOPLE)
    async with TwilioStandIn(ACCOUNT, TOKEN) as standin, open_session(connections=1) as session:
        standin.default = accepted(LEASE_SECONDS + 0.3)  # the one line is taken for longer than a lease lasts
        twilio = Twilio(
            name="sms",
            channel="sms",
            account_sid=ACCOUNT,
            auth_token=TOKEN,
            public_url=ORIGIN,
            session=session,
            sender="+14155550100",
            api_url=standin.url,
        )
        dispatcher = Dispatcher(database, {"sms": twilio}, policy=POLICY, clock=utcnow)
        dispatcher.start()
        try:
            async with asyncio.timeout(60):
                while (await tally(database))[0] != {"accepted": len(PEOPLE)}:
                    await asyncio.sleep(0.1)
        finally:
            await dispatcher.stop()
        _, states = await tally(database)
        assert states["abandoned"] > 0  # three of the four waited for the line until their lease was over
        assert states["accepted"] == len(PEOPLE) == len(standin.log)
        assert len({request.to for request in standin.log}) == len(PEOPLE)
        async with database.read() as conn:
            assert set((await conn.execute(select(deliveries.c.tries))).scalars()) == {1}  # such tries are not counted
