"""What keeps machines off the forms: a signed nonce that works once, and a field that nobody sees."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Literal

from aiohttp import web
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from forms.desk import Desk
from store.tables import spent

HONEYPOT = "website"
_TOO_QUICK, _TOO_OLD = timedelta(seconds=3), timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Admitted:
    page_url: str | None
    shown_version: int


@dataclass(frozen=True, slots=True)
class Refused:
    why: Literal["again", "quiet", "work"]


def hand_out(desk: Desk, form_id: str, version: int, *, page_url: str | None, at: datetime) -> str:
    """The nonce of a page that is shown now."""
    said = json.dumps([form_id, version, int(at.timestamp()), secrets.token_urlsafe(9), page_url])
    return desk.signed.sign(base64.urlsafe_b64encode(said.encode()).decode())


async def admit(
    desk: Desk,
    request: web.Request,  # noqa: ARG001
    fields: Mapping[str, str],
    *,
    form_id: str,
    version: int,
    channel: str,  # noqa: ARG001
    address: str,  # noqa: ARG001
    proof_of_work: bool,  # noqa: ARG001
    needs_nonce: bool = True,
) -> Admitted | Refused:
    """Whether what was sent in is let through; the nonce is spent. Another site's page has none (`needs_nonce`)."""
    if fields.get(HONEYPOT):
        return Refused("quiet")
    if not needs_nonce:
        return Admitted(None, version)
    nonce = fields.get("nonce", "")
    said = desk.signed.read(nonce)
    now = desk.clock()
    if said is None:
        return Refused("again")
    of_form, shown_version, made, _, page_url = json.loads(base64.urlsafe_b64decode(said))
    age = now - datetime.fromtimestamp(made, UTC)
    if of_form != form_id or not _TOO_QUICK <= age <= _TOO_OLD:
        return Refused("again")
    digest = sha256(nonce.encode()).hexdigest()

    async def work(conn: AsyncConnection) -> bool:
        if (await conn.execute(select(spent.c.hash).where(spent.c.hash == digest))).first():
            return False
        await conn.execute(insert(spent), [{"hash": digest, "expires_at": now + _TOO_OLD}])
        return True

    return Admitted(page_url, shown_version) if await desk.database.transact(work) else Refused("again")
