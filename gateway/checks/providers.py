"""Each connection: whether the provider knows us, and what to paste there; and whether our clocks agree."""

from __future__ import annotations

import asyncio

import aiohttp

from channels.looks import NotReached, Refused
from channels.mail import relay
from channels.meta import account as meta_account
from channels.meta.account import Number
from channels.twilio import account as twilio_account
from channels.twilio.account import Account
from gateway.checks import mail, meta
from gateway.checks.findings import Finding, ok, problem, warn
from gateway.checks.wire import why_no_answer
from gateway.providers.known import Connection
from gateway.providers.meta import Meta
from gateway.providers.sandbox import Sandbox
from gateway.providers.smtp import Smtp
from gateway.providers.twilio import Twilio
from gateway.settings import Settings

OVERRIDES = "rc=5&rp=all"  # https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
AHEAD_SECONDS, WRONG_SECONDS = 5, 120


async def findings(settings: Settings, session: aiohttp.ClientSession, *, seconds: float) -> list[Finding]:
    """What is to be said of every connection, all asked at once, and of the clock."""
    asked = [_of(name, one, settings, session, seconds) for name, one in settings.connections.items()]
    told = await asyncio.gather(*asked)
    ahead = [seconds for _, seconds in told if seconds is not None]
    return [finding for found, _ in told for finding in found] + _clock(ahead)


async def _of(
    name: str, connection: Connection, settings: Settings, session: aiohttp.ClientSession, seconds: float
) -> tuple[list[Finding], float | None]:
    """What is to be said of a connection, and by how much our clock is ahead of the provider's, where that is known."""
    if isinstance(connection, Twilio):
        sid, token, url = connection.account_sid, connection.auth_token.get_secret_value(), connection.api_url
        told = await twilio_account.look(session, sid, token, api_url=url, seconds=seconds)
        found = [*_credentials(name, told, seconds), *_to_paste(name, connection, settings)]
        return found, told.ahead_seconds if isinstance(told, Account) else None
    if isinstance(connection, Meta):
        id_, token, url = connection.phone_number_id, connection.access_token.get_secret_value(), connection.api_url
        number = await meta_account.look(session, id_, token, api_url=url, seconds=seconds)
        found = [meta.credentials(name, number, seconds), *meta.to_paste(name, connection, settings)]
        return found, number.ahead_seconds if isinstance(number, Number) else None
    if isinstance(connection, Smtp):
        answered = await relay.look(connection.relay, return_path=connection.return_path, seconds=seconds)
        found = [mail.relay(name, connection, answered), *mail.needs(name, connection, settings)]
        return [*found, *mail.to_paste(name, connection, settings)], None
    return _unasked(name, connection, settings), None


def _unasked(name: str, connection: Connection, settings: Settings) -> list[Finding]:
    """Of a provider that has no way to be asked, or that nobody has taught us to ask."""
    about = f"connection {name}"
    if isinstance(connection, Sandbox):
        return [ok(about, "sandbox: nothing leaves this machine")]
    url = f"{settings.server.public_url}/webhooks/{name}"
    return [
        warn(about, f"{connection.provider} was not asked whether it accepts the credentials"),
        ok(about, f"give {connection.provider} this URL for incoming messages: {url}"),
        ok(about, f"and this one for delivery reports, where it wants one: {url}/status"),
    ]


def _credentials(name: str, told: Account | Refused | NotReached, seconds: float) -> list[Finding]:
    about, option = f"connection {name}", f"[connections.{name}]"
    match told:
        case NotReached(TimeoutError()):
            return [problem(about, f"Twilio did not answer within {seconds:g} seconds; a firewall, perhaps")]
        case NotReached(error):
            return [problem(about, f"Twilio cannot be reached: {why_no_answer(error)}")]
        case Refused(401 | 403):
            why = "Twilio does not accept the account SID with this auth token: correct them in"
            return [problem(about, f"{why} {option}; the token stands in Twilio's console")]
        case Refused(404):
            return [problem(about, f"Twilio knows no such account: correct account_sid in {option}")]
        case Refused(status) if status == 429 or status >= 500:
            return [warn(about, f"Twilio answers {status} and does not tell: check again in a while")]
        case Refused(status):
            return [problem(about, f"what answers for Twilio is not its API ({status}): correct api_url in {option}")]
        case Account(status) if status != "active":
            return [problem(about, f"the account at Twilio is {status}: nothing is sent until that is settled there")]
        case Account(is_trial=True):
            return [warn(about, "Twilio accepts the credentials; a trial account sends to verified numbers only")]
        case _:
            return [ok(about, "Twilio accepts the credentials, and the account is active")]


def _to_paste(name: str, connection: Twilio, settings: Settings) -> list[Finding]:
    """What an operator enters in Twilio's console, letter by letter."""
    about = f"connection {name}"
    url = f"{settings.server.public_url}/webhooks/{name}#{OVERRIDES}"
    if connection.messaging_service_sid:
        place = "under the Messaging Service's Integration, Send a webhook, Request URL"
    elif connection.channel == "whatsapp":
        place = "under the WhatsApp sender's Webhook URL for incoming messages"
    else:
        place = "under the number's Messaging, A message comes in, Webhook"
    return [
        ok(about, f"paste at Twilio, {place}, HTTP POST: {url}"),
        ok(about, "what stands behind # stays at Twilio: rc=5 lets it try five times more, rp=all whatever went wrong"),
        ok(about, "nothing to paste for delivery reports: each message names where its own go"),
    ]


def _clock(known: list[float]) -> list[Finding]:
    if not known:
        return []
    ahead = max(known, key=abs)
    if abs(ahead) <= AHEAD_SECONDS:
        return [ok("clock", f"within {AHEAD_SECONDS} seconds of the provider's")]
    sentence = f"{abs(ahead):.0f} seconds {'ahead of' if ahead > 0 else 'behind'} the provider's: let NTP set it"
    why = "what people said would stand in the history at a wrong time"
    return [(problem if abs(ahead) > WRONG_SECONDS else warn)("clock", f"{sentence}; {why}")]
