"""May we send this, to this address, now? One definition, as SQL, for one question or for ten million.

The rows and their order are the table of docs/consent-and-the-law.md; the first that applies is the reason. The plan
of a broadcast, the check at the moment of sending, the single message and the API all select from `over`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    and_,
    bindparam,
    case,
    exists,
    false,
    func,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy.sql.selectable import NamedFromClause

from store.tables import addresses, consent_states, defaults, pauses, profile_addresses, profiles
from store.types import UTCDateTime

Flags = NamedFromClause[Any]  # consent_states under another name

ALLOWED = ("opted_in", "opted_in_by_default", "transactional", "service")
NO_REASONS = (  # rows 2 to 9: asked by address, any of these of any of its profiles wins
    "undeliverable",
    "opted_out_everything",
    "opted_out_channel",
    "opted_out_address",
    "under_review",
    "paused",
    "preference_no",
    "preference_not_asked",
)
REASONS = ("no_address", *NO_REASONS, "opted_in", "consent_expired", "opted_in_by_default", "not_opted_in",
           "transactional", "service", "unknown_address")  # fmt: skip


def is_allowed(reason: str) -> bool:
    return reason in ALLOWED


def allowed(reason: ColumnElement[str]) -> ColumnElement[bool]:
    return reason.in_([literal_column(f"'{name}'") for name in ALLOWED])


def state_alias(name: str) -> Flags:
    return consent_states.alias(name)


def _is(flag: Flags, state: str) -> ColumnElement[bool]:
    return and_(flag.c.state.is_not(None), flag.c.state == literal_column(f"'{state}'"))


def stopped(everything: Flags, channel: Flags, address: Flags) -> tuple[ColumnElement[bool], ...]:
    """Rows 3, 4 and the address's own no, for the flags of one profile."""
    row3 = and_(_is(everything, "no"), func.coalesce(channel.c.opens, false()) == false())
    row4 = and_(_is(channel, "no"), func.coalesce(address.c.opens, false()) == false())
    return row3, row4, _is(address, "no")


def on(flag: Flags, profile_id: Any, kind: str, key: Any) -> ColumnElement[bool]:
    return and_(flag.c.profile_id == profile_id, flag.c.kind == literal_column(f"'{kind}'"), flag.c.key == key)


