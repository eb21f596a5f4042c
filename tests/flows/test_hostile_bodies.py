"""Bodies that mean harm, on every route there is: never a 5xx, and the memory they took is given back."""

from __future__ import annotations

import asyncio
import gc
import gzip
import zlib
from collections.abc import Iterator, Sequence
from threading import Event
from urllib.parse import parse_qsl

import pytest

from channels.sandbox import Sandbox
from channels.twilio.adapter import BODY_BYTES as WEBHOOK_BYTES
from channels.values import Inbound, WebhookRequest
from gateway.api.bodies import BYTES as BODY_BYTES
from tests.channels.requests_as_sent import FORM, ORIGIN, TOKEN, signature
from tests.flows.filling import make
from tests.flows.running import ANA, Gateway
from tests.memory import rss_bytes

JSON, MULTIPART, PLAIN = "application/json", "multipart/form-data; boundary=x", "text/plain"
Sent = tuple[str, str, bytes, dict[str, str]]
GROWN_BYTES = 32 * 1024 * 1024  # that a second round may leave behind: less than one body with what is made of it


def bodies(gateway: Gateway) -> Iterator[Sent]:
    """What it is called, its type, its bytes, more headers."""
    stop = gateway.form("STOP", ANA)
    bomb = b" " * 20_000_000
    yield "nothing", JSON, b"", {}
    yield "huge", JSON, b'{"first_name": "' + b"x" * (BODY_BYTES + 1000) + b'"}', {}
    yield "huge for a webhook", FORM, b"Body=" + b"x" * (WEBHOOK_BYTES + 1000), {}
    yield "a long list", JSON, b'{"name": [' + b"[]," * 50_000 + b"1]}", {}
    yield "many fields", JSON, b"{" + b",".join(b'"f%d":1' % n for n in range(20_000)) + b"}", {}
    yield "many form fields", FORM, b"&".join(b"f%d=1" % n for n in range(5_000)), {}
    yield "a bomb, gzip", JSON, gzip.compress(bomb), packed("gzip")
    yield "a bomb, deflate", FORM, zlib.compress(bomb), packed("deflate")
    yield "no gzip", FORM, stop, packed("gzip")
    yield "an unknown encoding", JSON, b"{}", packed("rot13")
    yield "lists, deep", JSON, b'{"name":' + b"[" * 200_000 + b"]" * 200_000 + b"}", {}
    yield "objects, deep", JSON, b'{"a":' * 100_000 + b"1" + b"}" * 100_000, {}
    yield "names, deep", FORM, b"a" + b"[a]" * 20_000 + b"=1", {}
    yield "half", JSON, b'{"channel": "sms", "na', {}
    yield "no UTF-8", JSON, b'{"channel": "\xff\xfe", "name": "\xc3"}', {}
    yield "digits without end", JSON, b'{"rate": ' + b"9" * 100_000 + b"}", {}
    yield "NUL", JSON, b'{"name": "a\\u0000b", "channel": "\\u0000"}', {}
    yield "NUL in a form", FORM, stop.replace(b"Body=STOP", b"Body=ST%00OP%00"), {}
    yield "a raw NUL in a form", FORM, stop.replace(b"Body=STOP", b"Body=ST\x00OP"), {}
    yield "half a character", JSON, b'{"name": "\\ud800", "channel": "\\udfff"}', {}
    yield "half a character in a form", FORM, stop.replace(b"Body=STOP", b"Body=%ED%A0%80&%ED%A0%80=%00"), {}
    yield "broken per cent", FORM, b"Body=%&From=%4&To=%zz&=&&==", {}
    yield "parts without end", MULTIPART, b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n" + b"y" * 300_000, {}
    yield "no parts", MULTIPART, b"--y--", {}
    yield "parts without a boundary", "multipart/form-data", b"--x\r\n\r\n--x--", {}
    yield "another character set", "application/x-www-form-urlencoded; charset=utf-7", stop, {}
    yield "no character set", f"{PLAIN}; charset=nonsense", stop, {}
    yield "a broken type", "//;;;charset", b"{}", {}


def packed(how: str) -> dict[str, str]:
    """With a connection of its own, which a body that cannot be unpacked takes with it."""
    return {"Content-Encoding": how, "Connection": "close"}


