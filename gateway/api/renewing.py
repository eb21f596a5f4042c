"""After a change of words that forms show: the forms show the new ones, as a new version each."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from forms import catalogue
from gateway import audit
from gateway.api.base import Call


async def renew_forms(conn: AsyncConnection, call: Call, *, now: datetime) -> None:
    """Renew those that show what has changed, in the transaction of the change."""
    renewed = await catalogue.renew(conn, actor=call.actor, now=now)
    if renewed:
        await audit.note(conn, call.actor, "forms.renewed", None, {"forms": renewed}, now=now)
