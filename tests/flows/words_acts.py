"""Every door by which a person's word comes in, as one short act each, on the real gateway and in the model.

An act takes the walk and its own dice, does one thing as a person, a provider or another system does it, and tells the
model what was said. What is answered is believed where it refuses; what it grants is not.
"""

from __future__ import annotations

import html
import re
from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta
from itertools import count
from random import Random
from urllib.parse import urlencode

from channels.values import AddressReport
from consent.states import CHANNELS
from outbox.manage_links import FRESH, Opened, Way
from tests.flows import words_systems as systems
from tests.flows.centre import FORM
from tests.flows.filling import SITE, look, send
from tests.flows.running import Got
from tests.flows.test_mail_in import arrive, mail
from tests.flows.words_model import BY_NUMBER, FIRM, Subject, channel_of, same
from tests.flows.words_model import FORM as BY_FORM
from tests.flows.words_walk import (
    LINKED,
    TOPICS,
    Difference,
    Offer,
    Page,
    Walk,
    Who,
    settle_questions_of,
)

SMS = ("STOP", "START", "YES", "TEXTS", "NOTEXTS")
_events = count()


# --- texts and mails -----------------------------------------------------------------------------


async def text(walk: Walk, dice: Random) -> None:
    address = dice.choice([one for one in walk.pool if channel_of(one) in BY_NUMBER])
    channel, _, number = address.partition(":")
    words = dice.choice(SMS if channel == "sms" else SMS[:3])
    if channel == "sms":
        await walk.gateway.text_in(words, number)
    else:
        await walk.gateway.whatsapp_in(words, number)
    await walk.look()
    who = walk.model.holders(address)
    match words:
        case "STOP":
            walk.no_from(address, channel, address)
        case "START":
            walk.yes(who, channel, address, worth=FIRM, proof=address)
        case "TEXTS":
            walk.yes(who, "#Texts", "sms", worth=FIRM, proof=address)
        case "NOTEXTS":
            walk.no(who, "#Texts")
        case "YES":
            asked = [id_ for id_, one in walk.model.questions.items() if one.address == address and not one.asked_by]
            if asked:
                settle_questions_of(walk, max(asked))


async def mailed(walk: Walk, dice: Random) -> None:
    address = dice.choice([one for one in walk.pool if channel_of(one) == "email"])
    mailbox = address.partition(":")[2]
    if dice.random() < 0.7:
        await arrive(walk.gateway, mail("STOP", sender=mailbox, provider_id=f"walk{next(_events)}"))
    else:
        told = {"account": "sandbox:mail", "event_id": f"walk{next(_events)}", "channel": "email", "address": mailbox}
        await arrive(walk.gateway, AddressReport(kind="complaint", **told))
    await walk.look()
    walk.no_from(address, "email")


# --- the unsubscribe link ------------------------------------------------------------------------


async def unsubscribe(walk: Walk, dice: Random) -> None:
    """A new link or one whose page is open since; by its button or by one click."""
    if walk.asked_pages and dice.random() < 0.3:
        path, press, offer = dice.choice(walk.asked_pages)
    else:
        found = await _unsubscribe_page(walk, dice)
        if found is None:
            return
        path, press, offer = found
    if dice.random() < 0.25:
        await walk.gateway.send("POST", path, data=b"List-Unsubscribe=One-Click", headers=FORM)
        await walk.look()
        walk.no_from(offer.address, channel_of(offer.address))
        return
    done = await _post(walk, path, press=press)
    await walk.look()
    walk.no_from(offer.address, channel_of(offer.address))
    offer.acts.append(walk.act)
    walk.offers.append(Offer(offer.acts, offer.address, offer.topic, _offered(done)))


async def open_unsubscribe(walk: Walk, dice: Random) -> None:
    await _unsubscribe_page(walk, dice)


