"""What a message says to one person: content, as an operator gave it, filled in. Pure.

A content is {"body"} and, for whatsapp, {"template": {"name", "language", "variables"}}; where it has both, whatsapp
takes the template and sms the body.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from content.liquid import BadTemplate, Template, compiled
from content.segments import segments

MOST_CHARS = 1600  # of an SMS or a free WhatsApp text, as Twilio takes it

Content = Mapping[str, Any]


class BadContent(ValueError):
    """A content that cannot be used; `field` is where in it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Needs:
    """What must be known of a person before a content can be filled in."""

    uses: frozenset[str] = frozenset()
    preferences: frozenset[str] = frozenset()
    is_plain: bool = False  # nothing: it says the same to everyone


def on_channel(content: Content, channel: str) -> Content:
    """The part of a content that goes out on a channel."""
    if channel == "whatsapp" and content.get("template") is not None:
        return {"template": content["template"]}
    return {"body": content.get("body")}


def is_free_form(content: Content, channel: str) -> bool:
    """Whether WhatsApp takes it only within 24 hours of the person's own message."""
    return channel == "whatsapp" and content.get("template") is None


def check(content: Content) -> Needs:
    """What the content needs; raises BadContent for what could never be filled in, or is too long as it stands."""
    templates = _templates(content)
    body = templates.get("body")
    if body is not None and body.is_plain:
        check_length(content)
    return Needs(
        frozenset().union(*(template.uses for template in templates.values())),
        frozenset().union(*(template.preferences for template in templates.values())),
        all(template.is_plain for template in templates.values()),
    )


def is_plain(content: Content) -> bool:
    """Whether its body reads alike for everybody."""
    return content.get("body") is not None and compiled(content["body"]).is_plain


def preferences_by_field(content: Content) -> dict[str, frozenset[str]]:
    """The names of the preferences that each field asks for, where it asks for any; raises BadContent."""
    return {field: template.preferences for field, template in _templates(content).items() if template.preferences}


def _templates(content: Content) -> dict[str, Template]:
    found: dict[str, Template] = {}
    for field, source in _sources(content):
        try:
            found[field] = compiled(source)
        except BadTemplate as error:
            raise BadContent(field, str(error)) from None
    return found


def fill_in(content: Content, values: Mapping[str, object]) -> dict[str, Any]:
    """The content for one person; raises BadContent."""
    filled: dict[str, Any] = {}
    if (body := content.get("body")) is not None:
        filled["body"] = _filled("body", compiled(body), values)
    if (template := content.get("template")) is not None:
        variables = template.get("variables") or {}
        filled["template"] = {
            **template,
            "variables": {
                name: _filled(f"template.variables.{name}", compiled(source), values)
                for name, source in variables.items()
            },
        }
    return filled


def check_length(content: Content) -> None:
    """Raises BadContent for what, filled in, no provider takes: nothing at all, or too much."""
    body = content.get("body")
    if body is None:
        return
    if not body.strip():
        raise BadContent("body", "it says nothing")
    if len(body) > MOST_CHARS:
        raise BadContent("body", f"it is longer than {MOST_CHARS:,} characters")


def weight(content: Content, channel: str) -> int:
    """What counts against a rate: SMS by segments, anything else by messages."""
    return segments(content.get("body") or "") if channel == "sms" else 1


def _filled(field: str, template: Template, values: Mapping[str, object]) -> str:
    try:
        return template.render(values)
    except BadTemplate as error:
        raise BadContent(field, str(error)) from None


def _sources(content: Content) -> Iterator[tuple[str, str]]:
    if (body := content.get("body")) is not None:
        yield "body", body
    for name, source in ((content.get("template") or {}).get("variables") or {}).items():
        yield f"template.variables.{name}", source
