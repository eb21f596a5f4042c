"""Whose form it is: a signed link that the organisation's own system makes for somebody fills the form in.

It does so while it is fresh. An older one shows the form as everybody sees it, and still says whose no it is that comes
by it; another form's says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from consent import reading
from consent.states import has_ended, is_declined
from forms.catalogue import Form
from forms.desk import Desk
from profiles import merges, records


@dataclass(frozen=True, slots=True)
class Owner:
    profile_id: str
    is_fresh: bool
    address: str  # on the form's channel; empty: they have none
    addresses: frozenset[str]  # all of theirs on it, by their hashes
    fields: Mapping[str, str]  # of the form's
    ticked: frozenset[str]  # preferences that are yes, and have not ended
    declined: frozenset[str]  # and those that are no
    locale: str | None
    embed_origin: str | None  # the page that may frame it besides


async def owner_of(conn: AsyncConnection, desk: Desk, token: str, form: Form) -> Owner | None:
    """Whom a token names, however old it is; None for one not ours, of another form, or of somebody who is gone."""
    opened = desk.manage_links.read(token) if token else None
    if opened is None or opened.form_id != form.id:
        return None
    profile_id = await merges.merged_into(conn, opened.profile_id) or opened.profile_id
    found = await records.read(conn, [profile_id])
    if not found:
        return None
    [profile] = found
    theirs = [one for one in profile.addresses if one.channel == form.channel]
    own = next((one.value for one in theirs if one.address_id == opened.address_id), None)
    first = own or next((one.value for one in theirs if one.primary), None) or (theirs[0].value if theirs else "")
    flags = (await reading.flags_of(conn, [profile_id]))[profile_id]
    yeses = {one: flag for one, flag in flags.items() if flag.state == "yes" and not has_ended(flag, desk.clock())}
    values = {"first_name": profile.first_name, "last_name": profile.last_name}
    values |= {f"attributes.{name}": value for name, value in profile.attributes.items() if isinstance(value, str)}
    return Owner(
        profile_id=profile_id,
        is_fresh=opened.is_fresh(desk.clock()),
        address=first,
        addresses=frozenset(desk.book.proved(form.channel, one.value).hash for one in theirs),
        fields={name: value for name in form.shown.fields if (value := values.get(name))},
        ticked=frozenset(one.key for one in yeses if one.kind == "preference"),
        declined=frozenset(one.key for one in flags if one.kind == "preference" and is_declined(flags, one)),
        locale=profile.locale,
        embed_origin=opened.embed_origin,
    )
