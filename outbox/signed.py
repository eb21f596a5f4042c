"""What we have signed ourselves: a text that nobody else can make or change, and that is read years later."""

from __future__ import annotations

from collections.abc import Sequence

from itsdangerous import BadSignature, Signer

_MOST_CHARS = 1000


class Signed:
    """Signs texts for one purpose, and reads those. `secrets`: the newest signs, all are believed."""

    def __init__(self, secrets: Sequence[str], purpose: str) -> None:
        if not secrets:
            raise ValueError("a secret is needed")
        self._signer = Signer(list(reversed(secrets)), salt=purpose)  # itsdangerous signs with the last

    def sign(self, text: str) -> str:
        return self._signer.sign(text).decode()

    def read(self, token: str) -> str | None:
        """The text; None for what we have not signed for this purpose."""
        if len(token) > _MOST_CHARS or not token.isascii():
            return None
        try:
            return self._signer.unsign(token).decode()
        except (BadSignature, UnicodeDecodeError):
            return None
