"""Links with which the owner of an address opts out without a login: signed, opaque, good for ever.

The token is proof that its bearer reads what goes to the address, so it stops for everyone who has it. It opens
nothing else: who is forwarded a message can stop it, and learns nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from itsdangerous import BadSignature, Signer

_SALT = "optgate.unsubscribe"
_MOST_CHARS = 200


class OptOutLinks:
    """Makes the links and reads their tokens. `secrets`: the newest signs, all are believed."""

    def __init__(self, public_url: str, secrets: Sequence[str]) -> None:
        if not secrets:
            raise ValueError("a secret is needed")
        self._base = f"{public_url.rstrip('/')}/unsubscribe/"
        self._signer = Signer(list(reversed(secrets)), salt=_SALT)  # itsdangerous signs with the last

    def __call__(self, address_id: str, channel: str) -> str:
        """The link for an address on its channel."""
        return self._base + quote(self.token(address_id, channel), safe="")

    def token(self, address_id: str, channel: str) -> str:
        return self._signer.sign(f"{address_id}.{channel}").decode()

    def read(self, token: str) -> tuple[str, str] | None:
        """The address's id and its channel; None for what we have not signed."""
        if len(token) > _MOST_CHARS or not token.isascii():
            return None
        try:
            address_id, _, channel = self._signer.unsign(token).decode().partition(".")
        except (BadSignature, UnicodeDecodeError):
            return None
        return address_id, channel
