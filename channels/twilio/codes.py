"""What Twilio's error codes say of a message that it has refused (twilio.com/docs/api/errors/NUMBER).

Only a 4xx is read here: it alone is sure to have sent nothing. Twilio asks callers not to lean on codes, since they
get split; so an unknown code is a plain rejection, and only what is documented as lasting counts against an address.
"""

from __future__ import annotations

import json
from dataclasses import replace

from channels.http import Exchange
from channels.text import without_person
from channels.values import NotSent, Outcome, Rejected

OPTED_OUT = frozenset({
    21610,  # the recipient has replied STOP to this sender
    63014,  # blocked by the recipient's own act: has blocked the sender, or opted out; "stop sending"
})  # fmt: skip
UNDELIVERABLE = frozenset({
    21211,  # 'To' is no valid phone number
    21265,  # 'To' is a short code
    21614,  # 'To' is no mobile number
    21635,  # 'To' is a landline where Twilio does not deliver to landlines
    63003,  # WhatsApp: the address is inactive or invalid
})  # fmt: skip
# Not among them: 21612 (this pair of numbers), 30003 (switched off, no signal), 30004 (blocked content), 30005 and
# 30006 (also a sender's or a carrier's fault), 63024 (also an outdated app): true of a moment or of a sender.
SLOW_DOWN: dict[int, float | None] = {
    20429: None,  # too many concurrent requests; "never processed and always safe to retry"
    21611: None,  # the sender's queue holds ten hours
    30001: None,  # queue overflow
    63017: None,  # the account's 2,000 messages a second
    63018: None,  # the channel's rate
    63038: 3600.0,  # the account's messages of the day
}
ABOUT_US = frozenset({
    10001,  # account is not active
    20003,  # wrong credentials
    20005,  # account is not active
    20403,  # account suspended or closed
    20404,  # no such account or path
    70051,  # the key may not do this
    90010,  # account is not active
})  # fmt: skip
ABOUT_US_SECONDS = 60.0


def of_refusal(exchange: Exchange, outcome: Outcome, to: str) -> Outcome:
    """The outcome by Twilio's own word, for what the table calls rejected; anything else as it is.

    Wrong credentials, a suspended account, a wrong URL are about us, not about the recipient: NotSent, slowed down
    and tried again in a minute, so that a mistyped token does not reject ten thousand people.
    """
    if not isinstance(outcome, Rejected):
        return outcome
    code, message = _error(exchange.body)
    reason = without_person(message.replace(to or "\0", "[number]")) or outcome.reason
    if code in ABOUT_US or exchange.status in (401, 404) or (exchange.status == 403 and code is None):
        return NotSent(f"credentials refused: {code or exchange.status} {reason}", ABOUT_US_SECONDS, slow_down=True)
    if code in SLOW_DOWN:
        return NotSent(f"{code} {reason}", SLOW_DOWN[code], slow_down=True)
    if code is None:
        return replace(outcome, reason=reason)
    return Rejected(str(code), reason, opted_out=code in OPTED_OUT, undeliverable=code in UNDELIVERABLE)


def _error(body: bytes) -> tuple[int | None, str]:
    """Code and message of `{code, message, more_info, status}`, or of RFC 9457's shape, which Twilio has as well."""
    try:
        error = json.loads(body)
    except (ValueError, RecursionError):
        return None, ""
    if not isinstance(error, dict):
        return None, ""
    code = error.get("code")
    words = [word for word in (error.get("message"), error.get("detail"), error.get("title")) if isinstance(word, str)]
    return code if isinstance(code, int) and not isinstance(code, bool) else None, next(iter(words), "")
