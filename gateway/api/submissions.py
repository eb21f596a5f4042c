"""Forms that are sent in from elsewhere: by a server of yours with a key, or by a page of your own site without one.

What comes without a key comes from anybody's browser, or from a program that says to be one: the form must take such
posts, its site must be one of the form's origins, the budgets and the hidden field are as on our own page, and whatever
the form says, the address itself must confirm.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Annotated

from aiohttp import web
from pydantic import Field, StringConstraints, ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import preferences
from content.languages import choose
from forms import defence, entries, intake, optin, posted, sights
from forms.budgets import Over
from forms.defence import Refused
from forms.desk import DESK, who_asks
from forms.entries import Entry, Typed
from forms.sights import Sight
from gateway import limits
from gateway.api import form_shapes as shapes
from gateway.api.answers import Done, answer
from gateway.api.base import Call, Route
from gateway.api.bodies import Body, parse_body
from gateway.problems import Problem, from_exception, invalid, invalid_fields, not_found, unauthorised

PATH = "/v1/forms/{id}/submissions"
_URLENCODED = "application/x-www-form-urlencoded"
_ACCEPTED = {"status": "accepted"}
Answers = Annotated[dict[str, bool], Field(max_length=100)] | Annotated[list[str], Field(max_length=100)]
Value = Annotated[str, StringConstraints(max_length=1000)]


class SubmissionIn(Body):
    """A form as somebody filled it in."""

    address: Annotated[str, StringConstraints(min_length=1, max_length=400)]
    fields: Annotated[dict[str, Value], Field(max_length=50)] = Field(default_factory=dict)
    """Of the form's `fields`, by their names."""
    preferences: Answers = Field(default_factory=dict)
    """By name: what was shown, and whether it was ticked; each statement that the form has, with true, since the button
    is its yes. As a list: what was ticked of all that the form shows, its statements shown and pressed yes to."""
    language: Annotated[str, StringConstraints(max_length=35)] | None = None
    """That it was shown in."""
    page: Annotated[str, StringConstraints(max_length=2000)] | None = None
    """The page that showed it; kept without its query."""
    ip: Annotated[str, StringConstraints(max_length=45)] | None = None
    """Of the person, where your server speaks for them."""
    user_agent: Annotated[str, StringConstraints(max_length=1000)] | None = None
    website: Value | None = None
    """Leave it empty: it is the field that people do not see, and bots fill in."""


def mount(app: web.Application) -> None:
    """Add what is no operation of the API: a browser's question whether a page may ask."""
    app.router.add_route("OPTIONS", PATH, may_ask)


# --- with a key --------------------------------------------------------------------------------


async def create(call: Call) -> web.Response:
    """Send a form in for somebody.

    With a key it is your server that vouches for what the person did, and says where: `page`, `ip`, `user_agent`. A
    page of your own site may post without one, as JSON or as an ordinary form, where the form has `own_html` and the
    page's origin is one of its `allowed_origins`; then the address must confirm, whatever the form says.

    To send it in is the person's yes to the form's channel and to its statements: send nothing where they did not press
    the button. A true from your server is their yes to the preference, also where the form preselects it. The answer is
    the same for everybody; what is beyond the budget of the form, or of a network, is answered 429.
    """
    body = call.body(SubmissionIn)
    sight = _open(await sights.look_at(call.request, call.id))
    entry = replace(await _entry(call.request, sight, body), untouched=())  # your server says what the person did
    user_agent = posted.storable(body.user_agent[:500]) if body.user_agent is not None else None
    evidence = {"ip": body.ip, "user_agent": user_agent, "page": optin.page_of(body.page or ""), "by": call.actor}
    sent = optin.submission(await _spoken(call.request, sight, body), entry, evidence)

    async def commit(keeping: Callable[[AsyncConnection], Awaitable[None]]) -> web.Response:
        async def work(conn: AsyncConnection) -> Done:
            await keeping(conn)
            return Done(_ACCEPTED, 202)

        return await call.commit(work)

    return await call.request.app[DESK].intake.take_with(sent, commit)


