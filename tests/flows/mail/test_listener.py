"""Mail straight to the gateway's own listeners."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import CannotServe
from tests.channels.mail_client import Client
from tests.flows.mail.conftest import Ports
from tests.flows.running import Gateway, eventually
from tests.standins.smtp import Accepted, Sink

SENDING = ("deliveries", "attempts", "paces")  # goes on by itself
ANA, MALLORY = "ana@example.net", "mallory@example.com"


def mail(sender: str, text: str, *, message_id: str = "1@example.net", subject: str = "Autumn") -> bytes:
    head = f"From: {sender}\r\nTo: hello@example.org\r\nSubject: {subject}\r\nMessage-ID: <{message_id}>\r\n"
    return f"{head}Date: Mon, 02 Nov 2026 10:00:00 +0000\r\n\r\n{text}\r\n".encode()


async def flag(gateway: Gateway, address: str) -> str:
    [person] = await gateway.whose(f"email:{address}")
    return str(person["consent"]["channels"]["email"]["state"])


async def test_who_takes_anothers_message_id_makes_no_stop_vanish(gateway: Gateway, ports: Ports) -> None:
    await gateway.person(f"email:{ANA}", consent={"channels": {"email": "yes"}})
    async with Client(ports.smtp) as client:
        await client.begin(sender=MALLORY)
        assert (await client.mail(mail(MALLORY, "Hello"))).startswith("250 ")
        await client.address(sender=MALLORY)
        assert (await client.mail(mail(ANA, "Hello"))).startswith("250 ")
        await client.address(sender=ANA)
        assert (await client.mail(mail(ANA, "STOP"))).startswith("250 ")
        assert await flag(gateway, ANA) == "no", "before the answer is given"
        before = await gateway.everything(but=SENDING)
        await client.address(sender=ANA)
        assert (await client.mail(b"Received: by another way\r\n" + mail(ANA, "STOP"))).startswith("250 ")
    assert await gateway.everything(but=SENDING) == before, "the same mail changes nothing"
    assert len(await gateway.rows("messages")) == 3
    assert len(await gateway.rows("deliveries")) == 1, "one reply"


async def hand_in(ports: Ports, sender: str, content: bytes) -> None:
    async with Client(ports.smtp) as client:
        await client.begin(sender=sender)
        assert (await client.mail(content)).startswith("250 ")


async def test_what_we_answer_stands_below_the_persons_mail_and_repeats_nothing_else_of_it(
    gateway: Gateway, ports: Ports, sink: Sink
) -> None:
    await gateway.api("POST", "/v1/rules", json={"channel": "email", "keyword": "JOIN", "action": "opt_in"})
    for address in (ANA, MALLORY):
        await gateway.person(f"email:{address}", consent={"channels": {"email": "yes"}})
    proved = b"Authentication-Results: mx.example.org; dmarc=pass header.from=example.net\r\n"
    await hand_in(ports, ANA, b"References: <old@example.net>\r\n" + mail(ANA, "STOP", message_id="1@example.net"))
    await hand_in(ports, ANA, proved + mail(ANA, "JOIN", message_id="2@example.net"))
    await hand_in(ports, MALLORY, mail(MALLORY, "STOP", message_id="x> <3@example.net"))

    async def all_answered() -> list[Accepted] | None:
        return sink.log if len(sink.log) == 3 else None

    answers = [one.mail for one in await eventually(all_answered) or ()]
    headers = {(one["In-Reply-To"], one["References"], one["Auto-Submitted"]) for one in answers}
    assert headers == {
        ("<1@example.net>", "<1@example.net>", "auto-replied"),
        ("<2@example.net>", "<2@example.net>", "auto-replied"),
        (None, None, "auto-replied"),
    }


@pytest.mark.parametrize(
    "written", ["ana..b@docomo.ne.jp", '"ana..b"@docomo.ne.jp', '"ana..b."@docomo.ne.jp', ".ana@docomo.ne.jp"]
)
async def test_a_stop_from_a_mailbox_with_dots_where_none_may_be_turns_a_flag_and_is_confirmed(
    gateway: Gateway, ports: Ports, sink: Sink, written: str
) -> None:
    """Carriers in Japan gave them out. The API takes none, so nobody is written to there who has not written first."""
    proved = b"Authentication-Results: mx.example.org; dmarc=pass header.from=docomo.ne.jp\r\n"
    await hand_in(ports, written, proved + mail(written, "STOP"))
    address = written.replace('"', "")
    assert await flag(gateway, address) == "no"
    asked = {"items": [{"channel": "email", "address": address}]}
    [verdict] = (await gateway.api("POST", "/v1/verdicts", json=asked))["items"]
    assert verdict["reason"] == "opted_out_channel"
    confirmed = await eventually(lambda: _first(sink))
    local, domain = address.split("@")
    assert confirmed is not None
    assert confirmed.recipients == [address]
    assert f'\r\nTo: "{local}"@{domain}\r\n'.encode() in confirmed.content, "written as RFC 5321 wants it"
    person = {"addresses": [{"channel": "email", "value": address}]}
    assert (await gateway.ask("POST", "/v1/profiles", json=person)).status == 422


@pytest.mark.parametrize(
    ("head", "subject"),
    [
        (b"Auto-Submitted: auto-replied\r\n", "Away"),
        (b"X-Autoreply: yes\r\n", "Away"),
        (b"X-Auto-Response-Suppress: All\r\nPrecedence: bulk\r\n", "Away"),
        (b"", "Automatic reply: Autumn"),
    ],
)
async def test_an_out_of_office_that_begins_with_stop_changes_nothing_and_is_not_answered(
    gateway: Gateway, ports: Ports, sink: Sink, head: bytes, subject: str
) -> None:
    await gateway.person(f"email:{ANA}", consent={"channels": {"email": "yes"}})
    before = await gateway.everything(but=("messages", "receipts"))
    words = ("Please stop and read this: I am away until Monday.", "STOP", "Unsubscribe me. I work here no more.")
    for number, text in enumerate(words):
        await hand_in(ports, ANA, head + mail(ANA, text, message_id=f"{number}@example.net", subject=subject))
    assert len(await gateway.rows("messages")) == len(words), "each is kept"
    assert await gateway.everything(but=("messages", "receipts")) == before
    assert sink.log == []


async def test_a_yes_by_mail_needs_a_proved_sender_and_a_press_on_the_link_that_is_mailed(
    gateway: Gateway, ports: Ports, sink: Sink
) -> None:
    rule = {"channel": "email", "keyword": "JOIN", "match": "exact", "action": "opt_in"}
    await gateway.api("POST", "/v1/rules", json=rule)
    proved = b"Authentication-Results: %b; dmarc=pass header.from=example.net\r\n"
    await hand_in(ports, ANA, mail(ANA, "JOIN", message_id="1@example.net"))
    await hand_in(ports, ANA, proved % b"mx.example.com" + mail(ANA, "JOIN", message_id="2@example.net"))
    assert await gateway.rows("confirmations") == [], "nothing proves the sender, or somebody else's word"
    await hand_in(ports, ANA, proved % b"mx.example.org" + mail(ANA, "JOIN", message_id="3@example.net"))
    question = await eventually(lambda: _first(sink))
    assert await flag(gateway, ANA) == "not_asked"
    path = "/confirm/" + question.body().split("/confirm/")[1].split()[0]
    assert (await gateway.send("POST", path)).status == 200
    assert await flag(gateway, ANA) == "yes"
    assert len(sink.log) == 1


async def _first(sink: Sink) -> Accepted | None:
    return sink.log[0] if sink.log else None


@pytest.mark.parametrize("end", [b"\n.\r\n", b"\r.\r", b"\n.\n", b"\r\n.\n"])
async def test_a_smuggled_mail_writes_nothing(gateway: Gateway, ports: Ports, end: bytes) -> None:
    before = await gateway.everything()
    async with Client(ports.smtp) as client:
        await client.begin(sender=MALLORY)
        inner = b"MAIL FROM:<ana@example.net>\r\nRCPT TO:<hello@example.org>\r\nDATA\r\n" + mail(ANA, "STOP")
        assert (await client.mail(mail(MALLORY, "Hello").removesuffix(b"\r\n") + end + inner)).startswith("550 5.6.0 ")
        assert (await client.say("QUIT")).startswith("221 ")
    assert await gateway.everything() == before


async def test_a_mail_that_is_on_its_way_when_it_stops_is_kept_and_answered(gateway: Gateway, ports: Ports) -> None:
    async with Client(ports.lmtp) as client:
        await client.begin("hello@lmtp.example.org", hello="LHLO mx", sender=ANA)
        assert (await client.say("DATA")).startswith("354 ")
        client.send(mail(ANA, "STOP"))
        stopping = asyncio.create_task(gateway.stop())
        while not stopping.done():
            try:
                async with Client(ports.smtp) as another:
                    await another.hear()
            except ConnectionError:
                break  # nobody is let in any more
        client.send(b".\r\n")
        assert (await client.hear()).startswith("250 ")
        await stopping
    await gateway.start()
    assert await flag(gateway, ANA) == "no"


@pytest.mark.parametrize("dialect", ["sqlite"])
async def test_a_port_that_is_taken_is_said_so(gateway: Gateway) -> None:
    second = Gateway(gateway.settings)
    with pytest.raises(CannotServe, match=r"^\[connections\.smtp\] cannot listen for mail: "):
        await second.start()


@pytest.mark.parametrize("dialect", ["sqlite"])
async def test_nothing_is_taken_from_the_webhook_of_a_connection_with_a_listener(gateway: Gateway) -> None:
    assert (await gateway.send("POST", "/webhooks/smtp", data=b"x")).status == 403
    assert (await gateway.send("POST", "/webhooks/smtp/status", data=b"x")).status == 403
