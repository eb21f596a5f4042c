"""Mail out by SMTP: what each end of a conversation means, connections used again, TLS that is not given up."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from channels.lease import LeaseOver, boottime, lease
from channels.mail import relay, smtp
from channels.mail.relay import Relay
from channels.mail.smtp import SmtpSender
from channels.values import Accepted, InDoubt, Mail, NotSent, Outbound, Outcome, Rejected
from tests.channels.loopback import free_port
from tests.channels.smtp_server import Server, speaking
from tests.standins.smtp import Sink

MAIL = Mail("Autumn", "Hello\n.\n..dots\n.end", "<p>Hello</p>")


def message(number: int = 1, to: str = "ana@example.org", mail: Mail | None = MAIL) -> Outbound:
    return Outbound(f"att_{number:026d}", "email", to, mail=mail)


@asynccontextmanager
async def sending(port: int, **more: Any) -> AsyncIterator[SmtpSender]:
    of_relay = {name: more.pop(name) for name in ("host", "tls", "username", "password") if name in more}
    relay_ = Relay(**{"host": "127.0.0.1", "port": port, "tls": "none", "hello": "example.org"} | of_relay)
    sender = SmtpSender(relay_, sender="Example Theatre <hello@example.org>", **more)
    yield sender
    await sender.close()


async def sent(server: Server, **more: Any) -> Outcome:
    async with sending(server.port, **more) as sender:
        return await sender.send(message())


async def test_a_mail_arrives_as_it_was_composed() -> None:
    async with Sink() as sink, sending(sink.port, inbound_domain="in.example.org") as sender:
        assert await sender.send(message()) == Accepted("Q00000001")
        [taken] = sink.log
        assert (taken.sender, taken.recipients) == (f"bounces+{message().tag}@in.example.org", ["ana@example.org"])
        assert taken.body() == "Hello\n.\n..dots\n.end\n", "dots were doubled, and taken back"
        assert taken.body("html") == "<p>Hello</p>\n"
        await sender.send(message(2, mail=None))
        assert sink.log[1].body() == "\n"


# --- how it can end ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("acts", "outcome", "word"),
    [
        # Before the mail is written nothing was sent, whatever happens.
        ({"greeting": "close"}, NotSent, "cannot be reached"),
        ({"greeting": "reset"}, NotSent, "cannot be reached"),
        ({"greeting": "hang"}, NotSent, "in time"),
        ({"greeting": "421 4.7.0 too many connections"}, NotSent, "421"),
        ({"greeting": "554 5.7.1 not you"}, NotSent, "554"),
        ({"greeting": "HTTP/1.1 400 Bad Request"}, NotSent, "no mail relay"),
        ({"EHLO": "close"}, NotSent, "cannot be reached"),
        ({"EHLO": "hang"}, NotSent, "in time"),
        ({"EHLO": "550 5.7.1 no"}, NotSent, "550"),
        ({"MAIL": "close"}, NotSent, "closes connections"),
        ({"MAIL": "reset"}, NotSent, "closes connections"),
        ({"MAIL": "hang"}, NotSent, "MAIL: the relay did not answer"),
        ({"MAIL": "451 4.3.0 later"}, NotSent, "MAIL: 451"),
        ({"MAIL": "550 5.7.1 not your address"}, NotSent, "MAIL: 550 5.7.1"),
        ({"MAIL": "552 5.3.4 too large"}, Rejected, "5.3.4"),
        ({"RCPT": "554 5.7.1 Relay access denied"}, NotSent, "RCPT: 554 5.7.1"),
        ({"MAIL": "gibberish"}, NotSent, "MAIL"),
        ({"RCPT": "close"}, NotSent, "RCPT: the relay closed"),
        ({"RCPT": "reset"}, NotSent, "RCPT"),
        ({"RCPT": "hang"}, NotSent, "RCPT: the relay did not answer"),
        ({"RCPT": "450 4.2.0 greylisted"}, NotSent, "RCPT: 450"),
        ({"RCPT": "550 5.1.1 unknown"}, Rejected, "5.1.1"),
        ({"RCPT": "550 5.1.1 unknown", "RSET": "close"}, Rejected, "5.1.1"),
        ({"RCPT": "550 5.1.1 unknown", "RSET": "hang"}, Rejected, "5.1.1"),
        # DATA is said, and the mail not yet.
        ({"DATA": "close"}, NotSent, "DATA: the relay closed"),
        ({"DATA": "reset"}, NotSent, "DATA"),
        ({"DATA": "hang"}, NotSent, "DATA: the relay did not answer"),
        ({"DATA": "451 4.3.0 later"}, NotSent, "DATA: 451"),
        ({"DATA": "554 5.5.1 no valid recipients"}, Rejected, "5.5.1"),
        ({"DATA": "250 what?"}, NotSent, "DATA"),
        # The mail is written: only its answer tells.
        ({"BODY": "reset early"}, InDoubt, "lost"),
        ({"BODY": "close"}, InDoubt, "lost"),
        ({"BODY": "reset"}, InDoubt, "lost"),
        ({"BODY": "hang"}, InDoubt, "in time"),
        ({"BODY": "gibberish"}, InDoubt, "none"),
        ({"BODY": "354 go on"}, InDoubt, "none"),
        ({"BODY": "250-" + "x" * 40_000}, InDoubt, "none"),
        ({"BODY": "451 4.7.1 later"}, NotSent, "451"),
        ({"BODY": "421 4.3.2 shutting down"}, NotSent, "421"),
        ({"BODY": "554 5.7.1 spam"}, Rejected, "5.7.1"),
        ({"BODY": "250 Ok"}, Accepted, "att_"),
        ({"BODY": b"250-2.0.0 Ok\r\n250 2.0.0 queued as Q123456"}, Accepted, "Q123456"),
    ],
)
async def test_each_end_of_a_conversation_has_its_meaning(
    monkeypatch: pytest.MonkeyPatch, acts: dict[str, Any], outcome: type[Outcome], word: str
) -> None:
    monkeypatch.setattr(relay, "ANSWER_SECONDS", 0.4)
    monkeypatch.setattr(smtp, "DATA_SECONDS", 0.4)
    async with speaking(**acts) as server:
        found = await sent(server)
        assert isinstance(found, outcome), found
        assert word in str(found), found
        assert len(server.bodies) == int("BODY" in acts and acts["BODY"] != "reset early")
        if isinstance(found, Rejected):
            assert found.undeliverable is ("5.1.1" in word)


async def test_where_nothing_listens_nothing_was_sent() -> None:
    async with sending(free_port()) as sender:
        found = await sender.send(message())
        assert isinstance(found, NotSent)
        assert (found.slow_down, "cannot be reached" in found.why) == (True, True)
    async with sending(25, host="relay.invalid") as sender:
        assert isinstance(await sender.send(message()), NotSent)


async def test_what_no_mail_can_be_made_of_is_refused_and_the_relay_not_asked() -> None:
    async with speaking() as server, sending(server.port) as sender:
        for wrong in (message(to="a b@example.org"), message(to="x@y.org>\r\nDATA"), message(to="ana")):
            found = await sender.send(wrong)
            assert isinstance(found, Rejected)
            assert found.code == "compose"
        assert server.connections == 0


async def test_an_address_in_other_letters_needs_a_relay_that_takes_it() -> None:
    wanted = message(to="grüße@example.org")
    async with speaking() as server, sending(server.port) as sender:
        found = await sender.send(wanted)
        assert isinstance(found, Rejected)
        assert (found.code, found.undeliverable) == ("smtputf8", False)
    async with Sink() as sink, sending(sink.port) as sender:
        assert isinstance(await sender.send(wanted), Accepted)
        assert sink.log[0].recipients == ["grüße@example.org"]


# --- the lease --------------------------------------------------------------------------------


async def test_a_send_begins_with_data_and_not_after_its_lease() -> None:
    """The connection was opened, MAIL and RCPT were said: all of that is no send, and all of it is of use."""
    async with Sink() as sink, sending(sink.port) as sender:
        sink.delay_seconds = 0.3
        with pytest.raises(LeaseOver), lease(boottime() + 0.1):
            await sender.send(message())
        assert (sink.log, sink.commands) == ([], ["MAIL", "RCPT"])
        sink.delay_seconds = 0.0
        with lease(boottime() + 5):
            assert isinstance(await sender.send(message()), Accepted)
        assert sink.connections == 1, "it was reset, and used again"


async def test_a_lease_that_is_over_asks_the_relay_nothing() -> None:
    async with Sink() as sink, sending(sink.port) as sender:
        with pytest.raises(LeaseOver), lease(boottime() - 0.1):
            await sender.send(message())
        assert sink.connections == 0


async def test_a_relay_that_is_slower_than_any_lease_is_told_of_and_not_asked_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(smtp, "PATIENCE_SECONDS", 0.2)
    async with Sink() as sink, sending(sink.port) as sender:
        sink.delay_seconds = 0.4
        with lease(boottime() + 0.2):
            found = await sender.send(message())
        assert isinstance(found, NotSent)
        assert "seconds over MAIL and RCPT" in found.why
        assert sink.log == []


# --- connections ------------------------------------------------------------------------------


async def test_connections_are_few_and_carry_many() -> None:
    async with Sink() as sink, sending(sink.port, connections=3) as sender:
        found = await asyncio.gather(*(sender.send(message(number)) for number in range(60)))
        assert all(isinstance(one, Accepted) for one in found)
        assert len({one.mail["Message-ID"] for one in sink.log}) == 60
        assert sink.connections <= 3
        assert len({one.on_connection for one in sink.log}) > 1


async def test_a_refused_recipient_costs_no_connection() -> None:
    async with Sink() as sink, sending(sink.port) as sender:
        sink.refuse("RCPT", "550 5.1.1 unknown", who="ben@example.org")
        sink.refuse("MAIL", "451 4.3.0 later", once=True)
        found = [await sender.send(message(number, to)) for number, to in enumerate(
            ["ana@example.org", "ben@example.org", "ana@example.org"])]  # fmt: skip
        assert [type(one) for one in found] == [NotSent, Rejected, Accepted]
        assert sink.connections == 1


@pytest.mark.parametrize("how", ["close", "421 4.4.2 idle"])
async def test_a_connection_that_was_closed_meanwhile_is_replaced(how: str) -> None:
    """By the relay's own time-out, say: of the next mail nobody has heard anything yet."""
    async with speaking() as server, sending(server.port) as sender:
        assert isinstance(await sender.send(message()), Accepted)
        server.acts = {**server.acts, "MAIL": how}

        async def recovers() -> None:
            while server.heard[-1] != "MAIL":
                await asyncio.sleep(0)
            server.acts = {**server.acts, "MAIL": "250 Ok"}

        server.heard.append("")
        found, _ = await asyncio.gather(sender.send(message(2)), recovers())
        assert isinstance(found, Accepted)
        assert (server.connections, len(server.bodies)) == (2, 2)


