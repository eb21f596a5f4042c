"""Opt-in forms in the tests: made over the API, and filled in as a browser does."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

from tests.flows.running import Gateway, Got

SITE = "https://www.example.org"
PAGE = f"{SITE}/news?utm=1#foot"
URLENCODED = "application/x-www-form-urlencoded"
WORDS = {"confirmation_message": "Write to me about once a month.\nI can stop it.", "button_text": "Sign me up"}


async def make(gateway: Gateway, *, status: int = 201, **wishes: Any) -> dict[str, Any]:
    """A form for e-mail, shown on one site, unless it is wished otherwise."""
    given = {"description": "Foot of every page", "channel": "email", "allowed_origins": [SITE], **WORDS, **wishes}
    return dict(await gateway.api("POST", "/v1/forms", status=status, json=given))


async def preference(gateway: Gateway, name: str, **more: Any) -> dict[str, Any]:
    return dict(
        await gateway.api("POST", "/v1/preferences", status=201, json={"name": name, "text": f"{name}, please"} | more)
    )


@dataclass(frozen=True)
class Field:
    """A field of a page's form."""

    attributes: Mapping[str, str | None]

    def __getitem__(self, name: str) -> str:
        return self.attributes.get(name) or ""

    @property
    def is_checked(self) -> bool:
        return "checked" in self.attributes


class Seen(HTMLParser):
    """A page as somebody reads it: its words, its fields, what they are described by."""

    def __init__(self, got: Got) -> None:
        super().__init__()
        self.status, self.headers, self.html = got.status, got.headers, got.body.decode()
        self.fields: list[Field] = []
        self.ids: dict[str, str] = {}
        self.links: list[Mapping[str, str | None]] = []
        self.language = ""
        self._silent = 0
        self._within: list[str | None] = []
        self._words: list[str] = []
        self.feed(self.html)
        self.words = re.sub(r"[ \t]*\n\s*", "\n", "".join(self._words)).strip()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "html":
            self.language = given.get("lang") or ""
        if tag in ("style", "script", "title"):
            self._silent += 1
        if tag == "input":
            self.fields.append(Field(given))
        if tag == "a":
            self.links.append(given)
        if tag not in ("input", "meta", "img", "path"):
            self._within.append(given.get("id"))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("style", "script", "title"):
            self._silent -= 1
        if tag not in ("input", "meta", "img", "path") and self._within:
            self._within.pop()

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self._words.append(data)
            for one in filter(None, self._within):
                self.ids[one] = self.ids.get(one, "") + data

    def field(self, name: str, value: str | None = None) -> Field:
        [found] = [one for one in self.fields if one["name"] == name and value in (None, one["value"])]
        return found

    def names(self) -> list[str]:
        return [one["name"] for one in self.fields]

    def why(self, name: str) -> str:
        """What is said beside a field; it must be marked as wrong."""
        found = next(one for one in self.fields if one["id"] == f"at-{name}")
        assert found["aria-invalid"] == "true"
        return self.ids[found["aria-describedby"]].strip()

    @property
    def policy(self) -> dict[str, list[str]]:
        parts = (one.split() for one in self.headers["Content-Security-Policy"].split(";"))
        return {part[0]: part[1:] for part in parts}


async def look(gateway: Gateway, form_id: str, query: str = "", **headers: str) -> Seen:
    return Seen(await gateway.send("GET", f"/forms/{form_id}{query}", headers=headers))


async def fill(
    gateway: Gateway,
    form_id: str,
    address: str,
    *,
    ticked: Sequence[str] = (),
    query: str = "",
    referrer: str = PAGE,
    wait_seconds: float = 4.0,
    headers: Mapping[str, str] | None = None,
    **fields: str,
) -> Seen:
    """Open the form on its site's page, look at it for a while, and send it in."""
    seen = await look(gateway, form_id, query, Referer=referrer)
    return await send(
        gateway,
        form_id,
        seen,
        address,
        ticked=ticked,
        query=query,
        wait_seconds=wait_seconds,
        headers=headers,
        **fields,
    )


async def send(
    gateway: Gateway,
    form_id: str,
    seen: Seen,
    address: str,
    *,
    ticked: Sequence[str] = (),
    query: str = "",
    wait_seconds: float = 4.0,
    headers: Mapping[str, str] | None = None,
    **fields: str,
) -> Seen:
    """Send in a page that is open."""
    gateway.clock.advance(seconds=wait_seconds)
    hidden = [(one["name"], one["value"]) for one in seen.fields if one["type"] == "hidden"]
    typed = [*hidden, ("address", address), *fields.items(), *(("preference", one) for one in ticked)]
    given = {"Content-Type": URLENCODED, **(headers or {})}
    return Seen(await gateway.send("POST", f"/forms/{form_id}{query}", data=urlencode(typed).encode(), headers=given))


async def sent_in(gateway: Gateway) -> int:
    """How many submissions were kept."""
    return len(await gateway.rows("submissions"))
