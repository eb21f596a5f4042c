"""A mail of ours through a relay that signs it: what RFC 8058 wants signed is signed, and nothing breaks it."""

from __future__ import annotations

import asyncio
import re

import pytest

from channels.mail.relay import Relay
from channels.mail.smtp import SmtpSender
from channels.values import Accepted, Mail, Outbound
from tests.flows.running import eventually
from tests.standins import dkim_relay
from tests.standins.smtp import Sink

LETTER = Mail(
    "Herbst – Grüße",
    "Hello\n.\n" + "a long line " * 200 + "\ntrailing \n",
    '<p>Grüße <a href="https://example.org">x</a></p>\n' * 50,
    from_name="The Globe, Büro",
    reply_to="Box office <box@example.org>",
    unsubscribe_url="https://gw.example.org/unsubscribe/adr_01jd5m00000000000000000000.email.QhbZ2JGyWUzq7mJ9w0QfHk3yXy0",
    unsubscribe_token="01jd5m00000000000000000000" + "0123456789abcdefghjkmnpqrs",
)


async def test_a_signature_covers_what_one_click_needs_and_is_good_when_it_arrives() -> None:
    if (why := dkim_relay.why_there_is_none()) is not None:
        pytest.skip(why)
    async with Sink() as sink:
        routes = {"example.net": f"smtp:[127.0.0.1]:{sink.port}"}
        with dkim_relay.signing(routes, "*,+List-Unsubscribe-Post") as relay:
            sender = SmtpSender(
                Relay("127.0.0.1", relay.postfix.port, "none", "example.org"),
                sender="Example Theatre <hello@example.org>",
                inbound_domain="in.example.org",
            )
            sent = await sender.send(
                Outbound("att_01jd5m00000000000000000000", "email", "ana@example.net", mail=LETTER)
            )
            await sender.close()
            assert isinstance(sent, Accepted), (sent, relay.postfix.log)
            assert re.fullmatch(r"[0-9A-Za-z]{8,20}", sent.provider_id), "Postfix's own id of it"
            assert f" {sent.provider_id}: " in relay.postfix.log

            async def came() -> bool:
                return bool(sink.log)

            await eventually(came, seconds=20)
            [arrived] = sink.log
            signature = re.sub(r"\s", "", arrived.mail["DKIM-Signature"])
            signed = dict(part.split("=", 1) for part in signature.rstrip(";").split(";"))
            covered = signed["h"].lower().split(":")
            for header in ("list-unsubscribe", "list-unsubscribe-post", "from", "to", "subject", "date"):
                assert header in covered, signed["h"]
            assert signed["d"] == dkim_relay.DOMAIN, "the From's own domain: it aligns, for DMARC"
            assert arrived.sender == "bounces+att_01jd5m00000000000000000000@in.example.org"
            told = await asyncio.to_thread(relay.verify, arrived.content)
            assert "succeeded" in told, told
            # And it is these headers that it covers: whoever changes them is found out.
            forged = arrived.content.replace(b"https://gw.example.org", b"https://gw.example.com")
            assert forged != arrived.content
            assert "succeeded" not in await asyncio.to_thread(relay.verify, forged)
            without = arrived.content.replace(b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n", b"")
            assert without != arrived.content
            assert "succeeded" not in await asyncio.to_thread(relay.verify, without)
