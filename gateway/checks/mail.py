"""E-mail: whether the relay takes it, and what an operator enters where it comes in. A secret is named, never shown."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

from channels.mail.relay import Unreachable
from gateway.checks import listening
from gateway.checks.configuration import is_here
from gateway.checks.findings import Finding, ok, problem, warn
from gateway.providers.smtp import MailgunIn, PostmarkIn, SendgridIn, SesIn, Smtp, SmtpIn
from gateway.settings import Settings

SHORTEST = 16  # of a password that is guessed at from outside
_IN_A_URL = re.compile(r"[A-Za-z0-9._~-]+")  # what needs no escape there (RFC 3986)


def relay(name: str, connection: Smtp, told: Unreachable | None) -> Finding:
    """Whether the relay takes what we send."""
    about, at = f"connection {name}", f"{connection.host}:{connection.relay.port}"
    if told is not None:
        return problem(about, f"{told} ({at}); correct [connections.{name}], or the relay")
    how = "in clear" if connection.tls == "none" else "encrypted"
    login = ", and accepts user name and password" if connection.username else ", without a login"
    return ok(about, f"the relay at {at} takes mail, {how}{login}")


def needs(name: str, connection: Smtp, settings: Settings) -> list[Finding]:
    """What else mail needs, that no relay tells."""
    about = f"connection {name}"
    found: list[Finding] = []
    if connection.tls == "none" and not is_here(f"http://{connection.host}"):
        found.append(warn(about, "tls is none: mail, and the password if there is one, goes to the relay in clear"))
    if not settings.organisation.postal_address.strip():
        words = "[organisation] postal_address is empty: marketing by e-mail is refused without it (CAN-SPAM, CASL)"
        found.append(warn(about, words))
    if connection.inbound_domain is None:
        words = "inbound_domain is not set: bounces go to the address in `from`, and nobody unsubscribes by mail"
        found.append(warn(about, words))
    domain = connection.address.rpartition("@")[2]
    comes_in = connection.inbound_domain if connection.inbound is not None else None
    if comes_in is not None and comes_in.rstrip(".").lower() != domain.lower():
        words = (
            f"answers go to {connection.address}, and {comes_in} is what comes in: a STOP that answers a mail is heard "
            f"only where that mailbox's mail comes here too; let `from` be in {comes_in}"
        )
        found.append(warn(about, words))
    found.append(ok(about, f"not looked at: SPF, DKIM and DMARC of {domain}, see docs/operating.md"))
    return found


def to_paste(name: str, connection: Smtp, settings: Settings) -> list[Finding]:
    """The URLs, and what has to be switched on beside them."""
    about, url = f"connection {name}", f"{settings.server.public_url}/webhooks/{name}"
    secret_url = _with_password(url)
    option = f"[connections.{name}.inbound]"
    match connection.inbound:
        case None:
            return [warn(about, "it has no `inbound`: nobody hears who answers a mail with STOP, nor what bounces")]
        case SendgridIn() as one:
            found = [
                ok(about, f"paste at SendGrid, Settings, Inbound Parse, Destination URL: {secret_url}"),
                _what_to_put_there(about, option, one),
                ok(about, "there, let it POST the raw, full MIME message"),
            ]
            event_url = f"paste at SendGrid, Mail Settings, Event Webhook, Post URL: {url}/status"
            if one.public_key is None:
                why = f"no public_key in {option}: SendGrid's bounces and complaints are refused until it is there"
                return [*found, warn(about, why), ok(about, f"for that {event_url}, and switch on its signature")]
            return [*found, ok(about, event_url)]
        case MailgunIn():
            return [
                ok(about, f"paste at Mailgun, Receiving, in a route that forwards: {url}?mime"),
                ok(
                    about,
                    "paste at Mailgun, Webhooks, for permanent failures, complaints, unsubscribes and deliveries: "
                    f"{url}/status",
                ),
                _no_sender_proved(about, "Mailgun"),
            ]
        case PostmarkIn() as one:
            return [
                ok(about, f"paste at Postmark, the inbound stream's Settings, Webhook: {secret_url}"),
                _what_to_put_there(about, option, one),
                ok(about, "there, let it include the raw email content"),
                ok(
                    about,
                    "paste at Postmark, the sending stream's Webhooks, for Delivery, Bounce, Spam Complaint and "
                    f"Subscription Change: {secret_url}/status",
                ),
                _no_sender_proved(about, "Postmark"),
            ]
        case SesIn() as one:
            return [
                *(
                    ok(about, f"subscribe at Amazon SNS, protocol HTTPS, without raw delivery, to {arn}: {url}")
                    for arn in one.topic_arns
                ),
                ok(about, "in SES let a receipt rule publish to an SNS topic, in Base64: from S3 nothing is read"),
                ok(about, "in SES let bounces, complaints and deliveries go to a topic, with the original headers"),
            ]
        case SmtpIn() as one:
            return [*listening.findings(name, connection, one)]


def _with_password(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"USER:PASSWORD@{parts.netloc}"))


def _what_to_put_there(about: str, option: str, one: SendgridIn | PostmarkIn) -> Finding:
    password = one.password.get_secret_value()
    if len(password) < SHORTEST or not _IN_A_URL.fullmatch(one.user + password):
        why = f"at least {SHORTEST} letters, digits and . _ ~ - alone, for it stands in a URL and is all that proves"
        return warn(about, f"choose another user and password in {option}: {why} who posts")
    return ok(about, f"put there for USER and PASSWORD what stands in {option}: they prove who posts")


def _no_sender_proved(about: str, provider: str) -> Finding:
    return ok(about, f"STOP by mail counts, START does not: {provider} has no proof of who wrote a mail")
