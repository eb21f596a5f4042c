"""What a newcomer may copy and paste: text STOP as a customer, look at the proof, send a broadcast."""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway import keys
from gateway.services import House

KEY_NAME = "first-steps"

CUSTOMERS = ("+14155550123", "+14155550124")  # numbers that are reserved for fiction


async def new_key(house: House) -> str:
    """A fresh key for the commands; the one of an earlier start ends."""

    async def work(conn: AsyncConnection) -> str:
        with suppress(keys.UnknownKey):
            await keys.revoke(conn, KEY_NAME, now=house.now())
        return await keys.create(conn, KEY_NAME, now=house.now())

    return await house.database.transact(work)


def text(url: str, key: str) -> str:
    """The three commands, ready to paste into another terminal."""
    stop, start = CUSTOMERS
    return f"""
Optgate is at {url} with sandbox connections: nothing leaves this machine.
Paste these into another terminal.

1. Two customers text you: one says STOP, one says START.

curl -s {url}/webhooks/sms -d '{{"from": "{stop}", "to": "+12025550100", "body": "STOP"}}'
curl -s {url}/webhooks/sms -d '{{"from": "{start}", "to": "+12025550100", "body": "START"}}'

2. See the flags turn, each with its proof.

curl -s {url}/v1/consent-events -H 'Authorization: Bearer {key}' | python3 -m json.tool

3. Send a broadcast to everybody, and see who got it and who was skipped, and why.

curl -s {url}/v1/broadcasts -H 'Authorization: Bearer {key}' -d '{{
  "name": "Autumn season", "channel": "sms", "content": {{"body": "The autumn season is on sale."}},
  "audience": {{"all": true}}}}'
curl -s {url}/v1/broadcasts -H 'Authorization: Bearer {key}' | python3 -m json.tool
curl -s {url}/v1/sandbox/messages -H 'Authorization: Bearer {key}' | python3 -m json.tool
"""
