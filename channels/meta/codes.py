"""What Meta's error codes say of a message that it has refused (…/whatsapp/support/error-codes).

Only a 4xx is read here: it alone is sure to have sent nothing. Meta asks to go by `code` and `details`, not by titles
or the HTTP status. An unknown code is a plain rejection. None of them counts against an address: 131026 (undeliverable)
also stands for terms that were not accepted, an old app, or a country.
"""

from __future__ import annotations

import json
from dataclasses import replace

from channels.http import Exchange
from channels.meta.reading import as_table, table, word
from channels.text import without_person
from channels.values import NotSent, Outcome, Rejected

OPTED_OUT = frozenset({131050})  # "has chosen to stop receiving marketing messages": from this business, not all
SLOW_DOWN: dict[int, float | None] = {
    4: 60.0,  # the app's calls of the hour
    80007: 60.0,  # the WhatsApp Business Account's
    130429: None,  # the number's messages a second
    131048: 3600.0,  # too much of what the number sent was blocked or reported
    133016: 60.0,  # registrations of the number
}
LATER: dict[int, float] = {
    131056: 6.0,  # the pair's rate: one message in six seconds to one person
    131049: 6 * 3600.0,  # withheld for "healthy ecosystem engagement": this person has enough marketing for now
}
ABOUT_US = frozenset({
    0,  # the token cannot be read
    3, 10,  # capability, permission
    33,  # the number was deleted
    190,  # the token has expired
    368, 131031,  # the account is restricted or locked
    131005,  # access denied
    131037,  # the display name is not approved
    131042,  # payment
    131045, 133010,  # the number is not registered
}) | frozenset(range(200, 300))  # fmt: skip
ABOUT_US_SECONDS = 60.0
_NO_SUCH_OBJECT = (100, 33)  # code and subcode of a path that is nothing, or not the token's: a wrong phone_number_id
_WORDS = {131047: "the 24 hours after the person's own message are over: only a template may go to them"}


def of_refusal(exchange: Exchange, outcome: Outcome, to: str) -> Outcome:
    """The outcome by Meta's own word, for a 4xx; anything else as it is.

    What is about us and not about the recipient is NotSent, slowed down and tried again in a minute, so that an expired
    token does not reject ten thousand people.
    """
    if exchange.status is None or not isinstance(outcome, Rejected | NotSent):
        return outcome
    code, subcode, words = error_of(exchange.body)
    reason = without_person(words.replace(to or "\0", "[number]")) or f"HTTP {exchange.status}"
    if code is None:
        return _without_code(exchange, outcome, reason)
    if code in ABOUT_US or (code, subcode) == _NO_SUCH_OBJECT:
        return NotSent(f"refused for us, not for the person: {code} {reason}", ABOUT_US_SECONDS, slow_down=True)
    if code in LATER:
        return NotSent(f"{code} {reason}", LATER[code])
    if code in SLOW_DOWN or isinstance(outcome, NotSent):
        wish = outcome.retry_after_seconds if isinstance(outcome, NotSent) else None
        return NotSent(f"{code} {reason}", wish or SLOW_DOWN.get(code), slow_down=True)
    opted_out = code in OPTED_OUT
    return Rejected(str(code), _WORDS.get(code, reason), opted_out=opted_out, marketing_only=opted_out)


def _without_code(exchange: Exchange, outcome: Rejected | NotSent, reason: str) -> Outcome:
    if isinstance(outcome, NotSent):
        return outcome
    if exchange.status in (401, 403, 404):  # a proxy's, or a wrong api_url
        return NotSent(f"refused for us, not for the person: {reason}", ABOUT_US_SECONDS, slow_down=True)
    return replace(outcome, reason=reason)


def error_of(body: bytes) -> tuple[int | None, int | None, str]:
    """Code, subcode and words of `{"error": {"code", "error_subcode", "message", "error_data": {"details"}}}`."""
    try:
        error = table(as_table(json.loads(body)), "error")
    except (ValueError, RecursionError):
        return None, None, ""
    words = word(table(error, "error_data"), "details") or word(error, "message")
    return _number(error.get("code")), _number(error.get("error_subcode")), words


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
