"""What people wrote that reads like a no, and whether somebody has to look at it now."""

from __future__ import annotations

from datetime import datetime

from gateway.checks.findings import Finding, ok, warn
from inbox import review_list
from store.engine import Database

ABOUT = "reviews"


async def findings(database: Database, *, now: datetime) -> list[Finding]:
    """Whether one is open for longer than the law allows."""
    async with database.read() as conn:
        standing = await review_list.standing(conn)
    if not standing:
        return [ok(ABOUT, "no message waits for anybody to decide whether it is a no")]
    count = sum(one.count for one in standing.values())
    oldest_at = min(one.oldest_at for one in standing.values())
    sentence = f"{count} open, the oldest from {oldest_at:%Y-%m-%d}: `GET /v1/reviews?status=open` lists them"
    if now > review_list.legal_deadline(oldest_at):
        law = f"the law wants a revocation honoured within {review_list.LEGAL_DAYS} business days"
        why = "the gateway ends by itself what is older than seven days: is it running?"
        return [warn(ABOUT, f"{sentence}. It is older than {law} (47 CFR 64.1200(a)(10)); {why}")]
    return [ok(ABOUT, sentence)]
