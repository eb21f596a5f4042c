"""What each provider of e-mail posts: whose it is, the mail in it, and what its events mean. No I/O."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import pytest

from channels.mail.mailgun import Mailgun
from channels.mail.postmark import Postmark
from channels.mail.sendgrid import Sendgrid
from channels.values import AddressReport, Forged, Inbound, Parked, Report, Told
from tests.channels.mails_as_sent import (
    ANA,
    BOUNDARY,
    NOW,
    OURS,
    PASSWORD,
    PUBLIC_KEY,
    SIGNING_KEY,
    TAG,
    USER,
    Posted,
    basic,
    form_data,
    mail,
    mailgun,
    mailgun_event,
    mailgun_fields,
    mailgun_signature,
    postmark,
    postmark_mail,
    request,
    sample,
    sendgrid,
    sendgrid_events,
    sendgrid_fields,
    sendgrid_raw,
)

BEN = "ben@customer.example"


class Reads(Protocol):
    def receive(self, request: Any) -> Sequence[Told]: ...


def a_sendgrid(**more: Any) -> Sendgrid:
    given = {"name": "mail", "user": USER, "password": PASSWORD, "public_key": PUBLIC_KEY, "clock": lambda: NOW}
    return Sendgrid(**(given | more))


def a_mailgun(**more: Any) -> Mailgun:
    return Mailgun(**({"name": "mail", "signing_key": SIGNING_KEY, "clock": lambda: NOW} | more))


def a_postmark() -> Postmark:
    return Postmark(name="mail", user=USER, password=PASSWORD)


def one_mail(way_in: Reads, posted: Posted) -> Inbound:
    [told] = way_in.receive(request(posted))
    assert isinstance(told, Inbound)
    return told


def summed_up(told: Sequence[Told]) -> list[tuple[Any, ...]]:
    """What is told, in short: of an address its kind, whose, which attempt, the code."""
    found: list[tuple[Any, ...]] = []
    for one in told:
        match one:
            case AddressReport():
                found.append((one.kind, one.address, one.tag, one.code))
            case Report():
                found.append((one.status, None, one.tag, one.code))
            case Parked():
                found.append(("parked", one.why))
    return found


# --- SendGrid ---------------------------------------------------------------------------------


def test_sendgrid_a_mail_taken_apart_is_a_message() -> None:
    found = one_mail(a_sendgrid(), sendgrid(sendgrid_fields("STOP\n\nAna", html="<p>STOP</p>")))
    assert (found.connection, found.channel, found.account) == ("mail", "email", "sendgrid:mail")
    assert (found.sender, found.name, found.receiver) == (ANA, "Ana", OURS)
    assert (found.subject, found.text, found.authentic) == ("Re: News", "STOP\n\nAna", True)
    assert found.provider_id.startswith("m1@customer.example#")
    assert found.mail_id == "<m1@customer.example>"
    assert found.automatic is None


def test_sendgrid_each_field_has_its_own_character_set() -> None:
    charsets = json.dumps({"text": "iso-8859-1", "subject": "UTF-8", "from": "UTF-8"})
    fields = sendgrid_fields("ARRÊT".encode("latin-1"), charsets=charsets)  # type: ignore[arg-type]
    assert one_mail(a_sendgrid(), sendgrid(fields)).text == "ARRÊT"


@pytest.mark.parametrize("charsets", ["", "[]", "not JSON", '{"text": 7}', '{"text": "\\ud800"}', "[" * 5_000])
def test_sendgrid_character_sets_that_cannot_be_read_lose_no_words(charsets: str) -> None:
    assert one_mail(a_sendgrid(), sendgrid(sendgrid_fields(charsets=charsets))).text == "STOP"


def test_sendgrid_a_raw_mail_is_the_same_message() -> None:
    found = one_mail(a_sendgrid(), sendgrid_raw(mail("STOP"), recipient="unsub+abc@mail.theatre.example"))
    assert (found.sender, found.text, found.subject, found.authentic) == (ANA, "STOP\n", "Re: News", True)
    assert found.unsubscribe_tokens == ("abc",)


def test_sendgrid_without_headers_its_own_fields_are_read() -> None:
    found = one_mail(a_sendgrid(), sendgrid(sendgrid_fields(headers="")))
    assert (found.sender, found.subject, found.text) == (ANA, "Re: News", "STOP")


VERDICTS: dict[str, tuple[dict[str, str], bool]] = {
    "its own signature": ({"SPF": "none"}, True),
    "its own signature, in capitals": ({"dkim": "{@Customer.Example : pass}", "SPF": "fail"}, True),
    "its own relay": ({"dkim": "none"}, True),
    "nothing": ({"dkim": "none", "SPF": "none"}, False),
    "a signature that fails": ({"dkim": "{@customer.example : fail}", "SPF": "softfail"}, False),
    "a stranger's signature": ({"dkim": "{@evil.example : pass}", "SPF": "none"}, False),
    "a signature of the domain above": ({"dkim": "{@example : pass}", "SPF": "none"}, False),
    "a signature of a domain below": ({"dkim": "{@evil.customer.example : pass}", "SPF": "none"}, False),
    "two signatures": ({"dkim": "{@customer.example : pass, @x.evil.example : pass}", "SPF": "none"}, False),
    "a name that is none": ({"dkim": "{@customer.example : pass}, @evil.example : pass}", "SPF": "none"}, False),
    "a stranger's relay": ({"dkim": "none", "envelope": json.dumps({"to": [OURS], "from": "x@evil.example"})}, False),
    "no return path": ({"dkim": "none", "envelope": json.dumps({"to": [OURS], "from": ""})}, False),
    "no envelope": ({"dkim": "none", "envelope": ""}, False),
}


@pytest.mark.parametrize(("fields", "authentic"), VERDICTS.values(), ids=VERDICTS)
def test_sendgrid_a_mail_is_authentic_where_its_verdicts_prove_the_very_domain(
    fields: dict[str, str], authentic: bool
) -> None:
    assert one_mail(a_sendgrid(), sendgrid(sendgrid_fields(**fields))).authentic is authentic


def test_sendgrid_no_mail_writes_its_own_verdicts() -> None:
    """The boundary is always the same, so a text can hold what looks like further fields, or the end."""
    verdict = f'\r\n--{BOUNDARY}\r\nContent-Disposition: form-data; name="dkim"\r\n\r\n{{@customer.example : pass}}'
    none = {"dkim": "none", "SPF": "none"}
    for text in (f"START{verdict}", f"START{verdict}\r\n--{BOUNDARY}--\r\n", f"START\r\n--{BOUNDARY}--{verdict}"):
        fields = sendgrid_fields(text, **none)
        for posted in (sendgrid(fields), sendgrid(sorted(fields, key=lambda one: one[0] == "dkim"))):
            found = one_mail(a_sendgrid(), posted)
            assert (found.text.splitlines()[0], found.authentic) == ("START", False)
    raw = mail("START" + verdict.replace("\r\n", "\n") + f"\n--{BOUNDARY}--\n")
    assert one_mail(a_sendgrid(), sendgrid_raw(raw, dkim="none", SPF="none")).authentic is False


def test_sendgrid_a_form_without_a_mail_is_parked_as_it_came() -> None:
    posted = sendgrid([("to", OURS.encode())])
    assert a_sendgrid().receive(request(posted)) == [Parked(posted[0], "missing: email, headers and from")]
    for body, kind in ((b"", "multipart/form-data"), (b"--x--", f"multipart/form-data; boundary={BOUNDARY}"),
                       (b"STOP", "text/plain"), (b"&" * 2_000, "application/x-www-form-urlencoded")):  # fmt: skip
        [told] = a_sendgrid().receive(request((body, {"Content-Type": kind, **basic()})))
        assert isinstance(told, Parked)
        assert told.raw == body


FORGED_SENDGRID: dict[str, Callable[[Posted], Posted]] = {
    "no password": lambda p: (p[0], {"Content-Type": p[1]["Content-Type"]}),
    "another user": lambda p: (p[0], p[1] | basic("evil")),
    "another password": lambda p: (p[0], p[1] | basic(password=PASSWORD + "x")),
    "a part of the password": lambda p: (p[0], p[1] | basic(password=PASSWORD[:-1])),
    "an empty password": lambda p: (p[0], p[1] | basic(password="")),
    "another scheme": lambda p: (p[0], p[1] | {"Authorization": basic()["Authorization"].replace("Basic", "Bearer")}),
    "no base64": lambda p: (p[0], p[1] | {"Authorization": "Basic " + f"{USER}:{PASSWORD}"}),
    "base64 with a sign too many": lambda p: (p[0], p[1] | {"Authorization": basic()["Authorization"] + "!"}),
    "not ASCII": lambda p: (p[0], p[1] | {"Authorization": "Basic \u00fc\udcff"}),
}


@pytest.mark.parametrize("forge", FORGED_SENDGRID.values(), ids=FORGED_SENDGRID)
def test_without_the_user_and_password_of_the_url_a_mail_is_forged(forge: Callable[[Posted], Posted]) -> None:
    for way_in, posted in (
        (a_sendgrid(), sendgrid(sendgrid_fields())),
        (a_postmark(), postmark(postmark_mail())),
        (a_postmark(), postmark(sample("postmark/events.json")["suppressed"])),
    ):
        assert way_in.receive(request(posted))
        with pytest.raises(Forged):
            way_in.receive(request(forge(posted)))


def test_a_password_given_twice_is_forged() -> None:
    posted = request(postmark(postmark_mail()))
    posted.headers.add("Authorization", basic()["Authorization"])  # type: ignore[attr-defined]
    with pytest.raises(Forged):
        a_postmark().receive(posted)


SENDGRID_EVENTS = [
    ("delivered", None, TAG, None),
    ("hard_bounce", ANA, TAG, "5.1.1"),
    ("soft_bounce", BEN, None, "5.7.1"),
    ("hard_bounce", BEN, None, "dropped"),
    ("stop", BEN, None, "dropped"),
    ("complaint", BEN, None, "dropped"),
    ("failed", None, TAG, "dropped"),
    ("complaint", ANA, TAG, None),
    ("stop", ANA, TAG, None),
    ("stop", BEN, None, None),
    ("resume", BEN, None, None),
]


def test_sendgrid_its_events_mean_what_the_table_says_and_the_others_nothing() -> None:
    body = json.dumps(sample("sendgrid/events.json")).encode()
    told = a_sendgrid().receive(request(sendgrid_events(body)))
    assert summed_up(told) == SENDGRID_EVENTS
    bounce = next(one for one in told if isinstance(one, AddressReport))
    assert (bounce.account, bounce.event_id, bounce.channel) == ("sendgrid:mail", "ev-bounce", "email")
    assert (bounce.provider_id, bounce.at) == ("m.0", datetime(2026, 11, 20, 12, 0, 5, tzinfo=UTC))
    assert a_sendgrid().report(request(sendgrid_events(body))) == told


def test_sendgrid_one_bad_event_is_parked_and_the_others_are_kept() -> None:
    good = sample("sendgrid/events.json")[5]
    bad = [{"event": "bounce", "sg_event_id": "x"}, {"email": ANA}, 7, {"event": ["bounce"], "email": ANA}]
    told = a_sendgrid().receive(request(sendgrid_events(json.dumps([*bad[:2], good, *bad[2:]]).encode())))
    assert [one[0] for one in summed_up(told)] == ["parked", "parked", "hard_bounce", "parked", "parked"]
    assert [json.loads(one.raw) for one in told if isinstance(one, Parked)] == bad
    assert ANA not in " ".join(one.why for one in told if isinstance(one, Parked))


def test_sendgrid_events_without_an_id_are_told_apart_by_what_they_say() -> None:
    event = {"event": "spamreport", "email": ANA, "timestamp": 1}
    told = a_sendgrid().receive(request(sendgrid_events(json.dumps([event, event, event | {"timestamp": 2}]).encode())))
    assert len({one.event_id for one in told if isinstance(one, AddressReport)}) == 2


@pytest.mark.parametrize("body", [b"", b"\xff", b"[" * 9_000, b'{"a":' * 9_000, b"9" * 9_000])
def test_sendgrid_a_signed_batch_that_is_no_json_is_parked(body: bytes) -> None:
    assert a_sendgrid().receive(request(sendgrid_events(body))) == [Parked(body, "not JSON")]


EVENTS = json.dumps(sample("sendgrid/events.json")).encode()
_, SIGNED = sendgrid_events(EVENTS)
SIGNATURE, TIMESTAMP = (f"X-Twilio-Email-Event-Webhook-{name}" for name in ("Signature", "Timestamp"))
FORGED_EVENTS = {
    "no signature": (EVENTS, {n: v for n, v in SIGNED.items() if n != SIGNATURE}),
    "no signature, with the password": (EVENTS, {n: v for n, v in SIGNED.items() if n != SIGNATURE} | basic()),
    "no time": (EVENTS, {n: v for n, v in SIGNED.items() if n != TIMESTAMP}),
    "an empty signature": (EVENTS, SIGNED | {SIGNATURE: ""}),
    "no base64": (EVENTS, SIGNED | {SIGNATURE: "?" + SIGNED[SIGNATURE][1:]}),
    "not ASCII": (EVENTS, SIGNED | {SIGNATURE: "\u00fc\udcff"}),
    "a signature of zeros": (EVENTS, SIGNED | {SIGNATURE: base64.b64encode(b"0\x06\x02\x01\0\x02\x01\0").decode()}),
    "a signature of another body": (EVENTS + b" ", SIGNED),
    "a changed body": (EVENTS.replace(b"ana@", b"eva@"), SIGNED),
    "another time": (EVENTS, SIGNED | {TIMESTAMP: str(int(SIGNED[TIMESTAMP]) + 1)}),
    "a time that reaches into the body": (EVENTS[1:], SIGNED | {TIMESTAMP: SIGNED[TIMESTAMP] + "["}),
    "a time that is none": sendgrid_events(EVENTS, at="now"),
    "a time in another script": sendgrid_events(EVENTS, at="١٧٩٥١٧٦٠٠٠"),
    "three days ago": sendgrid_events(EVENTS, at=str(int((NOW - timedelta(days=3)).timestamp()))),
    "in three days": sendgrid_events(EVENTS, at=str(int((NOW + timedelta(days=3)).timestamp()))),
    "at the end of all days": sendgrid_events(EVENTS, at="9" * 12),
}


@pytest.mark.parametrize("posted", FORGED_EVENTS.values(), ids=FORGED_EVENTS)
def test_sendgrid_events_that_it_did_not_sign_are_forged(posted: Posted) -> None:
    for read in (a_sendgrid().receive, a_sendgrid().report):
        with pytest.raises(Forged):
            read(request(posted))


def test_sendgrid_without_a_public_key_no_events_come_in() -> None:
    with pytest.raises(Forged):
        a_sendgrid(public_key=None).receive(request((EVENTS, SIGNED | basic())))


@pytest.mark.parametrize("key", ["x", "AAAA", base64.b64encode(b"x" * 91).decode(), PUBLIC_KEY[:-4]])
def test_sendgrid_a_public_key_that_is_none_is_said_at_once(key: str) -> None:
    with pytest.raises(ValueError, match=r"^public_key is no key"):
        a_sendgrid(public_key=key)


# --- Mailgun ----------------------------------------------------------------------------------


def test_mailgun_its_own_vector() -> None:
    at = datetime.fromtimestamp(1_700_000_000, UTC)
    signed = mailgun_signature("a" * 50, at=at)
    assert signed["signature"] == "7da97e71b8e0df54a522b1fecac73f58fe15b24df3c0001fdda55c7f030270e6"
    assert one_mail(a_mailgun(clock=lambda: at), mailgun(mailgun_fields(), signed)).text == "STOP"


def test_mailgun_a_mail_taken_apart_is_a_message() -> None:
    signed = mailgun_signature()
    found = one_mail(a_mailgun(), mailgun(mailgun_fields("STOP"), signed))
    assert (found.sender, found.name, found.receiver) == (ANA, "Ana", OURS)
    assert (found.subject, found.text, found.provider_id) == ("Re: News", "STOP", signed["token"])
    assert found.mail_id == "<m1@customer.example>"
    assert found.authentic is False, "the body is not signed: nothing in it proves who wrote it"


def test_mailgun_a_raw_mail_is_the_same_message() -> None:
    fields = {"recipient": "unsub+abc@mail.theatre.example", "sender": ANA, "body-mime": mail("STOP").decode()}
    found = one_mail(a_mailgun(), mailgun(fields))
    assert (found.sender, found.text, found.unsubscribe_tokens) == (ANA, "STOP\n", ("abc",))


def test_mailgun_with_attachments_it_is_another_form_of_the_same() -> None:
    status = b"Final-Recipient: rfc822; x@y.example\nStatus: 5.1.1"
    fields = [(name, value.encode()) for name, value in (mailgun_fields() | mailgun_signature()).items()]
    body = form_data([*fields, ("attachment-1|message/delivery-status", status)], "b0undary")
    found = one_mail(a_mailgun(), (body, {"Content-Type": "multipart/form-data; boundary=b0undary"}))
    assert (found.sender, found.text) == (ANA, "STOP")


def test_mailgun_the_last_of_a_field_counts_for_a_mail_has_headers_of_its_own() -> None:
    """Mailgun repeats the headers of a mail as fields before its own."""
    genuine, _ = mailgun(mailgun_fields())
    forged, headers = mailgun({"signature": "0", "token": "x", "timestamp": "1", "recipient": "eva@x.example"}, {})
    found = one_mail(a_mailgun(), (forged + b"&" + genuine, headers))
    assert (found.receiver, found.text) == (OURS, "STOP")
    with pytest.raises(Forged):
        a_mailgun().receive(request((genuine + b"&" + forged, headers)))


FORGED_MAILGUN: dict[str, Callable[[dict[str, str]], dict[str, str]]] = {
    "no signature": lambda s: {n: v for n, v in s.items() if n != "signature"},
    "no token": lambda s: {n: v for n, v in s.items() if n != "token"},
    "no time": lambda s: {n: v for n, v in s.items() if n != "timestamp"},
    "nothing": lambda s: {},
    "an empty signature": lambda s: s | {"signature": ""},
    "a wrong signature": lambda s: s | {"signature": "0" * 64},
    "the right one, cut": lambda s: s | {"signature": s["signature"][:-1]},
    "the right one, in capitals": lambda s: s | {"signature": s["signature"].upper()},
    "not ASCII": lambda s: s | {"signature": "\u00fc" * 64},
    "another token": lambda s: s | {"token": "x" + s["token"][1:]},
    "another time": lambda s: s | {"timestamp": str(int(s["timestamp"]) + 1)},
    "a time that reaches into the token": lambda s: (
        s | {"timestamp": s["timestamp"] + s["token"][0], "token": s["token"][1:]}
    ),
    "another key": lambda s: mailgun_signature(key="another"),
    "an empty key": lambda s: mailgun_signature(key=""),
    "thirteen hours ago": lambda s: mailgun_signature(at=NOW - timedelta(hours=13)),
    "in thirteen hours": lambda s: mailgun_signature(at=NOW + timedelta(hours=13)),
    "an empty token": lambda s: mailgun_signature(""),
}


@pytest.mark.parametrize("forge", FORGED_MAILGUN.values(), ids=FORGED_MAILGUN)
def test_mailgun_what_it_did_not_sign_is_forged(forge: Callable[[dict[str, str]], dict[str, str]]) -> None:
    event = sample("mailgun/events.json")["complained"]
    for posted in (
        mailgun(mailgun_fields(), forge(mailgun_signature())),
        mailgun_event(event, forge(mailgun_signature())),
    ):
        for read in (a_mailgun().receive, a_mailgun().report):
            with pytest.raises(Forged):
                read(request(posted))


@pytest.mark.parametrize(
    ("kind", "body"),
    [("application/json", b""), ("application/json", b"[]"), ("application/json", b"[" * 9_000), ("text/plain", b"x"),
     ("", b""), ("multipart/form-data; boundary=x", b"--y--"), ("application/x-www-form-urlencoded", b"&" * 5_000)],
)  # fmt: skip
def test_mailgun_what_holds_no_signature_is_forged(kind: str, body: bytes) -> None:
    with pytest.raises(Forged):
        a_mailgun().receive(request((body, {"Content-Type": kind})))


def test_what_means_harm_and_bears_no_signature_costs_little() -> None:
    """Thirty megabytes of parts, of fields, of JSON: before it is known whose they are, hardly a look is taken."""
    part = b"--x\r\nContent-Disposition: form-data; name=a\r\n" + b"X: y\r\n" * 5_000 + b"\r\n\r\n"
    huge = {
        "multipart/form-data; boundary=x": part * (30_000_000 // len(part)),
        "application/x-www-form-urlencoded": b"%41" * 10_000_000,
        "application/x-www-form-urlencoded; ": b"a=b&" * 7_500_000,
        "application/json": b"[" + b"{}," * 10_000_000 + b"{}]",
    }
    for kind, body in huge.items():
        began = time.process_time()
        with pytest.raises(Forged):
            a_mailgun().receive(request((body, {"Content-Type": kind})))
        assert time.process_time() - began < 1, kind


def test_mailgun_an_event_of_a_subaccount_is_signed_by_the_primary_one_as_well() -> None:
    ours = mailgun_signature()
    theirs = mailgun_signature(ours["token"], key="the subaccount's")
    signed = theirs | {"parent-signature": ours["signature"]}
    assert len(a_mailgun().receive(request(mailgun_event(sample("mailgun/events.json")["complained"], signed)))) == 1


MAILGUN_EVENTS = {
    "delivered": [("delivered", None, TAG, "250")],
    "permanent": [("hard_bounce", ANA, TAG, "550")],
    "suppressed-bounce": [("hard_bounce", BEN, None, "605")],
    "suppressed-unsubscribe": [("stop", BEN, None, "606")],
    "suppressed-complaint": [("complaint", BEN, None, "607")],
    "too-old": [("soft_bounce", BEN, None, "602")],
    "temporary": [],
    "complained": [("complaint", ANA, TAG, None)],
    "unsubscribed": [("stop", ANA, TAG, None)],
    "rejected": [("failed", None, TAG, None)],
    "opened": [],
    "accepted": [],
}


@pytest.mark.parametrize("name", sample("mailgun/events.json"))
def test_mailgun_its_events_mean_what_the_table_says(name: str) -> None:
    signed = mailgun_signature()
    told = a_mailgun().receive(request(mailgun_event(sample("mailgun/events.json")[name], signed)))
    assert summed_up(told) == MAILGUN_EVENTS[name]
    assert {one.event_id for one in told if isinstance(one, AddressReport)} <= {signed["token"]}


@pytest.mark.parametrize("data", [None, [], 7, {}, {"event": "complained"}, {"event": {}, "recipient": ANA}])
def test_mailgun_an_event_that_cannot_be_understood_is_parked(data: object) -> None:
    [told] = a_mailgun().receive(request(mailgun_event(data)))
    assert isinstance(told, Parked)


def test_mailgun_a_token_that_came_with_one_thing_brings_no_other() -> None:
    way_in, signed = a_mailgun(), mailgun_signature()
    events = sample("mailgun/events.json")
    way_in.receive(request(mailgun_event(events["delivered"], signed)))
    way_in.receive(request(mailgun_event(events["delivered"], signed)))  # tried again
    for posted in (mailgun_event(events["complained"], signed), mailgun(mailgun_fields(), signed)):
        with pytest.raises(Forged):
            way_in.receive(request(posted))


def test_mailgun_what_is_signed_is_one_event_wherever_it_is_posted() -> None:
    assert a_mailgun(name="other").account == a_mailgun().account
    assert a_mailgun(signing_key="another").account != a_mailgun().account
    assert SIGNING_KEY not in a_mailgun().account


# --- Postmark ---------------------------------------------------------------------------------


def test_postmark_a_mail_is_a_message() -> None:
    found = one_mail(a_postmark(), postmark(postmark_mail("STOP")))
    assert (found.sender, found.name, found.subject, found.text) == (ANA, "Ana", "Re: News", "STOP")
    assert found.provider_id == "22c74902-a0c1-4511-804f-341342852c90"
    assert found.authentic is False, "what stands among the headers of a mail anyone can write"


def test_postmark_the_address_of_ours_is_found_also_where_the_mail_was_forwarded_to_it() -> None:
    to = [{"Email": "unsub+abc@mail.theatre.example", "Name": "", "MailboxHash": "abc"}]
    assert one_mail(a_postmark(), postmark(postmark_mail(ToFull=to))).unsubscribe_tokens == ("abc",)


def test_postmark_with_the_raw_mail_its_parts_are_read_too() -> None:
    raw = mail("STOP\n", Auto_Submitted="auto-replied").decode()
    found = one_mail(a_postmark(), postmark(postmark_mail(RawEmail=raw)))
    assert (found.sender, found.text, found.automatic) == (ANA, "STOP", "auto_reply")


@pytest.mark.parametrize(
    "posted", [7, [], {}, {"MessageID": "x"}, {"FromFull": {"Email": ANA}}, {"MessageID": [], "FromFull": 7}, "\ud800"]
)
def test_postmark_what_is_neither_mail_nor_event_is_parked(posted: object) -> None:
    body, headers = postmark(posted)
    [told] = a_postmark().receive(request((body, headers)))
    assert isinstance(told, Parked)
    assert told.raw == body


POSTMARK_EVENTS = {
    "hard": [("hard_bounce", ANA, TAG, "HardBounce")],
    "soft": [("soft_bounce", BEN, None, "SoftBounce")],
    "transient": [],
    "auto-reply": [],
    "unsubscribe": [("stop", BEN, None, "Unsubscribe")],
    "complaint": [("complaint", ANA, None, "SpamComplaint")],
    "suppressed": [("stop", ANA, None, "ManualSuppression")],
    "suppressed-by-us": [("stop", BEN, None, "ManualSuppression")],
    "suppressed-bounce": [("hard_bounce", BEN, None, "HardBounce")],
    "suppressed-complaint": [("complaint", BEN, None, "SpamComplaint")],
    "resubscribed": [("resume", ANA, None, None)],
    "reactivated-by-us": [],
    "delivery": [("delivered", None, TAG, None)],
    "open": [],
}


@pytest.mark.parametrize("name", sample("postmark/events.json"))
def test_postmark_its_events_mean_what_the_table_says(name: str) -> None:
    told = a_postmark().receive(request(postmark(sample("postmark/events.json")[name])))
    assert summed_up(told) == POSTMARK_EVENTS[name]


def test_postmark_each_event_has_an_id_of_its_own() -> None:
    told = [a_postmark().receive(request(postmark(one))) for one in sample("postmark/events.json").values()]
    ids = [one.event_id for found in told for one in found if isinstance(one, AddressReport)]
    assert len(ids) == len(set(ids)) == 9


def test_postmark_two_people_who_are_suppressed_in_one_second_are_two_events() -> None:
    """By the API many are suppressed at once, under no message."""
    sent = sample("postmark/events.json")["suppressed-by-us"]
    told = [a_postmark().receive(request(postmark({**sent, "Recipient": one}))) for one in (ANA, BEN, BEN)]
    ids = [one.event_id for found in told for one in found if isinstance(one, AddressReport)]
    assert len(set(ids)) == 2
    assert ids[1] == ids[2]
    assert not any("ben" in id_ for id_ in ids)


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1999-12-31T23:59:59Z", "", None, 5])
def test_postmark_a_time_before_there_was_any_is_none(at: object) -> None:
    """It would put a no behind every yes."""
    [told] = a_postmark().receive(request(postmark({**sample("postmark/events.json")["suppressed"], "ChangedAt": at})))
    assert isinstance(told, AddressReport)
    assert (told.kind, told.at) == ("stop", None)


@pytest.mark.parametrize("at", [0, 1, True, -1, "0", "", None, 10**15])
def test_sendgrid_a_time_before_there_was_any_is_none(at: object) -> None:
    event = {"event": "unsubscribe", "email": ANA, "sg_event_id": "1", "timestamp": at}
    [told] = a_sendgrid().receive(request(sendgrid_events(json.dumps([event]).encode())))
    assert isinstance(told, AddressReport)
    assert (told.kind, told.at) == ("stop", None)


def test_postmark_who_is_taken_off_and_put_back_in_one_second_said_two_things() -> None:
    sent = {**sample("postmark/events.json")["suppressed"], "ChangedAt": "2026-11-20T12:00:09Z"}
    told = [a_postmark().receive(request(postmark({**sent, "SuppressSending": one}))) for one in (True, False)]
    assert len({one.event_id for found in told for one in found if isinstance(one, AddressReport)}) == 2


def test_postmark_a_suppression_that_says_nothing_is_parked() -> None:
    [told] = a_postmark().receive(request(postmark({"RecordType": "SubscriptionChange", "Recipient": ANA})))
    assert isinstance(told, Parked)