def paths(gateway: Gateway, ids: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Every method and path that is served, on things that are there."""
    links = gateway.house.links
    for route in gateway.app.router.routes():
        assert route.resource is not None
        pattern = route.resource.canonical
        top = pattern.removeprefix("/v1").split("/")[1]
        path = pattern.replace("{id}", ids.get(top, "x")).replace("{external_id}", "crm-9")
        path = path.replace("{token}", links.token(ids["address"], "sms"))
        for connection in ("sms", "box") if "{connection}" in path else ("",):
            filled = path.replace("{connection}", connection)
            assert "{" not in filled, f"{pattern}: say here what to fill in"
            yield route.method, filled


async def round_of_all(gateway: Gateway, ids: dict[str, str], sent: Sequence[Sent]) -> int:
    """Post every body everywhere; returns how many requests that were."""
    key = await gateway.key("admin")
    asked = 0
    for method, path in list(paths(gateway, ids)):
        if method == "HEAD":
            continue
        for name, kind, body, more in sent:
            headers = {"Content-Type": kind, **more}
            if path.startswith("/webhooks/sms") and kind == FORM and not more and signable(body):
                headers["X-Twilio-Signature"] = signature(body, ORIGIN + path, TOKEN)
            got = await gateway.ask(method, path, key=key, data=body or None, headers=headers)
            assert got.status < 500, (method, path, name, got.status, got.body[:300])
            asked += 1
    return asked


async def growth(gateway: Gateway, ids: dict[str, str], sent: Sequence[Sent]) -> int:
    """What another round leaves behind."""
    gc.collect()
    before = rss_bytes()
    await round_of_all(gateway, ids, sent)
    gc.collect()
    return rss_bytes() - before


def signable(body: bytes) -> bool:
    try:
        return len(parse_qsl(body.decode(), max_num_fields=1000)) > 0
    except ValueError:
        return False


@pytest.mark.timeout(300)  # twenty seconds of work, on a machine that may have more to do
async def test_no_body_on_any_route_is_a_5xx_and_none_is_kept_in_memory(gateway: Gateway, dialect: str) -> None:
    ana = await gateway.person(f"sms:{ANA}")
    [address] = [
        row["id"] for row in await gateway.rows("addresses") if row["value"] == ANA and row["channel"] == "sms"
    ]
    ids = {"profiles": ana["id"], "rules": "rul_builtin_sms_stop", "address": address}
    ids["forms"] = (await make(gateway, channel="sms", entry="both"))["id"]
    routes = {(method, path) for method, path in paths(gateway, ids) if method != "HEAD"}
    sent = list(bodies(gateway))
    assert await round_of_all(gateway, ids, sent) == len(routes) * len(sent)
    if dialect == "sqlite":  # what is kept of a body is kept whatever the database
        # What one round leaves behind and the next gives back is the allocator's; what is kept grows with each.
        grown = [await growth(gateway, ids, sent)]
        while grown[-1] >= GROWN_BYTES and len(grown) < 3:
            grown.append(await growth(gateway, ids, sent))
        assert grown[-1] < GROWN_BYTES, grown
    assert (await gateway.text_in("START", ANA)).status == 200


class _Thinking(Sandbox):
    """A provider whose large requests take a while to read: until it is told to go on."""

    def __init__(self, go_on: Event) -> None:
        super().__init__(name="thinking", channel="sms", sender="+14155550177", keep=_nothing)
        self._go_on = go_on

    def receive(self, request: WebhookRequest) -> list[Inbound]:
        assert self._go_on.wait(10), "nobody was served meanwhile"
        return list(super().receive(request))


async def _nothing(_message: object) -> None:
    pass


async def test_while_a_large_request_is_read_others_are_served(gateway: Gateway) -> None:
    go_on = Event()
    gateway.house.adapters["thinking"] = _Thinking(go_on)  # type: ignore[index]
    message = {"from": ANA, "to": "+14155550177", "body": "a" * 100_000}
    posting = asyncio.create_task(gateway.ask("POST", "/webhooks/thinking", json=message))
    await asyncio.sleep(0.1)  # it is being read
    assert (await gateway.send("GET", "/healthz")).status == 200
    go_on.set()
    assert (await posting).status == 200