# --- without one -------------------------------------------------------------------------------


async def may_ask(request: web.Request) -> web.Response:
    """The preflight of a browser (Fetch, 4.8)."""
    sight = await sights.look_at(request, request.match_info["id"])
    origin = request.headers.get("Origin")
    if origin is None or not _takes_from(sight, origin):
        return web.Response(status=403)
    more = {
        "Access-Control-Allow-Methods": "POST",
        "Access-Control-Allow-Headers": "Content-Type",
        "Access-Control-Max-Age": "600",
    }
    return web.Response(status=204, headers=_allowed(origin) | more)


async def from_site(request: web.Request) -> web.Response:
    """What a page of one of the form's origins posts."""
    origin = request.headers.get("Origin")
    if origin is None:
        raise unauthorised()
    sight = await sights.look_at(request, request.match_info["id"])
    if sight is None or not _takes_from(sight, origin):
        words = "send a key, or post from a page of one of the allowed_origins of a form with own_html"
        raise Problem(403, "origin-not-allowed", "The form takes nothing from this site", words)
    sight = replace(sight, owner=None, is_filled_in=False)  # a link of one's own leads to our own page
    if request.content_type == _URLENCODED:
        return await _from_html(request, sight)
    try:
        response = await _from_script(request, sight)
    except (Problem, ValidationError) as error:
        problem = from_exception(error)
        assert problem is not None  # noqa: S101 - of these there is one
        response = problem.response()
    response.headers.update(_allowed(origin))
    return response


def _takes_from(sight: Sight | None, origin: str) -> bool:
    return sight is not None and sight.shown.own_html and origin in sight.shown.allowed_origins


def _allowed(origin: str) -> dict[str, str]:
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": "Retry-After, RateLimit, RateLimit-Policy",
        "Vary": "Origin",
    }


async def _from_script(request: web.Request, sight: Sight) -> web.Response:
    body = parse_body(await posted.whole_body(request), SubmissionIn)
    sight = _open(sight)
    entry = await _entry(request, sight, body)
    page_url = optin.page_of(body.page or str(request.headers.get("Referer", "")))
    sight = await _spoken(request, sight, body)
    refused = await _take(request, sight, entry, {defence.HONEYPOT: body.website or ""}, page_url)
    if refused is not None:
        raise (
            _too_many(refused.over)
            if refused.over is not None
            else Problem(403, "form-refused", "The form was not taken in", _WHY)
        )
    return answer(_ACCEPTED, status=202)


async def _from_html(request: web.Request, sight: Sight) -> web.Response:
    """An ordinary form of the site's: its reader sees our pages from here on."""
    fields = await optin.read_form(request)
    if not sight.is_open or not sight.shown.is_typed:
        return optin.closed(request, sight)
    async with request.app[DESK].database.read() as conn:
        ids = await preferences.by_names(conn, [posted.storable(name) for name in fields.all("preference")])
    typed = optin.typed_of(sight.shown, fields, ids)
    entry = optin.read_entry(request.app[DESK], sight, typed)
    page_url = optin.page_of(request.headers.get("Referer", ""))
    action = f"../../../forms/{sight.form_id}"
    if entry.address is not None and not entry.wrong:
        refused = await _take(request, sight, entry, fields.firsts(), page_url)
        if refused is not None:
            return optin.refused(request, sight, typed, refused, page_url=page_url, action=action)
        wants_page = "text/html" in request.headers.get("Accept", "")
        return optin.thanks(request, sight) if wants_page else answer(_ACCEPTED, status=202)
    nonce = sights.nonce_for(request.app[DESK], sight, page_url)
    return optin.shown_again(request, sight, typed, wrong=entry.wrong, nonce=nonce, action=action)


def _too_many(over: Over) -> Problem:
    budget, wait = over.budget, over.wait_seconds
    standing = limits.headers(budget.what, budget.most, int(budget.within.total_seconds()), left=0, whole_in=wait)
    hours = budget.within // timedelta(hours=1)
    words = f"{budget.what} is spent: {budget.most:,} in {hours} h; {wait} s from now it is whole again"
    return Problem(
        429, "too-many-posts", "Too much is sent in just now", words, headers={"Retry-After": str(wait), **standing}
    )


