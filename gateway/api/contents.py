"""What a message says, over the API: as it is given, and what is checked of it before anything is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, StringConstraints, field_validator
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import preferences
from content import composition, mail, markup
from content.composition import BadContent
from content.liquid import HTML_CHARS, SOURCE_CHARS
from gateway.api.base import Call
from gateway.api.bodies import Body
from gateway.problems import invalid
from gateway.providers.meta import Meta
from outbox import lastlook

MOST_VARIABLES = 100  # of a template
Words = Annotated[str, StringConstraints(min_length=1, max_length=SOURCE_CHARS)]


class TemplateIn(Body):
    """A template that WhatsApp has approved."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    language: str | None = None
    variables: dict[str, Annotated[str, StringConstraints(max_length=1600)]] = Field(
        default_factory=dict, max_length=MOST_VARIABLES
    )


class ContentIn(Body):
    """`body`, `subject`, `text`, `html`, `preheader` and the template's variables may hold Liquid."""

    body: Words | None = None
    """The text, such as `Hi {{ first_name | default: 'there' }}, …`; by e-mail where there is no `text`."""
    template: TemplateIn | None = None
    """For WhatsApp; outside the 24 hours after a person wrote, only a template may go to them."""
    subject: Annotated[str, StringConstraints(min_length=1, max_length=1000)] | None = None
    """Of an e-mail. Filled in it is one line, of 250 characters at most."""
    text: Words | None = None
    """Of an e-mail, as plain text; made from `html` where neither it nor `body` is given."""
    html: Annotated[str, StringConstraints(min_length=1, max_length=HTML_CHARS)] | None = None
    """Of an e-mail. What is filled in is escaped; what mail should not hold (scripts, forms, images without https) is
    taken out, and named in `warnings`."""
    preheader: Annotated[str, StringConstraints(min_length=1, max_length=1000)] | None = None
    """What mail programs show beside the subject; needs `html`."""
    from_name: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None
    """Instead of the name in the connection's `from`."""
    reply_to: Annotated[str, StringConstraints(min_length=3, max_length=320)] | None = None
    """Where answers go: `box@example.org`, or `Box office <box@example.org>`."""

    @field_validator("from_name")
    @classmethod
    def _is_name(cls, value: str | None) -> str | None:
        if value is not None and (not mail.one_line(value) or "{{" in value or "{%" in value):
            raise ValueError("a name as it is read; it is not filled in")
        return value

    @field_validator("reply_to")
    @classmethod
    def _is_mailbox(cls, value: str | None) -> str | None:
        if value is not None and not mail.is_mailbox(value):
            raise ValueError("not a mailbox: write it as box@example.org, or as Box office <box@example.org>")
        return value


def content_for(call: Call, given: ContentIn, ways: Mapping[str, str], class_: str = "marketing") -> dict[str, Any]:
    """The content as it is kept; raises Problem for what one of the channels could not carry.

    `ways`: channel → connection, in order of wish.
    """
    channels = list(ways)
    _check_parts(given, channels)
    if given.template is not None and given.template.language is None and _is_at_meta(call, ways["whatsapp"]):
        raise invalid("content.template.language", "Meta knows a template by name and language, such as en or pt_BR")
    if "email" in ways and class_ == "marketing" and not call.house.policy.manner(ways["email"]).sandbox:
        if given.subject is None:
            raise invalid("content.subject", "marketing by e-mail needs one")
        must_have_postal_address(call)
    content = given.model_dump(exclude_none=True)
    try:
        composition.check(content, channels)
        if class_ == "marketing" and "sms" in ways:
            lastlook.check_with_notice(content, ways["sms"], call.house.policy)
    except BadContent as error:
        raise invalid(f"content.{error.field}", str(error)) from None
    return content


def _is_at_meta(call: Call, connection: str) -> bool:
    return isinstance(call.house.settings.connections.get(connection), Meta)


def must_have_postal_address(call: Call) -> None:
    """Raise Problem where marketing by e-mail could not say where its sender is, as CAN-SPAM and CASL ask."""
    if not call.house.policy.postal_address.strip():
        words = "marketing by e-mail tells where its sender is: set postal_address in [organisation] and restart"
        raise invalid("channel", words)


def _check_parts(given: ContentIn, channels: list[str]) -> None:
    """Each channel finds its part, and each part its channel."""
    if given.template is not None and "whatsapp" not in channels:
        raise invalid("content.template", "templates are for whatsapp")
    for field in mail.FIELDS:
        if getattr(given, field) is not None and "email" not in channels:
            raise invalid(f"content.{field}", "it is for email")
    if given.preheader is not None and given.html is None:
        raise invalid("content.preheader", "it stands in `html`, which is missing")
    if given.body is None and given.template is None and given.text is None and given.html is None:
        raise invalid("content", "give " + " or ".join(f"`{field}`" for field in _parts_for(channels)))
    for channel in channels:
        if not any(getattr(given, field) is not None for field in _PARTS.get(channel, ("body",))):
            field, words = ("text", "give `text`, `html` or `body`") if channel == "email" else ("body", "needs one")
            raise invalid(f"content.{field}", f"{channel} {words}")


_PARTS = {"whatsapp": ("body", "template"), "email": ("text", "html", "body")}


def _parts_for(channels: list[str]) -> list[str]:
    return list(dict.fromkeys(field for channel in channels for field in _PARTS.get(channel, ("body",))))


def warnings(content: Mapping[str, Any]) -> list[str]:
    """What the content does not go out with, though it is given."""
    html = content.get("html")
    return [f"content.html: {what} is taken out" for what in markup.taken_out(html)] if html is not None else []


async def check_preferences(conn: AsyncConnection, content: Mapping[str, Any]) -> None:
    """Raise Problem where the content asks for a preference that there is not."""
    asked = composition.preferences_by_field(content)
    known = await preferences.by_names(conn, {name for names in asked.values() for name in names}) if asked else {}
    for field, names in asked.items():
        if missing := sorted(names - known.keys()):
            raise invalid(f"content.{field}", f"there is no preference named {missing[0]!r}")
