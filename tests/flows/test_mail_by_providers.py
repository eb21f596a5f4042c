"""Mail by SendGrid, Mailgun, Postmark and SES, over HTTP onto disk: what people write, and what the providers tell."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from channels.http import open_session
from gateway import app
from gateway.settings import Settings
from store.clock import utcnow
from tests.channels.mails_as_sent import (
    ANA,
    PASSWORD,
    PUBLIC_KEY,
    SIGNING_KEY,
    TOPIC,
    USER,
    Amazon,
    Posted,
    basic,
    mail,
    mailgun,
    mailgun_event,
    mailgun_fields,
    mailgun_signature,
    postmark,
    postmark_mail,
    sample,
    sendgrid,
    sendgrid_events,
    sendgrid_fields,
    sendgrid_raw,
    ses_mail,
)
from tests.channels.requests_as_sent import ORIGIN
from tests.channels.test_mail_ses import ELSEWHERE
from tests.channels.test_mail_ses import FORGED as FORGED_SNS
from tests.channels.test_mail_webhooks import FORGED_MAILGUN, FORGED_SENDGRID
from tests.flows.running import Gateway, Got
from tests.flows.test_rules import rule
from tests.standins.sns import SnsStandIn, standing_in

AMAZON = Amazon()
BEN = "ben@customer.example"
NO_MORE = "HALT"  # of a rule of the tests' own: it holds whatever rules are built in
GOING_OUT = ("deliveries", "attempts", "paces")  # an answer to a mail goes its own way meanwhile
PROVIDERS = ("sendgrid", "sendgrid raw", "mailgun", "postmark", "ses")


@pytest.fixture
async def amazon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SnsStandIn]:
    async with standing_in(AMAZON, tmp_path) as standin:
        monkeypatch.setattr(app, "open_session", lambda *more: standin.redirect(open_session(*more)))
        yield standin


@pytest.fixture
def settings(database_url: str, amazon: SnsStandIn) -> Settings:
    def connection(name: str, **inbound: Any) -> dict[str, Any]:
        return {"provider": "smtp", "channel": "email", "host": "127.0.0.1", "tls": "none", "port": 1,
                "from": f"Theatre <{name}@mail.theatre.example>", "inbound": inbound}  # fmt: skip

    password = {"user": USER, "password": PASSWORD}
    return Settings.model_validate(
        {
            "server": {"public_url": ORIGIN},
            "database": {"url": database_url},
            "connections": {
                "sendgrid": connection("sendgrid", provider="sendgrid", public_key=PUBLIC_KEY, **password),
                "mailgun": connection("mailgun", provider="mailgun", signing_key=SIGNING_KEY),
                "mailgun-too": connection("mailgun-too", provider="mailgun", signing_key=SIGNING_KEY),
                "postmark": connection("postmark", provider="postmark", **password),
                "ses": connection("ses", provider="ses", topic_arns=[TOPIC]),
            },
        }
    )


def now_signed(token: str | None = None, **more: Any) -> dict[str, str]:
    return mailgun_signature(token, **({"at": utcnow()} | more))


def written(provider: str, text: str, number: int = 1) -> Posted:
    """A mail of Ana's with these words, as the provider posts it; of another number it is another mail."""
    match provider:
        case "sendgrid":
            headers = f"From: Ana <{ANA}>\nSubject: Re: News\nMessage-ID: <m{number}@customer.example>\n"
            return sendgrid(sendgrid_fields(text, headers=headers))
        case "sendgrid raw":
            return sendgrid_raw(mail(text, message_id=f"<m{number}@customer.example>"))
        case "mailgun":
            return mailgun(mailgun_fields(text), now_signed(f"{number}" * 50))
        case "postmark":
            return postmark(postmark_mail(text, HtmlBody="", MessageID=f"{number}-1"))
        case _:
            return AMAZON.posts(ses_mail(mail(text)), message_id=f"m{number}")


async def post(gateway: Gateway, provider: str, posted: Posted, path: str = "") -> Got:
    body, headers = posted
    return await gateway.send("POST", f"/webhooks/{provider.split(maxsplit=1)[0]}{path}", data=body, headers=headers)


async def opted_out(gateway: Gateway, address: str = ANA) -> dict[str, Any]:
    """The one line of the history of the one person with the address, who said no."""
    [person] = await gateway.whose(f"email:{address}")
    assert person["consent"]["channels"]["email"]["state"] == "no"
    [line] = await gateway.history(person["id"])
    return line


