"""What a page posts: its bytes, as far as they are read, and the fields in them as a browser sends them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qsl

from aiohttp import web

MOST_BYTES = 65_536
_MOST_FIELDS = 2000


@dataclass(frozen=True, slots=True)
class Posted:
    pairs: tuple[tuple[str, str], ...]

    def all(self, name: str) -> Iterator[str]:
        return (value for key, value in self.pairs if key == name)

    def one(self, name: str, default: str = "") -> str:
        return next(self.all(name), default)

    def has(self, name: str) -> bool:
        return any(key == name for key, _ in self.pairs)

    def firsts(self) -> dict[str, str]:
        """The first value of each field."""
        return dict(reversed(self.pairs))


async def begin_of_body(request: web.Request, most: int) -> bytes:
    """The first `most` bytes of what is posted, which may come in pieces."""
    body = b""
    while len(body) < most and (piece := await request.content.read(most - len(body))):
        body += piece
    return body


async def whole_body(request: web.Request) -> bytes:
    """What is posted; raises web.HTTPRequestEntityTooLarge."""
    body = await begin_of_body(request, MOST_BYTES + 1)
    if len(body) > MOST_BYTES:
        raise web.HTTPRequestEntityTooLarge(MOST_BYTES, len(body))
    return body


def fields_in(text: str, *, most: int = _MOST_FIELDS) -> Posted:
    """The fields of an urlencoded text, as they were typed; raises ValueError for more than `most`."""
    return Posted(tuple(parse_qsl(text, keep_blank_values=True, max_num_fields=most)))


async def posted(request: web.Request) -> Posted:
    """The fields of an urlencoded body, storable; of another kind of body, and of one that is too large, none."""
    try:
        found = fields_in((await whole_body(request)).decode())
    except (ValueError, web.HTTPRequestEntityTooLarge):
        return Posted(())
    return Posted(tuple((name, storable(value)) for name, value in found.pairs))


def storable(text: str) -> str:
    """As any database keeps it: no NUL, no half of a character."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()