_WHY = "show the form's own page in a frame: what it asks of a browser, no other page can do"


async def _take(
    request: web.Request, sight: Sight, entry: Entry, fields: dict[str, str], page_url: str | None
) -> Refused | None:
    """Take in what is right, once the defences have let it through; else why they have not, as far as that is told."""
    desk, shown = request.app[DESK], sight.shown
    if entry.address is None or shown.proof_of_work:
        desk.on_refused("work")
        return Refused("work", "work")
    refused = await defence.admit(
        desk,
        request,
        fields,
        form_id=sight.form_id,
        channel=shown.channel,
        address=entry.address.value,
        proof_of_work=False,
        needs_nonce=False,
    )
    if refused is not None:
        if refused.why != "quiet":
            return refused
        await intake.seem_to_receive()
        return None
    evidence = {**who_asks(request, desk), "page": page_url}
    await intake.receive(desk, optin.submission(sight, entry, evidence, is_proved=False))
    return None


# --- both --------------------------------------------------------------------------------------


def _open(sight: Sight | None) -> Sight:
    if sight is None:
        raise not_found("form")
    if not sight.is_open:
        raise Problem(409, "form-closed", "The form is closed", "it is inactive: nothing is taken in by it")
    if not sight.shown.is_typed:
        raise Problem(409, "form-closed", "Nothing is typed into this form", "people text us: its entry is text_us")
    return sight


async def _entry(request: web.Request, sight: Sight, body: SubmissionIn) -> Entry:
    """The entry, where nothing in it is wrong; raises Problem."""
    shown = sight.shown
    for name in sorted(body.fields.keys() - set(shown.fields)):
        raise invalid(f"fields.{name}", f"the form has no such field; it has {', '.join(shown.fields) or 'none'}")
    async with request.app[DESK].database.read() as conn:
        known = await preferences.by_names(conn, body.preferences)
    ids = {name: known[name] for name in body.preferences if known.get(name) in {box.id for box in shown.boxes}}
    for name in body.preferences:
        if name not in ids:
            raise invalid("preferences", f"the form shows no preference named {name!r}")
    given = body.preferences
    ticked = frozenset(ids[name] for name in given if not isinstance(given, dict) or given[name])
    seen = frozenset(ids.values()) if isinstance(given, dict) else None
    typed = Typed(body.address, body.fields, ticked, seen)
    entry = optin.read_entry(request.app[DESK], sight, typed)
    if entry.wrong:
        async with request.app[DESK].database.read() as conn:
            names = await preferences.names_of(conn, [box.id for box in shown.boxes])
        raise invalid_fields(list(_told(entry, names)))
    return entry


def _told(entry: Entry, names: dict[str, str]) -> Sequence[dict[str, str]]:
    found = []
    for name, why in entry.wrong.items():
        kind, _, id_ = name.partition(".")
        field = f"preferences.{names.get(id_, id_)}" if kind == "preference" else name
        field = field if kind in ("address", "preference") else f"fields.{name}"
        found.append({"field": field, "message": entries.WORDS[why]})
    return found


async def _spoken(request: web.Request, sight: Sight, body: SubmissionIn) -> Sight:
    """In the language that the site showed it in, and with its terms."""
    speech = choose(body.language, sight.shown.language, sight.speech.code)
    async with request.app[DESK].database.read() as conn:
        return await sights.in_language(conn, sight, speech)


ROUTES: Sequence[Route] = (
    Route(
        "POST",
        PATH,
        create,
        "consent:write",
        SubmissionIn,
        example={
            "address": "ana@example.org",
            "fields": {"first_name": "Ana"},
            "preferences": {"Drama": True},
            "page": "https://www.example.org/news",
        },
        answers={202: shapes.Submitted},
        without_key=from_site,
        problems=(404, 409),
    ),
)