# --- what people write ------------------------------------------------------------------------


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_stop_by_mail_is_on_disk_before_it_is_answered_and_counts_once(gateway: Gateway, provider: str) -> None:
    await rule(gateway, NO_MORE, "opt_out", channel="email")
    first = await post(gateway, provider, written(provider, f"{NO_MORE}\n"))
    assert (first.status, first.body) == (200, b"")
    line = await opted_out(gateway)
    assert (line["source"], line["address"], line["with_address"]) == ("keyword", ANA, False)
    before = await gateway.everything(but=GOING_OUT)
    for path in ("", "/status"):
        again = await post(gateway, provider, written(provider, f"{NO_MORE}\n"), path)
        assert (again.status, again.body) == (200, b"")
    assert await gateway.everything(but=GOING_OUT) == before
    assert (await post(gateway, provider, written(provider, "Thank you", 2))).status == 200
    assert len(await gateway.rows("messages")) - len(before["messages"]) == 1, "another mail is another mail"


@pytest.mark.parametrize("path", ["", "/status"])
async def test_what_a_provider_did_not_send_is_refused_and_nothing_is_written(gateway: Gateway, path: str) -> None:
    await rule(gateway, NO_MORE, "opt_out", channel="email")
    before = await gateway.everything()
    forged: list[tuple[str, Posted]] = []
    for forge in FORGED_SENDGRID.values():
        forged += [("sendgrid", forge(written("sendgrid", NO_MORE))), ("postmark", forge(written("postmark", NO_MORE)))]
    for change in FORGED_MAILGUN.values():
        signed = change(now_signed())
        forged.append(("mailgun", mailgun(mailgun_fields(NO_MORE), signed)))
        forged.append(("mailgun", mailgun_event(sample("mailgun/events.json")["unsubscribed"], signed)))
    forged += [("ses", posted) for posted in FORGED_SNS.values()]
    forged += [("ses", AMAZON.confirms(url=url)) for url in ELSEWHERE]
    # What is right for one connection, at another.
    forged += [("postmark", written("mailgun", NO_MORE)), ("sendgrid", written("ses", NO_MORE)),
               ("mailgun", written("postmark", NO_MORE)), ("ses", written("sendgrid", NO_MORE))]  # fmt: skip
    for connection, posted in forged:
        if all(value.isascii() for value in posted[1].values()):  # no client sends the others
            got = await post(gateway, connection, posted, path)
            assert (got.status, got.type) == (403, "application/problem+json"), (connection, posted)
    assert await gateway.everything() == before


async def test_a_token_of_mailguns_that_comes_again_with_another_body_changes_nothing(gateway: Gateway) -> None:
    await rule(gateway, NO_MORE, "opt_out", channel="email")
    await gateway.person(f"email:{BEN}")
    signed = now_signed()
    event = sample("mailgun/events.json")["unsubscribed"]
    event_signed = now_signed()
    first = await post(gateway, "mailgun", mailgun(mailgun_fields("Thank you"), signed))
    assert (await post(gateway, "mailgun", mailgun_event(event | {"recipient": BEN}, event_signed))).status == 200
    await opted_out(gateway, BEN)
    await gateway.restart()  # whatever a process remembers is gone
    before = await gateway.everything()
    for connection in ("mailgun", "mailgun-too"):
        again = await post(gateway, connection, mailgun(mailgun_fields(NO_MORE), signed))
        assert (again.status, again.body) == (first.status, first.body)
        assert (await post(gateway, connection, mailgun_event(event | {"recipient": ANA}, event_signed))).status == 200
    assert await gateway.everything() == before


async def test_what_is_genuine_and_no_mail_is_kept_for_an_operator(gateway: Gateway) -> None:
    sent = [
        ("sendgrid", sendgrid([("to", b"x")])),
        ("mailgun", mailgun({"recipient": "x"}, now_signed())),
        ("postmark", postmark([])),
        ("ses", AMAZON.posts("{}")),
    ]
    for _ in range(2):
        for provider, posted in sent:
            assert (await post(gateway, provider, posted)).status == 200
    parked = await gateway.rows("parked")
    kept = {name: body for name, (body, _) in sent} | {"ses": b"{}"}  # what stood in the envelope
    assert {row["connection"]: bytes(row["raw"]) for row in parked} == kept
    assert len(parked) == len(sent), "each once"


# --- what the providers tell ------------------------------------------------------------------


