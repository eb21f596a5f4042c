"""The door: who keeps us waiting is closed in stated time, who has asked is answered, and nobody is locked out."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager

import pytest

from gateway.connections import Limits
from gateway.door import LOOK_SECONDS, room_for_clients
from gateway.metrics import METRICS
from gateway.settings import Settings
from tests.channels.requests_as_sent import FORM, ORIGIN, signature
from tests.flows.conftest import settings, twilio  # noqa: F401 - fixtures
from tests.flows.running import ANA, BEN, Gateway, eventually
from tests.memory import rss_bytes

# The door's own limits, made short.
SOON = Limits(head_seconds=0.8, body_seconds=0.8, body_bytes_a_second=4096, answer_seconds=1.5, idle_seconds=1.6)
SLACK = 2 * LOOK_SECONDS + 2.0  # on a busy machine
IDLE = 2000


@pytest.fixture
async def opened(settings: Settings) -> AsyncIterator[Callable[[Limits], Awaitable[Gateway]]]:  # noqa: F811
    """A gateway whose door has these limits."""
    gateways: list[Gateway] = []

    async def open_(limits: Limits) -> Gateway:
        gateways.append(Gateway(settings))
        await gateways[0].start(limits)
        return gateways[0]

    yield open_
    await gateways[0].stop()


class Client:
    """Somebody who writes bytes, when they like."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._since = time.monotonic()

    def say(self, *parts: bytes) -> None:
        self._writer.write(b"".join(parts))

    async def drip(self, part: bytes, *, every: float = 0.05) -> None:
        """Go on until nobody listens."""
        while not self._writer.is_closing():
            self._writer.write(part)
            await asyncio.sleep(every)

    async def hear(self) -> bytes:
        """One answer of a few bytes."""
        return await asyncio.wait_for(self._reader.read(65_536), 60)

    async def closed(self) -> tuple[float, bytes]:
        """After how many seconds it was closed, and what was said until then."""
        heard = b""
        try:
            while part := await asyncio.wait_for(self._reader.read(65_536), 60):
                heard += part
        except ConnectionError:
            pass
        return time.monotonic() - self._since, heard


@asynccontextmanager
async def client(gateway: Gateway) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=2**24)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


def closed(gateway: Gateway, why: str) -> float:
    found = gateway.app[METRICS].registry.get_sample_value("optgate_http_connections_closed_total", {"why": why})
    return found or 0.0


def head(method: str, path: str, *lines: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *lines, "", ""]).encode()


# --- who takes their time ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("begun", "dripped", "told"),
    [
        (b"", b"", b""),
        (b"GET /", b"y", b"4"),  # 408, or 400 where the line has grown too long
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n", b"", b"408"),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"y", b"408"),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n", b"X-One-More: y\r\n", b"4"),  # or refused before: too many
        (b"\r\n", b"\r\n", b"408"),
    ],
    ids=["silence", "one byte at a time", "half a head", "a header without end", "headers without end", "blank lines"],
)
async def test_a_request_that_does_not_come_to_the_end_of_its_headers_is_closed_in_time(
    opened: Callable[[Limits], Awaitable[Gateway]], begun: bytes, dripped: bytes, told: bytes
) -> None:
    gateway = await opened(SOON)
    async with client(gateway) as slow:
        slow.say(begun)
        dripping = asyncio.create_task(slow.drip(dripped)) if dripped else None
        seconds, heard = await slow.closed()
        if dripping is not None:
            dripping.cancel()
    assert seconds < SOON.head_seconds + SLACK
    assert heard[9:].startswith(told), heard
    assert (await gateway.send("GET", "/healthz")).status == 200


