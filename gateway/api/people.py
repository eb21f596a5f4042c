"""How a profile looks from outside: the row, its addresses, its consent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from consent import preferences, reading
from consent.states import CHANNELS, EVERYTHING, Flag, Subject
from gateway.problems import Problem, not_found
from profiles import merges, records
from profiles.records import Profile
from store.locks import lock_profiles


async def view(conn: AsyncConnection, profile_ids: Sequence[str]) -> list[dict[str, Any]]:
    """The profiles as the API shows them, in this order; those that do not exist are left out."""
    found = await records.read(conn, profile_ids)
    flags = await reading.flags_of(conn, [profile.id for profile in found])
    asked = {s.key for held in flags.values() for s in held if s.kind == "preference"}
    names = await preferences.names_of(conn, asked)
    return [_shown(profile, flags[profile.id], names) for profile in found]


async def view_one(conn: AsyncConnection, profile_id: str) -> dict[str, Any]:
    """One profile; raises Problem 404."""
    found = await view(conn, [profile_id])
    if not found:
        raise await _no_profile(conn, profile_id)
    return found[0]


async def require(conn: AsyncConnection, profile_id: str) -> Profile:
    """The profile; raises Problem 404."""
    found = await records.read(conn, [profile_id])
    if not found:
        raise await _no_profile(conn, profile_id)
    return found[0]


async def _no_profile(conn: AsyncConnection, profile_id: str) -> Problem:
    """404, with whom the profile was merged into."""
    into = await merges.merged_into(conn, profile_id)
    if into is None:
        return not_found("profile")
    return Problem(404, "not-found", "Not found", f"it was merged into {into}", merged_into=into)


async def hold(conn: AsyncConnection, profile_id: str) -> Profile:
    """The profile, which stays as it is until the transaction ends, its addresses too; raises Problem 404."""
    await lock_profiles(conn, [profile_id])
    return await require(conn, profile_id)


def _shown(profile: Profile, flags: Mapping[Subject, Flag], names: Mapping[str, str]) -> dict[str, Any]:
    return {
        "id": profile.id,
        "external_id": profile.external_id,
        "first_name": profile.first_name,
        "last_name": profile.last_name,
        "locale": profile.locale,
        "timezone": profile.timezone,
        "attributes": profile.attributes,
        "tags": list(profile.tags),
        "addresses": [
            {"channel": a.channel, "value": a.value, "primary": a.primary, "status": a.status}
            for a in profile.addresses
        ],
        "consent": consent(profile, flags, names),
        "created_at": profile.created_at,
        "updated_at": max([profile.updated_at, *(flag.recorded_at for flag in flags.values())]),
    }


def consent(profile: Profile, flags: Mapping[Subject, Flag], names: Mapping[str, str]) -> dict[str, Any]:
    """The present flags: every channel and every address, and the preferences that were asked."""
    everything = flags.get(EVERYTHING)
    return {
        "everything": everything.state if everything else "not_asked",
        "channels": {channel: _flag(flags.get(Subject("channel", channel))) for channel in CHANNELS},
        "addresses": {
            f"{a.channel}:{a.value}": _flag(flags.get(Subject("address", a.address_id))) for a in profile.addresses
        },
        "preferences": {
            names[subject.key]: _flag(flag)
            for subject, flag in sorted(flags.items())
            if subject.kind == "preference" and subject.key in names
        },
    }


def _flag(flag: Flag | None) -> dict[str, Any]:
    if flag is None:
        return {"state": "not_asked"}
    shown: dict[str, Any] = {"state": flag.state, "at": flag.at, "source": flag.source}
    if flag.state == "yes":
        shown["basis"] = flag.basis
        shown |= {"expires_at": flag.expires_at} if flag.expires_at is not None else {}
    return shown
