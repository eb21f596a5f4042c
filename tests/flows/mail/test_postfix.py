"""Mail by way of a real Postfix, as it comes to those who have a mail server of their own; ours goes to a sink."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from gateway.settings import Settings
from tests import canaries
from tests.flows.away import Away, away_and_back
from tests.flows.mail.conftest import Ports
from tests.flows.mail.cutting import Cut
from tests.flows.running import Gateway, changed, eventually
from tests.standins.postfix import Postfix
from tests.standins.smtp import Accepted, Sink

WAYS = ("smtp", "lmtp")
OURS = "Example Theatre <hello@example.org>"
OPTED_OUT = "Example Theatre: you are unsubscribed and will receive no more news or offers by e-mail."


def mail(sender: str, text: str = "STOP", *, number: int = 1) -> bytes:
    """A mail as people's programs write it."""
    canaries.plant({"from": sender, "text": text})
    domain = sender.partition("@")[2]
    head = f"From: {sender}\r\nTo: hello@example.org\r\nSubject: Re: Autumn\r\nMessage-ID: <{number}@{domain}>\r\n"
    date = f"Date: Mon, 02 Nov 2026 10:00:{number:02} +0000\r\n"
    return f"{head}{date}Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n".encode()


async def write_to(postfix: Postfix, recipient: str, sender: str, text: str = "STOP", **more: Any) -> None:
    await asyncio.to_thread(postfix.hand_in, sender, recipient, mail(sender, text, **more))


async def tried(postfix: Postfix, recipient: str, *words: str) -> None:
    """Wait until Postfix has tried to deliver to the recipient, and said this of it."""

    async def is_logged() -> bool:
        return any(all(word in line for word in words) for line in postfix.logged(recipient))

    try:
        await eventually(is_logged)
    except AssertionError as error:
        raise AssertionError(f"{words} of {recipient} is not in Postfix's log:\n{postfix.log[-5000:]}") from error


async def flag(gateway: Gateway, address: str) -> str | None:
    """The flag of whoever has the address, for e-mail; None while nobody has it."""
    found = await gateway.whose(f"email:{address}")
    return str(found[0]["consent"]["channels"]["email"]["state"]) if found else None


async def said_no(gateway: Gateway, address: str) -> None:
    async def is_no() -> bool:
        return await flag(gateway, address) == "no"

    await eventually(is_no)


async def mail_out(sink: Sink, number: int = 1) -> Accepted:
    """The last mail that went out, once there are so many; more there must not be."""

    async def are_there() -> bool:
        return len(sink.log) >= number

    await eventually(are_there)
    assert len(sink.log) == number, [one.recipients for one in sink.log]
    return sink.log[-1]


@pytest.mark.parametrize("way", WAYS)
async def test_a_stop_by_mail_turns_the_flag_and_is_confirmed_by_mail(
    gateway: Gateway, postfix: Postfix, sink: Sink, way: str, dialect: str
) -> None:
    ana, recipient = f"ana.{dialect}@example.net", f"hello.{dialect}@{way}.example.org"
    await gateway.person(f"email:{ana}", consent={"channels": {"email": "yes"}})
    await write_to(postfix, recipient, ana, "STOP\r\n\r\n> You can unsubscribe whenever you like.")
    await said_no(gateway, ana)
    [message] = await gateway.rows("messages")
    assert (message["connection"], message["sender"], message["receiver"]) == (way, ana, recipient)
    assert message["typed"] == "STOP"
    await tried(postfix, recipient, "status=sent", "250 2.6.0 Kept")
    confirmed = await mail_out(sink)
    assert confirmed.recipients == [ana]
    assert confirmed.body() == f"{OPTED_OUT}\n"
    assert (confirmed.mail["From"], confirmed.mail["Auto-Submitted"]) == (OURS, "auto-replied")
    [reply] = await gateway.rows("deliveries")
    assert (reply["channel"], reply["connection"]) == ("email", way)


@pytest.mark.parametrize("way", WAYS)
async def test_a_broadcast_by_mail_is_unsubscribed_from_by_the_mail_that_its_header_asks_for(
    gateway: Gateway, postfix: Postfix, sink: Sink, way: str, dialect: str
) -> None:
    """What a mail program writes for who presses its Unsubscribe: from any of the person's mailboxes, with no words."""
    ana, other = f"ana.{dialect}@example.net", f"private.{dialect}@example.com"
    domain = f"{way}.example.org"
    connections = changed(gateway.settings, way, inbound_domain=domain)
    await gateway.restart(connections=connections)
    profile = await gateway.person(f"email:{ana}", consent={"channels": {"email": "yes"}})
    await gateway.person(f"email:{other}")
    news = {"subject": "Autumn", "html": "<p>On sale.</p>"}
    await gateway.sent({"addresses": [ana]}, channel="email", connection=way, content=news)
    ways = (await mail_out(sink)).mail["List-Unsubscribe"]
    [recipient, subject] = re.findall(rf"<mailto:(unsub\+[0-9a-z]+@{domain})\?subject=([a-z]+)>", ways)[0]
    program = f"From: {other}\r\nTo: {recipient}\r\nSubject: {subject}\r\nMessage-ID: <u@example.com>\r\n\r\n"
    await asyncio.to_thread(postfix.hand_in, other, recipient, program.encode())
    await said_no(gateway, ana)
    assert await gateway.verdict(profile["id"], "email") == "opted_out_channel"
    assert await flag(gateway, other) == "not_asked", "the token is the proof, not who it is from"
    [line, *_] = await gateway.history(profile["id"])
    assert (line["source"], line["actor"], line["evidence"]["by"]) == ("unsubscribe_link", "customer", "mail")


