"""What the rows of an import say of consent, as changes for the one door; and what was said by an import before.

To import a file again is harmless: an answer that is recorded already is none. It is the same answer when state,
terms and evidence are the same, and it is dated, or stands anyway, or comes from the same line of the same file. So an
undated no of another file is always taken, also over a yes from in between; that of the very same file is taken once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from audience.columns import Answer, Row
from consent.moves import Links, transition
from consent.states import Change, Person, Refusal, Subject, Wish, is_open_under
from store.ids import new_id
from store.parts import IDS, rows_by
from store.tables import consent_events, evidence

SOURCE, ACTOR = "import", "system"


@dataclass(frozen=True, slots=True)
class Source:
    """The file, as evidence names it."""

    file: str
    sha256: str


class Earlier(NamedTuple):
    """An answer that an import recorded before."""

    subject: Subject
    to: str
    terms: tuple[str | None, datetime | None]  # basis, end
    evidence: tuple[datetime | None, str | None, str | None]  # obtained_at, how, wording
    place: tuple[str | None, int | None]  # the file's sha256, the line


async def earlier(conn: AsyncConnection, profile_ids: Collection[str]) -> dict[str, list[Earlier]]:
    """By profile, what imports have recorded of it. Evidence that was erased is not known again."""
    event = consent_events.c
    statement = (
        select(event.profile_id, event.subject_kind, event.subject_key, event.to_state, event.basis, event.expires_at,
               evidence.c.body)
        .join(evidence, evidence.c.event_id == event.id)
        .where(event.profile_id.in_(IDS), event.source == SOURCE, event.via.is_(None), evidence.c.body.is_not(None))
    )  # fmt: skip
    found: dict[str, list[Earlier]] = {}
    for row in await rows_by(conn, statement, profile_ids):
        said = row.body
        obtained_at = datetime.fromisoformat(said["obtained_at"]) if said.get("obtained_at") else None
        found.setdefault(row.profile_id, []).append(
            Earlier(
                Subject(row.subject_kind, row.subject_key),
                row.to_state,
                (row.basis, row.expires_at),
                (obtained_at, said.get("how"), said.get("wording")),
                (said.get("file_sha256"), said.get("line")),
            )
        )
    return found


def new_answers(row: Row, person: Person, before: Sequence[Earlier], source: Source) -> tuple[Answer, ...]:
    """The answers of a row that are not recorded yet; their subjects, and those of the person, by the same names."""
    place = (source.sha256, row.line)
    return tuple(a for a in row.answers if not _is_recorded(a, person, before, place))


def _is_recorded(answer: Answer, person: Person, before: Sequence[Earlier], place: tuple[str, int]) -> bool:
    flag, obtained = person.flags.get(answer.subject), person.obtained.get(answer.subject)
    terms = ((answer.basis or "express") if answer.to == "yes" else None, answer.expires_at)
    # The terms that a no by a link keeps are not its own.
    stands = flag is not None and flag.state == answer.to and terms in ((flag.basis, flag.expires_at), (None, None))
    if stands and flag is not None and answer.obtained_at in (flag.at, obtained or flag.at):
        return True  # whoever recorded it: what was exported comes home
    shown = (answer.obtained_at, answer.how, answer.wording)
    # A no of another file closes what was opened under the one that stands.
    is_whole = stands and not is_open_under(person.flags, answer.subject, person.channels)
    return any(
        (one.subject, one.to, one.terms, one.evidence) == (answer.subject, answer.to, terms, shown)
        and (answer.obtained_at is not None or is_whole or one.place == place)
        for one in before
    )


def changes(profile_id: str, row: Row, answers: Iterable[Answer], source: Source) -> list[Change]:
    """The answers as changes, one for each piece of evidence, the oldest first; what is not dated is said now.

    Each has a change id of its own: of answers from two times no later one is opened by an earlier. What the row says
    of a subject no effect of another answer of it turns.
    """
    beside = tuple(_wish(answer) for answer in row.answers)
    groups: dict[tuple[datetime | None, str | None, str | None], list[Answer]] = {}
    for answer in answers:
        groups.setdefault((answer.obtained_at, answer.how, answer.wording), []).append(answer)
    in_time = sorted(groups.items(), key=lambda group: (group[0][0] is None, group[0][0] or 0))
    place = {"file": source.file, "file_sha256": source.sha256, "line": row.line}
    return [
        Change(
            profile_id=profile_id,
            change_id=new_id("chg"),
            wishes=tuple(_wish(answer) for answer in said),
            source=SOURCE,
            actor=ACTOR,
            said_at=shown[0],
            evidence=place | _given(*shown),
            beside=beside,
        )
        for shown, said in in_time
    ]


def _wish(answer: Answer) -> Wish:
    return Wish(answer.subject, answer.to, answer.basis, answer.expires_at)


def _given(obtained_at: datetime | None, how: str | None, wording: str | None) -> dict[str, object]:
    given = {"obtained_at": obtained_at, "how": how, "wording": wording}
    return {name: value for name, value in given.items() if value is not None}


def refused(person: Person, wanted: Sequence[Change], *, links: Links, now: datetime) -> Refusal | None:
    """The first wish that the ledger would refuse; by the ledger's own function."""
    for place, change in enumerate(wanted):
        moved = transition(
            person, change, links=links, now=now + timedelta(microseconds=place), new_id=lambda: new_id("evt")
        )
        if moved.refusals:
            return moved.refusals[0]
        person = replace(person, flags=moved.flags)
    return None
