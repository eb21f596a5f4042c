"""What a message says to one person: content, as an operator gave it, filled in. Pure.

A content is {"body"} and, for whatsapp, {"template": {"name", "language", "variables"}}; where it has both, whatsapp
takes the template and sms the body. What e-mail has beside is told in `mail`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from content import mail, markup
from content.liquid import BadTemplate, Template, compiled, compiled_html
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
    if channel == "email":
        fields = mail.FIELDS if content.get("text") is not None else (*mail.FIELDS, "body")
        return {field: content[field] for field in fields if content.get(field) is not None}
    return {"body": content.get("body")}


def is_free_form(content: Content, channel: str) -> bool:
    """Whether WhatsApp takes it only within 24 hours of the person's own message."""
    return channel == "whatsapp" and content.get("template") is None


def check(content: Content, channels: Collection[str] = ("sms",)) -> Needs:
    """What the content needs; raises BadContent for what could never be filled in, or is too long as it stands."""
    templates = _templates(content)
    for channel in channels:
        part = on_channel(content, channel)
        _check_depth(part)
        if all(templates[field].is_plain for field, _, _ in _sources(part)):
            check_length(part, channel)
            _check_what_is_left(part)
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
    for field, source, read in _sources(content):
        try:
            found[field] = read(source)
        except BadTemplate as error:
            raise BadContent(field, str(error)) from None
    return found


def fill_in(content: Content, values: Mapping[str, object]) -> dict[str, Any]:
    """The content for one person; raises BadContent."""
    filled = {field: value for field, value in content.items() if value is not None}
    for field, source, read in _sources(content):
        if not field.startswith(_VARIABLES):
            filled[field] = _filled(field, read(source), values)
    if filled.get("subject") is not None:
        filled["subject"] = mail.one_line(filled["subject"])
    if (template := content.get("template")) is not None:
        variables = template.get("variables") or {}
        filled["template"] = {
            **template,
            "variables": {
                name: _filled(_VARIABLES + name, compiled(source), values) for name, source in variables.items()
            },
        }
    return filled


def check_length(content: Content, channel: str = "sms") -> None:
    """Raises BadContent for what, filled in, no provider takes: nothing at all, or too much."""
    if channel == "email":
        _check_mail(content)
    elif (body := content.get("body")) is not None:
        if not body.strip():
            raise BadContent("body", "it says nothing")
        if len(body) > MOST_CHARS:
            raise BadContent("body", f"it is longer than {MOST_CHARS:,} characters")


def _check_mail(content: Content) -> None:
    subject = content.get("subject")
    if subject is not None and not mail.one_line(subject):
        raise BadContent("subject", "it says nothing")
    if subject is not None and len(subject) > mail.MOST_SUBJECT_CHARS:
        raise BadContent("subject", f"it is longer than {mail.MOST_SUBJECT_CHARS:,} characters")
    _check_depth(content)
    for field in ("text", "body", "html"):
        if content.get(field) is not None and not content[field].strip():
            raise BadContent(field, "it says nothing")


def _check_what_is_left(content: Content) -> None:
    if mail.words(content) == "" and not markup.clean(content["html"]).body:
        raise BadContent("html", "nothing of it may go out: it says nothing, or in what is taken out of a mail")


def _check_depth(content: Content) -> None:
    if (html := content.get("html")) is not None and markup.depth(html) > markup.MOST_DEPTH:
        raise BadContent("html", f"its elements stand more than {markup.MOST_DEPTH} deep in one another")


def words(content: Content) -> str | None:
    """What it says, as plain text; None for a template."""
    return mail.words(content)


def kept(content: Content) -> Content:
    """What is kept of what went out to one person: of a mail its words, not each person's copy of its HTML."""
    if content.get("html") is None:
        return content
    return {"text": mail.words(content)} | {field: value for field, value in content.items() if field != "html"}


def weight(content: Content, channel: str) -> int:
    """What counts against a rate: SMS by segments, anything else by messages."""
    return segments(content.get("body") or "") if channel == "sms" else 1


def _filled(field: str, template: Template, values: Mapping[str, object]) -> str:
    try:
        return template.render(values)
    except BadTemplate as error:
        raise BadContent(field, str(error)) from None


_VARIABLES = "template.variables."
_Read = Callable[[str], Template]


def _sources(content: Content) -> Iterator[tuple[str, str, _Read]]:
    """Each part that may hold Liquid: its field, what is written there, and how that is read."""
    for field in ("body", "subject", "text", "preheader"):
        if (source := content.get(field)) is not None:
            yield field, source, compiled
    if (html := content.get("html")) is not None:
        yield "html", html, compiled_html
    for name, source in ((content.get("template") or {}).get("variables") or {}).items():
        yield _VARIABLES + name, source, compiled
