"""The mail listener, spoken to by sockets: what it takes and refuses, and no answer before a mail is kept."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from ipaddress import ip_network
from typing import Any

import pytest

from channels.mail.limits import Limits
from channels.mail.listener import Listener
from channels.values import Forged, Inbound, Told, WebhookRequest
from tests import canaries
from tests.channels.mail_client import ANA, STOP, Client


class Kept:
    """Where the listener has its mails kept: a list, or a failure; `gate` holds it up."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.failing: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = 0

    async def __call__(self, told: Sequence[Told]) -> None:
        self.asked += 1
        await self.gate.wait()
        if self.failing is not None:
            raise self.failing
        self.told += told

    @property
    def texts(self) -> list[str]:
        return [one.text for one in self.told if isinstance(one, Inbound)]


@pytest.fixture
def kept() -> Kept:
    return Kept()


@contextlib.asynccontextmanager
async def listening(kept: Kept, **options: Any) -> AsyncIterator[Listener]:
    given: dict[str, Any] = {
        "name": "mail",
        "host": "127.0.0.1",
        "port": 0,
        "protocol": "smtp",
        "domain": "example.org",
        "authserv_id": "mx.example.org",
        "trusted": [ip_network("127.0.0.0/8")],
    }
    listener = Listener(**given | options)
    with canaries.listening() as lines:
        await listener.listen(kept)
        try:
            yield listener
        finally:
            await listener.close()
    canaries.must_not_stand_in(lines)


# --- a mail ------------------------------------------------------------------------------------


async def test_a_mail_is_told_with_its_envelope_and_its_own_identity(kept: Kept) -> None:
    async with listening(kept) as listener, Client(listener.port) as client:
        await client.begin("hello@example.org", "unsub+abc@example.org", sender="bounce@example.net")
        assert await client.mail() == "250 2.6.0 Kept"
        assert await client.say("QUIT") == "221 2.0.0 Bye"
    [told] = kept.told
    assert isinstance(told, Inbound)
    assert (told.account, told.connection, told.channel) == ("smtp:mail", "mail", "email")
    assert (told.sender, told.receiver, told.unsubscribe_tokens) == (ANA, "hello@example.org", ("abc",))
    assert told.text.strip() == "STOP"
    assert told.provider_id.startswith("mail:")
    assert not told.authentic


async def test_it_says_what_it_can(kept: Kept) -> None:
    async with listening(kept) as listener, Client(listener.port) as client:
        assert await client.hear() == "220 optgate ESMTP"
        said = await client.say("EHLO mx.example.org")
        assert (
            said
            == "250-optgate\n250-SIZE 26214400\n250-8BITMIME\n250-SMTPUTF8\n250-PIPELINING\n250 ENHANCEDSTATUSCODES"
        )
        assert await client.say("VRFY hello@example.org") == "252 2.5.2 Try it"
        for command in ("AUTH PLAIN AGFuYQBwYXNz", "STARTTLS", "EXPN staff", "HELP"):
            assert (await client.say(command)).startswith("500 "), "of what a mail need not have there is nothing"


async def test_mails_come_one_after_another_and_by_helo_too(kept: Kept) -> None:
    async with listening(kept) as listener, Client(listener.port) as client:
        await client.begin(hello="HELO mx")
        for number in range(3):
            assert await client.mail(STOP + f"{number}\r\n".encode()) == "250 2.6.0 Kept"
            await client.address()
        assert await client.say("RSET") == "250 2.0.0 OK"
        assert (await client.say("DATA")).startswith("503 ")
    assert len({one.provider_id for one in kept.told if isinstance(one, Inbound)}) == 3


async def test_a_whole_dialogue_in_one_packet_is_answered_in_order(kept: Kept) -> None:
    async with listening(kept) as listener, Client(listener.port) as client:
        mail = b"MAIL FROM:<>\r\nRCPT TO:<a@example.org>\r\nDATA\r\n" + STOP + b".\r\n"
        client.send(b"EHLO mx\r\n" + mail + mail.replace(b"STOP", b"..STOP") + b"QUIT\r\n")
        replies = [(await client.hear())[:3] for _ in range(10)]
        assert replies == ["220", "250", "250", "250", "354", "250", "250", "250", "354", "250"]
        assert await client.hear() == "221 2.0.0 Bye"
    assert [text.strip() for text in kept.texts] == ["STOP", ".STOP"]
    assert {one.automatic for one in kept.told if isinstance(one, Inbound)} == {"bounce"}, "nobody sent it: `<>`"


