"""Links with which the owner of an address opts out without a login: signed, opaque, good for ever.

The token is proof that its bearer reads what goes to the address, so it stops for everyone who has it. It opens
nothing else: who is forwarded a message can stop it, and learns nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote

from outbox.signed import Signed

_MAIL_SALT = b"optgate.unsubscribe.mail"
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # as the ids': without i, l, o, u, and alike in either case
_PROOF_CHARS = 26  # of five bits each
_ADDRESS = "adr_"
_MAIL_TOKEN = re.compile(r"([0-9a-z]{1,30})([0-9a-z]{26})", re.ASCII)


class OptOut(NamedTuple):
    """What a link stops."""

    address_id: str
    channel: str
    preference_id: str | None = None  # what the message with the link was about; it stops the channel all the same


class OptOutLinks:
    """Makes the links and reads their tokens. `secrets`: the newest signs, all are believed."""

    def __init__(self, public_url: str, secrets: Sequence[str]) -> None:
        self._base = f"{public_url.rstrip('/')}/unsubscribe/"
        self._signed = Signed(secrets, "optgate.unsubscribe")
        self._mail_keys = [hmac.digest(secret.encode(), _MAIL_SALT, "sha256") for secret in secrets]

    def __call__(self, address_id: str, channel: str, preference_id: str | None = None) -> str:
        """The link for an address on its channel."""
        return self._base + quote(self.token(address_id, channel, preference_id), safe="")

    def token(self, address_id: str, channel: str, preference_id: str | None = None) -> str:
        return self._signed.sign(".".join(filter(None, (address_id, channel, preference_id))))

    def read(self, token: str) -> OptOut | None:
        """What it stops; None for what we have not signed."""
        text = self._signed.read(token)
        if text is None:
            return None
        address_id, channel, *preference = text.split(".")
        return OptOut(address_id, channel, *preference)

    def mail_token(self, address_id: str) -> str:
        """What stands in `unsub+TOKEN@…` for an e-mail address: 52 letters and digits, which fit a local part (64).

        A mail server may change their case, so that it does not count.
        """
        name = address_id.removeprefix(_ADDRESS)
        return name + _proof(self._mail_keys[0], name)

    def read_mail_token(self, token: str) -> str | None:
        """The id of the address whose token it is; None for what we have not made."""
        found = _MAIL_TOKEN.fullmatch(token.lower()) if token.isascii() else None
        if found is None:
            return None
        name, proof = found.groups()
        known = [hmac.compare_digest(_proof(key, name), proof) for key in self._mail_keys]
        return _ADDRESS + name if any(known) else None


def _proof(key: bytes, name: str) -> str:
    """130 bits that only who has the key can make."""
    number = int.from_bytes(hmac.digest(key, name.encode(), hashlib.sha256)[:17], "big") >> 6
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(5 * (_PROOF_CHARS - 1), -1, -5))
