"""The unsubscribe link: a GET asks and changes nothing, a POST stops, whoever posts it and however often."""

from __future__ import annotations

import asyncio
import html
import re
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import proof
from consent.states import Subject, Wish
from forms.unsubscribe import MOST_IN_AN_HOUR
from gateway.providers.sandbox import Sandbox
from gateway.verify import verify
from outbox import confirmations
from outbox.confirmations import Wanted
from store.tables import addresses
from tests.flows.running import ANA, BEN, Gateway, Got


async def link_for(gateway: Gateway, value: str, channel: str = "sms", preference_id: str | None = None) -> str:
    """The path of the link in a message to this address."""
    found = select(addresses.c.id).where(addresses.c.value == value, addresses.c.channel == channel)
    async with gateway.house.database.read() as conn:
        address_id = (await conn.execute(found)).scalar_one()
    return "/unsubscribe/" + gateway.house.links.token(address_id, channel, preference_id)


async def state(gateway: Gateway, profile_id: str, channel: str = "sms") -> str:
    profile = await gateway.api("GET", f"/v1/profiles/{profile_id}")
    return str(profile["consent"]["channels"][channel]["state"])


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


async def test_a_link_that_is_used_all_too_often_says_nothing_again_but_a_no_counts(gateway: Gateway) -> None:
    ana = await opted_in(gateway, ANA)
    path = await link_for(gateway, ANA)

    async def used(times: int) -> None:
        for place in range(times):
            posted: dict[str, Any] = {"data": b"List-Unsubscribe=One-Click", "headers": FORM} if place % 3 else {}
            got = await gateway.send("POST", path, **posted)
            assert got.status == 200

    await used(MOST_IN_AN_HOUR + 20)
    lines = await lines_of(gateway, ana)
    assert lines == MOST_IN_AN_HOUR + 1, "the yes, and so many noes"
    await gateway.text_in("START", ANA)
    assert await gateway.verdict(ana) == "opted_in"
    await used(5)
    assert await gateway.verdict(ana) == "opted_out_channel"
    assert await lines_of(gateway, ana) == lines + 2, "the START, and one no"
    partner = str((await gateway.person(f"sms:{ANA}", consent={"channels": {"sms": "yes"}}))["id"])
    await used(1)
    assert await gateway.verdict(partner) == "opted_out_channel"
    gateway.clock.advance(hours=1, minutes=1)
    await used(1)
    assert await lines_of(gateway, ana) == lines + 3
    assert await verify(gateway.house.database) == []


