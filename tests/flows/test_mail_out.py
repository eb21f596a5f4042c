"""Mail out: from the API over the consent check to a relay, and from a mail back to an opt-out."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr
from sqlalchemy import select
from structlog.testing import capture_logs

from gateway.settings import Server, Settings
from outbox import queue
from outbox.queue import Notice
from store.tables import addresses
from tests.channels.requests_as_sent import ORIGIN
from tests.channels.smtp_server import speaking
from tests.flows.running import ANA as ANAS_NUMBER
from tests.flows.running import Gateway, changed, eventually
from tests.standins.smtp import Accepted, Sink
from tests.standins.twilio import TwilioStandIn

ANA, BEN, CLEO, DIEGO = "ana@example.org", "ben@example.org", "cleo@example.org", "diego@example.org"
YES = {"channels": {"email": "yes"}}
ADDRESS = "12 Long Lane, London N1"
NEWS = {"subject": "Autumn for {{ first_name }}", "text": "Hi {{ first_name }}, on sale.", "from_name": "The Globe",
        "html": "<p>Hi <b>{{ first_name }}</b>, <a href='https://example.org/p'>on sale</a>.</p>",
        "reply_to": "box@example.org", "preheader": "From {{ attributes.price }}"}  # fmt: skip
BY_MAIL: dict[str, Any] = {"channel": "email", "connection": "news", "content": NEWS}


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with Sink() as sink:
        yield sink


@pytest.fixture
def settings(settings: Settings, sink: Sink) -> Settings:
    news = {"provider": "smtp", "channel": "email", "host": "127.0.0.1", "port": sink.port, "tls": "none",
            "from": "Example Theatre <hello@example.org>", "inbound_domain": "in.example.org"}  # fmt: skip
    given = settings.model_dump(by_alias=True, exclude_unset=True)
    for connection in given["connections"].values():  # secrets are hidden by a dump
        if "auth_token" in connection:
            connection["auth_token"] = connection["auth_token"].get_secret_value()
    given["connections"] |= {"news": news, "mailbox": {"provider": "sandbox", "channel": "email"}}
    given["organisation"] |= {"postal_address": ADDRESS}
    return Settings.model_validate(given)


async def reader(gateway: Gateway, address: str, **more: Any) -> str:
    given: dict[str, Any] = {"consent": YES, "attributes": {"price": 10}} | more
    return str((await gateway.person(f"email:{address}", **given))["id"])


def to(sink: Sink, address: str) -> Accepted:
    [found] = [one for one in sink.log if one.recipients == [address]]
    return found


async def message(gateway: Gateway, address: str, *, status: int = 202, **more: Any) -> dict[str, Any]:
    asked = BY_MAIL | {"to": {"address": address}} | more
    return dict(await gateway.api("POST", "/v1/messages", status=status, json=asked))


async def ended(gateway: Gateway, message_id: str) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        shown: dict[str, Any] = await gateway.api("GET", f"/v1/messages/{message_id}")
        return shown if shown["status"] not in ("queued", "sending") or shown["error"] else None

    return await eventually(look)  # type: ignore[return-value]


async def test_a_broadcast_reaches_who_said_yes_each_with_their_own_words(gateway: Gateway, sink: Sink) -> None:
    await reader(gateway, ANA, first_name="Ana", locale="es")
    await reader(gateway, BEN, first_name="Ben <b>& Co</b>")
    out = await reader(gateway, CLEO, first_name="Cleo", consent={"channels": {"email": "no"}})
    never = await reader(gateway, DIEGO, first_name="Diego", consent=None)
    shown = await gateway.sent({"all": True}, **BY_MAIL)
    assert shown["counts"]["by_status"] == {"accepted": 2}
    assert (shown["content"], shown["warnings"]) == (NEWS, [])
    found = await gateway.deliveries(shown["id"])
    assert (found[out]["reason"], found[never]["reason"]) == ("opted_out_channel", "not_opted_in")
    assert sorted(one.recipients[0] for one in sink.log) == [ANA, BEN]

    ana, ben = to(sink, ANA), to(sink, BEN)
    tag = found_tag(ana)
    assert ana.sender == f"bounces+{tag}@in.example.org"
    assert str(ana.mail["From"]) == "The Globe <hello@example.org>"
    assert (ana.mail["Reply-To"], ana.mail["To"], ana.mail["Subject"]) == ("box@example.org", ANA, "Autumn for Ana")
    assert ana.mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    url, by_mail = re.findall(r"<([^>]+)>", ana.mail["List-Unsubscribe"])
    assert url.startswith(f"{ORIGIN}/unsubscribe/adr_")
    assert re.fullmatch(r"mailto:unsub\+[0-9a-z]{52}@in\.example\.org\?subject=unsubscribe", by_mail)
    own = re.findall(rf"Elegir lo que recibe: ({ORIGIN}/preferences/\S+)\n", ana.body())
    assert ana.body() == (
        f"Hi Ana, on sale.\n\n-- \nExample Theatre\n{ADDRESS}\nDarse de baja: {url}\nElegir lo que recibe: {own[0]}\n"
    )
    html = ana.body("html")
    assert '<p>Hi <b>Ana</b>, <a href="https://example.org/p">on sale</a>.</p>' in html
    assert all(one in html for one in (ADDRESS, f'<a href="{url}"', f'<a href="{own[0]}"', ">From 10</div>"))
    assert "<p>Hi <b>Ben &lt;b&gt;&amp; Co&lt;/b&gt;</b>, " in ben.body("html"), "what is filled in is text"
    assert str(ben.mail["Subject"]) == "Autumn for Ben <b>& Co</b>"
    assert "Unsubscribe: " in ben.body()


def found_tag(taken: Accepted) -> str:
    tag, _, domain = str(taken.mail["Message-ID"]).strip("<>").partition("@")
    assert re.fullmatch(r"att_[0-9a-z]{26}", tag)
    assert domain == "example.org"
    return tag


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/x-www-form-urlencoded", b"List-Unsubscribe=One-Click"),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\n'
                                            b"One-Click\r\n--x--\r\n"),
    ],
)  # fmt: skip
async def test_the_link_in_a_mail_stops_mail_and_nothing_else(
    gateway: Gateway, sink: Sink, kind: str, body: bytes
) -> None:
    ana = await reader(gateway, ANA, first_name="Ana", consent={"channels": {"email": "yes", "sms": "yes"}})
    await reader(gateway, BEN, first_name="Ben")
    await gateway.sent({"all": True}, **BY_MAIL)
    [url, by_mail] = re.findall(r"<([^>]+)>", to(sink, ANA).mail["List-Unsubscribe"])
    assert (await gateway.send("GET", urlsplit(url).path)).status == 200
    assert await gateway.verdict(ana, "email") == "opted_in", "a scanner that follows links changes nothing"
    got = await gateway.send("POST", urlsplit(url).path, data=body, headers={"Content-Type": kind})
    assert got.status == 200
    assert not {"Set-Cookie", "Location", "WWW-Authenticate"} & set(got.headers)
    assert await gateway.verdict(ana, "email") == "opted_out_channel"
    assert (await gateway.history(ana))[0]["source"] == "one_click"
    flags = (await gateway.profile(ana))["consent"]["channels"]
    assert (flags["email"]["state"], flags["sms"]["state"]) == ("no", "yes")
    sink.log.clear()
    await gateway.sent({"all": True}, **BY_MAIL)
    assert [one.recipients for one in sink.log] == [[BEN]]
    token = by_mail.removeprefix("mailto:unsub+").partition("@")[0]
    async with gateway.house.database.read() as conn:
        known = (await conn.execute(select(addresses.c.id).where(addresses.c.value == ANA))).scalar_one()
    assert gateway.house.links.read_mail_token(token.upper()) == known


async def test_a_link_works_years_later_under_a_key_that_was_changed_twice_since(gateway: Gateway, sink: Sink) -> None:
    ana = await reader(gateway, ANA, first_name="Ana")
    await gateway.sent({"all": True}, **BY_MAIL)
    [url, by_mail] = re.findall(r"<([^>]+)>", to(sink, ANA).mail["List-Unsubscribe"])
    for number in range(2):
        gateway.clock.advance(days=4 * 365)
        await gateway.restart(server=Server(public_url=ORIGIN, secret=SecretStr(f"another secret, number {number}")))
    await gateway.restart(server=Server(public_url=ORIGIN))
    sink.log.clear()
    await gateway.sent({"all": True}, **BY_MAIL)
    assert url not in to(sink, ANA).mail["List-Unsubscribe"], "what is new is signed by the newest"
    token = by_mail.removeprefix("mailto:unsub+").partition("@")[0]
    assert gateway.house.links.read_mail_token(token) is not None
    one_click = {"Content-Type": "application/x-www-form-urlencoded"}
    got = await gateway.send("POST", urlsplit(url).path, data=b"List-Unsubscribe=One-Click", headers=one_click)
    assert got.status == 200
    assert await gateway.verdict(ana, "email") == "opted_out_channel"


async def test_an_address_that_the_relay_knows_not_to_exist_is_undeliverable(gateway: Gateway, sink: Sink) -> None:
    sink.refuse("RCPT", f"550 5.1.1 <{BEN}>: Recipient address rejected: User unknown", who=BEN)
    sink.refuse("RCPT", "550 5.7.1 Delivery not authorized, message refused", who=CLEO)
    people = {who: await reader(gateway, who, first_name="x") for who in (ANA, BEN, CLEO)}
    shown = await gateway.sent({"all": True}, **BY_MAIL)
    assert shown["counts"]["by_status"] == {"accepted": 1, "failed": 2}
    found = await gateway.deliveries(shown["id"])
    assert found[people[BEN]]["error"] == "550: 5.1.1 …: Recipient address rejected: User unknown"
    assert await gateway.verdict(people[BEN], "email") == "undeliverable"
    assert await gateway.verdict(people[CLEO], "email") == "opted_in", "it is a policy that refuses it"


@pytest.mark.parametrize(
    ("stage", "answer"),
    [
        ("MAIL", "553 5.7.1 <hello@example.org>: Sender address rejected: not owned by user ana"),
        ("RCPT", "554 5.7.1 <ana@example.org>: Relay access denied"),
    ],
)
async def test_where_the_relay_refuses_us_nothing_fails_and_all_goes_once_that_is_mended(
    gateway: Gateway, sink: Sink, stage: str, answer: str
) -> None:
    for who in (ANA, BEN, CLEO):
        await reader(gateway, who, first_name="x")
    sink.refuse(stage, answer)

    async def refused() -> list[dict[str, Any]]:
        return [row for row in await gateway.rows("attempts") if row["state"] == "not_sent"]

    with capture_logs() as lines:
        broadcast = await gateway.broadcast({"all": True}, **BY_MAIL)
        await eventually(refused)
        before = len(sink.commands)
        await asyncio.sleep(1.5)
        assert len(sink.commands) == before, "the connection rests"
    [said] = [line for line in lines if line["event"] == "connection.refused"]
    code = " ".join(answer.split()[:2])
    told = {"connection": "news", "why": f"the relay refuses what we send: {code} to {stage}", "log_level": "warning"}
    assert said == told | {"event": "connection.refused"}, "once, and without a word of the relay's"
    assert {row["status"] for row in await gateway.rows("deliveries")} == {"queued"}
    sink.mended()
    gateway.clock.advance(seconds=61)
    shown = await gateway.all_sent(broadcast)
    assert shown["counts"]["by_status"] == {"accepted": 3}


async def test_a_greylisted_recipient_keeps_nobody_else_waiting(gateway: Gateway, sink: Sink) -> None:
    """Nor is the connection slowed: what is greylisted says when it comes again."""
    sink.refuse("RCPT", "450 4.7.1 <ben@example.org>: Recipient address rejected: Greylisted", who=BEN)
    ben = await reader(gateway, BEN, first_name="x")
    await message(gateway, BEN)

    async def refused() -> bool:
        return "RCPT" in sink.commands

    await eventually(refused)

    async def waits() -> bool:
        return [row["status"] for row in await gateway.rows("deliveries") if row["profile_id"] == ben] == ["queued"]

    await eventually(waits)
    assert all(row["free_at"] <= gateway.clock() for row in await gateway.rows("paces"))
    await reader(gateway, ANA, first_name="x")
    await ended(gateway, (await message(gateway, ANA))["id"])
    assert [one.recipients for one in sink.log] == [[ANA]]


async def test_what_the_relay_cannot_take_now_goes_later(gateway: Gateway, sink: Sink) -> None:
    sink.refuse("DATA", "451 4.7.1 Greylisted, try again", once=True)
    await reader(gateway, ANA, first_name="Ana")
    shown = await gateway.sent({"all": True}, **BY_MAIL)
    assert shown["counts"]["by_status"] == {"accepted": 1}
    assert len(sink.log) == 1


async def test_a_mail_whose_answer_is_lost_is_in_doubt_and_not_sent_again(gateway: Gateway) -> None:
    async with speaking(BODY="close") as server:
        await gateway.restart(connections=changed(gateway.settings, "news", port=server.port))
        await reader(gateway, ANA, first_name="Ana")
        shown = await gateway.sent({"all": True}, **BY_MAIL)
        assert shown["counts"]["by_status"] == {"in_doubt": 1}
        assert len(server.bodies) == 1


async def test_a_ticket_says_nothing_of_unsubscribing_and_its_link_would_not_stop_it(
    gateway: Gateway, sink: Sink
) -> None:
    ticket = {"subject": "Your ticket", "html": '<p>Row 12</p><script>x()</script><img src="http://x/a.png">'}
    sent = await message(gateway, ANA, content=ticket, require_opt_in=False)
    assert sent["warnings"] == ["content.html: <script> and what is in it is taken out",
                                "content.html: src that does not begin with https:// is taken out"]  # fmt: skip
    shown = await ended(gateway, sent["id"])
    assert (shown["status"], shown["subject"], shown["body"]) == ("accepted", "Your ticket", "Row 12")
    [taken] = sink.log
    assert [name for name in taken.mail if name.lower().startswith(("list-", "auto-", "precedence"))] == []
    assert taken.body() == "Row 12\n"
    assert "<p>Row 12</p><img>\n</body>" in taken.body("html")
    assert shown["provider_id"] == "Q00000001"


async def test_a_rules_reply_is_a_mail_that_no_machine_answers(gateway: Gateway, sink: Sink) -> None:
    ana = await reader(gateway, ANA)

    async def work(conn: Any) -> None:
        address = (await conn.execute(select(addresses.c.id).where(addresses.c.value == ANA))).scalar_one()
        body = "Example Theatre: you are unsubscribed."
        reply = Notice(ana, address, "email", "news", {"body": body}, in_reply_to="msg_x")
        await queue.add_notices(conn, [reply], now=gateway.clock())

    await gateway.house.database.transact(work)
    gateway.house.dispatcher.wake()

    async def came() -> bool:
        return bool(sink.log)

    await eventually(came)
    [taken] = sink.log
    assert (taken.mail["Subject"], taken.mail["Auto-Submitted"]) == ("Example Theatre", "auto-replied")
    assert taken.body() == "Example Theatre: you are unsubscribed.\n"
    assert taken.mail["List-Unsubscribe"] is None


async def test_nobodys_name_becomes_a_header(gateway: Gateway, sink: Sink) -> None:
    """P13."""
    await reader(gateway, ANA, first_name="Ana", attributes={"price": "x", "evil": "x\r\nBcc: all@example.org\n\n<b>"})
    evil = "{{ attributes.evil }}"
    content = {"subject": f"Hi {evil}", "text": evil, "html": f'<p title="{evil}">{evil}</p>', "preheader": evil}
    shown = await gateway.sent({"all": True}, **(BY_MAIL | {"content": content}))
    assert shown["counts"]["by_status"] == {"accepted": 1}
    [taken] = sink.log
    assert taken.recipients == [ANA]
    assert (taken.mail["Bcc"], str(taken.mail["Subject"])) == (None, "Hi x Bcc: all@example.org <b>")
    assert "<b>" not in taken.body("html")


async def test_what_was_sent_is_kept_in_words(gateway: Gateway, sink: Sink) -> None:
    await reader(gateway, ANA, first_name="Ana")
    plain = {"subject": "Autumn", "html": "<h1>On sale</h1>"}
    await gateway.sent({"all": True}, **(BY_MAIL | {"content": plain}))
    await gateway.sent({"all": True}, **(BY_MAIL | {"content": {"subject": "Autumn", "html": "Hi {{ first_name }}"}}))
    kept = [row["sent"] for row in await gateway.rows("attempts")]
    assert sorted(kept, key=str) == [None, {"subject": "Autumn", "text": "Hi Ana"}], "None: word for word"
    assert len(sink.log) == 2


async def test_one_broadcast_by_mail_and_by_text(gateway: Gateway, sink: Sink, twilio: TwilioStandIn) -> None:
    both = {"channels": {"email": "yes", "sms": "yes"}}
    await gateway.person(f"email:{ANA}", f"sms:{ANAS_NUMBER}", first_name="Ana", consent=both)
    await gateway.person("sms:+14155550124", first_name="Ben", consent=both)
    wanted = {"name": "Both", "channels": ["email", "sms"], "connections": {"email": "news", "sms": "sms"},
              "content": NEWS | {"body": "Text for {{ first_name }}"}, "audience": {"all": True}}  # fmt: skip
    made = await gateway.api("POST", "/v1/broadcasts", status=202, json=wanted)
    await gateway.all_sent(made["id"])
    assert [one.recipients for one in sink.log] == [[ANA]]
    assert sink.log[0].body().startswith("Hi Ana, on sale.")
    assert [line.body for line in twilio.log] == ["Text for Ben"]


async def test_the_sandbox_takes_a_body_alone_and_shows_the_text(gateway: Gateway) -> None:
    await reader(gateway, ANA, first_name="Ana")
    sent = await message(gateway, ANA, connection="mailbox", content={"body": "Hi {{ first_name }}"})
    shown = await ended(gateway, sent["id"])
    assert (shown["status"], shown["body"], shown["subject"]) == ("accepted", "Hi Ana", None)
    [kept] = (await gateway.api("GET", "/v1/sandbox/messages?connection=mailbox"))["items"]
    assert kept["body"].startswith(f"Hi Ana\n\n-- \nExample Theatre\n{ADDRESS}\nUnsubscribe: {ORIGIN}/unsubscribe/")
    sent = await message(gateway, ANA, connection="mailbox", content={"body": "Row 12"}, require_opt_in=False)
    await ended(gateway, sent["id"])
    kept, *_ = (await gateway.api("GET", "/v1/sandbox/messages?connection=mailbox"))["items"]
    assert kept["body"] == "Row 12"


@pytest.mark.parametrize(
    ("content", "field", "word"),
    [
        ({"text": "x"}, "content.subject", "marketing by e-mail needs one"),
        ({"subject": "x"}, "content", "give `text` or `html` or `body`"),
        ({"subject": "x", "template": {"name": "t"}}, "content.template", "for whatsapp"),
        ({"subject": "{{ frist_name }}", "text": "x"}, "content.subject", "frist_name"),
        ({"subject": "x", "text": "x", "html": "{{ first_name | shout }}"}, "content.html", "shout"),
        ({"subject": "x", "html": "{% if preferences['Opera'] %}x{% endif %}"}, "content.html", "Opera"),
        ({"subject": "x", "text": "x", "preheader": "x"}, "content.preheader", "`html`"),
        ({"subject": "x", "text": "x", "reply_to": "box"}, "content.reply_to", "not a mailbox"),
        ({"subject": "x", "text": "x", "reply_to": "a@b.org\r\nBcc: c@d.org"}, "content.reply_to", "not a mailbox"),
        ({"subject": "x", "text": "x", "from_name": "{{ first_name }}"}, "content.from_name", "not filled in"),
        ({"subject": "x" * 251, "text": "x"}, "content.subject", "250"),
        ({"subject": "x", "text": " "}, "content.text", "nothing"),
        ({"subject": "x", "html": "x" * 150_001}, "content.html", "150000"),
        ({"subject": "x", "html": "<div>" * 300}, "content.html", "200 deep"),
        ({"subject": "x", "text": "x", "bcc": "x"}, "content.bcc", ""),
    ],
)
async def test_what_could_not_be_sent_is_refused_when_it_is_made(
    gateway: Gateway, content: dict[str, Any], field: str, word: str
) -> None:
    wanted = {"name": "x", "audience": {"all": True}} | BY_MAIL | {"content": content}
    got = await gateway.ask("POST", "/v1/broadcasts", json=wanted)
    assert got.status == 422, got.body
    [error] = got.json["errors"]
    assert (error["field"], word in error["message"]) == (field, True), error
    assert await gateway.rows("broadcasts") == []


async def test_what_is_of_mail_is_not_for_other_channels(gateway: Gateway) -> None:
    wanted = {"channel": "sms", "connection": "sms", "to": {"address": ANAS_NUMBER}}
    for field in ("subject", "text", "html", "preheader", "from_name"):
        got = await gateway.ask("POST", "/v1/messages", json=wanted | {"content": {"body": "x", field: "xxx"}})
        assert (got.status, got.json["errors"][0]["field"]) == (422, f"content.{field}")


async def test_without_a_postal_address_no_marketing_goes_by_mail(gateway: Gateway, sink: Sink) -> None:
    organisation = gateway.settings.organisation.model_copy(update={"postal_address": " "})
    await gateway.restart(organisation=organisation)
    await reader(gateway, ANA, first_name="Ana")
    for connection in ("news", "mailbox"):
        wanted = {"name": "x", "audience": {"all": True}} | BY_MAIL | {"connection": connection}
        got = await gateway.ask("POST", "/v1/broadcasts", json=wanted)
        assert (got.status, got.json["errors"][0]["field"]) == (422, "channel")
        assert "set postal_address in [organisation]" in got.json["errors"][0]["message"]
    await message(gateway, ANA, status=422)
    await message(gateway, ANA, require_opt_in=False)
    await message(gateway, ANA, connection="mailbox")
    assert await gateway.rows("broadcasts") == []

    async def came() -> bool:
        return len(sink.log) == 1

    assert await eventually(came)