def _others_stop(asked: FromClause) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Whether another profile with this address is stopped by row 3, 4 or a no on it; and by a no on it alone."""
    other = profile_addresses.alias("other")
    everything, channel, address = (
        state_alias("other_everything"),
        state_alias("other_channel"),
        state_alias("other_address"),
    )
    joined = (
        other.outerjoin(everything, on(everything, other.c.profile_id, "everything", literal_column("''")))
        .outerjoin(channel, on(channel, other.c.profile_id, "channel", other.c.channel))
        .outerjoin(address, on(address, other.c.profile_id, "address", other.c.address_id))
    )
    same = and_(other.c.address_id == asked.c.address_id, other.c.profile_id != asked.c.profile_id)
    any_row = or_(*stopped(everything, channel, address))
    return (
        exists(select(1).select_from(joined).where(same, any_row)).correlate(asked),
        exists(select(1).select_from(joined).where(same, _is(address, "no"))).correlate(asked),
    )


def covers(since: Any, said_at: Any, made_at: Any) -> ColumnElement[bool]:
    """Whether a channel's yes covers an address that the person has `since` then: what they had when it was said, and
    of a yes that is older than the profile, what that was made with."""
    return or_(since <= said_at, since <= made_at)


def over(asked: FromClause, *, now: datetime | None = None) -> Select[Any]:
    """The verdict on each row of `asked`: its columns, with `reason` and the address's `version`.

    Without `now` the statement can be kept, and is run with the parameter `verdict_now`.

    `asked` has the columns profile_id, address_id (NULL: no address on the channel), channel, preference_id (or
    NULL) and class (marketing | transactional | service). Every profile named must exist.
    """
    at = bindparam("verdict_now", now, type_=UTCDateTime(), required=now is None)
    row = addresses.alias("row")
    held = profile_addresses.alias("held")
    person = profiles.alias("person")
    default = defaults.alias("default_")
    everything, channel = state_alias("s_everything"), state_alias("s_channel")
    address, preference = state_alias("s_address"), state_alias("s_preference")
    paused = exists(
        select(1).where(
            pauses.c.profile_id == asked.c.profile_id,
            or_(pauses.c.channel == asked.c.channel, pauses.c.channel == literal_column("''")),
            pauses.c.until > at,
        )
    ).correlate(asked)
    row3, row4, address_no = stopped(everything, channel, address)
    others_stop, others_no = _others_stop(asked)
    suppressed = row.c.suppressed_at.is_not(None)
    covered = covers(held.c.since, channel.c.at, person.c.created_at)
    channel_yes = and_(_is(channel, "yes"), covered)
    address_yes = _is(address, "yes")
    fresh = or_(
        and_(channel_yes, or_(channel.c.expires_at.is_(None), channel.c.expires_at > at)),
        and_(address_yes, or_(address.c.expires_at.is_(None), address.c.expires_at > at)),
    )
    unasked = func.coalesce(channel.c.state, literal_column("'not_asked'")) == literal_column("'not_asked'")
    marketing = asked.c["class"] == literal_column("'marketing'")
    transactional = asked.c["class"] == literal_column("'transactional'")
    names_preference = and_(marketing, asked.c.preference_id.is_not(None))
    preference_ended = and_(_is(preference, "yes"), preference.c.expires_at.is_not(None), preference.c.expires_at <= at)

    def reason(name: str) -> ColumnElement[str]:
        return literal_column(f"'{name}'")

    verdict = case(
        (held.c.profile_id.is_(None), reason("no_address")),  # 1: none, or not this profile's any more
        (row.c.status != literal_column("'ok'"), reason("undeliverable")),  # 2
        (asked.c["class"] == literal_column("'service'"), reason("service")),
        (row3, reason("opted_out_everything")),  # 3
        (and_(transactional, or_(address_no, suppressed, others_no)), reason("opted_out_address")),
        (transactional, reason("transactional")),
        (row4, reason("opted_out_channel")),  # 4
        (or_(address_no, suppressed, others_stop), reason("opted_out_address")),  # 5
        (row.c.held_at.is_not(None), reason("under_review")),  # 6
        (paused, reason("paused")),  # 7
        (and_(names_preference, _is(preference, "no")), reason("preference_no")),  # 8
        (
            and_(names_preference, func.coalesce(preference.c.state, reason("not_asked")) == reason("not_asked")),
            reason("preference_not_asked"),
        ),  # 9
        (and_(names_preference, preference_ended), reason("consent_expired")),  # 11, which keeps row 10 from sending
        (fresh, reason("opted_in")),  # 10
        (or_(channel_yes, address_yes), reason("consent_expired")),  # 11
        (and_(unasked, default.c.state == literal_column("'yes'")), reason("opted_in_by_default")),  # 12
        else_=reason("not_opted_in"),  # 13
    )
    joined = (
        asked.join(person, person.c.id == asked.c.profile_id)
        .outerjoin(row, row.c.id == asked.c.address_id)
        .outerjoin(held, and_(held.c.profile_id == asked.c.profile_id, held.c.address_id == asked.c.address_id))
        .outerjoin(everything, on(everything, asked.c.profile_id, "everything", literal_column("''")))
        .outerjoin(channel, on(channel, asked.c.profile_id, "channel", asked.c.channel))
        .outerjoin(address, on(address, asked.c.profile_id, "address", asked.c.address_id))
        .outerjoin(preference, on(preference, asked.c.profile_id, "preference", asked.c.preference_id))
        .outerjoin(default, and_(default.c.version == person.c.defaults_version, default.c.channel == asked.c.channel))
    )
    return select(*asked.c, verdict.label("reason"), row.c.version.label("version")).select_from(joined).where(true())
