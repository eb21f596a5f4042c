"""Who asks: the peer, or whom a trusted proxy names; never whom a client names."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.peers import PROXIES, Proxies, client_address, is_local, networks

HERE = "127.0.0.1"
AWAY = "203.0.113.7"


async def told(request: web.Request) -> web.Response:
    return web.json_response({"client": str(client_address(request)), "local": is_local(request)})


class Asking:
    """A server on loopback that tells who it thinks we are."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def __call__(self, *headers: tuple[str, str]) -> tuple[str, bool]:
        async with aiohttp.ClientSession() as session, session.get(self._url, headers=headers) as answer:
            found = await answer.json()
        return found["client"], found["local"]


@pytest.fixture
async def asking(request: pytest.FixtureRequest) -> AsyncIterator[Asking]:
    trusted, ruled_out = request.param
    app = web.Application()
    app[PROXIES] = Proxies(networks(trusted), ruled_out=ruled_out)
    app.router.add_get("/", told)
    server = TestServer(app)
    await server.start_server()
    yield Asking(str(server.make_url("/")))
    await server.close()


nobody_is_trusted = pytest.mark.parametrize("asking", [([], False)], indirect=True)
on_trial = pytest.mark.parametrize("asking", [([], True)], indirect=True)
behind_proxies = pytest.mark.parametrize("asking", [([HERE, "10.0.0.0/8", "fd00::/8"], False)], indirect=True)


def forwarded(*hops: str) -> tuple[str, str]:
    return "X-Forwarded-For", ", ".join(hops)


# --- whose address ----------------------------------------------------------------------------


@nobody_is_trusted
async def test_a_client_that_is_no_trusted_proxy_speaks_for_itself_alone(asking: Asking) -> None:
    assert (await asking())[0] == HERE
    assert (await asking(forwarded(AWAY)))[0] == HERE
    assert (await asking(forwarded("nonsense")))[0] == HERE


@behind_proxies
@pytest.mark.parametrize(
    ("lines", "client"),
    [
        ([], HERE),
        ([forwarded(AWAY)], AWAY),
        ([forwarded("198.51.100.9", AWAY)], AWAY),  # what stands to the left, the client may have written
        ([forwarded(HERE, AWAY)], AWAY),
        ([forwarded(AWAY, "10.1.2.3")], AWAY),
        ([forwarded(AWAY), forwarded("10.1.2.3")], AWAY),  # two lines are one list
        ([forwarded("198.51.100.9", AWAY, "10.1.2.3", "10.9.9.9")], AWAY),
        ([forwarded("10.1.2.3")], "10.1.2.3"),  # one of our own, all the way
        ([forwarded(f"{AWAY}:4711")], AWAY),
        ([forwarded("[2001:db8::7]:4711")], "2001:db8::7"),
        ([forwarded("2001:db8::7", "fd00::1")], "2001:db8::7"),
        ([forwarded(f"::ffff:{AWAY}", "::ffff:10.1.2.3")], AWAY),
        ([forwarded("unknown")], "None"),
        ([forwarded(AWAY, "")], "None"),
        ([("Forwarded", f"for={AWAY}")], HERE),  # not believed: a proxy that we trust writes the other one
    ],
)
async def test_the_nearest_hop_that_is_not_trusted_is_the_client(
    asking: Asking, lines: list[tuple[str, str]], client: str
) -> None:
    assert (await asking(*lines))[0] == client


# --- from this machine ------------------------------------------------------------------------

TRACES = [
    ("X-Forwarded-For", AWAY),
    ("X-Forwarded-For", HERE),
    ("Forwarded", f"for={HERE}"),
    ("X-Real-IP", HERE),
    ("Via", "1.1 proxy"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "localhost"),
    ("CF-Connecting-IP", HERE),
]


@nobody_is_trusted
@pytest.mark.parametrize("lines", [[], *([trace] for trace in TRACES)])
async def test_behind_a_public_url_nobody_is_local_for_a_proxy_may_leave_no_trace(
    asking: Asking, lines: list[tuple[str, str]]
) -> None:
    assert not (await asking(*lines))[1]


@on_trial
async def test_on_trial_a_program_here_is_local_and_whoever_comes_through_a_proxy_is_not(asking: Asking) -> None:
    assert (await asking())[1]
    assert (await asking(("Host", "localhost:8080")))[1]
    assert (await asking(("Host", "[::1]:8080")))[1]
    for trace in TRACES:
        assert not (await asking(trace))[1], trace


@on_trial
@pytest.mark.parametrize("host", ["rebound.example.org", "127.0.0.1.example.org", "localhost.example.org", "x"])
async def test_a_page_that_made_its_own_name_lead_here_is_not_local(asking: Asking, host: str) -> None:
    assert not (await asking(("Host", host)))[1]


@behind_proxies
async def test_behind_a_trusted_proxy_the_client_must_be_on_this_machine(asking: Asking) -> None:
    assert (await asking())[1], "the proxy always leaves a trace: this is a program here"
    assert (await asking(forwarded(HERE)))[1]
    assert (await asking(forwarded("::1"), ("Host", "optgate.example.org")))[1]
    for lines in (
        [forwarded(AWAY)],
        [forwarded(HERE, AWAY)],  # what the client wrote stands to the left
        [forwarded("unknown")],
        [("Via", "1.1 proxy")],
        [("Forwarded", f"for={HERE}")],
        [("X-Real-IP", HERE)],
        [("Host", "optgate.example.org")],
    ):
        assert not (await asking(*lines))[1], lines