@pytest.mark.parametrize(
    "said",
    [
        b"CANARY no HTTP\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nX-Canary: \x00CANARY\r\n\r\n",
        b"GET /" + b"CANARY" * 2000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        head("POST", "/v1/profiles", "Content-Encoding: zstd", "Content-Length: 6") + b"CANARY",
        head("POST", "/v1/profiles", "Transfer-Encoding: chunked") + b"CANARY\r\n",
    ],
    ids=["no HTTP", "a NUL", "a long line", "an unknown encoding", "no chunk"],
)
async def test_what_cannot_be_read_is_answered_by_a_problem_that_repeats_nothing(
    opened: Callable[[Limits], Awaitable[Gateway]], said: bytes
) -> None:
    gateway = await opened(Limits())
    async with client(gateway) as odd:
        odd.say(said)
        _, heard = await odd.closed()
    answered, _, body = heard.partition(b"\r\n\r\n")
    assert json.loads(body)["type"].endswith("/malformed")
    assert answered.split(b" ")[1] == b"400"
    assert b"application/problem+json" in answered
    assert b"aiohttp" not in heard
    assert b"CANARY" not in heard


async def test_a_second_request_is_given_no_more_time_than_the_first(
    opened: Callable[[Limits], Awaitable[Gateway]],
) -> None:
    gateway = await opened(SOON)
    async with client(gateway) as slow:
        slow.say(head("GET", "/healthz"))
        assert (await slow.hear()).startswith(b"HTTP/1.1 200")
        slow.say(b"GET /")
        dripping = asyncio.create_task(slow.drip(b"y"))
        seconds, heard = await slow.closed()
        dripping.cancel()
    assert seconds < SOON.head_seconds + SLACK
    assert heard.startswith(b"HTTP/1.1 408")


def posts(gateway: Gateway, key: str) -> dict[str, tuple[str, list[str]]]:
    body = gateway.form("STOP", ANA)
    return {
        "webhook": ("/webhooks/sms", [f"Content-Type: {FORM}", f"X-Twilio-Signature: {signature(body, ORIGIN, 'x')}"]),
        "report": ("/webhooks/sms/status", [f"Content-Type: {FORM}"]),
        "api": ("/v1/profiles", [f"Authorization: Bearer {key}", "Content-Type: application/json"]),
    }


