"""The opt-in form: GET shows it, POST sends it in. No login, no cookie; what it answers tells nothing of anybody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode, urlsplit

import phonenumbers
from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncConnection

from consent.states import Subject
from forms import catalogue, colours, defence, entries, intake, sights, texting
from forms.catalogue import Shown
from forms.desk import DESK, Desk, come_again, page, unknown_link, who_asks
from forms.entries import Entry, Typed
from forms.look import spoken, text_of
from forms.posted import Posted, fields_in, whole_body
from forms.sights import Sight
from forms.wishes import origin_of
from forms.work import MOST
from outbox import confirmations

_MOST_FIELDS = 200
_MOST_OF_A_PAGE = 300  # characters of the embedding page's URL that are kept
_MOST_OF_A_NONCE = 1000


def mount(app: web.Application) -> None:
    """Add the routes; the application is given its Desk when it starts."""
    app.router.add_get("/forms/{id}", ask)
    app.router.add_post("/forms/{id}", send)


# --- what is asked of it -----------------------------------------------------------------------


async def ask(request: web.Request) -> web.Response:
    """Show the form. Nothing is kept of it."""
    desk = request.app[DESK]
    sight = await sights.look_at(request, request.match_info["id"])
    if sight is None or not sight.is_open:
        return closed(request, sight)
    owner = sight.owner if sight.is_filled_in else None
    typed = Typed(owner.address, owner.fields, owner.ticked) if owner is not None else _untyped(sight.shown)
    page_url = page_of(request.headers.get("Referer", ""))
    return shown_again(request, sight, typed, nonce=sights.nonce_for(desk, sight, page_url), status=200)


async def send(request: web.Request) -> web.Response:
    """Take what was typed. The answer is the same whoever has the address."""
    desk = request.app[DESK]
    given = await read_form(request)
    sight = await sights.look_at(request, request.match_info["id"])
    if sight is None or not sight.is_open or not sight.shown.is_typed:
        return closed(request, sight)
    typed = typed_of(sight.shown, given)
    token = given.one("nonce")[:_MOST_OF_A_NONCE]
    entry = read_entry(desk, sight, typed)
    if entry.address is None or entry.wrong:
        return shown_again(request, sight, typed, wrong=entry.wrong, nonce=sights.nonce_again(desk, sight, token))
    why = await defence.admit(
        desk,
        request,
        given.firsts(),
        form_id=sight.form_id,
        channel=sight.shown.channel,
        address=entry.address.value,
        proof_of_work=sight.shown.proof_of_work,
        is_owner=_is_own(sight, entry),
    )
    if why is not None and why.over is None:
        return await _turned_away(request, sight, typed, why, token)
    seen = defence.seen_by(desk, token) or sights.seen_now(sight, None)
    before = await sights.as_shown(request, sight, seen)
    entry = read_entry(desk, before, typed_of(before.shown, given))
    if entry.address is None or entry.wrong:  # of a version that asked for more
        return shown_again(
            request, sight, typed, note="changed", nonce=sights.nonce_again(desk, sight, token, is_spent=True)
        )
    evidence = {**who_asks(request, desk), "page": seen.page_url}
    # Whoever has the address confirms it as well where the form asks for that since the page was shown.
    sent = submission(before, entry, evidence, is_proved=sight.shown.confirm != "double")
    if why is not None:
        return await _past_budgets(request, sight, typed, why, token, sent)
    await intake.receive(desk, sent)
    return thanks(request, sight, is_declined=bool(_noes(sent)))


async def _past_budgets(
    request: web.Request, sight: Sight, typed: Typed, why: defence.Refused, token: str, sent: intake.Submission
) -> web.Response:
    """Take of what meets a spent budget the noes by a person's own link; those that stand already end what is asked."""
    desk, owner, noes = request.app[DESK], sight.owner, _noes(sent)
    if owner is not None and not noes <= owner.declined:
        await intake.receive(desk, replace(sent, noes_alone=True))
    elif owner is not None:
        refused = {Subject("preference", one) for one in noes}
        await desk.database.transact(
            lambda conn: confirmations.take_back(conn, owner.profile_id, refused, now=desk.clock())
        )
    return await _turned_away(request, sight, typed, why, token, is_declined=bool(noes))


def _noes(sent: intake.Submission) -> set[str]:
    """What is declined by a person's own link: it counts at once."""
    return {one for one, answer in sent.answers.items() if not answer} if sent.profile_id is not None else set()


