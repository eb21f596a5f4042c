"""The unsubscribe link: a GET asks and changes nothing, a POST stops, whoever posts it and however often."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select

from store.tables import addresses
from tests.flows.running import ANA, BEN, Gateway


async def link_for(gateway: Gateway, number: str) -> str:
    """The path of the link in a text to this number."""
    found = select(addresses.c.id).where(addresses.c.value == number, addresses.c.channel == "sms")
    async with gateway.house.database.read() as conn:
        address_id = (await conn.execute(found)).scalar_one()
    return "/unsubscribe/" + gateway.house.links.token(address_id, "sms")


async def state(gateway: Gateway, profile_id: str) -> str:
    profile = await gateway.api("GET", f"/v1/profiles/{profile_id}")
    return str(profile["consent"]["channels"]["sms"]["state"])


async def opted_in(gateway: Gateway, number: str) -> str:
    made = await gateway.person(f"sms:{number}", consent={"channels": {"sms": "yes"}})
    return str(made["id"])


async def test_a_get_changes_nothing_and_a_post_stops(gateway: Gateway) -> None:
    ana = await opted_in(gateway, ANA)
    path = await link_for(gateway, ANA)
    asked = await gateway.send("GET", path)
    assert asked.status == 200
    assert b"<button" in asked.body
    assert "frame-ancestors 'none'" in asked.headers["Content-Security-Policy"]
    assert asked.headers["Referrer-Policy"] == "no-referrer"
    assert ANA.encode() not in asked.body
    assert (await gateway.send("HEAD", path)).status == 200
    assert await state(gateway, ana) == "yes"
    done = await gateway.send("POST", path)
    assert done.status == 200
    assert "Set-Cookie" not in done.headers
    assert await state(gateway, ana) == "no"
    assert (await gateway.history(ana))[0]["source"] == "unsubscribe_link"
    assert (await gateway.send("POST", path)).status == 200  # again, and when already out


MULTIPART = b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n'


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/x-www-form-urlencoded", b"List-Unsubscribe=One-Click"),
        ("application/x-www-form-urlencoded", b"List%2DUnsubscribe=One%2DClick"),
        ("application/x-www-form-urlencoded; charset=utf-8", b"x=1&List-Unsubscribe=One-Click"),
        ("multipart/form-data; boundary=x", MULTIPART),
        ("multipart/form-data; boundary=x", b"\r\n" * 4000 + MULTIPART),
    ],
)
async def test_one_click(gateway: Gateway, kind: str, body: bytes) -> None:
    ana = await opted_in(gateway, ANA)
    path = await link_for(gateway, ANA)
    got = await gateway.send("POST", path, data=body, headers={"Content-Type": kind})
    assert got.status == 200
    assert await state(gateway, ana) == "no"
    assert (await gateway.history(ana))[0]["source"] == "one_click"


async def test_one_click_needs_nothing_but_its_link_and_always_gets_the_same_answer(gateway: Gateway) -> None:
    """RFC 8058: no cookie, no login, no referrer; no redirect; also when already out, and in pieces."""
    ana = await opted_in(gateway, ANA)
    path = await link_for(gateway, ANA)
    host, port = gateway.url.removeprefix("http://").split(":")
    answers = []
    for _ in range(2):
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"
        writer.write(head.encode() + b"Content-Type: application/x-www-form-urlencoded\r\n\r\n")
        for piece in (b"List-Unsub", b"scribe=One-", b"Click"):
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()
            await asyncio.sleep(0.05)
        writer.write(b"0\r\n\r\n")
        answer = await reader.read()
        writer.close()
        answers.append((answer.split(b"\r\n")[0], answer.partition(b"\r\n\r\n")[2]))
        assert not any(word in answer.lower() for word in (b"set-cookie", b"\nlocation", b"www-authenticate"))
    assert answers[0] == answers[1]
    assert answers[0][0] == b"HTTP/1.1 200 OK"
    assert await state(gateway, ana) == "no"
    assert {line["source"] for line in await gateway.history(ana) if line["to"] == "no"} == {"one_click"}


async def test_everyone_with_the_address_is_stopped_and_nobody_else(gateway: Gateway) -> None:
    ana, partner, ben = (await opted_in(gateway, ANA), await opted_in(gateway, ANA), await opted_in(gateway, BEN))
    await gateway.send("POST", await link_for(gateway, ANA))
    assert [await state(gateway, one) for one in (ana, partner, ben)] == ["no", "no", "yes"]


async def test_a_link_works_when_nobody_has_the_address_any_more(gateway: Gateway) -> None:
    ana = await opted_in(gateway, ANA)
    path = await link_for(gateway, ANA)
    await gateway.api("DELETE", f"/v1/profiles/{ana}", status=204)
    assert (await gateway.send("POST", path)).status == 200
    again = await opted_in(gateway, ANA)
    assert await gateway.verdict(again) == "opted_out_address"


@pytest.mark.parametrize("token", ["x", "adr_1.sms.signature", "a" * 3000, "%00", "%ff"])
async def test_a_link_that_is_not_ours_opens_nothing(gateway: Gateway, token: str) -> None:
    for method in ("GET", "POST"):
        assert (await gateway.send(method, f"/unsubscribe/{token}")).status in (400, 404)


async def test_a_browser_with_an_odd_name_is_heard_too(gateway: Gateway) -> None:
    ana = await opted_in(gateway, ANA)
    path = await link_for(gateway, ANA)
    host, port = gateway.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n"
    writer.write(head.encode() + b"User-Agent: M\xff\xfezilla\r\n\r\n")
    assert (await reader.readline()).split()[1] == b"200"
    writer.close()
    assert await state(gateway, ana) == "no"
