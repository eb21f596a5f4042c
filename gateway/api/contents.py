"""What a message says, over the API: as it is given, and what is checked of it before anything is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, StringConstraints
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import preferences
from content import composition
from content.composition import BadContent
from content.liquid import SOURCE_CHARS
from gateway.api.base import Call
from gateway.api.bodies import Body
from gateway.problems import invalid
from gateway.providers.meta import Meta
from outbox import lastlook

MOST_VARIABLES = 100  # of a template


class TemplateIn(Body):
    """A template that WhatsApp has approved."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    language: str | None = None
    variables: dict[str, Annotated[str, StringConstraints(max_length=1600)]] = Field(
        default_factory=dict, max_length=MOST_VARIABLES
    )


class ContentIn(Body):
    """`body` and the template's variables may hold Liquid."""

    body: Annotated[str, StringConstraints(min_length=1, max_length=SOURCE_CHARS)] | None = None
    """The text, such as `Hi {{ first_name | default: 'there' }}, …`."""
    template: TemplateIn | None = None
    """For WhatsApp; outside the 24 hours after a person wrote, only a template may go to them."""


def content_for(call: Call, given: ContentIn, ways: Mapping[str, str], class_: str = "marketing") -> dict[str, Any]:
    """The content as it is kept; raises Problem for what one of the channels could not carry.

    `ways`: channel → connection, in order of wish.
    """
    channels = list(ways)
    if given.body is None and given.template is None:
        raise invalid("content", "give `body`" + (" or `template`" if "whatsapp" in channels else ""))
    if given.template is not None and "whatsapp" not in channels:
        raise invalid("content.template", "templates are for whatsapp")
    if given.template is not None and given.template.language is None and _is_at_meta(call, ways["whatsapp"]):
        raise invalid("content.template.language", "Meta knows a template by name and language, such as en or pt_BR")
    others = [channel for channel in channels if channel != "whatsapp"]
    if given.body is None and others:
        raise invalid("content.body", f"{others[0]} needs one: the template is for whatsapp alone")
    content = given.model_dump(exclude_none=True)
    try:
        composition.check(content)
        if class_ == "marketing" and "sms" in ways:
            lastlook.check_with_notice(content, ways["sms"], call.house.policy)
    except BadContent as error:
        raise invalid(f"content.{error.field}", str(error)) from None
    return content


def _is_at_meta(call: Call, connection: str) -> bool:
    return isinstance(call.house.settings.connections.get(connection), Meta)


async def check_preferences(conn: AsyncConnection, content: Mapping[str, Any]) -> None:
    """Raise Problem where the content asks for a preference that there is not."""
    asked = composition.preferences_by_field(content)
    known = await preferences.by_names(conn, {name for names in asked.values() for name in names}) if asked else {}
    for field, names in asked.items():
        if missing := sorted(names - known.keys()):
            raise invalid(f"content.{field}", f"there is no preference named {missing[0]!r}")
