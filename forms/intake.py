"""What is sent in by a form: kept first, answered the same for all, and carried out then.

    keep(conn, submission)      in the transaction of the answer, always the same statements
    Intake                      the loop that carries it out: at once, and again after a crash

So nothing of an answer, neither its words nor its time, tells who is known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from forms.desk import Desk
from store.ids import new_id
from store.tables import submissions


@dataclass(frozen=True, slots=True)
class Submission:
    """A form as it was sent in, once its defences have let it through."""

    form_id: str
    version: int
    channel: str
    address: str  # normalised, as profiles.addresses.Address.value
    answers: Mapping[str, bool]  # preference id → yes or no, of every one that was shown (a statement: yes)
    untouched: tuple[str, ...] = ()  # of these, preference ids that were preselected and left so
    names: Mapping[str, str] = field(default_factory=dict)  # first_name, last_name
    attributes: Mapping[str, str] = field(default_factory=dict)
    language: str = "en"  # that it was shown in
    is_proved: bool = True  # it came from our own page; else it is confirmed whatever the form says
    profile_id: str | None = None  # whose own signed link it was filled in by, at an address of theirs
    evidence: Mapping[str, Any] = field(default_factory=dict)  # page, ip, user_agent, wording
    at: datetime | None = None


async def receive(desk: Desk, submission: Submission) -> None:
    """Keep it; it is carried out at once."""
    body = {
        **asdict(submission),
        "at": (submission.at or desk.clock()).isoformat(),
    }

    async def work(conn: AsyncConnection) -> None:
        row = {"id": new_id("sub"), "form_id": submission.form_id, "version": submission.version, "status": "new"}
        await conn.execute(insert(submissions), [{**row, "body": body, "created_at": desk.clock()}])

    await desk.database.transact(work)
