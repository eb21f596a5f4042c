"""What keeps machines off the forms: a signed nonce that works once, a field that nobody sees, work, and budgets.

    nonce = hand_out(desk, seen, at=…)                     # into the page, as the field `nonce`: it says what is shown
    challenge = ask_for_work(desk, form_id, nonce, at=…)   # into the page, where the form asks for it
    await admit(desk, request, fields, …)                  # None, or Refused and why
    seen_by(desk, nonce)                                   # what was shown, as the nonce of the page tells

None of it looks at who is known here: the statements of an answer are the same for everybody's address.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from secrets import token_urlsafe
from typing import Literal

import phonenumbers
from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncConnection

from forms import budgets, spending, work
from forms.budgets import Budget, Over
from forms.desk import Desk
from profiles.addresses import is_number, same_mailbox

HONEYPOT = "website"  # nobody sees the field: who fills it in is none
WORK = "work"  # the field of the solution
TOO_QUICK, TOO_OLD = timedelta(seconds=3), timedelta(hours=24)
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_MOST_OF_A_PAGE = 300  # bytes of the embedding page's URL, so that the nonce fits what Signed reads


@dataclass(frozen=True, slots=True)
class Seen:
    """What a page has before somebody: the proof is of this, whatever the form shows by the time it is sent in."""

    form_id: str
    version: int
    page_url: str | None = None  # that it stands on, where that is known
    language: str | None = None  # None: of a page from before its nonce said so
    is_filled_in: bool = False  # with the answers of whoever came by their own link


@dataclass(frozen=True, slots=True)
class Refused:
    """Why something was not let through.

    `again`: too quick, too old, or of another form: it is shown again. `before`: it was sent in already, by a second
    click or by loading again: it is shown again as well. `quiet`: a machine, or too much for one address: it is
    answered as if it had been taken. `work`: the browser's part is missing. `full`: `over` says which budget that many
    share is spent.
    """

    why: Literal["again", "before", "quiet", "work", "full"]
    reason: str  # for operators: honeypot, nonce, work, or the budget
    keeps_nonce: bool = False  # the one that came may come again
    over: Over | None = None


@dataclass(frozen=True, slots=True)
class _Nonce:
    """What a nonce says."""

    seen: Seen
    made_at: datetime  # to the millisecond


def hand_out(desk: Desk, seen: Seen, *, at: datetime) -> str:
    """The nonce of a page that is shown now."""
    page = seen.page_url and seen.page_url.encode("utf-8", "replace")[:_MOST_OF_A_PAGE].decode("utf-8", "ignore")
    made = int(at.timestamp() * 1000)
    told: list[str | int | None]
    told = ["form", seen.form_id, seen.version, made, token_urlsafe(9), page, seen.language, int(seen.is_filled_in)]
    return desk.signed.sign_list(told)


def seen_by(desk: Desk, token: str) -> Seen | None:
    """What the page of a nonce shows, however old it is; None for what is no nonce of ours."""
    nonce = _read(desk, token)
    return nonce.seen if nonce is not None else None


def ask_for_work(desk: Desk, form_id: str, nonce: str, *, at: datetime) -> str:
    """The challenge of a page with this nonce, as JSON; the page sends its solution as the field WORK."""
    return work.challenge(desk.book.key, about=_about(form_id, nonce), expires_at=at + TOO_OLD)


async def admit(
    desk: Desk,
    request: web.Request,
    fields: Mapping[str, str],
    *,
    form_id: str,
    channel: str,
    address: str,
    proof_of_work: bool,
    needs_nonce: bool = True,
    is_owner: bool = False,
) -> Refused | None:
    """None where what was sent in is let through, its nonce and its part of the budgets spent; else why it is not.

    A page of another site's has no nonce (`needs_nonce`). `address`: normalised. `is_owner`: somebody came by their own
    link, and is no machine whatever their browser has filled in.
    """
    if fields.get(HONEYPOT) and not is_owner:
        desk.on_refused("honeypot")
        return Refused("quiet", "honeypot")
    counted = _counted(desk, request, form_id, channel, address)
    found = await _refused(desk, fields, counted, form_id, proof_of_work, needs_nonce)
    if found is not None:
        desk.on_refused(found.reason)
    return found


async def _refused(
    desk: Desk,
    fields: Mapping[str, str],
    counted: Sequence[Budget],
    form_id: str,
    proof_of_work: bool,
    needs_nonce: bool,
) -> Refused | None:
    now = desk.clock()
    token, nonce = fields.get("nonce", ""), None
    if needs_nonce:
        nonce = _read(desk, token)
        if nonce is None or nonce.seen.form_id != form_id:
            return Refused("again", "nonce")
        if now - nonce.made_at < TOO_QUICK:
            return Refused("again", "nonce", keeps_nonce=True)  # which is old enough in a moment
        if now - nonce.made_at >= TOO_OLD:
            return Refused("again", "nonce")
        if proof_of_work and not _has_worked(desk, fields.get(WORK, ""), form_id, token, now):
            return Refused("work", "work", keeps_nonce=True)

    async def take(conn: AsyncConnection) -> tuple[bool, Over | None]:
        fresh = nonce is None or await spending.spend(conn, token, until=nonce.made_at + TOO_OLD + _HOUR)
        return fresh, await budgets.spend_all(conn, counted, now=now, is_taken=fresh)

    fresh, over = await desk.database.transact(take, apart=True)
    if not fresh:
        return Refused("before", "nonce")
    if over is not None:
        budgets.note(over)
        return Refused("full" if over.budget.is_told else "quiet", over.budget.what, over=over)
    return None


# --- the nonce ---------------------------------------------------------------------------------


def _read(desk: Desk, token: str) -> _Nonce | None:
    """What the nonce says; None for what is none of ours."""
    said = desk.signed.read_list(token)
    if said is None or said[0] != "form":  # signed for something else
        return None
    _, form_id, version, made, _, page_url, *more = said
    language, is_filled_in = more or (None, 0)  # a page from before they were told
    seen = Seen(form_id, version, page_url, language, bool(is_filled_in))
    return _Nonce(seen, datetime.fromtimestamp(made / 1000, UTC))


def _about(form_id: str, nonce: str) -> dict[str, str]:
    return {"form": form_id, "nonce": spending.digest_of(nonce)}


def _has_worked(desk: Desk, solution: str, form_id: str, nonce: str, now: datetime) -> bool:
    return work.is_done(desk.book.key, solution, about=_about(form_id, nonce), now=now)


# --- budgets -----------------------------------------------------------------------------------


def _counted(desk: Desk, request: web.Request, form_id: str, channel: str, address: str) -> Sequence[Budget]:
    """The budgets that a post is of, as the configuration names them; the narrow ones first."""
    most = desk.budgets
    found = [
        Budget("posts_per_network", network, most.posts_per_network, _HOUR)
        for network in [budgets.network_of(desk.client(request), desk.book.key)]
        if network is not None
    ]
    whose = _keyed(desk, _canonical(channel, address))  # anybody can type it, and so see what others have done
    found.append(Budget("posts_per_address", whose, most.posts_per_address, _DAY, is_told=False))
    found.append(Budget("posts_per_form", form_id, most.posts_per_form, _HOUR))
    if channel != "email":  # a text costs, and some numbers pay whoever has them texted
        found.append(Budget("numbers_per_country", _country(address), most.numbers_per_country, _DAY))
        found.append(Budget("numbers_per_form", form_id, most.numbers_per_form, _DAY))
    return found


def _canonical(channel: str, address: str) -> str:
    """What of an address counts as one: a mailbox however it is written, a number whatever it is used for."""
    return same_mailbox(address) if channel == "email" else address


def _keyed(desk: Desk, canonical: str) -> str:
    return hmac.digest(desk.book.key, b"budget\x00" + canonical.encode(), "sha256").hex()


def _country(address: str) -> str:
    if not is_number(address):
        return "none"
    number = phonenumbers.parse(address, None)
    return phonenumbers.region_code_for_number(number) or f"+{number.country_code}"
