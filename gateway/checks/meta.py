"""A connection at Meta: whether it accepts our token, and what to enter in the app's dashboard."""

from __future__ import annotations

from channels.looks import NotReached, Refused
from channels.meta.account import NoNumber, NoToken, Number, Told
from gateway.checks.findings import Finding, ok, problem, warn
from gateway.checks.wire import why_no_answer
from gateway.providers.meta import Meta
from gateway.settings import Settings


def credentials(name: str, told: Told, seconds: float) -> Finding:
    """What Meta's answer means for an operator."""
    about, option = f"connection {name}", f"[connections.{name}]"
    match told:
        case NotReached(TimeoutError()):
            return problem(about, f"Meta did not answer within {seconds:g} seconds; a firewall, perhaps")
        case NotReached(error):
            return problem(about, f"Meta cannot be reached: {why_no_answer(error)}")
        case NoToken():
            return problem(about, f"Meta does not accept access_token in {option}: it has expired, or is another app's")
        case NoNumber():
            why = "there is no such number, or the token may not use it: correct phone_number_id in"
            return problem(about, f"{why} {option}, or give the token whatsapp_business_messaging")
        case Refused(status) if status == 429 or status >= 500:
            return warn(about, f"Meta answers {status} and does not tell: check again in a while")
        case Refused(status):
            return problem(about, f"what answers for Meta is not its API ({status}): correct api_url in {option}")
        case Number():
            return ok(about, f"Meta accepts the access token, and it opens the number {told.shown_as}".rstrip())


def to_paste(name: str, connection: Meta, settings: Settings) -> list[Finding]:
    """What an operator enters at Meta, letter by letter; the verify token is a secret, so only named."""
    about = f"connection {name}"
    url = f"{settings.server.public_url}/webhooks/{name}"
    shared = [
        other
        for other, one in settings.connections.items()
        if other != name and isinstance(one, Meta) and one.app_secret == connection.app_secret
    ]
    found = [
        ok(about, f"paste at Meta, under the app's WhatsApp, Configuration, Callback URL: {url}"),
        ok(about, f"and as Verify token what verify_token in [connections.{name}] says"),
        ok(about, "there, subscribe to the fields messages, user_preferences and standby; no other URL is needed"),
    ]
    if shared:
        why = f"shares its app with {', '.join(shared)}: give each number its own URL, by webhook_configuration"
        found.append(warn(about, f"{why} of POST /PHONE_NUMBER_ID; what comes for another number is refused"))
    return found
