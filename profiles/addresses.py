"""What an address is, and when two are the same. Pure.

Numbers are E.164 by libphonenumber's metadata, taken when *possible* rather than *valid*: numbering plans change
faster than metadata. A mailbox keeps its local part as written and is compared case-insensitively; its domain is
lower-cased and IDNA. An address is found by a keyed hash of its canonical form, so that what must outlive a person
(a suppression) needs no plain value.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass

import phonenumbers
from email_validator import EmailNotValidError, validate_email

CHANNELS = ("sms", "whatsapp", "email", "voice", "post")
MOST_OF_A_MAILBOX = 320  # characters: RFC 5321 has 64 and 255
PHONE_CHANNELS = frozenset({"sms", "whatsapp", "voice"})
_OTHERS = {channel: sorted(PHONE_CHANNELS - {channel}) for channel in PHONE_CHANNELS}
# Meta's business-scoped user id: a country's letters, a dot, letters and digits (US.1234, US.ENT.1234).
_SCOPED_ID = re.compile(r"[A-Z]{2}(\.[A-Za-z0-9]{1,128}){1,3}")
# WhatsApp still writes Mexican mobiles with the 1 that the country gave up in 2019.
_MEXICAN_MOBILE = re.compile(r"\+521[0-9]{10}")
_GMAIL = ("gmail.com", "googlemail.com")  # one mailbox by two names, in which dots do not count
_DOTTED = re.compile(r"(?=\.*[^.])[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}", re.ASCII)
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")


class BadAddress(ValueError):
    """The value is no address on its channel; the message says why, fit for whoever typed it."""


@dataclass(frozen=True, slots=True)
class Address:
    """A normalised address. Equal hashes are the same address."""

    channel: str
    value: str
    hash: str

    def __str__(self) -> str:
        return f"{self.channel}:{self.value}"


@dataclass(frozen=True, slots=True)
class AddressBook:
    """How addresses are read: the key of their hashes (made at first start, never rotated) and the home region."""

    key: bytes
    region: str = "US"

    def parse(self, channel: str, value: str) -> Address:
        """Normalise a plain value, or `channel:value` of the same channel; raises BadAddress."""
        if channel not in CHANNELS:
            raise BadAddress(f"{channel!r} is no channel: use one of {', '.join(CHANNELS)}")
        value = value.strip().removeprefix(f"{channel}:").strip()
        if "\x00" in value or not value:
            raise BadAddress("an address cannot be empty" if not value else "an address cannot contain a NUL character")
        if value.startswith(tuple(f"{other}:" for other in CHANNELS)):
            raise BadAddress(f"{value.partition(':')[0]} is another channel than {channel}")
        if channel in PHONE_CHANNELS:
            normalised = canonical = self._phone(channel, value)
        elif channel == "email":
            normalised = _mailbox(value)
            canonical = normalised.casefold()
        else:
            normalised = " ".join(value.split())
            canonical = normalised.casefold()
        return Address(channel, normalised, self.hash(channel, canonical))

    def proved(self, channel: str, value: str) -> Address:
        """As `parse`, for the sender of a message, or an address that may have been one: a number that wrote to us
        exists, whatever the metadata says, and so does a mailbox, wherever it has dots.
        """
        try:
            return self.parse(channel, value)
        except BadAddress:
            if channel == "email" and (mailbox := _with_any_dots(value)) is not None:
                return Address(channel, mailbox, self.hash(channel, mailbox.casefold()))
            if channel not in PHONE_CHANNELS or not _E164.fullmatch(value):
                raise
        return Address(channel, value, self.hash(channel, value))

    def elsewhere(self, address: Address) -> tuple[Address, ...]:
        """The same number on the other channels that take one: whoever has it there is who has it here."""
        if address.channel not in PHONE_CHANNELS or not is_number(address.value):
            return ()
        value = address.value  # the normal form of a number is the same on each
        return tuple(Address(channel, value, self.hash(channel, value)) for channel in _OTHERS[address.channel])

    def parse_tagged(self, text: str) -> Address:
        """Normalise `channel:value`; raises BadAddress."""
        return self.parse(*_untagged(text))

    def find_tagged(self, text: str) -> Address:
        """As `parse_tagged`, to look for one that is here: it may have come as a sender; raises BadAddress."""
        return self.proved(*_untagged(text))

    def same_as(self, address: Address) -> str:
        """A hash that addresses share which mostly reach one person: a number whatever it is used for, and see
        `same_mailbox`."""
        if address.channel == "email":
            return self.hash("same email", same_mailbox(address.value))
        kind = "number" if address.channel in PHONE_CHANNELS and is_number(address.value) else address.channel
        return self.hash(f"same {kind}", address.value)

    def plainly(self, address: Address) -> tuple[Address, ...]:
        """The mailbox that an e-mail address mostly is, spelled plainly, by each name of its provider: to ask what its
        owner has said there. Any other address as it is."""
        if address.channel != "email":
            return (address,)
        local, _, domain = same_mailbox(address.value).rpartition("@")
        mailboxes = [f"{local}@{name}" for name in (_GMAIL if domain in _GMAIL else (domain,))]
        return tuple(Address("email", mailbox, self.hash("email", mailbox)) for mailbox in mailboxes)

    def hash(self, channel: str, canonical: str) -> str:
        return hmac.digest(self.key, f"{channel}\x00{canonical}".encode(), "sha256").hex()

    def _phone(self, channel: str, value: str) -> str:
        if channel == "whatsapp" and _SCOPED_ID.fullmatch(value):
            return value
        if _E164.fullmatch(value) and value.startswith("+1") and len(value) == 12:
            return value  # the commonest form is its own normal form
        if _MEXICAN_MOBILE.fullmatch(value):
            value = "+52" + value[4:]
        # A full number that was written without its plus is tried with it, where it is none of the home region.
        try:
            number = phonenumbers.parse(value, None if value.startswith("+") else self.region)
        except phonenumbers.NumberParseException as error:
            raise BadAddress(f"not a phone number: {_reason(error)}") from error
        if not value.startswith("+") and not phonenumbers.is_possible_number(number):
            try:
                number = phonenumbers.parse("+" + value, None)
            except phonenumbers.NumberParseException as error:
                raise BadAddress(f"not a phone number: {_reason(error)}") from error
        if number.extension:
            raise BadAddress("not a phone number for messages: it has an extension")
        if not phonenumbers.is_possible_number(number):
            raise BadAddress("not a possible phone number: write it with + and the country code")
        return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def _untagged(text: str) -> tuple[str, str]:
    channel, colon, value = text.partition(":")
    if not colon or channel not in CHANNELS:
        raise BadAddress(f"say which channel, as in sms:+14155550123 (one of {', '.join(CHANNELS)})")
    return channel, value


def _reason(error: phonenumbers.NumberParseException) -> str:
    reasons = {
        phonenumbers.NumberParseException.INVALID_COUNTRY_CODE: "write it with + and the country code",
        phonenumbers.NumberParseException.TOO_SHORT_NSN: "it is too short",
        phonenumbers.NumberParseException.TOO_SHORT_AFTER_IDD: "it is too short",
        phonenumbers.NumberParseException.TOO_LONG: "it is too long",
    }
    return reasons.get(error.error_type, "it holds no number")


def _mailbox(value: str) -> str:
    if len(value) > MOST_OF_A_MAILBOX:  # before it is looked at: that takes the square of its length
        raise BadAddress("not an e-mail address: it is too long")
    try:  # a dot that ends the domain is the DNS root, and names the same mailbox
        checked = validate_email(value.removesuffix("."), check_deliverability=False, allow_smtputf8=True)
    except EmailNotValidError as error:
        raise BadAddress(f"not an e-mail address: {error}") from error
    return f"{checked.local_part}@{checked.ascii_domain.lower()}"


def _with_any_dots(value: str) -> str | None:
    """A mailbox that has dots where RFC 5321 has none unless it is quoted (`ana..b@`, `ana.@`), as carriers in Japan
    gave them to people for years; without the quotes, which change nothing. None for any other.
    """
    local, _, domain = value.strip().rpartition("@")
    if len(local) > 1 and local[0] == local[-1] == '"':
        local = local[1:-1]
    if not _DOTTED.fullmatch(local):
        return None
    try:
        return f"{local}@{_mailbox(f'x@{domain}').rpartition('@')[2]}"
    except BadAddress:
        return None


def same_mailbox(value: str) -> str:
    """What mostly reaches one person, however it is written: without case, what follows a plus, Gmail's dots and the
    other name that it has.

    To count how often a mailbox is written to, and for nothing else: two of them may be two people's.
    """
    local, _, domain = value.casefold().rpartition("@")
    local = local.strip('"').partition("+")[0]
    return f"{local.replace('.', '')}@{_GMAIL[0]}" if domain in _GMAIL else f"{local}@{domain}"


def is_number(value: str) -> bool:
    """Whether a normalised value is a phone number, the form that channels share."""
    return _E164.fullmatch(value) is not None
