"""Preferences: the questions put to customers, in their groups and in order.

A partner preference stands in the partner group and nowhere else, and no other stands there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import groups
from consent.states import State
from store import order
from store.ids import new_id
from store.tables import consent_states, preference_groups, preferences, profiles


class NameTaken(Exception):
    """Another preference has this name."""


class UnknownPreference(Exception):
    """No preference has this name; the message is the name."""


class WrongGroup(Exception):
    """It cannot stand in that group; the message says why."""


@dataclass(frozen=True, slots=True)
class Preference:
    id: str
    group_id: str | None  # None: before all groups, without a headline
    group: str | None  # its headline
    name: str  # unique; for staff and reports
    text: str  # all that customers see
    description: str | None
    selected_by_default: bool
    active: bool
    linked_channel: str | None
    contexts: Sequence[str]
    partner: str | None
    position: int  # in its group
    created_at: datetime
    updated_at: datetime


_PLAIN = ("description", "selected_by_default", "active", "linked_channel", "contexts", "partner")


def in_reports(name: str, active: bool) -> str:
    """The name where people read it."""
    return name if active else f"{name} (inactive)"


async def create(
    conn: AsyncConnection,
    *,
    name: str,
    text: str | None = None,
    description: str | None = None,
    group: str | None = None,
    selected_by_default: bool = False,
    active: bool = True,
    linked_channel: str | None = None,
    contexts: Sequence[str] = (),
    partner: str | None = None,
    place: int | None = None,
    now: datetime,
) -> Preference:
    """A new preference, the last of its group where no place is named; `group` is a headline or an id.

    Raises NameTaken, groups.UnknownGroup, WrongGroup.
    """
    await order.alone(conn, preferences)
    await _require_free(conn, name)
    row: dict[str, Any] = {
        "id": new_id("prf"),
        "group_id": await _group_for(conn, group, partner, now),
        "name": name,
        "text": text or name,
        "description": description,
        "selected_by_default": selected_by_default,
        "active": active,
        "linked_channel": linked_channel,
        "contexts": list(contexts),
        "partner": partner,
        "position": 0,
        "created_at": now,
        "updated_at": now,
    }
    await conn.execute(insert(preferences), [row])
    await _place(conn, row["id"], row["group_id"], place)
    return await _reread(conn, row["id"])


async def change(
    conn: AsyncConnection, before: Preference, given: Mapping[str, Any], *, place: int | None = None, now: datetime
) -> Preference:
    """Set what is given, by the names of `create`; a partner more or less moves it into the partner group or out of it.

    Raises as `create` does.
    """
    await order.alone(conn, preferences)
    values: dict[str, Any] = {name: given[name] for name in _PLAIN if name in given}
    name = given.get("name", before.name)
    if name != before.name:
        await _require_free(conn, name)
        values["name"] = name
    if "text" in given:
        values["text"] = given["text"] or name
    if {"group", "partner"} & given.keys():
        partner = given.get("partner", before.partner)
        stays = None if bool(partner) != bool(before.partner) else before.group_id
        values["group_id"] = await _group_for(conn, given.get("group", stays), partner, now)
    if values:
        await conn.execute(update(preferences).where(preferences.c.id == before.id).values(**values, updated_at=now))
    group_id = values.get("group_id", before.group_id)
    if place is not None or group_id != before.group_id:
        await _place(conn, before.id, group_id, place)
    if group_id != before.group_id:
        await _close_up(conn, before.group_id)
    return await _reread(conn, before.id)


async def remove(conn: AsyncConnection, preference: Preference) -> None:
    """Take it away; the caller holds it (`hold`), and has made sure that nothing uses it."""
    await conn.execute(delete(preferences).where(preferences.c.id == preference.id))
    await _close_up(conn, preference.group_id)


async def arrange(conn: AsyncConnection, group_id: str | None, given: Sequence[str]) -> list[Preference]:
    """Let all preferences of a group stand in this order, each by its name or id; raises order.BadOrder."""
    await order.alone(conn, preferences)
    known = {row.id: row.name for row in await conn.execute(_in_group(group_id))}
    ids = order.checked(given, known)
    await order.arrange(conn, preferences, ids)
    return [preference for preference in await listed(conn) if preference.group_id == group_id]


# --- found -------------------------------------------------------------------------------------


async def by_names(conn: AsyncConnection, names: Collection[str], *, hold: bool = False) -> dict[str, str]:
    """Name → id, for those that exist. With `hold` none of them is deleted before the transaction ends."""
    statement = select(preferences.c.name, preferences.c.id).where(preferences.c.name.in_(set(names)))
    if hold:
        statement = statement.order_by(preferences.c.id).with_for_update(read=True, key_share=True)
    return {row.name: row.id for row in await conn.execute(statement)}


async def still_there(conn: AsyncConnection, ids: Collection[str]) -> set[str]:
    """Those of them that exist; none of these is deleted before the transaction ends."""
    if not ids:
        return set()
    found = select(preferences.c.id).where(preferences.c.id.in_(set(ids))).order_by(preferences.c.id)
    return set((await conn.execute(found.with_for_update(read=True, key_share=True))).scalars())


async def require(conn: AsyncConnection, name: str, *, hold: bool = False) -> str:
    """The id of the preference with this name; raises UnknownPreference. `hold` as in `by_names`."""
    found = await by_names(conn, [name], hold=hold)
    if name not in found:
        raise UnknownPreference(name)
    return found[name]


async def names_of(conn: AsyncConnection, ids: Collection[str]) -> dict[str, str]:
    """Id → name."""
    rows = await conn.execute(select(preferences.c.id, preferences.c.name).where(preferences.c.id.in_(set(ids))))
    return {row.id: row.name for row in rows}


async def text_of(conn: AsyncConnection, preference_id: str) -> str | None:
    """The preference as customers see it."""
    row = await conn.execute(select(preferences.c.text).where(preferences.c.id == preference_id))
    return row.scalar_one_or_none()


async def find(conn: AsyncConnection, preference_id: str) -> Preference | None:
    row = (await conn.execute(_whole().where(preferences.c.id == preference_id))).mappings().one_or_none()
    return Preference(**row) if row is not None else None


async def hold(conn: AsyncConnection, preference_id: str) -> Preference | None:
    """The preference, which nobody begins to use before the transaction ends."""
    await order.alone(conn, preferences)
    await conn.execute(select(preferences.c.id).where(preferences.c.id == preference_id).with_for_update())
    return await find(conn, preference_id)


async def listed(conn: AsyncConnection) -> list[Preference]:
    """All of them as they are shown: those without a group, then group by group."""
    place = func.coalesce(preference_groups.c.position, -1), func.coalesce(preferences.c.group_id, "")
    statement = _whole().order_by(*place, preferences.c.position, preferences.c.id)
    return [Preference(**row) for row in (await conn.execute(statement)).mappings()]


def _whole() -> Select[Any]:
    columns = [preferences.c[name] for name in Preference.__dataclass_fields__ if name != "group"]
    return select(*columns, preference_groups.c.headline.label("group")).outerjoin(
        preference_groups, preference_groups.c.id == preferences.c.group_id
    )


async def _reread(conn: AsyncConnection, preference_id: str) -> Preference:
    found = await find(conn, preference_id)
    if found is None:
        raise AssertionError("it was written in this transaction")
    return found


# --- who has answered --------------------------------------------------------------------------


async def who(conn: AsyncConnection, preference_id: str, state: State, *, after: str | None, limit: int) -> list[str]:
    """Ids of the profiles whose answer this is, in the order of their making, from behind `after`."""
    said = consent_states.alias("said")
    of_it = (said.c.kind == "preference") & (said.c.key == preference_id)
    if state == "not_asked":
        id_ = profiles.c.id
        answered = said.select().where(of_it, said.c.profile_id == id_, said.c.state != state).exists()
        statement = select(id_).where(~answered)
    else:  # in the order of its index: of a million who said yes a page is read, and no more
        id_ = said.c.profile_id
        statement = select(id_).join(profiles, profiles.c.id == id_).where(of_it, said.c.state == state)
    if after is not None:
        statement = statement.where(id_ > after)
    return list((await conn.execute(statement.order_by(id_).limit(limit))).scalars())


async def counts(conn: AsyncConnection, preference_id: str) -> dict[str, int]:
    """State → how many profiles have this answer."""
    said = consent_states
    rows = await conn.execute(
        select(said.c.state, func.count().label("people"))
        .join(profiles, profiles.c.id == said.c.profile_id)
        .where(said.c.kind == "preference", said.c.key == preference_id, said.c.state.in_(["yes", "no"]))
        .group_by(said.c.state)
    )
    found = {"yes": 0, "no": 0} | {row.state: int(row.people) for row in rows}
    everybody = (await conn.execute(select(func.count()).select_from(profiles))).scalar_one()
    return found | {"not_asked": everybody - sum(found.values())}


async def ever_answered(conn: AsyncConnection, preference_id: str) -> int:
    """How many people the history holds an answer of, also those who are gone since."""
    about = consent_states.c.kind == "preference", consent_states.c.key == preference_id
    return int((await conn.execute(select(func.count()).select_from(consent_states).where(*about))).scalar_one())


# --- where it stands ---------------------------------------------------------------------------


async def _group_for(conn: AsyncConnection, named: str | None, partner: str | None, now: datetime) -> str | None:
    """The id of the group in which it is to stand; raises groups.UnknownGroup, WrongGroup."""
    own = await groups.for_partners(conn, now=now) if partner is not None else None
    group = await groups.require(conn, named) if named is not None else None
    if own is None:
        if group is not None and group.partner:
            raise WrongGroup(f"{group.headline!r} is for partner preferences only: name a partner, or another group")
        return group.id if group is not None else None
    if group is not None and group.id != own.id:
        raise WrongGroup(f"a partner preference stands in {own.headline!r} only: leave the group out")
    return own.id


def _in_group(group_id: str | None) -> Select[Any]:
    """Id and name of those in a group, in their order."""
    statement = select(preferences.c.id, preferences.c.name).order_by(preferences.c.position, preferences.c.id)
    return statement.where(preferences.c.group_id.is_not_distinct_from(group_id))


async def _place(conn: AsyncConnection, preference_id: str, group_id: str | None, place: int | None) -> None:
    ids = [row.id for row in await conn.execute(_in_group(group_id))]
    await order.arrange(conn, preferences, order.placed(ids, preference_id, place))


async def _close_up(conn: AsyncConnection, group_id: str | None) -> None:
    await order.arrange(conn, preferences, [row.id for row in await conn.execute(_in_group(group_id))])


async def _require_free(conn: AsyncConnection, name: str) -> None:
    if await by_names(conn, [name]):
        raise NameTaken(name)
