"""What we have signed ourselves: a text or a list that nobody else can make or change, and that is read years later."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from itsdangerous import BadSignature, Signer
from itsdangerous.encoding import base64_decode, base64_encode
from itsdangerous.exc import BadData

_MOST_CHARS = 1000


class Signed:
    """Signs texts, or lists, for one purpose, and reads those. `secrets`: the newest signs, all are believed."""

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

    def sign_list(self, said: Sequence[str | int | None]) -> str:
        """A list as JSON in base64. Links in messages are spelled so: another spelling must be read beside this one."""
        return self.sign(base64_encode(json.dumps(said, separators=(",", ":"), ensure_ascii=False)).decode())

    def read_list(self, token: str) -> list[Any] | None:
        """The list; None for what we have not signed for this purpose, and for a text."""
        text = self.read(token)
        if text is None:
            return None
        try:
            said = json.loads(base64_decode(text))
        except (BadData, ValueError):
            return None
        return said if isinstance(said, list) else None