def sendgrid_event(word: str, address: str, **more: Any) -> dict[str, Any]:
    return {"event": word, "email": address, "sg_event_id": f"{word} {address}", "timestamp": int(time.time()), **more}


def of_sendgrid(*listed: object) -> Posted:
    return sendgrid_events(json.dumps(listed).encode(), at=str(int(time.time())))


def event_of(provider: str, name: str) -> Posted:
    data = sample(f"{provider}/events.json")[name]
    match provider:
        case "mailgun":
            return mailgun_event(data | {"timestamp": time.time()}, now_signed(name.ljust(50, "x")))
        case "postmark":
            return postmark(data)
        case _:
            return AMAZON.posts(data, message_id=name)


COMPLAINTS = {
    "sendgrid": lambda: of_sendgrid(sendgrid_event("spamreport", ANA)),
    "mailgun": lambda: event_of("mailgun", "complained"),
    "postmark": lambda: event_of("postmark", "complaint"),
    "ses": lambda: event_of("ses", "complaint"),
}
UNSUBSCRIBED = {
    "sendgrid": lambda: of_sendgrid(sendgrid_event("group_unsubscribe", ANA)),
    "mailgun": lambda: event_of("mailgun", "unsubscribed"),
    "postmark": lambda: event_of("postmark", "suppressed"),
    "ses": lambda: event_of("ses", "left"),
}
BOUNCED = {
    "sendgrid": lambda: of_sendgrid(sendgrid_event("bounce", ANA, type="bounce", status="5.1.1")),
    "mailgun": lambda: event_of("mailgun", "permanent"),
    "postmark": lambda: event_of("postmark", "hard"),
    "ses": lambda: event_of("ses", "hard"),
}


@pytest.mark.parametrize("provider", COMPLAINTS)
async def test_a_complaint_and_a_word_at_the_provider_turn_the_channel_once(gateway: Gateway, provider: str) -> None:
    ana = await gateway.person(f"email:{ANA}")
    for event, source in ((COMPLAINTS[provider](), "complaint"), (UNSUBSCRIBED[provider](), "provider")):
        assert (await post(gateway, provider, event, "/status")).status == 200
        shown = await gateway.profile(ana["id"])
        assert shown["consent"]["channels"]["email"]["state"] == "no"
        assert [line["source"] for line in await gateway.history(ana["id"])].count(source) == 1
        before = await gateway.everything()
        assert (await post(gateway, provider, event, "/status")).status == 200
        assert await gateway.everything() == before


@pytest.mark.parametrize("provider", BOUNCED)
async def test_a_hard_bounce_makes_the_address_undeliverable_and_is_no_word(gateway: Gateway, provider: str) -> None:
    ana = await gateway.person(f"email:{ANA}")
    assert (await post(gateway, provider, BOUNCED[provider](), "/status")).status == 200
    assert await gateway.verdict(ana["id"], "email") == "undeliverable"
    assert await gateway.history(ana["id"]) == []


async def test_a_resubscription_at_the_provider_takes_back_a_no_and_makes_no_yes_of_silence(gateway: Gateway) -> None:
    async def state() -> str:
        [person] = await gateway.whose(f"email:{ANA}")
        return str(person["consent"]["channels"]["email"]["state"])

    await gateway.person(f"email:{ANA}")
    gone = sendgrid_event("unsubscribe", ANA)
    back = sendgrid_event("group_resubscribe", ANA, timestamp=gone["timestamp"] + 1)
    gateway.clock.advance(seconds=5)  # no word counts later than it came
    assert (await post(gateway, "sendgrid", of_sendgrid(back | {"sg_event_id": "1"}), "/status")).status == 200
    assert await state() == "not_asked"
    for event, flag in ((gone, "no"), (back, "yes")):
        assert (await post(gateway, "sendgrid", of_sendgrid(event), "/status")).status == 200
        assert await state() == flag


async def test_one_bad_event_in_a_batch_is_parked_and_the_others_are_kept(gateway: Gateway) -> None:
    batch = [sendgrid_event("unsubscribe", f"p{n}@customer.example") for n in range(49)]
    batch.insert(20, {"event": "bounce", "sg_event_id": "bad"})
    assert (await post(gateway, "sendgrid", of_sendgrid(*batch), "/status")).status == 200
    assert len(await gateway.rows("address_reports")) == 49
    [parked] = await gateway.rows("parked")
    assert json.loads(parked["raw"]) == batch[20]


# --- SES --------------------------------------------------------------------------------------


