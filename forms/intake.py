"""What is sent in by a form: kept first, answered the same for all, and carried out then.

    receive(desk, submission)   keeps it, by the same statements whoever it is about; answers at the end of a slot
    Intake                      the loop that carries it out: at once, and again after a crash

So nothing of an answer, neither its words nor its time, tells who is known here. What carrying it out takes longer for
one than for another, the slot hides.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
from sqlalchemy import delete, func, literal_column, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from forms import submission as submissions_
from forms.carry import Done, Office, carry_out
from forms.slots import slot_ends
from forms.submission import Submission
from outbox import heed
from outbox.confirmations import FORGOTTEN_AFTER
from store import bulk, tasks
from store.clock import Clock
from store.engine import Database, is_away
from store.ids import new_id
from store.tables import submissions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Coroutine

    from forms.desk import Desk

    Keeping = Callable[[AsyncConnection], Coroutine[Any, Any, None]]

__all__ = ["Intake", "Submission", "keep", "receive", "seem_to_receive"]

log = structlog.get_logger("forms")
T = TypeVar("T")

SLOT_SECONDS = 0.25  # an answer is given at the end of one; what is done for it fits into the first, nearly always
PATIENCE_SECONDS = 1.5  # for which an answer waits at most: an opt-out settles in 1.1 s
AT_ONCE = 100  # that are looked up together; each is carried out in a transaction of its own
MOST_TRIES = 3  # then it is left to people
_FORGOTTEN_AT_ONCE = 1000
# Literals, so that SQLite sees that the index serves.
_IS_PASSING = submissions.c.outcome.in_(
    [literal_column(f"'{one}'") for one in ("asked", "asked_before", "nothing", "gone")]
)
_IS_NEW = submissions.c.status == literal_column("'new'")
_IS_PARKED = submissions.c.status == literal_column("'parked'")


async def receive(desk: Desk, submission: Submission) -> None:
    """Keep a submission and have it carried out; what it does is there when this returns, unless that takes too long.

    Once it returns it is on disk. Raises DatabaseAway where it is not.
    """
    await desk.intake.take(submission)


async def seem_to_receive() -> None:
    """Take as long as `receive` does nearly always: who is not let through is not told so by the time either."""
    await slot_ends(monotonic(), SLOT_SECONDS)


async def keep(conn: AsyncConnection, id_: str, submission: Submission, *, now: datetime) -> None:
    """Keep a submission in the caller's transaction: one statement, the same for all."""
    row: dict[str, Any] = {
        "id": id_,
        "form_id": submission.form_id,
        "version": submission.version,
        "status": "new",
        "body": submissions_.spelled(submission),
        "tries": 0,
        "created_at": now,
    }
    await bulk.insert_rows(conn, submissions, [row])