async def _turned_away(
    request: web.Request, sight: Sight, typed: Typed, why: defence.Refused, token: str, *, is_declined: bool = False
) -> web.Response:
    """What is said where it was not let through; `is_declined`: but for what was unticked, which is kept."""
    if why.why != "quiet":
        return refused(request, sight, typed, why, token=token, is_declined=is_declined)
    if not is_declined:
        await intake.seem_to_receive()
    return thanks(request, sight, is_declined=is_declined)


def _is_own(sight: Sight, entry: Entry) -> bool:
    """Whether somebody came by a link of their own and typed an address of theirs."""
    return sight.owner is not None and entry.address is not None and entry.address.hash in sight.owner.addresses


# --- the steps, for those who take forms in by other ways as well -----------------------------


def read_entry(desk: Desk, sight: Sight, typed: Typed) -> Entry:
    entry = entries.read(sight.shown, typed, book=desk.book, countries=desk.countries)
    # Whom the page knows already it preselects nothing for.
    return replace(entry, untouched=()) if sight.is_filled_in else entry


def submission(sight: Sight, entry: Entry, evidence: Mapping[str, Any], *, is_proved: bool = True) -> intake.Submission:
    """What is kept of an entry that is right."""
    if entry.address is None:
        raise ValueError("the entry is wrong")
    owner, terms = sight.owner, sight.terms
    shown_terms = {"terms_version": terms.version, "terms_language": terms.language} if terms is not None else {}
    return intake.Submission(
        form_id=sight.form_id,
        version=sight.version,
        channel=sight.shown.channel,
        address=entry.address.value,
        answers=entry.answers,
        untouched=entry.untouched,
        names=entry.names,
        attributes=entry.attributes,
        language=sight.speech.code,
        is_proved=is_proved,
        is_filled_in=sight.is_filled_in,
        profile_id=owner.profile_id if owner is not None and _is_own(sight, entry) else None,
        evidence={**evidence, **shown_terms, "wording": entries.wording(sight.shown, entry, terms)},
    )


async def read_form(request: web.Request) -> Posted:
    """A form that a browser posts; raises web.HTTPRequestEntityTooLarge, web.HTTPBadRequest."""
    text = (await whole_body(request)).decode("utf-8", "replace")
    try:
        return fields_in(text, most=_MOST_FIELDS)
    except ValueError:
        raise web.HTTPBadRequest from None


def typed_of(shown: Shown, given: Posted, ids: Mapping[str, str] | None = None) -> Typed:
    """What a browser posts. `ids`: the preferences by name, where they may be called so."""
    named = (ids or {}).get
    return Typed(
        address=given.one("address"),
        fields={name: given.one(name) for name in shown.fields if given.has(name)},
        ticked=frozenset(named(one, one) for one in given.all("preference")),
    )


def page_of(referrer: str) -> str | None:
    """The page that led here or shows the form, without its query; None for what is no page."""
    try:
        parts = urlsplit(referrer)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return None
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return None
    url = entries.tidied(f"{parts.scheme}://{parts.hostname}{port}{parts.path}")
    return url.encode("utf-8", "replace").decode()[:_MOST_OF_A_PAGE]


def _untyped(shown: Shown) -> Typed:
    return Typed(ticked=frozenset(box.id for box in shown.boxes if box.selected))


# --- the pages ---------------------------------------------------------------------------------


def shown_again(
    request: web.Request,
    sight: Sight,
    typed: Typed,
    *,
    nonce: str,
    wrong: Mapping[str, str] | None = None,
    note: str | None = None,
    status: int = 422,
    action: str = "",
    is_sent: bool = True,
    is_declined: bool = False,
) -> web.Response:
    """The form with what was typed, and what is wrong beside it.

    `action`: where its page is, seen from here. `is_declined`: what was unticked counts all the same.
    """
    desk, shown = request.app[DESK], sight.shown
    asks_for_work = shown.proof_of_work and shown.is_typed and bool(nonce)
    kept = {name: value for name in ("lang", "for") if (value := request.query.get(name))}
    return _framed(
        request,
        "form.html",
        sight,
        status=status,
        leads_to=[origin] if (origin := origin_of(shown.redirect_url or "")) else [],
        is_sent=is_sent,
        action=action + (f"?{urlencode(kept)}" if kept else ""),
        typed=typed,
        wrong=dict(wrong or {}),
        note=note,
        is_declined=is_declined,
        nonce_of_form=nonce,
        work=defence.ask_for_work(desk, sight.form_id, nonce, at=desk.clock()) if asks_for_work else None,
        most_tries=MOST,
        scripts=["work.js"] if asks_for_work else [],
        honeypot=defence.HONEYPOT,
        fields=[(name, shown.labels.get(name) or _in_words(name)) for name in shown.fields],
        boxes=_in_groups(shown),
        statements=[box for box in shown.boxes if box.shown_as == "statement"],
        terms=sight.terms,
        texting=sight.texting,
        number=_spelled(sight.texting.number) if sight.texting is not None else None,
    )


