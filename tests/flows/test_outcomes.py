"""The table that decides duplicates, line by line: how a send can end, over real HTTP, for both classes of message."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from outbox import claims, singles
from outbox.dispatch import Dispatcher
from outbox.singles import Route, Single
from store.clock import utcnow
from store.engine import Database
from tests.channels.loopback import free_port, greeting
from tests.flows.running import ANA, BEN, CLEO, Gateway, changed, eventually
from tests.flows.test_reports import report
from tests.flows.test_single_messages import ended, message, send
from tests.standins import twilio as answers
from tests.standins.twilio import Answer, TwilioStandIn

YES = {"channels": {"sms": "yes"}}
CLASSES = ("marketing", "transactional")
Rows = list[dict[str, Any]]


async def one(gateway: Gateway, number: str, class_: str) -> str:
    """Queue a message of this class to somebody new who said yes; returns its id."""
    person = await gateway.person(f"sms:{number}", consent=YES)
    return await send(gateway, person["id"], require_opt_in=class_ == "marketing")


async def attempts_of(gateway: Gateway, message_id: str) -> Rows:
    rows = [row for row in await gateway.rows("attempts") if row["delivery_id"] == message_id]
    return sorted(rows, key=lambda row: str(row["id"]))


async def delivery(gateway: Gateway, message_id: str) -> dict[str, Any]:
    [row] = [row for row in await gateway.rows("deliveries") if row["id"] == message_id]
    return row


async def tried(gateway: Gateway, message_id: str, times: int) -> Rows:
    """Its attempts, once there are so many and none is under way."""

    async def look() -> Rows:
        made = await attempts_of(gateway, message_id)
        return made if len(made) >= times and all(row["state"] != "sending" for row in made) else []

    return await eventually(look)


async def becomes(gateway: Gateway, message_id: str, status: str) -> None:
    async def look() -> bool:
        return str((await message(gateway, message_id))["status"]) == status

    await eventually(look)


def tags(made: Rows) -> set[str]:
    return {row["tag"] or row["id"] for row in made}


# --- nothing was written ----------------------------------------------------------------------


@contextmanager
def deaf() -> Iterator[int]:
    """A port where the system does not even take the connection."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        callers = [socket.socket() for _ in range(3)]  # they fill the queue of those who wait to be taken
        for caller in callers:
            caller.setblocking(False)
            caller.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]
        for caller in callers:
            caller.close()


@asynccontextmanager
async def nobody(how: str) -> AsyncIterator[str]:
    """The address of an API that cannot be spoken to."""
    if how == "no such name":
        yield "http://api.invalid"
    elif how == "refused":
        yield f"http://127.0.0.1:{free_port()}"
    elif how == "no TLS":
        async with greeting(b"220 mail.example.org ESMTP\r\n") as port:
            yield f"https://127.0.0.1:{port}"
    else:
        with deaf() as port:
            yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("how", ["no such name", "refused", "no TLS", "connect time-out"])
async def test_what_never_began_is_tried_again_with_backoff_and_sent_once(
    gateway: Gateway, twilio: TwilioStandIn, how: str
) -> None:
    async with nobody(how) as url:
        await gateway.restart(connections=changed(gateway.settings, "sms", api_url=url))
        ids = [await one(gateway, number, class_) for number, class_ in zip((ANA, BEN), CLASSES, strict=True)]
        for times, seconds in ((1, 2), (2, 4))[: 1 if how == "connect time-out" else 2]:
            for id_ in ids:
                made = await tried(gateway, id_, times)
                assert [row["state"] for row in made] == ["not_sent"] * times
                row = await delivery(gateway, id_)
                assert (row["status"], row["tries"]) == ("queued", times)
                assert row["due_at"] - row["updated_at"] == timedelta(seconds=seconds)
            gateway.clock.advance(seconds=seconds)
    await gateway.restart(connections=changed(gateway.settings, "sms", api_url=twilio.url))
    gateway.clock.advance(minutes=5)
    for id_ in ids:
        await becomes(gateway, id_, "accepted")
    assert Counter(line.to for line in twilio.log) == {ANA: 1, BEN: 1}


# --- throttled --------------------------------------------------------------------------------