async def _unsubscribe_page(walk: Walk, dice: Random) -> tuple[str, str, Offer] | None:
    if not walk.ids:
        return None
    address = dice.choice(sorted(walk.ids))
    topic = dice.choice((None, *TOPICS))
    links, about = walk.gateway.house.links, walk.scene.topics[topic] if topic else None
    path = "/unsubscribe/" + links.token(walk.ids[address], channel_of(address), about)
    async with walk.unchanged("a GET"):
        page = await walk.gateway.send("GET", path)
    [press] = re.findall(r'name="press" value="([^"]+)"', page.body.decode())
    found = (path, html.unescape(press), Offer([], address, topic, {}))
    walk.asked_pages.append(found)
    return found


_BUTTONS = {"Stop only": "topic", "Stop all": "everything", "Undo": "undo"}


def _offered(page: Got) -> dict[str, str]:
    found = re.findall(r'name="act" value="([^"]+)"><button[^>]*>([^<]+)<', page.body.decode())
    return {
        name: html.unescape(token)
        for token, words in found
        for start, name in _BUTTONS.items()
        if words.startswith(start)
    }


async def _post(walk: Walk, path: str, **fields: str) -> Got:
    return await walk.gateway.send("POST", path, data=urlencode(fields).encode(), headers=FORM)


async def offered(walk: Walk, dice: Random) -> None:
    """What the page after it offers: only this topic, everything, or to take it back."""
    if not walk.offers:
        return
    offer = dice.choice(walk.offers[-3:])
    act = dice.choice(sorted(offer.tokens) or [""])
    if not act:
        return
    got = await _post(walk, "/unsubscribe/then", act=offer.tokens[act])
    await walk.look()
    if got.status == 410:
        return
    if act == "everything":
        walk.no_from(offer.address, *CHANNELS)
        walk.offers.append(Offer([walk.act], offer.address, offer.topic, _offered(got)))
        return
    for one in offer.acts:
        walk.model.take_back(one)
    if act == "topic" and offer.topic:
        walk.no(walk.model.holders(offer.address), offer.topic)


# --- the own page --------------------------------------------------------------------------------


async def open_page(walk: Walk, dice: Random) -> Page | None:
    profile_id = walk.someone(dice)
    if profile_id is None:
        return None
    theirs = sorted(walk.model.having[walk.family[profile_id]])
    way: Way = dice.choice(("asked", "asked", "account", "message"))
    sent_to = walk.ids[dice.choice(theirs)] if way != "account" else None
    age = timedelta(0) if way == "account" or dice.random() < 0.7 else timedelta(hours=dice.choice((1, 3, 24 * 40)))
    opened = Opened(profile_id, sent_to, way, (walk.now - age).replace(microsecond=0))
    async with walk.unchanged("a GET"):
        got = await walk.gateway.send("GET", _path(walk, opened))
    if got.status != 200:
        return None
    page = html.unescape(got.body.decode())
    form = page.partition('class="choices"')[2].partition("</form>")[0]
    fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', form)
    boxes = re.findall(r'<input type="checkbox" name="yes" value="([^"]+)"( checked)?>', page)
    shown = {_about(walk, key): (key, bool(checked)) for key, checked in boxes}
    found = Page(opened, walk.act, walk.family[profile_id], fields, shown)
    walk.pages.append(found)
    return found


async def only_open_page(walk: Walk, dice: Random) -> None:
    await open_page(walk, dice)


def _path(walk: Walk, opened: Opened) -> str:
    return f"/preferences/{walk.gateway.house.manage_links.token(opened)}"


def _about(walk: Walk, key: str) -> Subject:
    kind, _, name = key.partition(":")
    if kind == "channel":
        return name
    named = walk.ids if kind == "address" else walk.scene.topics
    return next(one for one, id_ in named.items() if id_ == name)


async def _page(walk: Walk, dice: Random) -> Page | None:
    if walk.pages and dice.random() < 0.5:
        return dice.choice(walk.pages[-4:])
    return await open_page(walk, dice)


def _owner(walk: Walk, page: Page) -> Who | None:
    return next((one for one in walk.family.values() if page.opened.profile_id in one), None)


