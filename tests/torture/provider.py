"""The provider's stand-in as a process of its own, with faults by seed, a journal that is the truth, and reports.

What a request meets depends on the seed, the number, the text and how often they came: never on the order of arrival.
Every request is one line of the journal before anything is answered. On standard input `calm` ends the faults,
`ahead 61` says how far the gateway's clock is ahead.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import secrets
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import aiohttp
from multidict import MultiDict
from twilio.request_validator import RequestValidator

from tests.channels.requests_as_sent import ACCOUNT, FORM, TOKEN
from tests.standins.twilio import (
    Answer,
    Request,
    TwilioStandIn,
    accepted,
    broken,
    close,
    error,
    hang,
    odd,
    raw,
    reset,
    throttled,
)
from tests.torture.script import LOST

OPTED_OUT = "90"  # numbers that end so are answered 21610 now and then
REFUSED = error(400, 21610, "Attempt to send to unsubscribed recipient")


def _soon() -> str:
    """Two seconds from now as an HTTP date, by the clock that its `Date` is of."""
    return format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)


class Faults:
    """Which answer a request meets."""

    def __init__(self, seed: str) -> None:
        self.seed = seed
        self.calm = False
        self._came: Counter[tuple[str, str]] = Counter()

    def decide(self, form: dict[str, str]) -> Answer | None:
        what = form.get("To", ""), form.get("Body", "")
        self._came[what] += 1
        if self.calm:
            return None
        if what[1].endswith(LOST):
            return reset()
        chance = random.Random(f"{self.seed} {what} {self._came[what]}")
        if what[0].endswith(OPTED_OUT) and chance.random() < 0.3:
            return REFUSED
        return self._fault(chance)

    def _fault(self, chance: random.Random) -> Answer:
        quick = accepted(chance.choice((0.0, 0.0, 0.005, 0.03)))
        made = (
            (70, quick),
            (4, accepted(0.4)),
            (2, throttled("1")),
            (1, throttled(_soon())),
            (1, throttled()),
            (3, broken(503)),
            (3, broken(500, accept=True)),
            (4, reset()),
            (2, reset(accept=False)),
            (2, close()),
            (2, odd(b"{")),
            (1, odd(b"", status=200)),
            (1, odd(b'{"sid": 7}')),
            (2, raw(b"HTTP/1.1 2\x00 huh\r\n\r\n")),
            (1, hang()),
            (1, error(400, 21211, "The 'To' number is not valid")),
        )
        return chance.choices([answer for _, answer in made], [share for share, _ in made])[0]


class Provider(TwilioStandIn):
    """The stand-in, with a clock that goes with the gateway's."""

    ahead_seconds = 0.0

    def _keep(self, line: Request) -> None:
        super()._keep(replace(line, made_at=line.made_at + self.ahead_seconds))


class Journal(list[Request]):
    """The log, on disk before the answer; each acceptance is reported to the gateway, early, late and again."""

    def __init__(self, file: Path, reporter: Reporter) -> None:
        super().__init__()
        self._file = file.open("a", buffering=1)
        self._reporter = reporter

    def append(self, line: Request) -> None:
        super().append(line)
        self._file.write(json.dumps(asdict(line)) + "\n")
        self._reporter.soon(line)


class Reporter:
    """Posts status callbacks as Twilio does, to wherever the gateway listens."""

    def __init__(self, seed: str, gateway: str, session: aiohttp.ClientSession) -> None:
        self._seed, self._gateway, self._session = seed, gateway, session
        self._tasks: set[asyncio.Task[None]] = set()

    def soon(self, line: Request) -> None:
        chance = random.Random(f"{self._seed} report {line.to} {line.body}")
        if line.sid is None or line.body.endswith(LOST) or chance.random() < 0.3:
            return
        statuses = ["sent", chance.choice(("delivered", "delivered", "delivered", "undelivered"))]
        if chance.random() < 0.3:
            statuses.reverse()
        statuses += chance.choices(statuses, k=chance.randrange(3))
        pause = chance.choice((0.0, 0.02, 0.1))  # none: before the answer to the message itself
        task = asyncio.create_task(self._report(line, statuses, pause))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _report(self, line: Request, statuses: Iterable[str], pause: float) -> None:
        url = line.form["StatusCallback"]
        for status in statuses:
            await asyncio.sleep(pause)
            form = {"MessageSid": line.sid, "AccountSid": ACCOUNT, "MessageStatus": status, "To": line.to}
            form |= {"ErrorCode": "30007"} if status == "undelivered" else {}
            await self._post(url, urlencode(form).encode())

    async def _post(self, url: str, body: bytes) -> None:
        signed = RequestValidator(TOKEN).compute_signature(url, MultiDict(parse_qsl(body.decode())))
        parts = urlsplit(url)
        headers = {"Content-Type": FORM, "X-Twilio-Signature": signed}
        try:
            async with self._session.post(f"{self._gateway}{parts.path}?{parts.query}", data=body, headers=headers):
                pass
        except (aiohttp.ClientError, OSError, TimeoutError):
            return  # the gateway has died: a report that nobody took is lost, as Twilio's are


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", default=secrets.token_hex(4))
    parser.add_argument("--gateway", required=True)
    parser.add_argument("--journal", type=Path, required=True)
    asked = parser.parse_args()
    faults = Faults(asked.seed)
    timeout = aiohttp.ClientTimeout(total=5)
    connector = aiohttp.TCPConnector(limit=50, force_close=True)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
        Provider(ACCOUNT, TOKEN) as standin,
    ):
        standin.log = Journal(asked.journal, Reporter(asked.seed, asked.gateway, session))
        standin.decide = faults.decide
        standin.default = replace(accepted(), name="calm")
        print(standin.url, flush=True)
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            word, _, seconds = line.partition(" ")
            faults.calm = faults.calm or word.strip() == "calm"
            standin.ahead_seconds = float(seconds or standin.ahead_seconds)


if __name__ == "__main__":
    asyncio.run(main())