def in_seconds(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("wish", "seconds", "class_"),
    [
        ("30", 30, "marketing"),
        ("30", 30, "transactional"),
        ("date", 30, "marketing"),
        (None, 1, "marketing"),
        ("soon", 1, "transactional"),
        ("-5", 1, "marketing"),
        ("86400", 3600, "marketing"),
        ("date far off", 3600, "transactional"),
    ],
)
async def test_a_connection_that_is_throttled_rests_as_a_whole_and_as_long_as_was_asked(
    gateway: Gateway, twilio: TwilioStandIn, wish: str | None, seconds: int, class_: str
) -> None:
    dated = {"date": in_seconds(30), "date far off": in_seconds(86400)}
    twilio.on[ANA] = answers.throttled(dated.get(wish or "", wish))
    before = gateway.clock()
    ana = await one(gateway, ANA, class_)
    [made] = await tried(gateway, ana, 1)
    assert made["state"] == "not_sent"
    [rest] = [row for row in await gateway.rows("paces") if row["name"] == "sms"]
    row = await delivery(gateway, ana)
    assert row["status"] == "queued"
    slack = timedelta(seconds=10)  # a busy machine; a date has whole seconds
    for until in (rest["free_at"], row["due_at"]):
        assert before + timedelta(seconds=seconds - 2) <= until <= before + timedelta(seconds=seconds + 2) + slack
    del twilio.on[ANA]
    gateway.clock.advance(seconds=seconds + 2)
    await becomes(gateway, ana, "accepted")
    assert len(await attempts_of(gateway, ana)) == 2


async def test_while_a_connection_rests_no_dispatcher_sends_through_it(gateway: Gateway, twilio: TwilioStandIn) -> None:
    house = gateway.house
    second = Dispatcher(house.database, house.adapters, policy=house.policy, clock=gateway.clock)
    second.start()
    try:
        twilio.on[ANA] = answers.throttled("600")
        ana = await one(gateway, ANA, "marketing")
        await tried(gateway, ana, 1)
        others = [await one(gateway, BEN, "marketing"), await one(gateway, CLEO, "transactional")]
        await asyncio.sleep(1.2)  # each has looked at the queue twice by now
        assert [line.to for line in twilio.log] == [ANA]
        del twilio.on[ANA]
        gateway.clock.advance(seconds=605)
        for id_ in (ana, *others):
            await becomes(gateway, id_, "accepted")
    finally:
        await second.stop()


# --- refused ----------------------------------------------------------------------------------

REFUSED = {
    "no number": answers.error(400, 21211, "The 'To' number is not valid"),
    "not allowed there": answers.error(400, 21408, "Permission to send an SMS has not been enabled"),
    "opted out": answers.error(400, 21610, "Attempt to send to unsubscribed recipient"),
    "without a word": answers.odd(b"", 400, accept=False),
    "gone": answers.odd(b"gone", 410, accept=False),
    "led elsewhere": answers.odd(b"", 422, accept=False),
}


async def test_what_was_refused_for_good_is_not_tried_again(gateway: Gateway, twilio: TwilioStandIn) -> None:
    made = await one_of_each(gateway, twilio, REFUSED)
    for id_ in made.values():
        assert (await ended(gateway, id_))["status"] == "failed"
        assert [row["state"] for row in await attempts_of(gateway, id_)] == ["rejected"]
    gateway.clock.advance(hours=3)
    await asyncio.sleep(1.2)
    assert set(Counter(line.to for line in twilio.log).values()) == {1}
    for name, class_ in made:
        [person] = await gateway.whose(f"sms:{number_of(REFUSED, name, class_)}")
        sources = [line["source"] for line in await gateway.history(person["id"])]
        assert sources == (["provider", "api"] if name == "opted out" else ["api"])
        [address] = person["consent"]["addresses"].values()
        assert address["state"] == ("no" if name == "opted out" else "not_asked")
        verdict = {"opted out": "opted_out_channel", "no number": "undeliverable"}.get(name, "opted_in")
        assert await gateway.verdict(person["id"]) == verdict


# --- in doubt ---------------------------------------------------------------------------------

