"""The parameters of a genuine request → an Inbound value.

Sources: twilio.com/docs/messaging/guides/webhook-request, /docs/messaging/tutorials/advanced-opt-out (OptOutType),
/docs/whatsapp (ProfileName, WaId, ButtonText, ButtonPayload, ExternalUserId). Twilio gives no time of its own.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator

from multidict import MultiDict

from channels.text import without_nul
from channels.values import Forged, Inbound, Malformed, ProviderVerdict

WHATSAPP = "whatsapp:"
_VERDICTS: dict[str, ProviderVerdict] = {"STOP": "opt_out", "START": "opt_in", "HELP": "help"}
_MESSAGE_IDS = ("MessageSid", "SmsSid", "SmsMessageSid")
_PLAIN = re.compile(r"[!-~]{1,64}")  # an id: printable ASCII
_SCOPED_ID = re.compile(r"[A-Z]{2}(\.[A-Za-z0-9]{1,128}){1,3}")  # Meta's business-scoped id: US.1234, US.ENT.1234
_WA_NUMBER = re.compile(r"\d{7,15}", re.ASCII)
_SENDER_LENGTH = 255


def read(form: MultiDict[str], connection: str, account: str) -> Inbound:
    """The message in the form.

    Raises Forged where it is for another account, Malformed where it names no message, no sender, or the same thing
    twice, and for a delivery report. A missing text is an empty one; a missing receiver too: neither may cost an
    opt-out. U+0000 is taken out of every value, and bytes that are no UTF-8 came as U+FFFD.
    """
    if not is_ours(form, account):
        raise Forged("another account")
    if "MessageStatus" in form:
        raise Malformed("a delivery report, not a message: MessageStatus")
    sender, receiver = _required(form, "From"), single(form, "To")
    channel = "whatsapp" if WHATSAPP in (sender[: len(WHATSAPP)], receiver[: len(WHATSAPP)]) else "sms"
    text_field = "ButtonText" if channel == "whatsapp" and single(form, "ButtonText").strip() else "Body"
    verdict = _VERDICTS.get(single(form, "OptOutType").strip().upper())
    taken = {"AccountSid", "MessageSid", "From", "To", text_field, "ButtonPayload", "ProfileName"}
    return Inbound(
        connection=connection,
        channel=channel,
        account=account,
        provider_id=message_id(form),
        sender=sender.removeprefix(WHATSAPP),
        receiver=receiver.removeprefix(WHATSAPP),
        text=single(form, text_field),
        payload=single(form, "ButtonPayload") or None,
        also_from=tuple(_other_addresses(form, sender.removeprefix(WHATSAPP))) if channel == "whatsapp" else (),
        verdict=verdict,
        name=single(form, "ProfileName") or None,
        fields={without_nul(name): without_nul(value) for name, value in _first_of_each(form) if name not in taken},
    )


def is_ours(form: MultiDict[str], account: str) -> bool:
    given = form.getall("AccountSid", [])
    return bool(given) and all(hmac.compare_digest(one.encode(errors="replace"), account.encode()) for one in given)


def single(form: MultiDict[str], name: str) -> str:
    values = set(form.getall(name, [""]))
    if len(values) > 1:
        raise Malformed(f"given twice: {name}")
    return without_nul(values.pop())


def _required(form: MultiDict[str], name: str) -> str:
    value = single(form, name).strip()
    if not value.removeprefix(WHATSAPP) or len(value) > _SENDER_LENGTH or not value.isprintable():
        raise Malformed(f"missing or unreadable: {name}")
    return value


def message_id(form: MultiDict[str]) -> str:
    for name in _MESSAGE_IDS:
        if _PLAIN.fullmatch(value := single(form, name)):
            return value
    raise Malformed("missing or unreadable: MessageSid")


def _other_addresses(form: MultiDict[str], sender: str) -> Iterator[str]:
    """What else Twilio says the sender is called: the business-scoped id, and the number where it is another."""
    scoped = single(form, "ExternalUserId").removeprefix(WHATSAPP)
    if scoped != sender and _SCOPED_ID.fullmatch(scoped):
        yield scoped
    wa_id = single(form, "WaId")
    if _WA_NUMBER.fullmatch(wa_id) and f"+{wa_id}" != sender:
        yield f"+{wa_id}"


def _first_of_each(form: MultiDict[str]) -> Iterator[tuple[str, str]]:
    return ((name, form[name]) for name in dict.fromkeys(form))
