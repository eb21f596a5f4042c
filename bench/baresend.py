"""The limit of the way out: an aiohttp client that posts the same bodies, 64 at once, and reads the answers.

python -m bench.baresend URL COUNT
"""

from __future__ import annotations

import asyncio
import json
import sys
from urllib.parse import urlencode

import aiohttp

from bench.gateways import ACCOUNT, ORIGIN, OUR_NUMBER
from outbox.lines import CONCURRENCY


async def main() -> None:
    url = f"{sys.argv[1]}/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
    numbers = iter(range(int(sys.argv[2])))
    headers = {"Authorization": "Basic " + "x" * 88, "Content-Type": "application/x-www-form-urlencoded"}

    async def client(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            form = {
                "To": f"+1312{number:08d}", "StatusCallback": f"{ORIGIN}/webhooks/sms/status?tag=att_{number:026d}",
                "From": OUR_NUMBER, "Body": "Hello",
            }  # fmt: skip
            async with session.post(url, data=urlencode(form).encode(), headers=headers) as response:
                json.loads(await response.read())

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONCURRENCY)) as session:
        await asyncio.gather(*(client(session) for _ in range(CONCURRENCY)))
    print("{}")


if __name__ == "__main__":
    asyncio.run(main())