CUT_SHORT = b'HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{"sid": "SM'
IN_DOUBT = {
    "reset before the answer": answers.reset(accept=False),
    "accepted, then reset": answers.reset(accept=True),
    "closed before the answer": answers.close(accept=False),
    "accepted, then closed": answers.close(accept=True),
    "time-out": answers.hang(accept=False),
    "accepted, then no answer": answers.hang(accept=True),
    "500": answers.broken(500),
    "500, but accepted": answers.broken(500, accept=True),
    "503": answers.broken(503),
    "504, but accepted": answers.broken(504, accept=True),
    "201 without a body": answers.odd(b"", accept=False),
    "201 with half a JSON, and accepted": answers.odd(b'{"sid": "SM', accept=True),
    "201 without an id": answers.odd(b"{}", accept=False),
    "201 with an odd id, and accepted": answers.odd(b'{"sid": 7}', accept=True),
    "200 with a page": answers.odd(b"<html>Welcome</html>", 200, accept=False),
    "an answer that is none": answers.raw(b"ICY 200 OK\r\n\r\n", accept=False),
    "cut short, and accepted": answers.raw(CUT_SHORT, accept=True),
}


def number_of(table: dict[str, Answer], name: str, class_: str) -> str:
    return f"+1415555{7 + CLASSES.index(class_)}{list(table).index(name):03d}"


async def one_of_each(gateway: Gateway, twilio: TwilioStandIn, table: dict[str, Answer]) -> dict[tuple[str, str], str]:
    """Queue a message of each class for each answer, to somebody for whom the provider has that answer."""
    made = {}
    for name, answer in table.items():
        for class_ in CLASSES:
            number = number_of(table, name, class_)
            twilio.on[number] = answer
            made[name, class_] = await one(gateway, number, class_)
    return made


@pytest.fixture
async def impatient(gateway: Gateway) -> Gateway:
    """It waits a second for an answer, not ten; and its clock stands: what is to be repeated is so when we say."""
    gateway.clock.hold()
    gateway.house.adapters["sms"]._client.http_client._seconds = 1.0  # type: ignore[attr-defined]
    return gateway


async def test_what_may_have_been_sent_is_in_doubt_and_marketing_is_not_sent_again(
    impatient: Gateway, twilio: TwilioStandIn
) -> None:
    gateway = impatient
    twilio.decide_list = lambda _: answers.throttled("5")
    made = await one_of_each(gateway, twilio, IN_DOUBT)
    stands = {}
    for (name, class_), id_ in made.items():
        rows = await tried(gateway, id_, 1)
        stands[name, class_] = [row["state"] for row in rows], (await delivery(gateway, id_))["status"]
    after_one = {"marketing": "in_doubt", "transactional": "queued"}
    assert stands == {(name, class_): (["in_doubt"], after_one[class_]) for name, class_ in made}

    for tries in (2, 3, 4):
        gateway.clock.advance(minutes=2)
        for (_, class_), id_ in made.items():
            if class_ == "transactional":
                await tried(gateway, id_, min(tries, 3))
    await asyncio.sleep(1.2)
    requests = Counter(line.to for line in twilio.log)
    expected = {number_of(IN_DOUBT, name, class_): 1 if class_ == "marketing" else 3 for name, class_ in made}
    assert requests == expected
    for id_ in made.values():
        rows = await attempts_of(gateway, id_)
        assert (await delivery(gateway, id_))["status"] == "in_doubt"
        assert len(tags(rows)) == 1
        assert {line.tag for line in twilio.log if line.to == twilio_number(twilio, rows)} == tags(rows)

    gateway.clock.advance(hours=25)
    for id_ in made.values():
        await becomes(gateway, id_, "unknown")
    assert Counter(line.to for line in twilio.log) == expected


def twilio_number(twilio: TwilioStandIn, rows: Rows) -> str:
    [number] = {line.to for line in twilio.log if line.tag in tags(rows)}
    return number


async def test_what_was_accepted_is_found_in_the_providers_list_before_it_is_repeated(
    impatient: Gateway, twilio: TwilioStandIn
) -> None:
    gateway = impatient
    made = await one_of_each(gateway, twilio, IN_DOUBT)
    for id_ in made.values():
        await tried(gateway, id_, 1)
    gateway.clock.advance(seconds=6)
    for (name, class_), id_ in made.items():
        accepted = [line for line in twilio.log if line.sid and line.to == number_of(IN_DOUBT, name, class_)]
        if not IN_DOUBT[name].accept:
            assert not accepted
            continue
        await becomes(gateway, id_, "accepted")
        assert (await message(gateway, id_))["provider_id"] == accepted[0].sid
        assert len(accepted) == 1
    gateway.clock.advance(minutes=30)
    for (name, class_), id_ in made.items():
        if class_ == "transactional":
            await tried(gateway, id_, 1 if IN_DOUBT[name].accept else 2)
    counts = Counter(line.to for line in twilio.log if line.sid)
    assert set(counts.values()) == {1}
    for (name, class_), id_ in made.items():
        status = (await delivery(gateway, id_))["status"]
        if IN_DOUBT[name].accept:
            assert status == "accepted"
        else:
            assert status in (("in_doubt",) if class_ == "marketing" else ("queued", "sending", "in_doubt"))


