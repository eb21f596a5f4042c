"""What a page posts: fields by name, as a browser sends them."""

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


async def posted(request: web.Request) -> Posted:
    """The fields of an urlencoded body; of another kind of body, and of one that is too large, none."""
    body = b""
    while piece := await request.content.read(MOST_BYTES + 1 - len(body)):
        body += piece
        if len(body) > MOST_BYTES:
            return Posted(())
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        return Posted(())
    return Posted(tuple((name, storable(value)) for name, value in pairs))


def storable(text: str) -> str:
    """As any database keeps it: no NUL, no half of a character."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()
