"""A receipt: what a person has said yes and no to, for them to keep, in the fields of ISO/IEC TS 27560.

It is whole in itself: the words that were shown then stand in it, whatever has become of them since. One document for
each person; a purpose for each subject, with everything that was said of it, the oldest first.

    event_type    express | implied | soft_opt_in: on which basis it stood
    event_state   consent_given | consent_refused | consent_withdrawn | consent_unknown (back to not asked)
    source        ours: by which door it came, see consent.states.SOURCES

Of the standard's fields those stand in it that the gateway knows. Where data is stored and for how long, under which
law and who else gets it, the privacy notice says, which the receipt names; the standard asks no more of a receipt than
its id and that of its schema. The fields are taken from the guide of the Data Privacy Vocabularies group:
https://w3id.org/dpv/guides/consent-27560 (terms of ISO 27560, EU GDPR and DPV).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import history
from consent.history import Filter, HistoryLine
from consent.states import MACHINE
from store.tables import preferences

SCHEMA = "ISO/IEC TS 27560:2023"
CONTROLLER = "organisation"
_PART = 500  # lines that are read at once
_BASES = {"express": "consent", "implied": "implied_consent", "soft_opt_in": "legitimate_interest"}
_OUR_PAGES = ("form", "confirmation", "preference_centre")
_PURPOSES = {
    "everything": "any contact",
    "channel": "news and offers by {}",
    "address": "news and offers by {} at one address",
}
_WORDS_OF_IT = ("form_id", "form_version", "version", "language", "wording", "terms_version", "how", "obtained_at")

Show = Callable[[str, str], str]  # (channel, address) → as it stands in the receipt


@dataclass(frozen=True, slots=True)
class Controller:
    """Who asks."""

    name: str
    address: str = ""
    contact: str = ""
    privacy_url: str = ""


async def for_person(
    conn: AsyncConnection,
    profile_id: str,
    family: Sequence[str],
    controller: Controller,
    *,
    show: Show = lambda _, value: value,
    is_whole: bool = True,
    now: datetime,
) -> dict[str, Any]:
    """The receipt of a person. `family`: the person, and whoever has become part of them.

    One that is not whole holds of words only those of our own pages: what others noted may name anybody.
    """
    lines: list[HistoryLine] = []
    before: int | None = None
    while part := await history.read(conn, Filter(profile_ids=family), before=before, limit=_PART):
        lines += part
        before = part[-1].seq
    lines.reverse()
    texts = await texts_of(conn, {line.key for line in lines if line.kind == "preference"})
    return document(profile_id, lines, texts, controller, show=show, is_whole=is_whole, now=now)


def document(
    profile_id: str,
    lines: Sequence[HistoryLine],
    texts: Mapping[str, str],
    controller: Controller,
    *,
    show: Show,
    is_whole: bool = True,
    now: datetime,
) -> dict[str, Any]:
    """The receipt of these lines, the oldest first. Pure; `texts`: of preferences, by id."""
    by_subject: dict[tuple[str, str], list[HistoryLine]] = {}
    for line in lines:
        by_subject.setdefault((line.kind, line.key), []).append(line)
    last = max((line.seq for line in lines), default=0)
    return {
        "schema_version": SCHEMA,
        "receipt_id": f"{profile_id}.{last}",
        "record_id": profile_id,
        "pii_principal_id": profile_id,
        "issued_at": now,
        "pii_processing": {
            "privacy_notice": controller.privacy_url or None,
            "pii_controllers": [CONTROLLER],
            "withdrawal_method": ["preference_centre", "unsubscribe_link", "keyword"],
            "purposes": [_purpose(profile_id, said, texts, show, is_whole) for said in by_subject.values()],
        },
        "party_identification": [
            {
                "party_id": CONTROLLER,
                "party_name": controller.name,
                "party_role": "pii_controller",
                "party_type": "organisation",
                "party_address": controller.address or None,
                "party_contact": controller.contact or None,
                "party_url": controller.privacy_url or None,
            }
        ],
    }


def encoded(made: Mapping[str, Any]) -> bytes:
    """A receipt as a file: times as RFC 3339 in UTC."""
    return json.dumps(made, default=_spelled, ensure_ascii=False, indent=2).encode() + b"\n"


def _spelled(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    raise TypeError(f"{type(value).__name__} is no part of a receipt")


def _purpose(
    profile_id: str, said: Sequence[HistoryLine], texts: Mapping[str, str], show: Show, is_whole: bool
) -> dict[str, Any]:
    last = said[-1]
    basis = next((line.basis for line in reversed(said) if line.to_state == "yes"), None)
    channel = last.key if last.kind == "channel" else last.subject_channel
    value = last.subject_value
    return {
        "purpose_id": f"{last.kind}:{last.key}" if last.key else last.kind,
        "purpose": texts.get(last.key, "") if last.kind == "preference" else _PURPOSES[last.kind].format(channel),
        "purpose_type": "marketing",
        "lawful_basis": _BASES[basis or "express"],
        "pii_information": [
            {
                "pii_type": channel or "any",
                "pii_attribute_id": show(channel, value) if channel is not None and value is not None else None,
            }
        ],
        "events": [_event(profile_id, line, is_whole) for line in said],
    }


def _event(profile_id: str, line: HistoryLine, is_whole: bool) -> dict[str, Any]:
    evidence = (line.evidence or {}) if is_whole or line.source in _OUR_PAGES else {}
    is_yes = line.to_state == "yes"
    return {
        "event_id": line.id,
        "event_time": min(line.provider_at, line.at) if line.provider_at is not None else line.at,
        "event_type": line.basis if is_yes else "implied" if line.source in MACHINE else "express",
        "event_state": _state(line),
        "source": line.source,
        "validity_duration": line.expires_at if is_yes else None,
        "entity_id": profile_id if line.actor.endswith("customer") else CONTROLLER,
        "notice": {name: evidence[name] for name in _WORDS_OF_IT if evidence.get(name) is not None},
        "superseded": line.superseded,
        "hash": line.hash,
    }


def _state(line: HistoryLine) -> str:
    if line.to_state == "yes":
        return "consent_given"
    if line.to_state == "not_asked":
        return "consent_unknown"
    return "consent_withdrawn" if line.from_state == "yes" else "consent_refused"


async def texts_of(conn: AsyncConnection, ids: Iterable[str]) -> dict[str, str]:
    """Preference id → what customers see."""
    found = select(preferences.c.id, preferences.c.text).where(preferences.c.id.in_(sorted(set(ids))))
    return {row.id: row.text for row in await conn.execute(found)}
