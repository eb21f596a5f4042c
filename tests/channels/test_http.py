"""The gateway's session, asked with real sockets."""

import asyncio
import time
from contextlib import suppress

import aiohttp
import pytest

from channels import lease
from channels.http import ANSWER_BYTES, CONNECTIONS, AnswerTooLarge, LeasedConnector, open_session, post
from tests.channels.loopback import OK, Arrival, hangs, says, serving


@pytest.fixture
async def session():
    async with open_session() as one:
        yield one


async def send(session, url, body=b"Body=hello", seconds=5.0):
    return await post(session, url, data=body, headers={"Content-Type": "text/plain"}, seconds=seconds)


async def test_a_post_arrives_once_and_as_it_was(session):
    async with serving(says(OK)) as server:
        exchange = await send(session, server.url)
    assert (exchange.began, exchange.status, exchange.body, exchange.error) == (True, 200, b"ok", None)
    assert [arrival.body for arrival in server.arrivals] == [b"Body=hello"]


async def test_a_post_is_never_sent_again_when_a_new_connection_ends(session):
    async with serving(says(b"", then_close=True)) as server:
        exchange = await send(session, server.url)
    assert isinstance(exchange.error, aiohttp.ServerDisconnectedError)
    assert len(server.arrivals) == 1


async def ends_the_second_time(arrival: Arrival, writer: asyncio.StreamWriter) -> None:
    if arrival.on_connection == 1:
        writer.write(OK)
    else:
        writer.close()


async def test_a_post_is_never_sent_again_when_a_reused_connection_ends(session):
    async with serving(ends_the_second_time) as server:
        assert (await send(session, server.url)).status == 200
        exchange = await send(session, server.url, b"Body=second")
        await asyncio.sleep(0.05)
    assert isinstance(exchange.error, aiohttp.ServerDisconnectedError)
    assert server.connections == 1, "the connection was reused"
    assert [arrival.body for arrival in server.arrivals] == [b"Body=hello", b"Body=second"]


async def test_the_same_server_sees_a_get_again_so_a_second_post_would_have_been_seen(session):
    async with serving(ends_the_second_time) as server:
        for _ in range(2):
            async with session.get(server.url) as answer:
                assert answer.status == 200
    assert len(server.arrivals) == 3


@pytest.mark.parametrize("status", [b"301 Moved", b"302 Found", b"303 See Other", b"307 Temporary", b"308 Permanent"])
async def test_a_redirect_is_not_followed(session, status):
    answer = b"HTTP/1.1 " + status + b"\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
    async with serving(says(answer)) as server:
        exchange = await send(session, server.url)
    assert exchange.status == int(status[:3])
    assert len(server.arrivals) == 1


async def test_when_the_lease_is_over_no_byte_goes_out_and_the_connection_goes_back(session):
    async with serving(says(OK)) as server:
        with lease.lease(lease.boottime() - 1):
            for _ in range(CONNECTIONS + 10):  # more than the pool holds: none leaks
                with pytest.raises(lease.LeaseOver):
                    await send(session, server.url)
        assert not session.connector._acquired
        assert server.arrivals == []
        assert (await send(session, server.url)).status == 200
        assert server.connections == 1, "the connection made under the lease is used"


async def test_a_lease_that_ends_while_waiting_for_a_connection_is_over(session):
    session.connector._limit = 1

    async def slow(arrival: Arrival, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        writer.write(OK)

    async with serving(slow) as server:
        first = asyncio.create_task(send(session, server.url))
        await asyncio.sleep(0.05)
        with lease.lease(lease.boottime() + 0.05), pytest.raises(lease.LeaseOver):
            await send(session, server.url)
        assert (await first).status == 200
        assert len(server.arrivals) == 1


async def test_a_lease_that_ends_between_the_connection_and_the_first_byte_is_over(session, monkeypatch):
    """The loop is held up just after a connection was handed over: the body is written a turn later."""
    handed_over = LeasedConnector.connect

    async def connect_then_stall(self, *arguments, **named):
        connection = await handed_over(self, *arguments, **named)
        asyncio.get_running_loop().call_soon(time.sleep, 0.4)
        return connection

    monkeypatch.setattr(LeasedConnector, "connect", connect_then_stall)
    async with serving(says(OK)) as server:
        for _ in range(2):
            with lease.lease(lease.boottime() + 0.2), pytest.raises(lease.LeaseOver):
                await send(session, server.url)
        monkeypatch.undo()
        assert not session.connector._acquired
        with lease.lease(lease.boottime() + 5):
            assert (await send(session, server.url)).status == 200
        assert len(server.arrivals) == 1


async def test_a_lease_that_ends_after_the_first_byte_changes_nothing(session):
    async def slow(arrival: Arrival, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)
        writer.write(OK)

    async with serving(slow) as server:
        with lease.lease(lease.boottime() + 0.05):
            assert (await send(session, server.url)).status == 200


async def test_a_cancellation_passes_through_and_leaks_nothing(session):
    async with serving(hangs()) as server:
        sending = asyncio.create_task(send(session, server.url))
        await asyncio.sleep(0.05)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert not session.connector._acquired


async def test_the_timeout_is_honoured(session):
    async with serving(hangs()) as server:
        began = asyncio.get_running_loop().time()
        exchange = await send(session, server.url, seconds=1.0)
        assert 0.9 < asyncio.get_running_loop().time() - began < 5.0
    assert isinstance(exchange.error, TimeoutError)
    assert exchange.began


async def test_an_answer_without_end_is_not_read_to_its_end(session):
    async def endless(arrival: Arrival, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        with suppress(ConnectionError):
            while True:
                writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
                await writer.drain()
                await asyncio.sleep(0)

    async with serving(endless) as server:
        exchange = await send(session, server.url)
    assert isinstance(exchange.error, AnswerTooLarge)
    assert len(exchange.body) <= ANSWER_BYTES


async def test_no_cookie_is_kept_and_no_proxy_is_taken_from_the_environment(session, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    answer = OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: a=b\r\n\r\n")
    async with serving(says(answer)) as server:
        await send(session, server.url)
        await send(session, server.url)
    assert not any(b"cookie" in arrival.head.lower() for arrival in server.arrivals)