async def save_page(walk: Walk, dice: Random) -> None:
    page = await _page(walk, dice)
    if page is None:
        return
    ticked = {about for about, (_, checked) in page.boxes.items() if dice.random() < (0.75 if checked else 0.35)}
    given = [*page.fields, *(("yes", page.boxes[about][0]) for about in sorted(ticked))]
    owner = _owner(walk, page)
    async with walk.asking(ticked, by=owner):
        got = await walk.gateway.send("POST", _path(walk, page.opened), data=urlencode(given).encode(), headers=FORM)
    if owner is None or got.status == 404:
        return
    left = {one for one in page.boxes if ":" in one} - walk.model.having[owner]  # addresses that are theirs no more
    unticked = page.boxes.keys() - ticked - left
    waiting = [one for one in ticked if not (_is_proved(walk, page, one) or _is_overtaken(walk, page, owner, one))]
    walk.model.ask_again(owner, waiting, act=walk.act)
    walk.no([owner], *sorted(one for one in unticked if _is_no(page, one, ticked)))
    _say_ticked(walk, page, owner, ticked)
    states = await walk.states(next(one for one, whose in walk.family.items() if whose == owner))
    if wrong := [one for one in unticked if states.get(one) == "yes" and _is_no(page, one, ticked)]:
        raise Difference(f"{wrong} were left unticked, and are yes")


def _is_no(page: Page, about: Subject, ticked: Collection[Subject]) -> bool:
    """Whether leaving it unticked is surely a no: not of an address that is new, nor of a channel closed over one."""
    was_on = page.boxes[about][1]
    if ":" in about:
        return was_on
    return was_on or not any(one.startswith(f"{about}:") for one in ticked)


def _say_ticked(walk: Walk, page: Page, owner: Who, ticked: Collection[Subject]) -> None:
    proof = _sent_to(walk, page) if page.opened.way == "asked" else None
    for about in sorted(ticked):
        if ":" in about and page.boxes[about][1] and channel_of(about) not in ticked:
            continue  # it follows its channel
        if not _is_proved(walk, page, about) or _is_overtaken(walk, page, owner, about):
            continue
        only = [a for a in walk.model.having[owner] if channel_of(a) == about]
        walk.yes([owner], about, *(only if len(only) == 1 else ()), worth=FIRM, proof=proof)


def _is_proved(walk: Walk, page: Page, about: Subject) -> bool:
    """Whether a tick counts at once; else it waits for a word from the address."""
    opened, sent_to = page.opened, _sent_to(walk, page)
    if walk.now > opened.made_at + FRESH[opened.way]:
        return False
    theirs = walk.model.having[next(one for one in walk.family.values() if opened.profile_id in one)]
    proved = same(sent_to) & theirs if sent_to in theirs else set()
    return opened.way == "account" or about in TOPICS or about in proved | {channel_of(one) for one in proved}


def _sent_to(walk: Walk, page: Page) -> str | None:
    return next((one for one, id_ in walk.ids.items() if id_ == page.opened.address_id), None)


def _is_overtaken(walk: Walk, page: Page, owner: Who, about: Subject) -> bool:
    """Whether somebody has said no to it, or to more, since the page was shown; or was merged with them who had."""
    above = {about, channel_of(about), LINKED.get(about, about), "everything"}
    return any(
        word.to == "no" and word.about in above and word.act != walk.act
        and (word.act > page.act or not word.whose & page.whose)
        for word in walk.model.of(owner)
    )  # fmt: skip


async def press_page(walk: Walk, dice: Random) -> None:
    """Stop, nothing at all, a break, and its end."""
    page = await _page(walk, dice)
    if page is None:
        return
    act = dice.choice(("stop", "stop", "nothing", "pause", "resume"))
    until = (walk.now + timedelta(days=3)).date().isoformat()
    got = await _post(walk, _path(walk, page.opened), act=act, until=until)
    await walk.look()
    owner = _owner(walk, page)
    if got.status != 404 and owner is not None:
        walk.no([owner], *{"stop": CHANNELS, "nothing": ("everything",)}.get(act, ()))