async def test_addresses_in_utf8_and_eight_bits_are_taken(kept: Kept) -> None:
    async with listening(kept, domain="exämple.org") as listener, Client(listener.port) as client:
        await client.hear()
        await client.say("EHLO mx")
        assert await client.say("MAIL FROM:<añá@example.net> BODY=8BITMIME SMTPUTF8 SIZE=100") == "250 2.0.0 OK"
        assert await client.say("RCPT TO:<grüße@exämple.org>") == "250 2.0.0 OK"
        assert await client.say("RCPT TO:<hi@XN--EXMPLE-CUA.ORG>") == "250 2.0.0 OK"
        assert await client.mail("From: añá@example.net\r\n\r\nDéjà vu\r\n".encode()) == "250 2.6.0 Kept"
    [told] = kept.told
    assert isinstance(told, Inbound)
    assert told.receiver == "grüße@exämple.org"


# --- whose mail it takes -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "reply"),
    [
        ("<hello@example.org>", "250"),
        ("<HELLO@Example.ORG>", "250"),
        ("<hello@example.org.>", "250"),
        ("<@relay.example.net:hello@example.org>", "250"),
        ('<"a b"@example.org>', "250"),
        ("<hello@example.net>", "550 5.1.1"),
        ("<hello@example.org.evil.net>", "550 5.1.1"),
        ("<hello%example.net@example.com>", "550 5.1.1"),
        ("<>", "550 5.1.1"),
        ("<postmaster>", "553"),
        ("<a@b@example.org>", "553"),
        ("hello@example.org", "553"),
        ("<hello@example.org> NOTIFY=NEVER", "555"),
        ("<hello@example.org", "553"),
        ("<" + "<" * 900 + ">", "553"),
        ('<"' + "\\" * 900 + "@example.org>", "553"),
        (b"<\xff@example.org>", "553"),
        (b"<\x00@example.org>", "553"),
    ],
)
async def test_recipients_are_ours_or_refused(kept: Kept, path: str | bytes, reply: str) -> None:
    async with listening(kept) as listener, Client(listener.port) as client:
        await client.begin()
        assert (await client.say(b"RCPT TO:" + (path if isinstance(path, bytes) else path.encode()))).startswith(reply)


async def test_without_a_domain_of_its_own_it_takes_any_address(kept: Kept) -> None:
    async with listening(kept, domain=None) as listener, Client(listener.port) as client:
        await client.begin("anybody@anywhere.example")
        assert (await client.say("RCPT TO:<>")).startswith("550 ")


async def test_who_is_not_trusted_is_turned_away_for_now(kept: Kept) -> None:
    async with listening(kept, trusted=[ip_network("192.0.2.0/24")]) as listener, Client(listener.port) as client:
        client.send(b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<a@example.org>\r\nDATA\r\n" + STOP + b".\r\n")
        assert (await client.hear()).startswith("421 4.7.1 ")
        with contextlib.suppress(ConnectionError):
            assert await client.hear() == ""
    assert kept.asked == 0


def test_nothing_comes_in_by_a_webhook() -> None:
    listener = Listener(
        name="mail", host="", port=0, protocol="smtp", domain=None, authserv_id=None, trusted=()
    )  # fmt: skip
    with pytest.raises(Forged):
        listener.report(WebhookRequest("POST", "/", {}, b"x"))


# --- answered when it is kept --------------------------------------------------------------------


async def test_a_mail_is_not_answered_before_it_is_kept(kept: Kept) -> None:
    async with listening(kept) as listener, Client(listener.port) as client:
        await client.begin()
        kept.gate.clear()
        answer = asyncio.create_task(client.mail())
        await asyncio.sleep(0.2)
        assert kept.asked == 1
        assert not answer.done()
        kept.gate.set()
        assert await answer == "250 2.6.0 Kept"


async def test_what_could_not_be_kept_is_to_come_again_and_is_the_same_mail_then(kept: Kept) -> None:
    kept.failing = RuntimeError("the database, or anything else")
    async with listening(kept) as listener, Client(listener.port) as client:
        await client.begin()
        assert await client.mail() == "451 4.3.0 It could not be kept, try again"
        kept.failing = None
        ids = []
        for _ in range(2):
            await client.address()
            assert await client.mail() == "250 2.6.0 Kept"
            [told] = kept.told
            assert isinstance(told, Inbound)
            ids.append(told.provider_id)
            kept.told.clear()
    assert len(set(ids)) == 1


async def test_a_mail_whose_client_does_not_wait_is_kept_all_the_same(kept: Kept) -> None:
    async with listening(kept) as listener:
        kept.gate.clear()
        async with Client(listener.port) as client:
            await client.begin()
            assert (await client.say("DATA")).startswith("354 ")
            client.send(STOP + b".\r\n")
            async with asyncio.timeout(60):
                while not kept.asked:
                    await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)  # it has gone
        kept.gate.set()
    assert len(kept.told) == 1
    assert listener.room.held == 0