async def test_a_subscription_is_confirmed_and_a_certificate_that_cannot_be_had_is_503(
    gateway: Gateway, amazon: SnsStandIn
) -> None:
    await rule(gateway, NO_MORE, "opt_out", channel="email")
    before = await gateway.everything()
    amazon.status = 500
    got = await post(gateway, "ses", written("ses", NO_MORE))
    assert (got.status, got.headers["Retry-After"], got.type) == (503, "30", "application/problem+json")
    assert await gateway.everything() == before
    amazon.status = 200
    for path in ("", "/status"):
        assert (await post(gateway, "ses", AMAZON.confirms(), path)).status == 200
    assert len([one for one in amazon.asked if one.startswith("/?Action=ConfirmSubscription")]) == 2
    assert await gateway.everything() == before
    assert (await post(gateway, "ses", written("ses", NO_MORE))).status == 200
    await opted_out(gateway)


# --- what means harm --------------------------------------------------------------------------


def hostile() -> Iterator[tuple[str, Posted]]:
    """Genuine, and full of what breaks programs."""
    deep = b"[" * 100_000
    parts = b"From: a@b.example\nContent-Type: multipart/mixed; boundary=a\n\n" + b"--a\n\n" * 200_000
    odd = [b"", b"\0" * 1_000, b"\xff\xfe" * 1_000, deep, b"From: \xed\xa0\x80@x\n\n\xed\xa0\x80", parts]
    for raw in odd:
        text = raw.decode("latin-1")
        yield "sendgrid", sendgrid_raw(raw)
        yield "sendgrid", sendgrid([(name, raw) for name, _ in sendgrid_fields()])
        yield "sendgrid", sendgrid_events(raw, at=str(int(time.time())))
        yield "mailgun", mailgun(dict.fromkeys(mailgun_fields(), text), now_signed())
        yield "mailgun", mailgun({"body-mime": text, "recipient": text, "sender": text}, now_signed())
        yield "mailgun", mailgun_event(text, now_signed())
        yield "postmark", (raw, basic())
        yield "postmark", postmark(dict.fromkeys(postmark_mail(), text) | {"FromFull": {"Email": text, "Name": text}})
        yield "postmark", postmark({"RecordType": "Bounce", "Type": "HardBounce", "Email": text, "MessageID": text})
        yield "ses", AMAZON.posts(text, message_id=str(len(raw)))
        yield "ses", AMAZON.posts(ses_mail(raw, encoding="BASE64"), message_id=f"b{len(raw)}")
    for value in ("\ud800", "\0", "9" * 5_000, [], {}, None, True, 1e308, -1):
        event = {"event": "spamreport", "email": value, "timestamp": value, "smtp-id": value, "sg_event_id": value}
        yield "sendgrid", of_sendgrid(event, {"event": value})
        data = {"event": "complained", "recipient": value, "timestamp": value, "message": value, "id": value}
        yield "mailgun", mailgun_event(data, now_signed())
        complaint = {"RecordType": "SpamComplaint", "Email": value, "MessageID": value, "BouncedAt": value}
        yield "postmark", postmark(complaint)
        recipients = {"complainedRecipients": [{"emailAddress": value}], "timestamp": value}
        notified = {"notificationType": "Complaint", "complaint": recipients, "mail": value}
        yield "ses", AMAZON.posts(notified, message_id=f"c{len(str(value))}")


@pytest.mark.timeout(300)
async def test_nothing_genuine_that_means_harm_is_a_5xx_or_stands_in_the_way_of_a_stop(gateway: Gateway) -> None:
    await rule(gateway, NO_MORE, "opt_out", channel="email")
    for provider, posted in hostile():
        got = await post(gateway, provider, posted)
        assert got.status < 500, (provider, posted[0][:200], got.body)
    for provider in PROVIDERS:
        assert (await post(gateway, provider, written(provider, NO_MORE, 7))).status == 200
    [ana] = await gateway.whose(f"email:{ANA}")
    assert ana["consent"]["channels"]["email"]["state"] == "no"


async def test_a_mail_of_25_mb_is_taken_and_one_beyond_30_is_not(gateway: Gateway) -> None:
    await rule(gateway, NO_MORE, "opt_out", channel="email")
    large = mail(NO_MORE) + b"\n" + b"x" * 25_000_000
    assert (await post(gateway, "sendgrid", sendgrid_raw(large))).status == 200
    await opted_out(gateway)
    assert (await post(gateway, "sendgrid", sendgrid_raw(large + b"x" * 7_000_000))).status == 413