# --- forms ---------------------------------------------------------------------------------------


async def form(walk: Walk, dice: Random) -> None:
    """By its page, with and without a link of one's own; or by a site's own HTML."""
    form_id, channel, is_double = dice.choice(walk.scene.forms)
    address = dice.choice([one for one in walk.pool if channel_of(one) == channel])
    owner = _link_of(walk, dice, form_id) if dice.random() < 0.4 else None
    query = f"?for={walk.gateway.house.manage_links.token(owner)}" if owner else ""
    async with walk.unchanged("a GET"):
        seen = await look(walk.gateway, form_id, query)
    names = {id_: name for name, id_ in walk.scene.topics.items()}
    boxes = {names[one["value"]]: one.is_checked for one in seen.fields if one["name"] == "preference"}
    ticked = {one for one, checked in boxes.items() if dice.random() < (0.7 if checked else 0.4)}
    untouched = {one for one in ticked if boxes[one] and not owner}
    stated = {"#Drama"} if form_id == walk.scene.forms[4][0] else set()
    by_site = owner is None and dice.random() < 0.2
    chosen = [walk.scene.topics[one] for one in sorted(ticked)]
    async with walk.asking({channel, address} | ticked - untouched | stated, boxes.keys() - ticked):
        if by_site:
            body = urlencode(
                [("address", address.partition(":")[2]), *(("preference", one[1:]) for one in sorted(ticked))]
            )
            headers = {"Origin": SITE, **FORM}
            await walk.gateway.send("POST", f"/v1/forms/{form_id}/submissions", data=body.encode(), headers=headers)
        else:
            await send(walk.gateway, form_id, seen, address.partition(":")[2], ticked=chosen, query=query)
        await walk.done()
    if not is_double and not by_site:
        yes = {channel, address} | ticked - untouched | stated
        walk.yes(walk.model.holders(address), *sorted(yes), worth=BY_FORM)
    whose = owner and next((one for one in walk.family.values() if owner.profile_id in one), None)
    if whose and address in walk.model.having[whose]:  # of others' addresses a link of theirs says nothing
        walk.no([whose], *sorted(boxes.keys() - ticked))
        states = await walk.states(next(one for one, of in walk.family.items() if of == whose))
        if wrong := [one for one in boxes.keys() - ticked if states.get(one) == "yes"]:
            raise Difference(f"{wrong} were left unticked on a form of their own, and are yes")


def _link_of(walk: Walk, dice: Random, form_id: str) -> Opened | None:
    profile_id = walk.someone(dice)
    age = timedelta(hours=dice.choice((0, 0, 3)))
    made_at = (walk.now - age).replace(microsecond=0)
    return Opened(profile_id, None, "account", made_at, None, form_id) if profile_id else None


async def confirm(walk: Walk, dice: Random) -> None:
    """Any question, at once or long after, once or twice."""
    if not walk.model.questions:
        return
    id_ = dice.choice(sorted(walk.model.questions)[-4:])
    path = "/confirm/" + walk.gateway.house.confirm_links(id_).rpartition("/")[2]
    async with walk.unchanged("a GET"):
        await walk.gateway.send("GET", path)
    got = await walk.gateway.send("POST", path)
    await walk.look()
    if got.status == 200:
        settle_questions_of(walk, id_)


ACTS: dict[str, tuple[int, Callable[[Walk, Random], Awaitable[None]]]] = {  # how often
    "text": (6, text),
    "mail": (2, mailed),
    "unsubscribe": (4, unsubscribe),
    "open unsubscribe": (1, open_unsubscribe),
    "offered": (4, offered),
    "open page": (3, only_open_page),
    "save page": (7, save_page),
    "press page": (2, press_page),
    "form": (5, form),
    "confirm": (5, confirm),
    "patch": (7, systems.patch),
    "talk": (2, systems.talk),
    "import": (2, systems.import_),
    "move": (3, systems.move),
    "merge": (2, systems.merge),
    "new": (2, systems.arrive_new),
    "leave": (1, systems.leave),
}