async def test_half_a_mail_is_none(kept: Kept) -> None:
    async with listening(kept) as listener:
        async with Client(listener.port) as client:
            await client.begin()
            await client.say("DATA")
            client.send(STOP + b".\r")
        await asyncio.sleep(0.1)
    assert kept.asked == 0
    assert listener.room.held == 0


# --- LMTP ------------------------------------------------------------------------------------------


async def test_lmtp_answers_for_each_recipient(kept: Kept) -> None:
    async with listening(kept, protocol="lmtp") as listener, Client(listener.port) as client:
        assert await client.hear() == "220 optgate LMTP"
        assert (await client.say("EHLO mx")).startswith("500 ")
        assert (await client.say("HELO mx")).startswith("500 ")
        assert (await client.say("LHLO mx")).startswith("250-optgate\n")
        await client.address("a@example.org", "b@example.org", "a@example.org")
        assert (await client.say("RCPT TO:<c@example.net>")).startswith("550 ")
        assert [await client.mail(), await client.hear(), await client.hear()] == ["250 2.6.0 Kept"] * 3
        kept.failing = RuntimeError()
        await client.address("a@example.org", "b@example.org")
        assert [(await client.mail())[:3], (await client.hear())[:3]] == ["451"] * 2
        assert await client.say("NOOP") == "250 2.0.0 OK", "and no answer too many"
    assert len(kept.told) == 1


async def test_lmtp_without_a_recipient_takes_no_mail(kept: Kept) -> None:
    async with listening(kept, protocol="lmtp") as listener, Client(listener.port) as client:
        await client.hear()
        await client.say("LHLO mx")
        await client.say("MAIL FROM:<a@example.net>")
        assert (await client.say("RCPT TO:<c@example.net>")).startswith("550 ")
        assert (await client.say("DATA")).startswith("503 ")


# --- smuggling ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\n.\r", b"\r\r\n.\r\r\n", b"\n"]
)
async def test_what_others_take_for_the_end_of_a_mail_smuggles_none(kept: Kept, end: bytes) -> None:
    """Of what follows a false end nothing is done, and the mail that holds it is refused."""
    smuggled = (
        b"MAIL FROM:<boss@example.org>\r\nRCPT TO:<a@example.org>\r\nDATA\r\nFrom: boss@example.org\r\n\r\nSTART\r\n"
    )
    async with listening(kept) as listener, Client(listener.port) as client:
        await client.begin()
        answer = await client.mail(STOP.removesuffix(b"\r\n") + end + smuggled)
        assert answer.startswith("550 5.6.0 ")
        assert await client.say("NOOP") == "250 2.0.0 OK", "one mail, one answer"
    assert kept.asked == 0


@pytest.mark.parametrize("line", [b"NOOP\n", b"NOOP\rNOOP\r\n", b"NOOP\r\r\n", b"\n", b"NOOP \nRSET\r\n"])
async def test_a_command_line_that_ends_otherwise_is_the_last(kept: Kept, line: bytes) -> None:
    async with listening(kept) as listener, Client(listener.port) as client:
        await client.begin()
        client.send(line + b"DATA\r\n" + STOP + b".\r\n")
        assert await client.hear() == "521 5.5.2 A line ends with CR LF"
        with contextlib.suppress(ConnectionError):
            assert await client.hear() == ""
    assert kept.asked == 0


# --- limits ------------------------------------------------------------------------------------------


async def test_a_mail_that_is_too_large_is_refused_before_and_after_it_came(kept: Kept) -> None:
    async with listening(kept, limits=Limits(mail_bytes=100_000)) as listener, Client(listener.port) as client:
        await client.begin()
        head = b"From: ana@example.net\r\n\r\n"
        largest = head + b".\r\n".replace(b".", b"..") + b"x" * (100_000 - len(head) - 5) + b"\r\n"
        assert await client.mail(largest) == "250 2.6.0 Kept", "what was put before dots does not count"
        await client.address()
        assert await client.mail(largest + b"\r\n") == "552 5.3.4 The mail is larger than 100000 bytes"
        assert (await client.say(f"MAIL FROM:<{ANA}> SIZE=100001")).startswith("552 ")
        await client.address()
        assert await client.mail(head + b"x" * 3_000_000 + b"\r\n") == "552 5.3.4 The mail is larger than 100000 bytes"
        await client.address()
        assert await client.mail() == "250 2.6.0 Kept", "the next one is welcome"
    assert len(kept.told) == 2
    assert listener.room.held == 0


