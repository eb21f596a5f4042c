"""Mail by way of a real Postfix, as it comes to those who have a mail server of their own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.settings import Settings
from tests import canaries
from tests.flows.away import Away, away_and_back
from tests.flows.mail.conftest import stop_stops
from tests.flows.mail.cutting import Cut
from tests.flows.running import Gateway, eventually
from tests.standins.postfix import Postfix

WAYS = ("smtp", "lmtp")


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


@pytest.mark.parametrize("way", WAYS)
async def test_a_stop_by_mail_is_a_no_and_is_answered(
    gateway: Gateway, postfix: Postfix, way: str, dialect: str
) -> None:
    ana, recipient = f"ana.{dialect}@example.net", f"hello.{dialect}@{way}.example.org"
    await gateway.person(f"email:{ana}", consent={"channels": {"email": "yes"}})
    await write_to(postfix, recipient, ana)
    await tried(postfix, recipient, "status=sent", "250 2.6.0 Kept")
    assert await flag(gateway, ana) == "no"
    [message] = await gateway.rows("messages")
    assert (message["connection"], message["sender"], message["receiver"]) == (way, ana, recipient)
    [reply] = await gateway.rows("deliveries")
    assert (reply["channel"], reply["connection"]) == ("email", way), "the confirmation is on its way out"


async def test_while_the_database_is_away_postfix_keeps_the_mail(
    settings: Settings, database_url: str, postfix: Postfix, dialect: str
) -> None:
    async with away_and_back(settings, database_url) as (gateway, database):
        await stop_stops(gateway)
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