async def test_an_idle_connection_is_closed_with_a_goodbye(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "IDLE_SECONDS", 0.1)
    async with speaking() as server, sending(server.port) as sender:
        await sender.send(message())
        await asyncio.sleep(0.4)
        assert server.heard[-1] == "QUIT"
        assert isinstance(await sender.send(message(2)), Accepted)
        assert server.connections == 2


async def test_what_is_sent_while_the_gateway_ends_is_sent() -> None:
    async with speaking() as server, sending(server.port) as sender:
        await sender.send(message())
        await sender.close()
        assert server.heard[-1] == "QUIT"
        assert isinstance(await sender.send(message(2)), Accepted)
        await asyncio.sleep(0.1)
        assert server.heard[-1] == "QUIT", "it keeps none"


async def test_a_send_that_is_given_up_leaves_no_connection_in_the_middle_of_a_mail() -> None:
    async with speaking(BODY="hang") as server, sending(server.port) as sender:
        task = asyncio.ensure_future(sender.send(message()))
        while not server.bodies:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        server.acts = {**server.acts, "BODY": "250 Ok"}
        assert isinstance(await sender.send(message(2)), Accepted)
        assert server.connections == 2


# --- TLS and logging in -----------------------------------------------------------------------


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """The relay's side of a certificate for 127.0.0.1 that this machine believes."""
    made = certificate(tmp_path, "IP:127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    return made


def certificate(folder: Path, name: str) -> ssl.SSLContext:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
               "-subj", "/CN=relay", "-addext", f"subjectAltName={name}", "-keyout", folder / "key.pem",
               "-out", folder / "cert.pem", "-days", "2"]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@pytest.mark.parametrize("how", ["starttls", "implicit"])