async def test_large_mails_wait_for_each_other_and_are_not_held_all_at_once(kept: Kept) -> None:
    """What is on its way is bounded for all together; who finds no room brings it again."""
    limits = Limits(mail_bytes=300_000, held_bytes=500_000)
    large = b"From: ana@example.net\r\n\r\n" + b"x" * 290_000 + b"\r\n"
    async with (
        listening(kept, limits=limits) as listener,
        Client(listener.port) as first,
        Client(listener.port) as second,
    ):
        await first.begin()
        await second.begin()
        kept.gate.clear()
        waiting = asyncio.create_task(first.mail(large))
        async with asyncio.timeout(60):
            while not kept.asked:
                await asyncio.sleep(0.01)
        assert await second.mail(large) == "452 4.3.1 Too many large mails at once, try again"
        await second.address()
        small = asyncio.create_task(second.mail())
        kept.gate.set()
        assert [await waiting, await small] == ["250 2.6.0 Kept"] * 2
        await second.address()
        assert await second.mail(large) == "250 2.6.0 Kept"
    assert listener.room.held == 0


async def test_connections_recipients_and_commands_are_counted(kept: Kept) -> None:
    limits = Limits(connections=1, recipients=2, commands=3)
    async with listening(kept, limits=limits) as listener:
        async with Client(listener.port) as client:
            await client.begin("a@example.org", "b@example.org")
            assert (await client.say("RCPT TO:<c@example.org>")).startswith("452 4.5.3 ")
            async with Client(listener.port) as another:
                assert (await another.hear()).startswith("421 4.3.2 ")
            assert [(await client.say("NOOP"))[:3] for _ in range(4)] == ["250", "250", "250", "421"]
        async with Client(listener.port) as client:
            await client.begin()
            replies = [(await client.say(f"X{number}"))[:3] for number in range(5)]
            assert replies == ["500"] * 4 + ["502"]
            assert await client.hear() == ""
        async with Client(listener.port) as client:
            await client.hear()
            assert await client.say("EHLO " + "x" * 3000) == "500 5.5.2 The line is too long"


async def test_who_keeps_it_waiting_is_ended(kept: Kept) -> None:
    limits = Limits(idle_seconds=0.3, mail_seconds=0.6, session_seconds=1.5)
    async with listening(kept, limits=limits) as listener:
        async with Client(listener.port) as client:
            await client.hear()
            assert await client.hear() == "421 4.4.2 That took too long", "idle"
        async with Client(listener.port) as client:
            await client.begin()
            await client.say("DATA")
            began = asyncio.get_running_loop().time()
            heard = asyncio.create_task(client.hear())
            while not heard.done():
                client.send(b"x")  # never idle, and never at an end
                await asyncio.sleep(0.05)
            assert await heard == "421 4.4.2 That took too long"
            assert 0.5 < asyncio.get_running_loop().time() - began < 20
        async with Client(listener.port) as client:
            await client.hear()
            began = asyncio.get_running_loop().time()
            while (heard_now := await client.say("EHLO mx")).startswith("250"):
                await asyncio.sleep(0.1)
            assert heard_now == "421 4.4.2 That took too long"
            assert asyncio.get_running_loop().time() - began < 20
    assert kept.asked == 0


async def test_the_time_that_keeping_takes_does_not_count(kept: Kept) -> None:
    async with (
        listening(kept, limits=Limits(idle_seconds=0.2, mail_seconds=0.3)) as listener,
        Client(listener.port) as client,
    ):
        await client.begin()
        kept.gate.clear()
        answer = asyncio.create_task(client.mail())
        await asyncio.sleep(0.6)
        kept.gate.set()
        assert await answer == "250 2.6.0 Kept"


# --- it stops ----------------------------------------------------------------------------------------


async def test_when_it_stops_what_is_under_way_is_finished(kept: Kept) -> None:
    async with (
        listening(kept) as listener,
        Client(listener.port) as idle,
        Client(listener.port) as sending,
        Client(listener.port) as kept_up,
    ):
        await idle.hear()
        await sending.begin()
        await kept_up.begin()
        await sending.say("DATA")
        sending.send(STOP)
        kept.gate.clear()
        waiting = asyncio.create_task(kept_up.mail())
        async with asyncio.timeout(60):
            while not kept.asked:
                await asyncio.sleep(0.01)
        port, closing = listener.port, asyncio.create_task(listener.close())
        assert await idle.hear() == "421 4.3.2 Stopping, try again"
        with pytest.raises(ConnectionError):
            await Client(port).__aenter__()
        assert not closing.done()
        sending.send(b".\r\n")
        kept.gate.set()
        for one in (await waiting, await sending.hear()):
            assert one == "250 2.6.0 Kept"
        assert await sending.hear() == "421 4.3.2 Stopping, try again"
        await closing
    assert len(kept.told) == 2


async def test_who_sends_for_ever_does_not_keep_it_from_stopping(kept: Kept) -> None:
    async with listening(kept, limits=Limits(drain_seconds=0.3)) as listener, Client(listener.port) as client:
        await client.begin()
        await client.say("DATA")
        client.send(STOP)
        await asyncio.sleep(0.05)
        async with asyncio.timeout(10):  # of the fifteen seconds that there are usually
            await listener.close()
    assert kept.asked == 0