@pytest.mark.parametrize("framing", ["Content-Length: 5000", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("where", ["webhook", "report", "api"])
async def test_a_body_that_drips_is_closed_in_time_and_nothing_of_it_is_kept(
    opened: Callable[[Limits], Awaitable[Gateway]], where: str, framing: str
) -> None:
    gateway = await opened(SOON)
    path, lines = posts(gateway, await gateway.key())[where]
    before = await gateway.everything()
    part = b"1\r\n \r\n" if "chunked" in framing else b" "
    async with client(gateway) as slow:
        slow.say(head("POST", path, framing, *lines), part)
        dripping = asyncio.create_task(slow.drip(part))
        seconds, heard = await slow.closed()
        dripping.cancel()
    assert seconds < SOON.body_seconds + SLACK
    assert heard.startswith(b"HTTP/1.1 408"), heard
    assert closed(gateway, "slow_body") == 1
    assert await gateway.everything() == before


async def test_a_body_that_goes_on_after_its_answer_is_closed_in_time(
    opened: Callable[[Limits], Awaitable[Gateway]],
) -> None:
    gateway = await opened(SOON)
    async with client(gateway) as slow:
        slow.say(head("POST", "/v1/profiles", "Content-Length: 5000"))
        dripping = asyncio.create_task(slow.drip(b" "))
        seconds, heard = await slow.closed()
        dripping.cancel()
    assert seconds < SOON.head_seconds + SLACK
    assert heard.startswith(b"HTTP/1.1 401"), heard


async def test_a_slow_line_that_goes_on_at_the_least_rate_is_waited_for(
    opened: Callable[[Limits], Awaitable[Gateway]],
) -> None:
    gateway = await opened(SOON)
    body = b'{"first_name": "Ana"}'.ljust(20_000)
    async with client(gateway) as slow:
        lines = f"Content-Length: {len(body)}", f"Authorization: Bearer {await gateway.key()}", "Connection: close"
        slow.say(head("POST", "/v1/profiles", *lines))
        for at in range(0, len(body), 1000):
            slow.say(body[at : at + 1000])
            await asyncio.sleep(0.1)  # more than body_seconds in all
        seconds, heard = await slow.closed()
    assert seconds > 2 * SOON.body_seconds
    assert heard.startswith(b"HTTP/1.1 201"), heard


async def test_a_connection_without_requests_is_closed_in_time_and_not_before(
    opened: Callable[[Limits], Awaitable[Gateway]],
) -> None:
    gateway = await opened(SOON)
    async with client(gateway) as idle:
        for _ in range(3):
            idle.say(head("GET", "/healthz"))
            assert (await idle.hear()).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(SOON.head_seconds + 0.2)  # longer than a head may take: idle is not slow
        idle.say(head("GET", "/healthz"))
        await idle.hear()
        since = time.monotonic()
        assert (await idle.closed())[1] == b""
    assert SOON.idle_seconds <= time.monotonic() - since < SOON.idle_seconds + SLACK
    assert closed(gateway, "idle") == 1


async def test_who_takes_nothing_of_an_answer_is_closed_in_time(opened: Callable[[Limits], Awaitable[Gateway]]) -> None:
    gateway = await opened(SOON)
    key = await gateway.key()
    asked = head("GET", "/v1/rules?limit=500", f"Authorization: Bearer {key}")
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    narrow.setblocking(False)
    await asyncio.get_running_loop().sock_connect(narrow, ("127.0.0.1", gateway.port))
    await asyncio.get_running_loop().sock_sendall(narrow, asked * 100)

    async def is_closed() -> bool:
        return closed(gateway, "slow_reader") == 1

    await eventually(is_closed, seconds=30)
    narrow.close()
    assert (await gateway.send("GET", "/healthz")).status == 200


async def test_a_request_that_we_take_long_for_is_not_cut_off(opened: Callable[[Limits], Awaitable[Gateway]]) -> None:
    """Longer than any limit, because of us: it is the client's time that counts."""
    gateway = await opened(SOON)
    async with gateway.house.database.write() as conn:
        if conn.dialect.name == "postgresql":
            await conn.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
            await conn.exec_driver_sql("LOCK TABLE receipts IN ACCESS EXCLUSIVE MODE")
        stopping = asyncio.create_task(gateway.text_in("STOP", ANA))
        await asyncio.sleep(SOON.idle_seconds + 1)
    assert (await stopping).status == 200


# --- where there is no room -------------------------------------------------------------------


async def test_the_idlest_makes_room_for_whoever_comes(opened: Callable[[Limits], Awaitable[Gateway]]) -> None:
    gateway = await opened(Limits(connections=8))
    async with client(gateway) as first, client(gateway) as dripping:
        dripping.say(b"GET /healthz HTTP/1.1\r\nX-Slow: ")
        others = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(6)]
        assert len(gateway.door) == 8
        drip = asyncio.create_task(dripping.drip(b"y", every=0.01))  # to write is not to be less idle
        assert (await gateway.text_in("STOP", ANA)).status == 200
        assert (await first.closed())[1] == b""
        async with client(gateway):
            await dripping.closed()
        drip.cancel()
        assert closed(gateway, "crowded") == 2
        assert len(gateway.door) == 8
        for _, writer in others:
            writer.transport.abort()


async def test_slow_bodies_in_every_place_lock_out_nobody(opened: Callable[[Limits], Awaitable[Gateway]]) -> None:
    gateway = await opened(Limits(connections=8))
    slow = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(8)]
    for _, writer in slow:
        writer.write(head("POST", "/webhooks/sms", "Content-Length: 1000") + b"x")
    await asyncio.sleep(0.2)
    for number in range(4):
        assert (await gateway.text_in("STOP", f"+1415555017{number}")).status == 200
    for _, writer in slow:
        writer.transport.abort()


