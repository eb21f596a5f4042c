"""Forms that were sent in and could not be carried out: somebody's yes or no may be among them."""

from __future__ import annotations

from forms import intake
from gateway.checks.findings import Finding, ok, warn
from store.engine import Database

ABOUT = "submissions"


async def findings(database: Database) -> list[Finding]:
    """Whether some are parked."""
    async with database.read() as conn:
        counts = await intake.counted(conn)
    if not counts["parked"]:
        return [ok(ABOUT, f"none is parked, {counts['new']} wait to be carried out")]
    where = "they stand in the table `submissions` as they came, and the log says `submission.failed` with the place"
    return [warn(ABOUT, f"{counts['parked']} sent in by forms could not be carried out: {where}. Report it")]