def refused(
    request: web.Request,
    sight: Sight,
    typed: Typed,
    why: defence.Refused,
    *,
    token: str = "",
    page_url: str | None = None,
    action: str = "",
    is_declined: bool = False,
) -> web.Response:
    """The form with what was typed, and why it was not let through; `is_declined` as for `shown_again`.

    `token`: the nonce that came. `page_url`: that it stands on, if no nonce says.
    """
    desk = request.app[DESK]
    nonce = sights.nonce_again(desk, sight, token, page_url=page_url, is_spent=not why.keeps_nonce)
    status = 429 if why.over is not None else 422
    shown = shown_again(
        request, sight, typed, note=why.why, nonce=nonce, status=status, action=action, is_declined=is_declined
    )
    return come_again(shown, why.over.wait_seconds) if why.over is not None else shown


def thanks(request: web.Request, sight: Sight, *, is_declined: bool = False) -> web.Response:
    """What follows when it was sent in, the same for all: the form's words, or where it leads.

    `is_declined`: somebody has said no by their own link, at an address of theirs.
    """
    url = sight.shown.redirect_url
    if url is not None and request.headers.get("Sec-Fetch-Dest") == "document":
        return web.Response(status=303, headers={"Location": url, "Referrer-Policy": "no-referrer"})
    # In a frame it would open in the frame: there it is a link for the whole window, and a browser that does not say
    # where it is gets the link as well.
    carrier = request.app[DESK].carrier(sight.shown.channel, sight.shown.connection)
    number = carrier.sender if carrier is not None and texting.has_number(carrier.sender) else None
    spelled = _spelled(number) if number else None
    return _framed(request, "form_sent.html", sight, url=url, number=spelled, is_declined=is_declined)


async def preview(conn: AsyncConnection, request: web.Request, shown: Shown) -> web.Response:
    """The page as it would be shown; it cannot be sent."""
    speech = spoken(request, shown.language)
    terms = await catalogue.terms_of(conn, shown, speech.code)
    texts = await sights.texting_for(conn, request.app[DESK], shown)
    sight = Sight("", 0, shown, speech, terms=terms, texting=texts)
    return shown_again(request, sight, _untyped(shown), nonce="", status=200, is_sent=False)


def closed(request: web.Request, sight: Sight | None) -> web.Response:
    """What is said where nothing is taken in: of a form that is closed, and of none."""
    return unknown_link(request) if sight is None else _framed(request, "form_closed.html", sight, status=410)


def _framed(
    request: web.Request, name: str, sight: Sight, *, scripts: Sequence[str] = (), is_sent: bool = True, **values: Any
) -> web.Response:
    """A page that looks as in a frame where it may be in one; what cannot be sent may be in none."""
    framers = sight.framers if is_sent else []
    return page(
        request,
        name,
        sight.shown.language,
        sight.locale,
        framed_by=framers,
        is_framed=bool(sight.framers) and request.headers.get("Sec-Fetch-Dest") != "document",
        is_sent=is_sent,
        scripts=[*(["frame.js"] if framers else []), *scripts],
        look=text_of("form.css") + colours.css(sight.shown.looks),
        shown=sight.shown,
        origins=framers,
        **values,
    )


def _in_groups(shown: Shown) -> list[tuple[catalogue.Headline | None, list[catalogue.Box]]]:
    """The boxes that are ticked, under their headlines; those without one first."""
    boxes = [box for box in shown.boxes if box.shown_as == "box"]
    groups = [(group, [box for box in boxes if box.group == group.headline]) for group in shown.groups]
    return [found for found in ((None, [box for box in boxes if box.group is None]), *groups) if found[1]]


def _in_words(field: str) -> str | None:
    """A declared attribute's name as a label; None for what the page has words for."""
    if not field.startswith("attributes."):
        return None
    words = field.removeprefix("attributes.").replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def _spelled(number: str) -> str:
    """A number of ours as people write it."""
    if not number.startswith("+"):
        return number
    return phonenumbers.format_number(phonenumbers.parse(number, None), phonenumbers.PhoneNumberFormat.INTERNATIONAL)