async def test_a_stop_that_is_being_kept_is_never_turned_out(opened: Callable[[Limits], Awaitable[Gateway]]) -> None:
    gateway = await opened(Limits(connections=4))
    async with gateway.house.database.write() as conn:
        if conn.dialect.name == "postgresql":
            await conn.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
            await conn.exec_driver_sql("LOCK TABLE receipts IN ACCESS EXCLUSIVE MODE")
        stops = [asyncio.create_task(gateway.text_in("STOP", f"+1415555017{number}")) for number in range(4)]

        async def all_here() -> bool:
            return len(gateway.door) == 4

        await eventually(all_here)
        await asyncio.sleep(0.1)
        async with client(gateway) as late:
            assert (await late.closed())[1] == b"", "there is no room, and nobody who could make it"
    assert [(await stop).status for stop in stops] == [200] * 4
    assert (await gateway.text_in("STOP", BEN)).status == 200


async def test_bodies_on_their_way_hold_no_more_than_their_share_of_memory(
    opened: Callable[[Limits], Awaitable[Gateway]],
) -> None:
    gateway = await opened(Limits(body_bytes=550_000))
    slow = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(8)]
    for _, writer in slow:
        writer.write(head("POST", "/webhooks/sms", "Content-Length: 250000") + b"x" * 100_000)

    async def is_closed() -> bool:
        return closed(gateway, "crowded") >= 3

    await eventually(is_closed)
    await asyncio.sleep(2 * LOOK_SECONDS)
    assert closed(gateway, "crowded") == 3
    for _, writer in slow:
        writer.transport.abort()


# --- 2,000 who say nothing --------------------------------------------------------------------


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 3 * IDLE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


HEAD_SECONDS = 30.0  # for which they are let be


async def p99(gateway: Gateway, *, count: int = 300) -> float:
    """Of a client that asks again and again: the seconds all but one in a hundred answers stay below."""
    took = []
    for number in range(count):
        began = time.perf_counter()
        got = await (gateway.send("GET", "/healthz") if number % 3 else gateway.text_in("hello", ANA))
        took.append(time.perf_counter() - began)
        assert got.status == 200
    return sorted(took)[int(count * 0.99) - 1]


async def silent(gateway: Gateway, leaving: ExitStack) -> socket.socket:
    """A connection of somebody who says nothing, until they are told to leave."""
    one = leaving.enter_context(socket.socket())
    one.setblocking(False)
    await asyncio.get_running_loop().sock_connect(one, ("127.0.0.1", gateway.port))
    return one


@pytest.fixture
def leaving() -> Iterator[ExitStack]:
    with ExitStack() as leaving:
        yield leaving


@pytest.mark.usefixtures("many_files")
async def test_two_thousand_idle_connections_are_closed_in_time_and_slow_down_nobody(
    opened: Callable[[Limits], Awaitable[Gateway]], leaving: ExitStack
) -> None:
    gateway = await opened(Limits(head_seconds=HEAD_SECONDS))
    await p99(gateway)  # what is made once is made
    alone = min([await p99(gateway) for _ in range(3)])
    memory = rss_bytes()
    began = time.monotonic()
    crowd = [await silent(gateway, leaving) for _ in range(IDLE)]
    assert len(gateway.door) >= IDLE
    among = min([await p99(gateway) for _ in range(2)])
    while among >= 3 * alone + 0.005 and time.monotonic() - began < 0.7 * HEAD_SECONDS:  # the machine is busy
        among = min(among, await p99(gateway))
    assert closed(gateway, "slow_head") == 0, "it was measured while they were there"
    for one in crowd:
        assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(one, 100), 2 * HEAD_SECONDS) == b""
        one.close()
    assert (
        time.monotonic() - began < HEAD_SECONDS + SLACK + 10
    )  # counted from the first, as they took their time to come
    assert closed(gateway, "slow_head") == IDLE
    assert len(gateway.door) < 10
    assert rss_bytes() - memory < 150_000_000  # of server and clients
    assert among < 3 * alone + 0.005, f"p99 {among * 1000:.1f} ms, alone {alone * 1000:.1f} ms"


def test_there_is_never_more_room_than_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        assert room_for_clients(256) == Limits().connections
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 4096 + 256
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, soft), hard))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
