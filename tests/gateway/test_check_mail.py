"""What `optgate check` says of the ways by which e-mail comes in."""

from __future__ import annotations

from typing import Any

import pytest

from channels.mail import mailgun, postmark, sendgrid, ses
from gateway.checks import mail
from gateway.checks.findings import Finding
from gateway.providers.base import Parts
from gateway.providers.smtp import Smtp
from gateway.settings import Settings
from tests.channels.mails_as_sent import PASSWORD, PUBLIC_KEY, SIGNING_KEY, TOPIC, USER

BY_PASSWORD = {"user": USER, "password": PASSWORD}
ASKED = {
    "sendgrid": {"provider": "sendgrid", "public_key": PUBLIC_KEY, **BY_PASSWORD},
    "mailgun": {"provider": "mailgun", "signing_key": SIGNING_KEY},
    "postmark": {"provider": "postmark", **BY_PASSWORD},
    "ses": {"provider": "ses", "topic_arns": [TOPIC, TOPIC + "-events"]},
}


def configured(inbound: dict[str, Any] | None) -> Settings:
    connection = {"provider": "smtp", "channel": "email", "host": "localhost", "from": "x@example.org"}
    given = {"public_url": "https://gw.example.test/optgate"}
    return Settings.model_validate({"server": given, "connections": {"mail": connection | {"inbound": inbound}}})


def said(inbound: dict[str, Any] | None) -> list[Finding]:
    settings = configured(inbound)
    connection = settings.connections["mail"]
    assert isinstance(connection, Smtp)
    return mail.to_paste("mail", connection, settings)


URL = "gw.example.test/optgate/webhooks/mail"
PASTED = {
    "sendgrid": [f"https://USER:PASSWORD@{URL}", f"https://{URL}/status"],
    "mailgun": [f"https://{URL}?mime", f"https://{URL}/status"],
    "postmark": [f"https://USER:PASSWORD@{URL}", f"https://USER:PASSWORD@{URL}/status"],
    "ses": [f"{TOPIC}: https://{URL}", f"{TOPIC}-events: https://{URL}"],
}


@pytest.mark.parametrize("provider", ASKED)
def test_what_to_paste_at_each_provider_of_mail_is_said_without_a_secret(provider: str) -> None:
    found = said(ASKED[provider])
    for url in PASTED[provider]:
        assert [one for one in found if one.sentence.endswith(f" {url}")], url
    assert {one.level for one in found} == {"ok"}
    words = " ".join(one.sentence for one in found)
    assert not [secret for secret in (PASSWORD, SIGNING_KEY, PUBLIC_KEY) if secret in words]


def test_what_is_missing_is_worth_a_look() -> None:
    assert [one.level for one in said(None)] == ["warn"]
    warned = [one.sentence for one in said(ASKED["sendgrid"] | {"public_key": None}) if one.level == "warn"]
    assert len(warned) == 1
    assert warned[0].startswith("no public_key in [connections.mail.inbound]")


@pytest.mark.parametrize("password", ["short", "a password with blanks", "a-password:with/odd@signs"])
def test_a_password_that_is_guessed_or_garbled_is_worth_a_look(password: str) -> None:
    found = [one for one in said(ASKED["postmark"] | {"password": password}) if one.level == "warn"]
    assert [one.sentence for one in found if one.sentence.startswith("choose another user and password")]
    assert password not in found[0].sentence


@pytest.mark.parametrize(
    "wrong",
    [
        {"provider": "postmark", "user": USER, "password": ""},
        {"provider": "postmark", "user": "a:b", "password": PASSWORD},
        {"provider": "sendgrid", "user": "", "password": PASSWORD},
        {"provider": "mailgun", "signing_key": ""},
        {"provider": "ses", "topic_arns": []},
        {"provider": "ses", "topic_arns": ["arn:aws:sqs:us-east-1:123456789012:mail"]},
        {"provider": "ses", "topic_arns": [TOPIC + "\n"]},
        {"provider": "else"},
    ],
)
def test_a_way_in_that_cannot_be_safe_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="inbound") as caught:
        configured(wrong)
    assert PASSWORD not in str(caught.value)


def made_of(inbound: dict[str, Any]) -> Any:
    nothing: Any = None
    return configured(inbound).connections["mail"].adapter("mail", Parts("https://gw.example.test", nothing, nothing))


def test_a_public_key_that_is_none_is_said_at_the_start() -> None:
    with pytest.raises(ValueError, match=r"^public_key is no key"):
        made_of(ASKED["sendgrid"] | {"public_key": "x"})


@pytest.mark.parametrize(
    ("provider", "made"),
    [("sendgrid", sendgrid.Sendgrid), ("mailgun", mailgun.Mailgun), ("postmark", postmark.Postmark), ("ses", ses.Ses)],
)
def test_each_way_in_is_made_of_what_is_configured(provider: str, made: type) -> None:
    adapter = made_of(ASKED[provider])
    assert isinstance(adapter._way_in, made)
    assert adapter.account == adapter._way_in.account