async def test_a_mail_of_ours_that_bounces_makes_its_address_undeliverable(
    gateway: Gateway, postfix: Postfix, ports: Ports, sink: Sink, dialect: str
) -> None:
    """The bounce is Postfix's own: it goes to the return path of the mail that we wrote, for nobody takes that mail."""
    ghost = f"ghost.{dialect}@gone.example.net"
    await gateway.restart(connections=changed(gateway.settings, "smtp", inbound_domain="smtp.example.org"))
    profile = await gateway.person(f"email:{ghost}", consent={"channels": {"email": "yes"}})
    news = {"subject": "Autumn", "text": "On sale."}
    broadcast = await gateway.sent({"addresses": [ghost]}, channel="email", connection="smtp", content=news)
    sent = await mail_out(sink)
    async with Sink(port=ports.theirs) as theirs:
        theirs.refuse("RCPT", "550 5.1.1 There is nobody of that name")
        await asyncio.to_thread(postfix.hand_in, sent.sender, ghost, sent.content)
        await tried(postfix, ghost, "status=bounced")

    async def is_undeliverable() -> bool:
        return await gateway.verdict(profile["id"], "email") == "undeliverable"

    await eventually(is_undeliverable)
    [delivery] = (await gateway.deliveries(broadcast["id"])).values()
    assert delivery["status"] == "undelivered"
    assert len(await gateway.history(profile["id"])) == 1, "a bounce is no word of the person's"
    assert len(sink.log) == 1, "and it is answered by nobody"


async def test_while_the_database_is_away_postfix_keeps_the_mail(
    settings: Settings, database_url: str, postfix: Postfix, dialect: str
) -> None:
    async with away_and_back(settings, database_url) as (gateway, database):
        await _goes_away_and_comes_back(gateway, database, postfix, dialect)


async def _goes_away_and_comes_back(gateway: Gateway, database: Away, postfix: Postfix, dialect: str) -> None:
    ben, recipient = f"ben.{dialect}@example.net", f"{dialect}@lmtp.example.org"
    await database.go()
    try:
        await write_to(postfix, recipient, ben)
        await tried(postfix, recipient, "status=deferred", "451 4.3.0")
    finally:
        await database.come_back()
    await tried(postfix, recipient, "status=sent")
    assert await flag(gateway, ben) == "no"
    assert len(await gateway.rows("messages")) == 1


async def test_while_nobody_listens_postfix_keeps_the_mail(gateway: Gateway, postfix: Postfix, dialect: str) -> None:
    cleo, recipient = f"cleo.{dialect}@example.net", f"{dialect}.later@smtp.example.org"
    await gateway.stop()
    await write_to(postfix, recipient, cleo)

    await tried(postfix, recipient, "status=deferred", "Connection refused")
    await gateway.start()
    await tried(postfix, recipient, "status=sent")
    assert await flag(gateway, cleo) == "no"


async def test_a_mail_whose_answer_is_lost_comes_again_and_has_one_effect(
    gateway: Gateway, postfix: Postfix, cut: Cut, dialect: str
) -> None:
    diego, recipient = f"diego.{dialect}@example.net", f"{dialect}@cut.example.org"
    await gateway.person(f"email:{diego}")
    await write_to(postfix, recipient, diego)
    await tried(postfix, recipient, "status=sent")
    assert cut.lost == 1
    assert "status=deferred (lost connection" in postfix.logged(recipient)[0], "it came twice"
    assert await flag(gateway, diego) == "no"
    assert len(await gateway.rows("messages")) == 1
    assert len(await gateway.rows("consent_events")) == 1
    assert len(await gateway.rows("deliveries")) == 1, "one reply"


@pytest.mark.parametrize("dialect", ["sqlite"])
async def test_a_mail_that_is_too_large_bounces(gateway: Gateway, postfix: Postfix) -> None:
    recipient = "large@lmtp.example.org"
    await write_to(postfix, recipient, "esme@example.net", ("x" * 76 + "\r\n") * 350_000)
    await tried(postfix, recipient, "status=bounced", "exceeds size limit 26214400")
    assert await gateway.rows("messages") == []