async def looked_up(twilio: TwilioStandIn, times: int) -> None:
    """The provider was asked so often."""

    async def asked() -> bool:
        return len(twilio.lookups) >= times

    await eventually(asked)


async def test_a_repeat_that_is_accepted_settles_the_message_and_its_first_try_stays_in_doubt(
    gateway: Gateway, twilio: TwilioStandIn
) -> None:
    twilio.on[ANA] = answers.reset(accept=False)
    id_ = await one(gateway, ANA, "transactional")
    await tried(gateway, id_, 1)
    del twilio.on[ANA]
    gateway.clock.advance(seconds=20)
    await becomes(gateway, id_, "accepted")
    for times in (1, 2):
        await looked_up(twilio, times)
        gateway.clock.advance(hours=2)
    first, second = await attempts_of(gateway, id_)
    assert (first["state"], second["state"]) == ("in_doubt", "accepted")
    assert (first["provider_id"], second["provider_id"]) == (None, twilio.log[1].sid)
    assert len(tags([first, second])) == len({line.tag for line in twilio.log}) == 1
    assert len(twilio.log) == 2


@pytest.mark.parametrize("status", ["queued", "delivered", "undelivered"])
async def test_a_report_stops_the_repeat_of_what_it_tells_of(
    gateway: Gateway, twilio: TwilioStandIn, status: str
) -> None:
    twilio.decide_list = lambda _: answers.broken(503)
    twilio.on[ANA] = answers.reset(accept=True)
    id_ = await one(gateway, ANA, "transactional")
    await tried(gateway, id_, 1)
    assert (await delivery(gateway, id_))["status"] == "queued"
    assert (await report(gateway, twilio.log[0], status)).status == 200
    settled = "accepted" if status == "queued" else status
    gateway.clock.advance(hours=1)
    await asyncio.sleep(1.2)
    row = await delivery(gateway, id_)
    assert (row["status"], row["provider_id"]) == (settled, twilio.log[0].sid)
    assert [made["state"] for made in await attempts_of(gateway, id_)] == ["accepted"]
    assert len(twilio.log) == 1


# --- nobody is left to tell -------------------------------------------------------------------


async def test_what_a_process_had_begun_when_it_died_is_in_doubt(gateway: Gateway, twilio: TwilioStandIn) -> None:
    people = [(await gateway.person(f"sms:{number}", consent=YES))["id"] for number in (ANA, BEN)]
    policy, url = gateway.house.policy, gateway.settings.database.url
    await gateway.stop()
    database = Database(url)
    ids = []
    for person, class_ in zip(people, CLASSES, strict=True):
        single = Single([Route("sms", "sms")], {"body": "On sale."}, class_, "key:crm", profile_id=person)
        ids.append(await database.transact(lambda conn, wanted=single: singles.queue(conn, wanted, now=utcnow())))
    claimed = await database.transact(
        lambda conn: claims.claim(conn, "sms", limit=9, bulk=9, owner="dsp_dead", policy=policy, now=utcnow())
    )
    assert {claim.delivery_id for claim in claimed.claims} == set(ids)
    await database.dispose()

    await gateway.start()
    gateway.clock.advance(seconds=61)
    await becomes(gateway, ids[1], "accepted")
    await becomes(gateway, ids[0], "in_doubt")
    gateway.clock.advance(hours=2)
    await asyncio.sleep(1.2)
    assert [line.to for line in twilio.log] == [BEN]
    assert [row["state"] for row in await attempts_of(gateway, ids[0])] == ["in_doubt"]
    repeated = await attempts_of(gateway, ids[1])
    assert [row["state"] for row in repeated] == ["in_doubt", "accepted"]
    assert {line.tag for line in twilio.log} == tags(repeated) == {repeated[0]["id"]}
