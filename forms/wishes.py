"""What an operator wishes a form to be, and whether it can be so. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Literal
from urllib.parse import urlsplit

from forms.catalogue import Box, OnForm, Shown, Written
from forms.colours import wrong_with

MOST_ORIGINS = 20
MOST_BOXES = 50
FIELDS = ("first_name", "last_name")
_ATTRIBUTE = re.compile(r"attributes\.[A-Za-z][A-Za-z0-9_]{0,59}")
_ORIGIN = re.compile(r"(https?)://([A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\])(?::([0-9]{1,5}))?")
_ALIKE = (*Written.model_fields, "confirm", "entry")  # of a form as it is wished and as it is shown
_USUAL_PORTS = {"https": "443", "http": "80"}


class Asked(OnForm):
    """A preference on the form, as it is wished."""

    selected: bool | None = None


class Wished(Written):
    """A form as it is wished; None: as is usual."""

    confirm: Literal["none", "double"] | None = None
    entry: Literal["typed", "text_us", "both"] | None = None
    preferences: tuple[Asked, ...] = ()


@dataclass(frozen=True, slots=True)
class Wrong:
    """A field that cannot be so, and what to write instead."""

    field: str
    message: str


class BadForm(Exception):
    """The form cannot be so."""

    def __init__(self, wrongs: list[Wrong]) -> None:
        super().__init__("; ".join(f"{one.field}: {one.message}" for one in wrongs))
        self.wrongs = wrongs


def wished_by(shown: Shown) -> dict[str, Any]:
    """A form as it is, as wishes: what somebody changes is put over them."""
    asked = tuple(
        Asked(id=box.id, selected=box.wished, required=box.required, shown_as=box.shown_as) for box in shown.preferences
    )
    return {**{name: getattr(shown, name) for name in _ALIKE}, "preferences": asked}


def settled(wished: Wished, *, has_number: bool) -> Shown:
    """The form as wished, what is usual filled in; raises BadForm, which names everything that is wrong.

    `has_number`: whether people can write to its connection.
    """
    entry = wished.entry or _usual_entry(wished, has_number)
    confirm = wished.confirm or ("double" if wished.channel == "email" or entry != "text_us" else "none")
    origins = tuple(normal_origin(one) or one for one in wished.allowed_origins)
    given = wished.model_copy(update={"entry": entry, "confirm": confirm, "allowed_origins": origins})
    if wrongs := list(_wrongs(given, has_number)):
        raise BadForm(wrongs)
    boxes = [
        Box(
            id=one.id,
            text="",
            wished=one.selected,
            selected=bool(one.selected),
            required=one.required,
            shown_as=one.shown_as,
        )
        for one in wished.preferences
    ]
    return Shown(**{name: getattr(given, name) for name in _ALIKE}, preferences=tuple(boxes))


def _usual_entry(wished: Wished, has_number: bool) -> Literal["typed", "text_us"]:
    """To text us costs nothing and proves more; where there is no number of ours, theirs is typed."""
    return "typed" if wished.channel == "email" or not has_number else "text_us"


def _wrongs(wished: Wished, has_number: bool) -> Iterator[Wrong]:
    yield from _of_entry(wished, has_number)
    yield from _of_fields(wished)
    yield from _of_preferences(wished.preferences)
    yield from _of_origins(wished)
    yield from (Wrong(f"looks.{field}", why) for field, why in wrong_with(wished.looks).items())


def _of_entry(wished: Wished, has_number: bool) -> Iterator[Wrong]:
    texted = wished.entry in ("text_us", "both")
    if texted and wished.channel == "email":
        yield Wrong("entry", "to text us is for sms and whatsapp: by e-mail an address is typed")
    elif texted and not has_number:
        yield Wrong("entry", "the connection has no number that people could text to: set its `from`, or use typed")
    if wished.keyword is not None and not texted:
        yield Wrong("keyword", "it is what people text: the entry must be text_us or both")
    if wished.channel != "email" and wished.entry != "text_us" and wished.confirm == "none":
        yield Wrong("confirm", "a number that was typed may be anybody's, and is always confirmed: use double")
    if wished.entry == "text_us":
        for field in ("fields", "preferences", "tags"):
            if getattr(wished, field):
                yield Wrong(field, "who texts us fills in nothing: use the entry both or typed, or a rule of its own")
        if wished.redirect_url is not None:
            yield Wrong("redirect_url", "who texts us leaves the page: use the entry both or typed")


def _of_fields(wished: Wished) -> Iterator[Wrong]:
    for place, field in enumerate(wished.fields):
        if field not in FIELDS and not _ATTRIBUTE.fullmatch(field):
            yield Wrong(f"fields.{place}", "use first_name, last_name, or attributes.NAME with letters, digits and _")
    if len(set(wished.fields)) != len(wished.fields):
        yield Wrong("fields", "each field once")
    for field in sorted(wished.labels.keys() - set(wished.fields)):
        yield Wrong(f"labels.{field}", "the form has no such field")
    if len(set(wished.tags)) != len(wished.tags):
        yield Wrong("tags", "each tag once")


def _of_preferences(asked: Collection[Asked]) -> Iterator[Wrong]:
    if len({one.id for one in asked}) != len(asked):
        yield Wrong("preferences", "each preference once")
    for place, one in enumerate(asked):
        if one.shown_as == "statement" and one.selected:
            yield Wrong(f"preferences.{place}.selected", "a statement has no box: the button is the yes")


def _of_origins(wished: Wished) -> Iterator[Wrong]:
    for place, origin in enumerate(wished.allowed_origins):
        if normal_origin(origin) is None:
            yield Wrong(
                f"allowed_origins.{place}",
                "an origin is https:// and a host, such as https://www.example.org: no path, no user, no wildcard"
                " (http:// for this machine alone)",
            )
    if len(set(wished.allowed_origins)) != len(wished.allowed_origins):
        yield Wrong("allowed_origins", "each origin once")
    if wished.redirect_url is not None and origin_of(wished.redirect_url) not in wished.allowed_origins:
        yield Wrong("redirect_url", "it must begin with one of the allowed_origins: a form leads nowhere else")


def normal_origin(text: str) -> str | None:
    """The origin as browsers write it (RFC 6454); None where it is none that may frame a form."""
    found = _ORIGIN.fullmatch(text)
    if found is None:
        return None
    scheme, host, port = found[1], found[2].lower(), found[3]
    if (scheme == "http" and not _is_here(host)) or int(port or 1) not in range(1, 65536):
        return None
    if not host.startswith("[") and not _is_host(host):
        return None
    return f"{scheme}://{host}" + (f":{int(port)}" if port and port != _USUAL_PORTS[scheme] else "")


def origin_of(url: str) -> str | None:
    """Of an absolute URL without a user; None where it has none, or browsers and we might read it differently."""
    if not url.isascii() or not url.isprintable() or any(sign in url for sign in ' \\"<>'):
        return None
    try:
        parts = urlsplit(url)
        return normal_origin(f"{parts.scheme}://{parts.netloc}")
    except ValueError:
        return None


def _is_host(host: str) -> bool:
    labels = host.split(".")
    return all(re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", label) for label in labels)


def _is_here(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
