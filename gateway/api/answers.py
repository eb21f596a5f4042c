"""What is answered: JSON, lists a page at a time, and what an operation came to in its transaction."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from gateway.problems import invalid

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Done:
    """What an operation came to, inside its transaction: the answer, and what must be settled before it is given."""

    document: Any = None  # None: an answer without a body
    status: int = 200
    closed: frozenset[str] = frozenset()  # addresses or broadcasts to which nothing may begin to be sent any more

    @property
    def body(self) -> bytes:
        return b"" if self.document is None else encoded(self.document)


def spelled(value: Any) -> Any:
    """A value as JSON spells it here: times as RFC 3339 in UTC."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    raise TypeError(f"{type(value).__name__} cannot be answered")


def encoded(document: Any) -> bytes:
    return json.dumps(document, default=spelled, ensure_ascii=False).encode() + b"\n"


def answer(document: Any, *, status: int = 200) -> web.Response:
    return web.Response(status=status, body=encoded(document), content_type=JSON)


def listing(items: Sequence[Any], keys: Sequence[str], limit: int) -> web.Response:
    """A page: `next` leads on while the page is full."""
    return answer({"items": list(items), "next": _cursor(keys[-1]) if len(keys) == limit else None})


def _cursor(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def key_of(cursor: str) -> str:
    """The key that a page ended with; raises Problem for what is no cursor of ours."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except ValueError:
        text = ""
    if not re.fullmatch(r"[!-~]+", text) or _cursor(text) != cursor:
        raise invalid("cursor", "use the `next` of an earlier answer as it is")
    return text
