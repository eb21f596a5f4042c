"""The outcome table, asked with real sockets: which exception aiohttp really raises, and what it means."""

import asyncio
import contextlib
import shutil
import socket
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import aiohttp
import pytest

from channels import lease
from channels.http import Exchange, open_session, post
from channels.outcomes import of_error, of_exchange, of_status, retry_after_seconds
from channels.values import InDoubt, NotSent, Rejected
from tests.channels.loopback import OK, free_port, greeting, hangs, resets, says, serving

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"


@pytest.fixture
async def session():
    async with open_session() as one:
        yield one


async def send(session, url, seconds=5.0):
    exchange = await post(session, url, data=b"x", headers={}, seconds=seconds)
    return exchange, of_exchange(exchange, NOW)


# --- no byte written: not sent ------------------------------------------------------------------


@contextlib.asynccontextmanager
async def full_backlog():
    """A port whose queue is full: a connection to it is neither made nor refused."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(listening.getsockname())
        await asyncio.sleep(0.05)
        yield listening.getsockname()[1]


async def test_refused_is_not_sent(session):
    exchange, outcome = await send(session, f"http://127.0.0.1:{free_port()}")
    assert type(exchange.error) is aiohttp.ClientConnectorError
    assert outcome == NotSent(f"ClientConnectorError: Connect call failed ('127.0.0.1', {exchange.error.port})")


async def test_an_unknown_host_is_not_sent(session):
    exchange, outcome = await send(session, "http://no-such-host.invalid")
    assert type(exchange.error) is aiohttp.ClientConnectorDNSError
    assert isinstance(outcome, NotSent)


async def test_a_server_without_tls_is_not_sent(session):
    async with greeting(b"220 SMTP ready\r\n") as port:
        exchange, outcome = await send(session, f"https://127.0.0.1:{port}")
    assert type(exchange.error) is aiohttp.ClientConnectorSSLError
    assert isinstance(outcome, NotSent)


async def test_a_wrong_certificate_is_not_sent(session, tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-keyout", key, "-out", certificate], check=True, capture_output=True,
    )  # fmt: skip
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    async with serving(says(OK), tls) as server:
        exchange, outcome = await send(session, server.url)
    assert type(exchange.error) is aiohttp.ClientConnectorCertificateError
    assert isinstance(outcome, NotSent)
    assert server.arrivals == []


async def test_a_connect_timeout_is_not_sent(session):
    async with full_backlog() as port:
        url = f"http://127.0.0.1:{port}"
        with pytest.raises(aiohttp.ConnectionTimeoutError) as caught:
            await session.post(url, timeout=aiohttp.ClientTimeout(total=5, sock_connect=0.2))
    assert isinstance(of_error(caught.value), NotSent)


async def test_a_tls_handshake_that_hangs_is_not_sent(session):
    async with greeting(b"") as port:
        with pytest.raises(aiohttp.ConnectionTimeoutError) as caught:
            await session.post(f"https://127.0.0.1:{port}", timeout=aiohttp.ClientTimeout(total=5, sock_connect=0.2))
    assert isinstance(of_error(caught.value), NotSent)


async def test_the_whole_timeout_while_connecting_is_not_sent_though_the_exception_does_not_say(session):
    async with full_backlog() as port:
        exchange, outcome = await send(session, f"http://127.0.0.1:{port}", seconds=0.2)
    assert isinstance(exchange.error, TimeoutError)
    assert not exchange.began
    assert isinstance(outcome, NotSent)


async def test_the_whole_timeout_while_waiting_for_a_connection_is_not_sent(session):
    session.connector._limit = 1
    async with serving(hangs()) as server:
        first = asyncio.create_task(send(session, server.url, 1.0))
        await asyncio.sleep(0.05)
        _, outcome = await send(session, server.url, 0.2)
        assert isinstance(outcome, NotSent)
        assert isinstance((await first)[1], InDoubt)
        assert len(server.arrivals) == 1


@pytest.mark.parametrize("url", ["http://", "nonsense", "ftp://127.0.0.1/"])
async def test_a_url_that_is_none_is_not_sent(session, url):
    assert isinstance((await send(session, url))[1], NotSent)


# --- a byte may have gone out: in doubt ---------------------------------------------------------


@pytest.mark.parametrize(
    ("behave", "error"),
    [
        (says(b"", then_close=True), aiohttp.ServerDisconnectedError),
        (says(b"HTTP/1.1 20", then_close=True), aiohttp.ServerDisconnectedError),
        (resets(), aiohttp.ClientOSError),
        (hangs(), TimeoutError),
        (hangs(b"HTTP/1.1 200 OK\r\n"), TimeoutError),
        (hangs(CUT), TimeoutError),
        (says(CUT, then_close=True), aiohttp.ClientPayloadError),
        (resets(CUT), (aiohttp.ClientPayloadError, aiohttp.ClientOSError)),
        (says(b"SMTP ready\r\n\r\n", then_close=True), aiohttp.ClientResponseError),
        (says(OK.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")), aiohttp.ClientPayloadError),
        (says(OK.replace(b"length: 2", b"length: x").replace(b"Length: 2", b"Length: x")), aiohttp.ClientResponseError),
    ],
    ids=["EOF", "EOF in the status", "reset", "no answer", "half a head", "half a body", "EOF in the body",
         "reset in the body", "no HTTP", "wrong encoding", "wrong length"],
)  # fmt: skip
async def test_what_ends_after_the_first_byte_is_in_doubt(session, behave, error):
    async with serving(behave) as server:
        exchange, outcome = await send(session, server.url, 0.5)
    assert isinstance(exchange.error, error), repr(exchange.error)
    assert isinstance(outcome, InDoubt)
    assert len(server.arrivals) == 1


async def test_a_socket_timeout_is_in_doubt(session):
    async with serving(hangs()) as server:
        with pytest.raises(aiohttp.SocketTimeoutError) as caught:
            await session.post(server.url, timeout=aiohttp.ClientTimeout(total=5, sock_read=0.1))
    assert isinstance(of_error(caught.value), InDoubt)


async def test_an_unreadable_answer_is_not_taken_for_the_status_400_that_aiohttp_gives_it(session):
    async with serving(says(b"garbage\r\n\r\n")) as server:
        exchange, outcome = await send(session, server.url)
    assert exchange.error.status == 400, "aiohttp's word for: not HTTP"
    assert outcome == InDoubt("ClientResponseError")


@pytest.mark.parametrize("status", [400, 429])
async def test_a_refusal_stands_though_its_body_is_cut(session, status):
    async with serving(says(CUT.replace(b"200 OK", b"%d No" % status), then_close=True)) as server:
        _, outcome = await send(session, server.url)
    assert isinstance(outcome, Rejected if status == 400 else NotSent)


# --- statuses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [(200, None), (201, None), (202, None), (204, None), (301, InDoubt), (302, InDoubt), (304, InDoubt), (307, InDoubt),
     (400, Rejected), (401, Rejected), (403, Rejected), (404, Rejected), (408, InDoubt), (409, Rejected),
     (413, Rejected), (422, Rejected), (429, NotSent), (499, Rejected), (500, InDoubt), (502, InDoubt),
     (503, InDoubt), (504, InDoubt), (599, InDoubt), (100, InDoubt), (999, InDoubt)],
)  # fmt: skip
def test_a_status_has_one_meaning(status, kind):
    outcome = of_status(status, "5", NOW)
    assert outcome is None if kind is None else isinstance(outcome, kind)


def test_too_many_requests_slows_the_connection_and_honours_its_wish():
    assert of_status(429, "7", NOW) == NotSent("HTTP 429", 7.0, slow_down=True)
    assert of_status(429, None, NOW) == NotSent("HTTP 429", None, slow_down=True)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0), ("120", 120.0), (" 3 ", 3.0), ("1.5", 1.5), ("3600", 3600.0), ("86400", 3600.0), ("9" * 12, 3600.0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW + timedelta(days=90), usegmt=True), 3600.0),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 0.0),
        ("Sun Nov 22 12:01:00 2026", 60.0),
        ("Sunday, 22-Nov-26 12:01:00 GMT", 60.0),
        (None, None), ("", None), ("soon", None), ("-1", None), ("١٢", None), ("1e9", None), ("nan", None),
        ("inf", None), ("9" * 500, None), ("Sun, 99 Nov 2026 12:00:00 GMT", None),
        ("Sun, 22 Nov 99999 12:00:00 GMT", None),
        ("\ud800", None), ("1, 2", None),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date_at_most_an_hour_and_garbage_is_ignored(value, seconds):
    assert retry_after_seconds(value, NOW) == seconds


@pytest.mark.parametrize(("date", "ahead"), [(None, 0), ("garbage", 0), ("theirs", 3000), ("theirs", -3000)])
def test_a_retry_after_that_is_a_date_is_read_by_the_clock_of_who_wrote_it(date, ahead):
    theirs = datetime.now(UTC) + timedelta(seconds=ahead)
    headers = {"Retry-After": format_datetime(theirs + timedelta(seconds=20), usegmt=True)}
    headers |= {} if date is None else {"Date": format_datetime(theirs, usegmt=True) if date == "theirs" else date}
    outcome = of_exchange(Exchange(True, 429, headers))
    assert 15 <= outcome.retry_after_seconds <= 20


def test_a_lease_that_is_over_and_a_cancellation_are_no_outcomes():
    for raised in (lease.LeaseOver(), asyncio.CancelledError(), KeyboardInterrupt()):
        with pytest.raises(type(raised)):
            of_error(raised, began=False)


def test_a_reason_never_quotes_what_was_sent_or_answered():
    assert of_error(ValueError("+14155550100")) == InDoubt("ValueError")