async def test_mail_goes_encrypted_and_logged_in(tls: ssl.SSLContext, how: str) -> None:
    who = ("optgate", "a password")
    async with Sink(tls=tls, implicit=how == "implicit", credentials=who) as sink:
        async with sending(sink.port, tls=how, username=who[0], password=who[1]) as sender:
            assert isinstance(await sender.send(message()), Accepted)
            assert isinstance(await sender.send(message(2)), Accepted)
        assert sink.connections == 1


async def test_without_starttls_nothing_is_said_in_clear() -> None:
    """An attacker in between takes the offer out; then there is no mail, and no password."""
    async with speaking() as server:
        found = await sent(server, tls="starttls", username="optgate", password="a password")
        assert isinstance(found, NotSent)
        assert "offers no STARTTLS" in found.why
        assert (found.slow_down, found.retry_after_seconds) == (True, 60)
        assert set(server.heard) <= {"EHLO", "QUIT"}
    async with speaking(EHLO="250-relay\r\n250 STARTTLS", STARTTLS="454 4.7.0 not now") as server:
        found = await sent(server, tls="starttls", username="optgate", password="a password")
        assert isinstance(found, NotSent)
        assert set(server.heard) <= {"EHLO", "STARTTLS", "QUIT"}


@pytest.mark.parametrize(("name", "believed"), [("IP:127.0.0.1", False), ("DNS:other.example.org", True)])
@pytest.mark.parametrize("how", ["starttls", "implicit"])
async def test_a_certificate_that_is_not_believed_gets_no_mail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, believed: bool, how: str
) -> None:
    context = certificate(tmp_path, name)
    if believed:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    async with Sink(tls=context, implicit=how == "implicit") as sink:
        async with sending(sink.port, tls=how) as sender:
            found = await sender.send(message())
        assert isinstance(found, NotSent)
        assert "certificate" in found.why
        assert sink.log == []


async def test_a_wrong_password_sends_nothing_and_is_not_tried_at_once_again() -> None:
    async with Sink(credentials=("optgate", "right")) as sink:
        async with sending(sink.port, username="optgate", password="a canary") as sender:
            found = await sender.send(message())
        assert isinstance(found, NotSent)
        assert "does not accept user name and password" in found.why
        assert "canary" not in found.why
        assert (found.slow_down, found.retry_after_seconds) == (True, 60)
        async with sending(sink.port) as sender:
            found = await sender.send(message())
        assert isinstance(found, NotSent)
        assert (found.slow_down, found.retry_after_seconds) == (True, 60), "530: log in first"
    async with speaking() as server:
        found = await sent(server, username="optgate", password="x")
        assert isinstance(found, NotSent)
        assert "no way to log in" in found.why