class Intake(tasks.Woken):
    """Carries out what is new whenever it is woken, and as it starts. Several gateways may do so at once."""

    name = "intake"

    def __init__(
        self, database: Database, office: Office, *, clock: Clock, on_queued: Callable[[], None] = lambda: None
    ) -> None:
        """`on_queued` is told that a question waits to be sent."""
        super().__init__()
        self._database = database
        self._office = office
        self._clock = clock
        self._on_queued = on_queued
        self._waiting: dict[str, asyncio.Event] = {}  # for the end of a submission of this process
        self._settling: set[asyncio.Task[None]] = set()

    async def take(self, submission: Submission) -> None:
        """See `receive`."""
        await self.take_with(submission, lambda keeping: self._database.transact(keeping, apart=True))

    async def take_with(self, submission: Submission, commit: Callable[[Keeping], Awaitable[T]]) -> T:
        """The same in a transaction of the caller's: `commit` runs what it is given in one, or does not, where it was
        done before; what it returns is returned once the submission is carried out."""
        began = monotonic()
        id_, is_kept = new_id("sub"), False
        sent = submission if submission.at is not None else replace(submission, at=self._clock())
        done = self._waiting[id_] = asyncio.Event()

        async def keeping(conn: AsyncConnection) -> None:
            nonlocal is_kept
            await keep(conn, id_, sent, now=self._clock())
            is_kept = True

        try:
            answer = await commit(keeping)
            if is_kept:
                self.wake()
                await self._patiently(done)
        finally:
            del self._waiting[id_]
        await slot_ends(began, SLOT_SECONDS)
        return answer

    async def _patiently(self, done: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await done.wait()
        except TimeoutError:
            log.warning("submission.late")

    async def stop(self) -> None:
        await super().stop()
        await tasks.ended(list(self._settling))

    async def look(self) -> None:
        after = ""
        while not self._stopping:
            async with self._database.read() as conn:
                ids = await _new(conn, after)
            if not ids:
                return
            for id_ in ids:
                await self._one(id_)
            after = ids[-1]  # one that cannot be carried out holds up no other

    async def _one(self, id_: str) -> None:
        closed: Collection[str] = ()
        try:
            done = await self._database.transact(lambda conn: self._work(conn, id_), apart=True)
        except Exception as error:
            if is_away(error):
                raise
            log.exception("submission.failed", error=type(error).__name__)
            await self._database.transact(lambda conn: _failed(conn, id_))
        else:
            if done is not None and done.asked:
                self._on_queued()
            closed = done.heeded.closed if done is not None else ()
        if not closed:
            self._tell(id_)
            return
        task = tasks.start(self._settle(id_, closed), "intake settles")
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def _work(self, conn: AsyncConnection, id_: str) -> Done | None:
        """Carry one out; None where somebody else does, or has done."""
        mine = select(submissions.c.body).where(submissions.c.id == id_, _IS_NEW).with_for_update(skip_locked=True)
        body = (await conn.execute(mine)).scalar_one_or_none()
        if body is None:
            return None
        now = self._clock()
        done = await carry_out(conn, submissions_.read(body), self._office, now=now)
        await conn.execute(
            update(submissions)
            .where(submissions.c.id == id_)
            .values(status="done", body=None, outcome=done.outcome, done_at=now)
        )
        return done

    async def _settle(self, id_: str, closed: Collection[str]) -> None:
        await heed.settle(self._database, closed)
        self._tell(id_)

    def _tell(self, id_: str) -> None:
        if (waiting := self._waiting.get(id_)) is not None:
            waiting.set()


async def _new(conn: AsyncConnection, after: str) -> list[str]:
    found = select(submissions.c.id).where(_IS_NEW, submissions.c.id > after).order_by(submissions.c.id).limit(AT_ONCE)
    return list((await conn.execute(found)).scalars())


async def _failed(conn: AsyncConnection, id_: str) -> None:
    """Count a try that failed; the last one parks it."""
    count = update(submissions).where(submissions.c.id == id_, _IS_NEW).values(tries=submissions.c.tries + 1)
    tries = (await conn.execute(count.returning(submissions.c.tries))).scalar_one_or_none()
    if tries is not None and tries >= MOST_TRIES:
        await conn.execute(update(submissions).where(submissions.c.id == id_).values(status="parked"))
        log.error("submission.parked", submission=id_)


async def counted(conn: AsyncConnection) -> dict[str, int]:
    """How many are `new`, and how many are `parked`: what was sent in, and is not carried out."""
    number = select(func.count()).select_from(submissions)
    return {
        "new": (await conn.execute(number.where(_IS_NEW))).scalar_one(),
        "parked": (await conn.execute(number.where(_IS_PARKED))).scalar_one(),
    }


async def forget_old(conn: AsyncConnection, *, now: datetime) -> None:
    """Forget what nobody's yes or no rests on, as long after as the questions it may have led to; and what could not be
    carried out, whose personal data nobody would miss."""
    for is_passing, since in ((_IS_PASSING, submissions.c.done_at), (_IS_PARKED, submissions.c.created_at)):
        old = (
            select(submissions.c.id)
            .where(is_passing, since < now - FORGOTTEN_AFTER)
            .order_by(since)
            .limit(_FORGOTTEN_AT_ONCE)
        )
        ids = list((await conn.execute(old)).scalars())
        if ids:
            await conn.execute(delete(submissions).where(submissions.c.id.in_(ids)))
