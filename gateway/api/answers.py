"""What is answered: JSON, lists a page at a time, and what an operation came to in its transaction."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from gateway.problems import invalid

JSON = "application/json"
PART = 50  # of what may be large, as many are read and written at once: then others have their turn
TURN_CHARACTERS = 16_384  # of one of them: it is a turn of its own
PAGE_BYTES = 4 * 1024 * 1024  # of such a page; what is behind it is on the next


@dataclass(frozen=True, slots=True)
class Done:
    """What an operation came to, inside its transaction: the answer, and what must be settled before it is given."""

    document: Any = None  # None: an answer without a body; bytes: JSON already
    status: int = 200
    closed: frozenset[str] = frozenset()  # addresses or broadcasts to which nothing may begin to be sent any more

    @property
    def body(self) -> bytes:
        if isinstance(self.document, bytes):
            return self.document
        return b"" if self.document is None else encoded(self.document)


def spelled(value: Any) -> Any:
    """A value as JSON spells it here: times as RFC 3339 in UTC."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    raise TypeError(f"{type(value).__name__} cannot be answered")


def encoded(document: Any) -> bytes:
    return _text(document).encode() + b"\n"


def _text(document: Any) -> str:
    return json.dumps(document, default=spelled, ensure_ascii=False)


def answer(document: Any, *, status: int = 200) -> web.Response:
    return web.Response(status=status, body=encoded(document), content_type=JSON)


def listing(items: Sequence[Any], keys: Sequence[str], limit: int) -> web.Response:
    """A page: `next` leads on while the page is full."""
    return answer({"items": list(items), "next": _cursor(keys[-1]) if len(keys) == limit else None})


def listing_of_all(items: Sequence[Any], keys: Sequence[str], after: str | None, limit: int) -> web.Response:
    """A page of what is few and stands in an order people chose, which no key tells; raises Problem."""
    if after is not None and after not in keys:
        raise invalid("cursor", "what it stood at is gone: begin anew")
    start = keys.index(after) + 1 if after is not None else 0
    chosen = slice(start, start + limit)
    more = start + limit < len(keys)
    return answer({"items": list(items[chosen]), "next": _cursor(keys[chosen][-1]) if more else None})


async def listing_in_parts(
    read: Callable[[str | None, int], Awaitable[tuple[Sequence[Any], Sequence[str]]]], after: str | None, limit: int
) -> web.Response:
    """A page of what may be large: PART at a time, and no more parts when it has grown to PAGE_BYTES.

    `read` gives so many from behind a key, and their keys; fewer keys than it was asked for are the last ones. Five
    hundred of 65,536 characters, in one go, take the loop for two seconds in which nobody is served.
    """
    texts: list[str] = []
    size, left = 0, limit
    while left and size < PAGE_BYTES:
        wanted = min(PART, left)
        items, keys = await read(after, wanted)
        for item in items:
            texts.append(_text(item))
            size += len(texts[-1])
            if len(texts[-1]) > TURN_CHARACTERS:
                await asyncio.sleep(0)
        left -= wanted
        after = keys[-1] if len(keys) == wanted else None
        if after is None:
            break
    body = f'{{"items": [{", ".join(texts)}], "next": {_text(_cursor(after) if after is not None else None)}}}\n'
    return web.Response(body=body.encode(), content_type=JSON)


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
