"""What people text us, as Twilio posts it: signed by the twilio library itself, over HTTP, onto disk."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
from urllib.parse import parse_qsl, quote, urlencode

import pytest
from multidict import CIMultiDict
from twilio.request_validator import RequestValidator

from inbox.receive import QUIET
from tests.channels.requests_as_sent import ORIGIN, TOKEN, signature
from tests.flows.running import (
    ANA,
    BEN,
    HELPED,
    OPTED_IN,
    OPTED_OUT,
    OURS,
    SECOND_ACCOUNT,
    SECOND_NUMBER,
    SECOND_TOKEN,
    SILENCE,
    Gateway,
    eventually,
    said,
)
from tests.standins.twilio import TwilioStandIn, accepted

WEBHOOK = f"{ORIGIN}/webhooks/sms"


async def state(gateway: Gateway, address: str) -> str:
    """The flag of the channel of the one person who has the address."""
    [person] = await gateway.whose(address)
    return str(person["consent"]["channels"][address.partition(":")[0]]["state"])


# --- the answer, byte for byte ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reply", "flag"), [("STOP", OPTED_OUT, "no"), ("start", OPTED_IN, "yes"), ("Help!", HELPED, "not_asked")]
)
async def test_a_keyword_is_answered_in_twiml_once_the_flag_is_on_disk(
    gateway: Gateway, text: str, reply: str, flag: str
) -> None:
    got = await gateway.text_in(text, ANA)
    assert (got.status, got.type, got.body) == (200, "application/xml", said(reply))
    assert await state(gateway, f"sms:{ANA}") == flag
    [message] = (await gateway.api("GET", "/v1/messages?direction=inbound"))["items"]
    assert (message["from"], message["to"], message["body"]) == (ANA, OURS, text)
    [answer] = (await gateway.api("GET", "/v1/messages?direction=outbound"))["items"]
    assert (answer["body"], answer["class"], answer["in_reply_to"]) == (reply, "service", message["id"])
    assert answer["rule_id"] == message["rule_id"]


async def test_a_stop_turns_the_channel_and_the_address_in_one_line_with_its_proof(gateway: Gateway) -> None:
    await gateway.text_in("Stop please", ANA, sid="SM" + "a" * 32)
    [person] = await gateway.whose(f"sms:{ANA}")
    assert person["consent"]["addresses"][f"sms:{ANA}"]["state"] == "no"
    [line] = await gateway.history(person["id"])
    assert line["subject"] == {"kind": "channel", "channel": "sms"}
    assert (line["from"], line["to"], line["with_address"]) == ("not_asked", "no", True)
    assert (line["address"], line["source"], line["actor"]) == (ANA, "keyword", "customer")
    [message] = await gateway.rows("messages")
    evidence = line["evidence"]
    assert evidence["message_id"] == message["id"]
    assert (evidence["text"], evidence["from"], evidence["to"]) == ("Stop please", ANA, OURS)
    assert evidence["rule"]["keyword"] == "STOP"


async def test_an_ordinary_message_is_kept_meets_no_rule_and_opts_nobody_in(gateway: Gateway) -> None:
    for text in ("hello", "yes", "", "I stopped by yesterday", "Please start sending"):
        assert (await gateway.text_in(text, ANA)).body == SILENCE
    assert [m["rule_id"] for m in await gateway.rows("messages")] == [None] * 5
    assert await state(gateway, f"sms:{ANA}") == "not_asked"
    assert await gateway.rows("consent_events") == []


# --- the signature ----------------------------------------------------------------------------


async def test_what_twilio_did_not_sign_is_refused_and_nothing_is_written(gateway: Gateway) -> None:
    await gateway.key()
    body = gateway.form("STOP", ANA)
    right = signature(body, WEBHOOK)
    fields = dict(parse_qsl(body.decode(), keep_blank_values=True))
    before = await gateway.everything()
    refused = {
        "no signature": await gateway.post(body, signed=None),
        "an empty signature": await gateway.send(
            "POST",
            "/webhooks/sms",
            data=body,
            headers={"X-Twilio-Signature": "", "Content-Type": "application/x-www-form-urlencoded"},
        ),
        "a wrong signature": await gateway.post(body, signed="AAAA" + right[4:]),
        "not base64": await gateway.post(body, signed="é" * 8),
        "another account's token": await gateway.post(body, token=SECOND_TOKEN),
        "the path of another connection": await gateway.post(body, url=f"{ORIGIN}/webhooks/whatsapp"),
        "posted to another connection of the account": await gateway.post(body, "/webhooks/whatsapp", signed=right),
        "posted to another account's connection": await gateway.post(body, "/webhooks/second", signed=right),
        "another host": await gateway.post(body, url="https://gw.example.test.evil.example/webhooks/sms"),
        "another scheme": await gateway.post(body, url="http://gw.example.test/webhooks/sms"),
        "a query that was not signed": await gateway.post(body, "/webhooks/sms?x=1", signed=right),
        "a query that is missing": await gateway.post(body, url=f"{WEBHOOK}?x=1"),
        "a changed value": await gateway.post(body.replace(b"STOP", b"START"), signed=right),
        "an added parameter": await gateway.post(body + b"&OptOutType=STOP", signed=right),
        "a removed parameter": await gateway.post(body.replace(b"&ApiVersion=2010-04-01", b""), signed=right),
        "a parameter given a second value": await gateway.post(body + b"&Body=START", signed=right),
        "no form": await gateway.post(body, signed=right, content_type="application/json"),
        "another account, rightly signed": await gateway.post(
            urlencode(fields | {"AccountSid": SECOND_ACCOUNT}).encode()
        ),
        "no account": await gateway.post(urlencode({k: v for k, v in fields.items() if k != "AccountSid"}).encode()),
        "an algorithm of a stranger": await gateway.send(
            "POST",
            "/webhooks/sms",
            data=body,
            headers={
                "X-Twilio-Signature": right,
                "X-Twilio-Webhooks-Signature-Settings": "algorithm=none",
                "Content-Type": "application/x-www-form-urlencoded",
            },
        ),
    }
    assert {how: got.status for how, got in refused.items()} == dict.fromkeys(refused, 403)
    assert {got.type for got in refused.values()} == {"application/problem+json"}
    assert await gateway.everything() == before
    assert (await gateway.post(body, signed=right)).body == said(OPTED_OUT), "and the real one is taken"


async def test_two_signatures_are_refused(gateway: Gateway) -> None:
    body = gateway.form("STOP", ANA)
    headers = CIMultiDict({"Content-Type": "application/x-www-form-urlencoded"})
    for signed in ("wrong", signature(body, WEBHOOK)):
        headers.add("X-Twilio-Signature", signed)
    assert (await gateway.send("POST", "/webhooks/sms", data=body, headers=headers)).status == 403


async def test_a_genuine_request_is_accepted_in_every_form_twilio_gives_it(gateway: Gateway) -> None:
    def reordered(body: bytes) -> bytes:
        return b"&".join(reversed(body.split(b"&")))

    first, second, third, fourth, fifth = (gateway.form("STOP", ANA) for _ in range(5))
    accepted = [
        # Parameters are signed in the order of their names, whatever the order they come in.
        await gateway.post(reordered(first), signed=signature(first, WEBHOOK)),
        await gateway.post(second + b"&Tag=b&Tag=a&Tag=b"),
        await gateway.post(third + b"&Blank="),
        # Twilio signs the URL with the port or without it.
        await gateway.post(fourth, url=f"{ORIGIN}:443/webhooks/sms"),
        await gateway.post(fifth, "/webhooks/sms?next=a%2Fb%20c&x=%C3%A9"),
    ]
    assert [got.status for got in accepted] == [200] * 5
    assert len(await gateway.rows("messages")) == 5


async def test_each_account_has_its_own_connection(gateway: Gateway) -> None:
    body = gateway.form("STOP", ANA, to=SECOND_NUMBER, AccountSid=SECOND_ACCOUNT)
    assert (await gateway.post(body, "/webhooks/second", token=SECOND_TOKEN)).body == said(OPTED_OUT)
    # The same message id at another account is another message.
    sid = dict(parse_qsl(body.decode()))["MessageSid"]
    assert (await gateway.text_in("START", BEN, sid=sid)).body == said(OPTED_IN)
    assert (await state(gateway, f"sms:{ANA}"), await state(gateway, f"sms:{BEN}")) == ("no", "yes")


async def test_the_configured_public_url_counts_and_no_header_of_the_request(gateway: Gateway) -> None:
    body = gateway.form("STOP", ANA)
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Host": "evil.example", "X-Forwarded-Proto": "http"}
    forged = {
        "X-Twilio-Signature": RequestValidator(TOKEN).compute_signature(
            "https://evil.example/webhooks/sms", dict(parse_qsl(body.decode(), keep_blank_values=True))
        )
    }
    assert (await gateway.send("POST", "/webhooks/sms", data=body, headers=headers | forged)).status == 403
    genuine = {"X-Twilio-Signature": signature(body, WEBHOOK)}
    assert (await gateway.send("POST", "/webhooks/sms", data=body, headers=headers | genuine)).status == 200


# --- what cannot be read ----------------------------------------------------------------------


async def test_what_is_genuine_and_cannot_be_understood_is_400_and_keeps_nothing(gateway: Gateway) -> None:
    await gateway.key()
    before = await gateway.everything()
    complete = dict(parse_qsl(gateway.form("STOP", ANA).decode(), keep_blank_values=True))
    for wrong in (
        {"From": ""},
        {"MessageSid": ""},
        {"MessageSid": "a b\n"},
        {"From": "+1\x00\x0155"},
        {"From": "x" * 300},
    ):
        got = await gateway.post(urlencode(complete | wrong).encode())
        assert (got.status, got.type) == (400, "application/problem+json"), wrong
    twice = await gateway.post(urlencode([*complete.items(), ("From", BEN)]).encode())
    assert twice.status == 400
    text = b'{"Body": "STOP"}'
    path = f"/webhooks/sms?bodySHA256={hashlib.sha256(text).hexdigest()}"
    signed = RequestValidator(TOKEN).compute_signature(ORIGIN + path, {})
    assert (await gateway.post(text, path, signed=signed, content_type="application/json")).status == 400
    assert await gateway.everything() == before


async def test_a_stop_survives_bytes_that_no_database_keeps(gateway: Gateway) -> None:
    """U+0000 is taken out; bytes that are no UTF-8 become U+FFFD."""
    body = gateway.form("@", ANA)
    assert (await gateway.post(body.replace(b"Body=%40", b"Body=S%00TOP%00"))).body == said(OPTED_OUT)
    broken = (
        gateway.form("@", BEN).replace(b"Body=%40", b"Body=stop%20%FF%FE%C3").replace(b"NumMedia=0", b"City=%ED%A0%80")
    )
    assert (await gateway.post(broken)).body == said(OPTED_OUT)
    assert [m["body"] for m in sorted(await gateway.rows("messages"), key=lambda m: m["id"])] == [
        "STOP",
        "stop \ufffd\ufffd\ufffd",
    ]


async def test_a_body_that_is_too_large_is_413_signed_or_not(gateway: Gateway) -> None:
    await gateway.key()
    before = await gateway.everything()
    large = gateway.form("x" * 262_145, ANA)
    for got in (await gateway.post(large), await gateway.post(large, signed="nobody's")):
        assert (got.status, got.type) == (413, "application/problem+json")
    assert (await gateway.ask("POST", "/webhooks/box", data=b" " * 300_000)).status == 413
    assert await gateway.everything() == before
    assert (await gateway.text_in("STOP" + " " * 200_000, ANA)).status == 200


async def test_only_known_connections_and_only_posts(gateway: Gateway) -> None:
    assert (await gateway.post(gateway.form("STOP", ANA), "/webhooks/nobody")).status == 404
    got = await gateway.send("GET", "/webhooks/sms")
    assert (got.status, got.headers["Allow"], got.type) == (405, "POST", "application/problem+json")


async def test_a_body_in_a_broken_encoding_is_the_senders_fault(gateway: Gateway) -> None:
    for encoding in ("gzip", "deflate", "br", "zstd", "nonsense"):
        encoded = {"Content-Encoding": encoding, "Connection": "close"}
        headers = {**encoded, "Content-Type": "application/x-www-form-urlencoded"}
        got = await gateway.send("POST", "/webhooks/sms", data=gateway.form("STOP", ANA), headers=headers)
        assert 400 <= got.status < 500, (encoding, got)
        got = await gateway.ask("POST", "/v1/profiles", data=b"?", headers=encoded)
        assert 400 <= got.status < 500, (encoding, got)
    assert await gateway.rows("messages") == []


async def test_a_small_body_that_unpacks_to_a_large_one_is_413(gateway: Gateway) -> None:
    bomb = gzip.compress(b"x=" + b"0" * 20_000_000)
    encoded = {"Content-Encoding": "gzip", "Connection": "close"}
    headers = {**encoded, "Content-Type": "application/x-www-form-urlencoded"}
    assert len(bomb) < 50_000
    assert (await gateway.send("POST", "/webhooks/sms", data=bomb, headers=headers)).status == 413
    got = await gateway.ask("POST", "/v1/profiles", data=bomb, headers=encoded)
    assert (got.status, got.type) == (413, "application/problem+json")


# --- the provider's own word ------------------------------------------------------------------


async def test_where_the_provider_has_answered_we_are_silent_and_take_its_verdict(gateway: Gateway) -> None:
    got = await gateway.text_in("No more of this", ANA, OptOutType="STOP")
    assert (got.status, got.type, got.body) == (200, "application/xml", SILENCE)
    [person] = await gateway.whose(f"sms:{ANA}")
    [line] = await gateway.history(person["id"])
    assert (line["to"], line["source"], line["with_address"]) == ("no", "provider", True)
    assert (await gateway.text_in("STOP", BEN, OptOutType="HELP")).body == SILENCE
    assert await state(gateway, f"sms:{BEN}") == "not_asked", "its verdict is taken over the text"
    # The provider's START turns a no into yes, and never a silence.
    assert (await gateway.text_in("START", ANA, OptOutType="START")).body == SILENCE
    assert (await gateway.text_in("START", BEN, OptOutType="START")).body == SILENCE
    assert (await state(gateway, f"sms:{ANA}"), await state(gateway, f"sms:{BEN}")) == ("yes", "not_asked")


# --- WhatsApp ---------------------------------------------------------------------------------


async def test_the_prefix_decides_the_channel_not_the_connection(gateway: Gateway) -> None:
    assert (await gateway.text_in("STOP", f"whatsapp:{ANA}", to=f"whatsapp:{OURS}")).body == said(OPTED_OUT)
    [person] = await gateway.whose(f"whatsapp:{ANA}")
    assert [a["channel"] for a in person["addresses"]] == ["whatsapp"]
    channels = person["consent"]["channels"]
    assert (channels["whatsapp"]["state"], channels["sms"]["state"]) == ("no", "not_asked")


async def test_a_buttons_text_is_tried_and_then_its_payload(gateway: Gateway) -> None:
    assert (await gateway.whatsapp_in("x", ANA, ButtonText="Stop", ButtonPayload="START")).body == said(OPTED_OUT)
    assert (await gateway.whatsapp_in("x", BEN, ButtonText="No thanks", ButtonPayload="STOP")).body == said(OPTED_OUT)
    assert (await state(gateway, f"whatsapp:{ANA}"), await state(gateway, f"whatsapp:{BEN}")) == ("no", "no")
    assert {m["body"]: m["payload"] for m in await gateway.rows("messages")} == {"Stop": "START", "No thanks": "STOP"}


async def test_a_person_without_a_visible_number_is_the_same_person_once_it_shows(gateway: Gateway) -> None:
    assert (await gateway.whatsapp_in("STOP", "US.1234")).body == said(OPTED_OUT)
    [first] = await gateway.whose("whatsapp:US.1234")
    await gateway.whatsapp_in("hello", ANA, ExternalUserId="US.1234", WaId=ANA[1:])
    [person] = await gateway.whose(f"whatsapp:{ANA}")
    assert person["id"] == first["id"]
    assert {a["value"] for a in person["addresses"]} == {"US.1234", ANA}
    assert len(await gateway.rows("profiles")) == 1
    assert person["consent"]["channels"]["whatsapp"]["state"] == "no", "no flag moved"


async def test_a_number_on_a_second_channel_joins_its_profile_and_moves_no_flag(gateway: Gateway) -> None:
    ana = await gateway.person(f"sms:{ANA}", external_id="crm-7")
    await gateway.say(ana["id"], channels={"sms": "yes"})
    await gateway.whatsapp_in("hello", ANA)
    [person] = await gateway.whose(f"whatsapp:{ANA}")
    assert person["id"] == ana["id"]
    assert [(a["channel"], a["primary"]) for a in person["addresses"]] == [("sms", True), ("whatsapp", True)]
    assert {name: flag["state"] for name, flag in person["consent"]["channels"].items()} == {
        "sms": "yes", "whatsapp": "not_asked", "email": "not_asked", "voice": "not_asked", "post": "not_asked"
    }  # fmt: skip


async def test_a_number_that_two_people_share_joins_neither_on_a_second_channel(gateway: Gateway) -> None:
    for name in ("Ana", "Ben"):
        await gateway.person(f"sms:{ANA}", first_name=name)
    await gateway.whatsapp_in("hello", ANA)
    [person] = await gateway.whose(f"whatsapp:{ANA}")
    assert person["first_name"] is None
    assert [a["channel"] for a in person["addresses"]] == ["whatsapp"]


# --- who it is --------------------------------------------------------------------------------


async def test_a_stop_turns_everybody_who_has_the_number_one_line_each(gateway: Gateway) -> None:
    people = [await gateway.person(f"sms:{ANA}", first_name=name) for name in ("Ana", "Ben", "Cleo")]
    await gateway.say(people[1]["id"], channels={"sms": "yes"})
    before = len(await gateway.rows("consent_events"))
    assert (await gateway.text_in("STOP", ANA)).body == said(OPTED_OUT)
    for person in people:
        lines = await gateway.history(person["id"])
        assert lines[0]["source"] == "keyword"
        assert (await gateway.profile(person["id"]))["consent"]["channels"]["sms"]["state"] == "no"
    assert len(await gateway.rows("consent_events")) == before + 3
    assert len({line["change_id"] for line in await gateway.rows("consent_events")}) == 2


async def test_a_sender_that_is_no_address_is_kept_and_answered_and_makes_no_profile(gateway: Gateway) -> None:
    senders = ["22345", "OPERATOR", "+1", "Anonymous", "7", "rcs:12345", "rcs:operator", "messenger:15550123"]
    for sender in senders:
        assert (await gateway.text_in("HELP", sender)).body == said(HELPED), sender
        for text in ("STOP", "START"):
            assert (await gateway.text_in(text, sender)).body == SILENCE, "what cannot be kept is not confirmed"
    kept = sorted(await gateway.rows("messages"), key=lambda m: m["id"])
    given = [(m["sender"], m["profile_id"], m["address_id"], m["change_id"]) for m in kept]
    assert given == [(sender, None, None, None) for sender in senders for _ in range(3)]
    assert await gateway.rows("profiles") == []
    assert await gateway.rows("addresses") == []


async def test_a_number_is_one_person_however_it_is_written(gateway: Gateway) -> None:
    ana = await gateway.person("sms:(415) 555-0123")
    await gateway.text_in("STOP", ANA)
    assert [p["id"] for p in await gateway.whose("sms:+1 415-555-0123")] == [ana["id"]]
    assert await state(gateway, f"sms:{ANA}") == "no"


# --- how often we answer ----------------------------------------------------------------------


async def test_one_reply_per_address_and_rule_in_ten_minutes(gateway: Gateway) -> None:
    assert (await gateway.text_in("STOP", ANA)).body == said(OPTED_OUT)
    assert (await gateway.text_in("STOP", ANA)).body == SILENCE
    assert (await gateway.text_in("STOP", BEN)).body == said(OPTED_OUT), "another address"
    assert (await gateway.text_in("UNSUBSCRIBE", ANA)).body == said(OPTED_OUT), "another rule"
    gateway.clock.advance(seconds=QUIET.total_seconds() - 30)
    assert (await gateway.text_in("STOP", ANA)).body == SILENCE
    gateway.clock.advance(seconds=31)
    assert (await gateway.text_in("STOP", ANA)).body == said(OPTED_OUT)
    [person] = await gateway.whose(f"sms:{ANA}")
    assert len(await gateway.history(person["id"])) == 5, "each was heeded, answered or not"


async def test_we_never_answer_our_own_numbers(gateway: Gateway) -> None:
    for number in (OURS, SECOND_NUMBER):
        assert (await gateway.text_in("HELP", number)).body == SILENCE
        assert (await gateway.text_in("STOP", number)).body == SILENCE
    assert len(await gateway.rows("messages")) == 4


# --- once, for ever ---------------------------------------------------------------------------


async def test_a_replay_gets_the_same_bytes_and_changes_nothing(gateway: Gateway) -> None:
    body = gateway.form("STOP", ANA)
    first = await gateway.post(body)
    before = await gateway.everything()
    for _ in range(2):
        again = await gateway.post(body)
        assert (again.status, again.type, again.body) == (first.status, first.type, first.body)
    gateway.clock.advance(days=400)
    assert (await gateway.post(body)).body == first.body
    assert await gateway.everything() == before


async def test_a_replay_undoes_nothing_that_came_after_it(gateway: Gateway) -> None:
    stop = gateway.form("STOP", ANA)
    await gateway.post(stop)
    await gateway.text_in("START", ANA)
    assert (await gateway.post(stop)).body == said(OPTED_OUT)
    assert await state(gateway, f"sms:{ANA}") == "yes"


async def test_a_webhook_delivered_twenty_times_at_once_is_one_act(gateway: Gateway) -> None:
    body = gateway.form("STOP", ANA)
    answers = await asyncio.gather(*(gateway.post(body) for _ in range(20)))
    assert {(got.status, got.body) for got in answers} == {(200, said(OPTED_OUT))}
    for table, count in {"messages": 1, "profiles": 1, "consent_events": 1, "deliveries": 1, "receipts": 1}.items():
        assert len(await gateway.rows(table)) == count, table


async def test_two_first_messages_at_once_make_one_person(gateway: Gateway) -> None:
    answers = await asyncio.gather(*(gateway.text_in("STOP", ANA) for _ in range(10)))
    assert sorted(got.body for got in answers) == sorted([said(OPTED_OUT)] + [SILENCE] * 9)
    assert len(await gateway.rows("profiles")) == 1
    assert len(await gateway.rows("consent_events")) == 10


async def test_a_replay_gets_the_first_answer_whatever_changed_since(gateway: Gateway) -> None:
    body = gateway.form("STOP", ANA)
    first = await gateway.post(body)
    await gateway.api("PATCH", "/v1/rules/rul_builtin_sms_stop", json={"reply": "Gone.", "active": False})
    renamed = gateway.settings.organisation.model_copy(update={"name": "Another Theatre"})
    await gateway.restart(organisation=renamed)
    before = await gateway.everything()
    assert (await gateway.post(body)).body == first.body
    assert await gateway.everything() == before


async def test_a_replay_waits_for_a_send_under_way_as_the_first_does(gateway: Gateway, twilio: TwilioStandIn) -> None:
    """Whoever is told that a STOP holds is told so when no send against it can begin any more."""
    twilio.default = accepted(delay_seconds=0.8)
    ana = await gateway.person(f"sms:{ANA}", consent={"channels": {"sms": "yes"}})
    await gateway.broadcast({"profiles": [ana["id"]]})

    async def sending() -> bool:
        return bool(twilio.log)

    await eventually(sending)
    body = gateway.form("STOP", ANA)

    async def post(seconds: float) -> None:
        await asyncio.sleep(seconds)
        assert (await gateway.post(body)).body == said(OPTED_OUT)
        assert [attempt["state"] for attempt in await gateway.rows("attempts")] == ["accepted"]

    await asyncio.gather(post(0), post(0.2), post(0.4))
    assert len(await gateway.rows("messages")) == 1


# --- the sandbox ------------------------------------------------------------------------------


async def test_the_sandbox_takes_json_with_a_key_and_its_replies_can_be_read(gateway: Gateway) -> None:
    got = await gateway.sandbox_in("STOP", ANA, message_id="m-1")
    assert (got.status, got.type) == (200, "application/json")
    assert got.json == {"message_id": "m-1", "reply": OPTED_OUT}
    assert (await gateway.sandbox_in("STOP", ANA, message_id="m-1")).body == got.body

    async def kept() -> object:
        return (await gateway.api("GET", f"/v1/sandbox/messages?to={quote(ANA)}"))["items"]

    [reply] = await eventually(kept)  # type: ignore[misc]
    assert {name: reply[name] for name in ("connection", "from", "to", "body")} == {
        "connection": "box", "from": "+12025550100", "to": ANA, "body": OPTED_OUT
    }  # fmt: skip


async def test_the_sandbox_needs_a_key_unless_the_public_url_is_this_machine(gateway: Gateway) -> None:
    message = b'{"from": "+14155550123", "to": "+12025550100", "body": "STOP"}'
    got = await gateway.send("POST", "/webhooks/box", data=message)
    assert (got.status, got.type) == (401, "application/problem+json")
    assert (
        await gateway.send("POST", "/webhooks/box", data=message, headers={"Authorization": "Bearer og_x"})
    ).status == 401
    assert await gateway.rows("messages") == []
    here = gateway.settings.server.model_copy(update={"public_url": "http://127.0.0.1:8080"})
    await gateway.restart(server=here)
    assert (await gateway.send("POST", "/webhooks/box", data=message)).status == 200


async def test_what_the_sandbox_cannot_read_is_400_and_names_no_content(gateway: Gateway) -> None:
    for body in (
        b"",
        b"[]",
        b"STOP",
        b'{"from": "+14155550123"}',
        b'{"from": 7, "to": "x", "body": "STOP"}',
        b"\xff\xfe",
        b'{"from": "+14155550123", "to": "x", "body": "secret words", "extra": 1}',
        b"[" * 10_000,
    ):
        got = await gateway.ask("POST", "/webhooks/box", data=body)
        assert (got.status, got.type) == (400, "application/problem+json"), body[:50]
        assert b"secret words" not in got.body
    assert await gateway.rows("messages") == []


def test_the_signature_in_these_tests_is_the_librarys_own() -> None:
    form = {"Body": "STOP", "From": ANA}
    assert signature(urlencode(form).encode(), WEBHOOK) == RequestValidator(TOKEN).compute_signature(WEBHOOK, form)
    assert len(base64.b64decode(signature(urlencode(form).encode(), WEBHOOK))) == 20
