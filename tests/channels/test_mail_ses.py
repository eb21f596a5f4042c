"""SES through SNS: whose notification it is, the certificate that tells, subscriptions, mail and events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from channels.http import open_session
from channels.mail.ses import Ses
from channels.values import Forged, Inbound, Parked, Told, Unproved
from tests.channels.mails_as_sent import (
    ANA,
    CERTIFICATE_PATH,
    HOST,
    OURS,
    TAG,
    TOPIC,
    Amazon,
    Posted,
    as_posted,
    certificate,
    mail,
    request,
    sample,
    ses_mail,
)
from tests.channels.test_mail_webhooks import BEN, summed_up
from tests.standins.sns import SnsStandIn, standing_in

AMAZON, EVIL = Amazon(), Amazon()


@pytest.fixture
async def amazon(tmp_path: Path) -> AsyncIterator[SnsStandIn]:
    async with standing_in(AMAZON, tmp_path) as standin:
        yield standin


@pytest.fixture
async def ses(amazon: SnsStandIn) -> AsyncIterator[Ses]:
    async with open_session() as session:
        yield Ses(name="mail", topic_arns=[TOPIC], session=amazon.redirect(session))


async def told(ses: Ses, posted: Posted) -> list[Told]:
    await ses.fetch(request(posted))
    return list(ses.receive(request(posted)))


# --- whose it is ------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1", "2"])
async def test_what_amazon_signed_is_read_and_its_certificate_fetched_once(
    ses: Ses, amazon: SnsStandIn, version: str
) -> None:
    for number in range(3):
        posted = AMAZON.posts(ses_mail(mail()), message_id=f"m{number}", version=version, Subject="Amazon SES")
        [found] = await told(ses, posted)
        assert isinstance(found, Inbound)
        assert (found.provider_id, found.text) == (f"m{number}", "STOP\n")
    assert amazon.asked == [CERTIFICATE_PATH]


GENUINE = json.loads(AMAZON.posts(ses_mail(mail()), Subject="Amazon SES")[0])


def changed(**more: Any) -> Posted:
    """A body with the signature of another."""
    return as_posted({name: value for name, value in (GENUINE | more).items() if value is not None})


def with_head(**more: str | None) -> Posted:
    body, head = as_posted(GENUINE)
    given = head | {name.replace("_", "-"): value for name, value in more.items()}
    return body, {name: value for name, value in given.items() if value is not None}


FORGED: dict[str, Posted] = {
    "another message": changed(Message=GENUINE["Message"].replace("ana@", "eva@")),
    "another id": changed(MessageId="m2"),
    "another subject": changed(Subject="Amazon"),
    "no subject": changed(Subject=None),
    "another time": changed(Timestamp="2026-11-20T12:00:00.001Z"),
    "another type": changed(Type="UnsubscribeConfirmation", SubscribeURL="x", Token="x"),
    "another signature": changed(Signature="AAAA" + GENUINE["Signature"][4:]),
    "an empty signature": changed(Signature=""),
    "no signature": changed(Signature=None),
    "no base64": changed(Signature="!" + GENUINE["Signature"]),
    "a number for a signature": changed(Signature=7),
    "another kind of signature": changed(SignatureVersion="1"),
    "an unknown kind of signature": changed(SignatureVersion="3"),
    "no kind of signature": changed(SignatureVersion=None),
    "half a character": changed(Subject="\ud800"),
    "a topic of somebody else, rightly signed": AMAZON.posts("x", TopicArn=TOPIC.replace("1234", "6666")),
    "a topic that begins like ours, rightly signed": AMAZON.posts("x", TopicArn=TOPIC + "2"),
    "no topic": (json.dumps({**GENUINE, "TopicArn": None}).encode(), as_posted(GENUINE)[1]),
    "signed by another": EVIL.posts(ses_mail(mail())),
    "a head of another type": with_head(x_amz_sns_message_type="SubscriptionConfirmation"),
    "a head of another id": with_head(x_amz_sns_message_id="m2"),
    "a head of another topic": with_head(x_amz_sns_topic_arn=TOPIC + "2"),
    "no type in the head": with_head(x_amz_sns_message_type=None),
    "no id in the head": with_head(x_amz_sns_message_id=None),
    "nothing": (b"", as_posted(GENUINE)[1]),
    "no object": (b"[]", as_posted(GENUINE)[1]),
    "deep": (b"[" * 9_000, as_posted(GENUINE)[1]),
    "raw delivery, which is not signed": (json.dumps(ses_mail(mail())).encode(), {"x-amz-sns-rawdelivery": "true"}),
}  # fmt: skip


@pytest.mark.parametrize("posted", FORGED.values(), ids=FORGED)
async def test_what_amazon_did_not_sign_for_a_topic_of_ours_is_forged(ses: Ses, posted: Posted) -> None:
    with pytest.raises(Forged):
        await ses.fetch(request(posted))
    assert await told(ses, AMAZON.posts(ses_mail(mail()))), "and the real one is taken"
    for read in (ses.receive, ses.report):
        with pytest.raises(Forged):
            read(request(posted))


CERTIFICATE_URLS = [
    f"http://{HOST}{CERTIFICATE_PATH}",
    f"https://{HOST}:444{CERTIFICATE_PATH}",
    f"https://user@{HOST}{CERTIFICATE_PATH}",
    f"https://{HOST}.evil.example{CERTIFICATE_PATH}",
    f"https://evil.example/{HOST}{CERTIFICATE_PATH}",
    f"https://evil.example#{HOST}{CERTIFICATE_PATH}",
    f"https://{HOST}/x{CERTIFICATE_PATH}",
    f"https://{HOST}{CERTIFICATE_PATH}?x",
    f"https://{HOST}{CERTIFICATE_PATH}\n",
    f"https://{HOST}/../SimpleNotificationService-1.pem",
    "https://sns.amazonaws.com/SimpleNotificationService-1.pem",
    "https://sns.us-east-1.evil.amazonaws.com/SimpleNotificationService-1.pem",
    "https://bucket.s3.amazonaws.com/SimpleNotificationService-1.pem",
    # Buckets called "sns" at S3's older endpoints, with a certificate of Amazon's for TLS: whoever has one, signs.
    "https://sns.s3.amazonaws.com/SimpleNotificationService-1.pem",
    "https://sns.s3-us-west-2.amazonaws.com/SimpleNotificationService-1.pem",
    "https://sns.s3-external-1.amazonaws.com/SimpleNotificationService-1.pem",
    "https://sns.s3-accelerate.amazonaws.com/SimpleNotificationService-1.pem",
    "https://SNS.us-east-1.amazonaws.com/SimpleNotificationService-1.pem",
    "https://sns.us-east-1.amazonaws.com.evil/SimpleNotificationService-1.pem",
    "https://127.0.0.1/SimpleNotificationService-1.pem",
    "file:///etc/passwd",
    "",
]


@pytest.mark.parametrize("url", CERTIFICATE_URLS)
async def test_no_certificate_is_fetched_from_anywhere_but_amazon(ses: Ses, amazon: SnsStandIn, url: str) -> None:
    with pytest.raises(Forged):
        await ses.fetch(request(AMAZON.posts(ses_mail(mail()), SigningCertURL=url)))
    assert amazon.asked == []


@pytest.mark.parametrize("region", ["us-gov-west-1", "ap-southeast-7", "eu-isoe-west-1", "cn-north-1"])
async def test_every_region_of_amazons_is_asked(ses: Ses, region: str) -> None:
    """Here only one is to be found: who was asked cannot tell just now."""
    url = f"https://sns.{region}.amazonaws.com{'.cn' * region.startswith('cn')}{CERTIFICATE_PATH}"
    with pytest.raises(Unproved):
        await ses.fetch(request(AMAZON.posts(ses_mail(mail()), SigningCertURL=url)))


async def test_what_cannot_be_proved_just_now_is_asked_for_again(ses: Ses, amazon: SnsStandIn) -> None:
    """SNS does not try again after a 4xx: a certificate that cannot be had is no reason to call a mail forged."""
    posted = AMAZON.posts(ses_mail(mail()))
    small = certificate("sns.amazonaws.com", rsa.generate_private_key(65537, 1024)).public_bytes(Encoding.PEM)
    for pem, status in ((AMAZON.pem, 503), (AMAZON.pem, 404), (AMAZON.pem, 302), (b"<html>", 200), (small, 200),
                        (b"x" * 100_000, 200)):  # fmt: skip
        amazon.pem, amazon.status = pem, status
        with pytest.raises(Unproved):
            await ses.fetch(request(posted))
        with pytest.raises(Forged):
            ses.receive(request(posted))
    amazon.pem, amazon.status = AMAZON.pem, 200
    assert await told(ses, posted)
    assert set(amazon.asked) == {CERTIFICATE_PATH}, "and no redirect was followed"


async def test_amazon_is_known_by_its_tls_certificate(amazon: SnsStandIn) -> None:
    async with open_session() as session:
        amazon.redirect(session)
        session.connector._ssl = True  # type: ignore[union-attr] - as it is without the authority of the tests
        ses = Ses(name="mail", topic_arns=[TOPIC], session=session)
        with pytest.raises(Unproved):
            await ses.fetch(request(AMAZON.posts(ses_mail(mail()))))
    assert amazon.asked == []


async def test_no_stranger_drives_a_certificate_out(ses: Ses, amazon: SnsStandIn) -> None:
    genuine = AMAZON.posts(ses_mail(mail()))
    assert await told(ses, genuine)
    amazon.everywhere = True
    urls = [f"https://{HOST}/SimpleNotificationService-{number}.pem" for number in range(20)]
    for done in await asyncio.gather(
        *(ses.fetch(request(EVIL.posts("x", SigningCertURL=url))) for url in urls), return_exceptions=True
    ):
        assert isinstance(done, Forged)
    assert len(amazon.asked) == 21
    assert ses.receive(request(genuine)), "which needs no other request"


async def test_what_is_too_long_for_a_stranger_is_not_looked_at(ses: Ses, amazon: SnsStandIn) -> None:
    body, head = as_posted(GENUINE | {"More": "x" * 2_100_000})
    with pytest.raises(Forged):
        await ses.fetch(request((body, head)))
    assert amazon.asked == []


# --- subscriptions ----------------------------------------------------------------------------


async def test_a_subscription_to_a_topic_of_ours_is_confirmed(ses: Ses, amazon: SnsStandIn) -> None:
    assert await told(ses, AMAZON.confirms()) == []
    [_, visited] = amazon.asked
    assert visited.startswith("/?Action=ConfirmSubscription&TopicArn=arn")
    assert visited.endswith("Token=t0ken")


ASKED = f"Action=ConfirmSubscription&TopicArn={TOPIC}&Token=t0ken"
ELSEWHERE = [
    f"https://evil.example/?{ASKED}",
    f"https://{HOST}.evil.example/?{ASKED}",
    f"https://evil.example#{HOST}/?{ASKED}",
    f"https://{HOST}@evil.example/?{ASKED}",
    f"http://{HOST}/?{ASKED}",
    f"https://{HOST}:8443/?{ASKED}",
    f"https://{HOST}/x?{ASKED}",
    f"https://{HOST}/?{ASKED.replace('ConfirmSubscription', 'DeleteTopic')}",
    f"https://{HOST}/?{ASKED}&Action=DeleteTopic",
    f"https://{HOST}/?{ASKED.replace(TOPIC, TOPIC + '2')}",
    f"https://{HOST}/?{ASKED.replace('t0ken', 'another')}",
    f"https://{HOST}/",
    "http://169.254.169.254/latest/meta-data/",
    "",
]


@pytest.mark.parametrize("url", ELSEWHERE)
async def test_no_other_url_is_visited(ses: Ses, amazon: SnsStandIn, url: str) -> None:
    with pytest.raises(Forged):
        await ses.fetch(request(AMAZON.confirms(url=url)))
    assert amazon.asked == [CERTIFICATE_PATH]


async def test_a_subscription_to_somebody_elses_topic_or_by_a_stranger_is_not_confirmed(
    ses: Ses, amazon: SnsStandIn
) -> None:
    """Anyone with an account at Amazon can have it sign such a request, for a topic of their own."""
    with pytest.raises(Forged):
        await ses.fetch(request(AMAZON.confirms(topic=TOPIC.replace("1234", "6666"))))
    assert amazon.asked == []
    with pytest.raises(Forged):
        await ses.fetch(request(EVIL.confirms()))
    assert amazon.asked == [CERTIFICATE_PATH]


async def test_a_confirmation_that_fails_is_asked_for_again(ses: Ses, amazon: SnsStandIn) -> None:
    assert await told(ses, AMAZON.posts(ses_mail(mail())))
    for amazon.status in (500, 302):
        with pytest.raises(Unproved):
            await ses.fetch(request(AMAZON.confirms()))
    assert len(amazon.asked) == 3, "each tried once, and no redirect followed"


async def test_that_a_topic_was_unsubscribed_from_is_shown_to_an_operator(ses: Ses) -> None:
    posted = AMAZON.posts(
        "You have chosen…", Type="UnsubscribeConfirmation", Token="t", SubscribeURL=f"https://{HOST}/?"
    )
    assert await told(ses, posted) == [Parked(posted[0], "the topic will bring nothing more: it was unsubscribed from")]


async def test_the_greeting_to_a_new_topic_says_nothing(ses: Ses) -> None:
    assert await told(ses, AMAZON.posts("Successfully validated SNS topic for Amazon SES event publishing.")) == []


# --- mail -------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["UTF8", "BASE64"])
async def test_a_mail_is_a_message(ses: Ses, encoding: str) -> None:
    posted = AMAZON.posts(ses_mail(mail("STOP"), encoding=encoding, recipient="unsub+abc@mail.theatre.example"))
    [found] = await told(ses, posted)
    assert isinstance(found, Inbound)
    assert (found.account, found.sender, found.subject, found.text) == ("ses:mail", ANA, "Re: News", "STOP\n")
    assert (found.authentic, found.unsubscribe_tokens) == (True, ("abc",))
    assert found.provider_at == datetime(2026, 11, 20, 11, 59, 58, 123_000, tzinfo=UTC)


@pytest.mark.parametrize("verdict", ["FAIL", "GRAY", "PROCESSING_FAILED", "DISABLED", "pass", "", None])
async def test_a_mail_is_authentic_by_a_pass_of_dmarc_and_nothing_else(ses: Ses, verdict: str) -> None:
    [found] = await told(ses, AMAZON.posts(ses_mail(mail(), dmarc=verdict)))
    assert isinstance(found, Inbound)
    assert found.authentic is False


async def test_of_a_mail_that_lies_in_s3_the_head_is_read_and_an_operator_is_told(ses: Ses) -> None:
    received = sample("ses/received.json") | {"content": None}
    [found, parked] = await told(ses, AMAZON.posts(received))
    assert isinstance(found, Inbound)
    assert (found.sender, found.subject, found.receiver) == (ANA, "Re: News", OURS)
    assert isinstance(parked, Parked)


@pytest.mark.parametrize("message", ["", "x", "[]", "[" * 9_000, "{}", '{"notificationType": "Received"}'])
async def test_a_notification_that_cannot_be_understood_is_parked(ses: Ses, message: str) -> None:
    posted = AMAZON.posts(message)
    [found] = await told(ses, posted)
    assert isinstance(found, Parked)


# --- events -----------------------------------------------------------------------------------

EVENTS = {
    "hard": [("hard_bounce", ANA, TAG, "5.1.1")],
    "two": [("hard_bounce", who, None, "OnAccountSuppressionList") for who in (ANA, BEN)],
    "soft": [("soft_bounce", BEN, None, "4.2.2")],
    "unsubscribed": [("stop", BEN, None, "UnsubscribedRecipient")],
    "complaint": [("complaint", ANA, TAG, "abuse")],
    "not-spam": [],
    "delivery": [("delivered", None, TAG, None)],
    "delayed": [],
    "rejected": [("failed", None, TAG, "Reject")],
    "send": [],
    "left": [("stop", ANA, None, "UnsubscribeHeader")],
    "came-back": [("resume", ANA, None, "PreferencesPage")],
    "validated": [],
}  # fmt: skip


@pytest.mark.parametrize("name", sample("ses/events.json"))
async def test_its_events_mean_what_the_table_says(ses: Ses, name: str) -> None:
    posted = AMAZON.posts(sample("ses/events.json")[name], message_id="m1")
    found = await told(ses, posted)
    assert summed_up(found) == EVENTS[name]
    ids = [one.event_id for one in found if hasattr(one, "event_id")]
    assert ids == [f"m1#{number}" for number in range(len(ids))]
    assert ses.report(request(posted)) == found


CUT: dict[str, Callable[[dict[str, Any]], object]] = {
    "no recipients": lambda e: e["bounce"].pop("bouncedRecipients"),
    "recipients that are none": lambda e: e["bounce"].update(bouncedRecipients=[7]),
    "no bounce": lambda e: e.update(bounce="x"),
    "an unknown kind": lambda e: e.update(notificationType="Else"),
    "no kind": lambda e: e.pop("notificationType"),
}


@pytest.mark.parametrize("cut", CUT.values(), ids=CUT)
async def test_an_event_that_cannot_be_understood_is_parked(ses: Ses, cut: Callable[[dict[str, Any]], object]) -> None:
    event = sample("ses/events.json")["two"]
    cut(event)
    [found] = await told(ses, AMAZON.posts(event))
    assert isinstance(found, Parked)
    assert ANA not in found.why