async def test_a_no_that_a_system_wrote_becomes_the_persons_own_however_often_it_is_said(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forms.unsubscribe.MOST_IN_AN_HOUR", 0)
    ana = await gateway.person(f"email:{MAIL}", consent={"channels": {"email": "no"}})
    path = await link_for(gateway, MAIL, "email")
    for _ in range(2):
        await gateway.send("POST", path)
    assert await lines_of(gateway, ana["id"]) == 2, "the system's, and the person's"
    await gateway.say(ana["id"], channels={"email": "yes"}, status=409)


async def test_what_is_open_on_another_channel_makes_no_endless_history_of_a_no(gateway: Gateway) -> None:
    ana = await gateway.person(f"sms:{ANA}", f"email:{MAIL}")
    await gateway.say(ana["id"], everything="no", by={"kind": "customer"})
    gateway.clock.advance(minutes=1)
    await gateway.text_in("START", ANA)
    path = await link_for(gateway, MAIL, "email")
    for _ in range(MOST_IN_AN_HOUR + 5):
        await gateway.send("POST", path)
    assert await lines_of(gateway, ana["id"]) == MOST_IN_AN_HOUR + 2
    assert await gateway.verdict(ana["id"], "sms") == "opted_in"


async def lines_of(gateway: Gateway, profile_id: str) -> int:
    return sum(row["profile_id"] == profile_id for row in await gateway.rows("consent_events"))


async def test_a_no_that_is_said_all_too_often_takes_questions_back_as_any_other(gateway: Gateway) -> None:
    ana = await gateway.person(f"sms:{ANA}", f"email:{MAIL}", consent={"channels": {"email": "yes"}})
    path = await link_for(gateway, MAIL, "email")
    for _ in range(MOST_IN_AN_HOUR):
        await gateway.send("POST", path)
    gateway.clock.advance(minutes=1)
    [mailbox] = [row["id"] for row in await gateway.rows("addresses") if row["channel"] == "email"]
    wanted = Wanted(mailbox, "email", (Wish(Subject("channel", "email"), "yes"),), {"by": "a test"}, gateway.clock())

    async def ask(conn: AsyncConnection) -> list[str | None]:
        return await confirmations.ask(conn, [wanted], now=gateway.clock())

    [id_] = await gateway.house.database.transact(ask)
    confirm = "/confirm/" + gateway.house.confirm_links(str(id_)).rpartition("/")[2]
    assert (await gateway.send("GET", confirm)).status == 200
    await gateway.send("POST", path)
    assert (await gateway.send("POST", confirm)).status == 410
    assert await gateway.verdict(ana["id"], "email") == "opted_out_channel"


# --- what the page offers once it is done ------------------------------------------------------

MAIL = "ana@example.org"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def reader(gateway: Gateway, **consent: Any) -> str:
    """Somebody with two preferences that are linked to the e-mail channel."""
    for name in ("Drama", "Opera"):
        made = {"name": name, "text": f"I would like to hear about {name.lower()}", "linked_channel": "email"}
        await gateway.ask("POST", "/v1/preferences", json=made)
    given = {"channels": {"email": "yes", "sms": "yes"}, "preferences": {"Drama": "yes"}} | consent
    return str((await gateway.person(f"email:{MAIL}", f"sms:{ANA}", consent=given))["id"])


async def link_about(gateway: Gateway, name: str | None = None) -> str:
    ids = {one["name"]: one["id"] for one in await gateway.rows("preferences")}
    return await link_for(gateway, MAIL, "email", ids[name] if name else None)


async def pressed(gateway: Gateway, path: str) -> Got:
    """Somebody opens the page and presses its button."""
    asked = await gateway.send("GET", path)
    return await press(gateway, path, hidden(asked, "press"))


async def press(gateway: Gateway, path: str, token: str) -> Got:
    return await gateway.send("POST", path, data=urlencode({"press": token}).encode(), headers=FORM)


def hidden(page: Got, name: str) -> str:
    found = re.search(f'name="{name}" value="([^"]+)"', page.body.decode())
    assert found is not None
    return html.unescape(found[1])


def offers(page: Got) -> dict[str, str]:
    """The page's buttons, and what each posts."""
    found = re.findall(r'name="act" value="([^"]+)"><button[^>]*>([^<]+)<', page.body.decode())
    return {html.unescape(words): token for token, words in found}


async def take(gateway: Gateway, token: str) -> Got:
    return await gateway.send("POST", "/unsubscribe/then", data=urlencode({"act": token}).encode(), headers=FORM)


UNDO, TOPIC = "Undo: I pressed it by mistake", "Stop only this topic"
ALL, LAST = "Stop all news and offers from Example Theatre", "Undo this last step"


async def states(gateway: Gateway, profile_id: str) -> dict[str, str]:
    consent = (await gateway.profile(profile_id))["consent"]
    said = {**consent["channels"], **consent["preferences"]}
    return {name: one["state"] for name, one in said.items() if one["state"] != "not_asked"}


async def test_an_undo_restores_what_the_button_had_turned_and_the_verdict_with_it(gateway: Gateway) -> None:
    ana = await reader(gateway)
    before = await states(gateway, ana)
    done = await pressed(gateway, await link_about(gateway))
    assert await states(gateway, ana) == {"sms": "yes", "email": "no", "Drama": "no"}
    assert list(offers(done)) == [ALL, UNDO], "its message was about nothing in particular"
    taken = await take(gateway, offers(done)[UNDO])
    assert (taken.status, b"Taken back" in taken.body) == (200, True)
    assert await states(gateway, ana) == before
    assert await gateway.verdict(ana, "email") == "opted_in"
    lines = [line for line in await gateway.history(ana) if line["source"] == "unsubscribe_link"]
    [change] = {line["change_id"] for line in lines if line["to"] == "no"}
    assert {line["evidence"]["undo_of"] for line in lines if line["to"] == "yes"} == {change}


async def test_what_was_taken_back_is_a_history_that_verifies(gateway: Gateway) -> None:
    await reader(gateway)
    path = await link_about(gateway, "Drama")
    for button in (UNDO, TOPIC, ALL):
        done = await pressed(gateway, path)
        gateway.clock.advance(seconds=1)
        assert (await take(gateway, offers(done)[button])).status == 200
    async with gateway.house.database.read() as conn:
        assert [str(finding) async for finding in proof.verify(conn)] == []
        assert [str(finding) async for finding in proof.rebuild_check(conn)] == []
    assert await verify(gateway.house.database) == []


async def test_only_this_topic_is_an_undo_and_a_no_to_it(gateway: Gateway) -> None:
    ana = await reader(gateway, preferences={"Drama": "yes", "Opera": "yes"})
    done = await pressed(gateway, await link_about(gateway, "Drama"))
    assert b"I would like to hear about drama" in done.body
    assert list(offers(done)) == [TOPIC, ALL, UNDO]
    taken = await take(gateway, offers(done)[TOPIC])
    assert taken.status == 200
    assert await states(gateway, ana) == {"sms": "yes", "email": "yes", "Drama": "no", "Opera": "yes"}
    assert await gateway.verdict(ana, "email", preference="Drama") == "preference_no"
    assert await gateway.verdict(ana, "email", preference="Opera") == "opted_in"


async def test_everything_is_a_no_on_every_channel_and_its_undo_takes_back_that_alone(gateway: Gateway) -> None:
    ana = await reader(gateway)
    done = await pressed(gateway, await link_about(gateway))
    stopped = await take(gateway, offers(done)[ALL])
    assert b"unsubscribed from everything" in stopped.body
    noes = dict.fromkeys(("sms", "whatsapp", "email", "voice", "post"), "no")
    assert await states(gateway, ana) == noes | {"Drama": "no"}
    assert [await gateway.verdict(ana, channel) for channel in ("sms", "email")] == ["opted_out_channel"] * 2
    assert (await take(gateway, offers(stopped)[LAST])).status == 200
    assert await states(gateway, ana) == {"sms": "yes", "email": "no", "Drama": "no"}


async def test_what_is_offered_works_once_and_for_an_hour(gateway: Gateway) -> None:
    ana = await reader(gateway)
    path = await link_about(gateway)
    done = await pressed(gateway, path)
    got = await asyncio.gather(*(take(gateway, offers(done)[UNDO]) for _ in range(5)))
    assert sorted(one.status for one in got) == [200, 410, 410, 410, 410]
    late = await pressed(gateway, path)
    gateway.clock.advance(minutes=61)
    before = await states(gateway, ana)
    for token in offers(late).values():
        over = await take(gateway, token)
        assert (over.status, b"works no more" in over.body) == (410, True)
    assert await states(gateway, ana) == before
    assert before["email"] == "no"


async def test_nothing_is_taken_back_of_whom_another_with_a_no_has_joined_since(gateway: Gateway) -> None:
    other = await gateway.person("email:ana.before@example.org")
    ana = await reader(gateway)
    await gateway.say(other["id"], channels={"email": "no"}, by={"kind": "customer"})
    done = await pressed(gateway, await link_about(gateway))
    await gateway.api("POST", f"/v1/profiles/{ana}/merge", json={"from": other["id"]})
    assert (await take(gateway, offers(done)[UNDO])).status == 200
    assert await gateway.verdict(ana, "email") == "opted_out_channel"
    assert await verify(gateway.house.database) == []


async def test_nobody_says_yes_with_a_link_that_came_in_a_message(gateway: Gateway) -> None:
    ana = await reader(gateway)
    path = await link_about(gateway, "Drama")
    asked = await gateway.send("GET", path)
    assert offers(asked) == {}
    await gateway.send("POST", path, data=b"List-Unsubscribe=One-Click", headers=FORM)
    before = await states(gateway, ana)
    forged = gateway.house.signed.sign("undo")
    for token in (hidden(asked, "press"), path.rpartition("/")[2], forged, "", "x" * 3000, "%00", "a.b"):
        assert (await take(gateway, token)).status == 410
    for body in (b"", b"\xff\xfe", b"act", b"&".join([b"a=b"] * 500)):
        assert (await gateway.send("POST", "/unsubscribe/then", data=body, headers=FORM)).status == 410
    assert (await gateway.send("GET", "/unsubscribe/then")).status == 404
    assert await states(gateway, ana) == before


async def test_pressed_twice_it_is_one_act_and_can_be_taken_back(gateway: Gateway) -> None:
    ana = await reader(gateway)
    before = await states(gateway, ana)
    path = await link_about(gateway)
    token = hidden(await gateway.send("GET", path), "press")
    *first, second = await asyncio.gather(*(press(gateway, path, token) for _ in range(5)))
    assert {one.status for one in (*first, second)} == {200}
    noes = [line for line in await gateway.history(ana) if line["to"] == "no"]
    assert len({line["change_id"] for line in noes}) == 1
    assert len([line for line in noes if line["subject"]["kind"] == "channel"]) == 1
    assert await verify(gateway.house.database) == []
    assert (await take(gateway, offers(second)[UNDO])).status == 200
    assert await states(gateway, ana) == before


async def test_pressed_on_an_old_page_after_a_yes_it_is_a_no_again(gateway: Gateway) -> None:
    ana = await reader(gateway)
    path = await link_about(gateway)
    token = hidden(await gateway.send("GET", path), "press")
    done = await press(gateway, path, token)
    await take(gateway, offers(done)[UNDO])
    assert await state(gateway, ana, "email") == "yes"
    await press(gateway, path, token)
    assert await state(gateway, ana, "email") == "no"


@pytest.mark.parametrize("times", [1, 2])
async def test_what_is_taken_back_is_as_old_as_it_was_so_that_a_no_told_late_is_not_lost_to_it(
    gateway: Gateway, times: int
) -> None:
    ana = await reader(gateway)
    gateway.clock.advance(hours=1)
    said = gateway.clock()
    gateway.clock.advance(hours=1)
    for _ in range(times):
        done = await pressed(gateway, await link_about(gateway))
        gateway.clock.advance(seconds=2)
        assert (await take(gateway, offers(done)[UNDO])).status == 200
        gateway.clock.advance(seconds=2)
    await gateway.say(ana, channels={"email": "no"}, by={"kind": "customer"}, at=said.isoformat())
    assert await gateway.verdict(ana, "email") == "opted_out_channel"
    assert await verify(gateway.house.database) == []


async def test_a_yes_that_is_younger_than_a_no_told_late_stands_when_it_is_taken_back(gateway: Gateway) -> None:
    ana = await reader(gateway)
    said = gateway.clock()
    gateway.clock.advance(hours=1)
    await gateway.say(ana, channels={"email": "yes"}, by={"kind": "customer"})
    done = await pressed(gateway, await link_about(gateway))
    gateway.clock.advance(seconds=2)
    await take(gateway, offers(done)[UNDO])
    await gateway.say(ana, channels={"email": "no"}, by={"kind": "customer"}, at=said.isoformat())
    assert await gateway.verdict(ana, "email") == "opted_in"


async def test_what_was_said_since_is_not_taken_back(gateway: Gateway) -> None:
    ana = await reader(gateway)
    path = await link_about(gateway)
    done = await pressed(gateway, path)
    await gateway.send("POST", path, data=b"List-Unsubscribe=One-Click", headers=FORM)  # by whoever has the link
    assert (await take(gateway, offers(done)[UNDO])).status == 200
    assert await state(gateway, ana, "email") == "no"


async def test_a_no_on_an_address_that_nobody_has_any_more_is_taken_back_as_well(gateway: Gateway) -> None:
    path = await gone_before_the_link_was_used(gateway)
    done = await pressed(gateway, path)
    assert await verdict_of_somebody_new(gateway) == "opted_out_address"
    assert (await take(gateway, offers(done)[UNDO])).status == 200
    assert await verdict_of_somebody_new(gateway) == "opted_in"
    assert await verify(gateway.house.database) == []


@pytest.mark.parametrize("between", ["one click", "pressed again", "only the topic", "everything"])
async def test_of_an_address_that_nobody_has_no_other_no_is_taken_back(gateway: Gateway, between: str) -> None:
    path = await gone_before_the_link_was_used(gateway, "Drama")
    done = await pressed(gateway, path)
    if between == "one click":
        await gateway.send("POST", path, data=b"List-Unsubscribe=One-Click", headers=FORM)
    elif between == "pressed again":
        done = await pressed(gateway, path)
    elif between == "everything":
        done = await take(gateway, offers(done)[ALL])
    words = {"only the topic": TOPIC, "everything": LAST}.get(between, UNDO)
    assert (await take(gateway, offers(done)[words])).status == 200
    assert await verdict_of_somebody_new(gateway) == "opted_out_address"


async def test_a_no_that_was_left_at_an_address_before_the_link_was_used_stays(gateway: Gateway) -> None:
    ana = await reader(gateway)
    path = await link_about(gateway)
    await gateway.say(ana, channels={"email": "no"}, by={"kind": "customer"})
    await gateway.api("DELETE", f"/v1/profiles/{ana}", status=204)
    await take(gateway, offers(await pressed(gateway, path))[UNDO])
    assert await verdict_of_somebody_new(gateway) == "opted_out_address"


async def test_to_take_it_back_lifts_no_no_that_somebody_else_has_left_at_the_address(gateway: Gateway) -> None:
    ana = await reader(gateway)
    ben = await gateway.person(f"email:{MAIL}", consent={"channels": {"email": "no"}, "by": {"kind": "customer"}})
    path = await link_about(gateway, "Drama")
    await gateway.api("DELETE", f"/v1/profiles/{ben['id']}", status=204)
    left, before = await suppressed_at(gateway), await states(gateway, ana)
    for button in (UNDO, TOPIC):
        gateway.clock.advance(seconds=2)
        done = await pressed(gateway, path)
        assert await suppressed_at(gateway) != left
        gateway.clock.advance(seconds=2)
        assert (await take(gateway, offers(done)[button])).status == 200
        assert await gateway.verdict(ana, "email") == "opted_out_address"
        assert await suppressed_at(gateway) == left, "it is as old as it was"
    assert await states(gateway, ana) == before | {"Drama": "no"}
    done = await pressed(gateway, path)
    gateway.clock.advance(seconds=2)
    stopped = await take(gateway, offers(done)[ALL])
    for token in (offers(stopped)[LAST], offers(done)[UNDO]):
        assert (await take(gateway, token)).status == 200
    assert await suppressed_at(gateway) == left
    assert await verify(gateway.house.database) == []


async def suppressed_at(gateway: Gateway) -> datetime | None:
    [found] = [row["suppressed_at"] for row in await gateway.rows("addresses") if row["value"] == MAIL]
    assert found is None or isinstance(found, datetime)
    return found


async def test_what_somebody_leaves_behind_who_is_deleted_meanwhile_stays(gateway: Gateway) -> None:
    """Their yes went with them, and a no that left with its person stays until a word lifts it."""
    ana = await reader(gateway)
    done = await pressed(gateway, await link_about(gateway))
    await gateway.api("DELETE", f"/v1/profiles/{ana}", status=204)
    assert (await take(gateway, offers(done)[UNDO])).status == 200
    assert await verdict_of_somebody_new(gateway) == "opted_out_address"
    assert await verify(gateway.house.database) == []


async def gone_before_the_link_was_used(gateway: Gateway, topic: str | None = None) -> str:
    """The path of the link in a message to somebody who was deleted since."""
    ana = await reader(gateway)
    path = await link_about(gateway, topic)
    await gateway.api("DELETE", f"/v1/profiles/{ana}", status=204)
    return path


async def verdict_of_somebody_new(gateway: Gateway) -> str:
    """What it is for who is given the address now and said yes; they are gone again without a no of theirs."""
    new = await gateway.person(f"email:{MAIL}", consent={"channels": {"email": "yes"}})
    found = await gateway.verdict(new["id"], "email")
    await gateway.api("DELETE", f"/v1/profiles/{new['id']}", status=204)
    return found


async def test_everyone_with_the_address_is_as_before_each_by_themselves(gateway: Gateway) -> None:
    ana = await reader(gateway)
    partner = str((await gateway.person(f"email:{MAIL}"))["id"])
    other = str((await gateway.person(f"email:{MAIL}", consent={"channels": {"email": "no"}}))["id"])
    done = await pressed(gateway, await link_about(gateway))
    assert [await state(gateway, one, "email") for one in (ana, partner, other)] == ["no"] * 3
    await take(gateway, offers(done)[UNDO])
    assert [await state(gateway, one, "email") for one in (ana, partner, other)] == ["yes", "not_asked", "no"]


async def test_the_page_speaks_as_whoever_has_the_address_does(gateway: Gateway) -> None:
    ana = await opted_in(gateway, ANA)
    await gateway.api("PATCH", f"/v1/profiles/{ana}", json={"locale": "ar-EG"})
    path = await link_for(gateway, ANA)
    german = {"Accept-Language": "de"}
    for method in ("GET", "POST"):
        assert b'<html lang="ar" dir="rtl">' in (await gateway.send(method, path, headers=german)).body
    assert b'<html lang="fr" dir="ltr">' in (await gateway.send("GET", f"{path}?lang=fr", headers=german)).body
    ben = await link_for(gateway, (await gateway.person(f"sms:{BEN}"))["addresses"][0]["value"])
    assert b'<html lang="de" dir="ltr">' in (await gateway.send("GET", ben, headers=german)).body


async def test_start_brings_back_only_what_the_link_had_turned(gateway: Gateway) -> None:
    for name in ("Dance", "Film", "Folk"):
        await gateway.api("POST", "/v1/preferences", json={"name": name, "linked_channel": "sms"})
    answers = {"Dance": "yes", "Film": "no"}
    ana = await gateway.person(f"sms:{ANA}", consent={"channels": {"sms": "yes"}, "preferences": answers})
    await gateway.send("POST", await link_for(gateway, ANA))
    assert await states(gateway, ana["id"]) == {"sms": "no", "Dance": "no", "Film": "no"}
    await gateway.text_in("START", ANA)
    assert await states(gateway, ana["id"]) == {"sms": "yes", "Dance": "yes", "Film": "no"}


async def test_a_mails_link_names_the_preference_of_its_broadcast(gateway: Gateway) -> None:
    ana = await reader(gateway)
    await gateway.restart(connections={**gateway.settings.connections, "mail": Sandbox(channel="email")})
    content = {"subject": "Drama", "text": "On sale."}
    await gateway.sent({"profiles": [ana]}, channel="email", connection="mail", content=content, preference="Drama")
    [mail] = (await gateway.api("GET", "/v1/sandbox/messages"))["items"]
    token = re.search(r"/unsubscribe/(\S+)", mail["body"])
    assert token is not None
    assert b"I would like to hear about drama" in (await pressed(gateway, f"/unsubscribe/{token[1]}")).body
