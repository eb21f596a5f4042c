"""What other systems and staff do: they pass words on, and say who is who, and who has what."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import count
from random import Random
from typing import Any

from audience import importing, spreadsheet
from tests.flows.words_model import BARE, FIRM, Subject, Word, channel_of
from tests.flows.words_walk import DISPOSITIONS, LINKED, TOPICS, Difference, Walk, Who

_files = count()


# --- what was said -------------------------------------------------------------------------------


def _evidence(walk: Walk, dice: Random) -> tuple[dict[str, str], datetime | None]:
    """None, of now, or of some time ago."""
    if dice.random() < 0.4:
        return {}, None
    at = walk.now - timedelta(minutes=dice.choice((0, 0, 0, 5, 60, 600, 6000)))
    return {"obtained_at": at.isoformat(), "how": "on the phone"}, at


def _subjects(walk: Walk, dice: Random, who: Who) -> list[Subject]:
    if dice.random() < 0.15:
        return ["everything"]
    return dice.sample(["sms", "whatsapp", "email", *TOPICS, *sorted(walk.model.having[who])], dice.choice((1, 1, 2)))


def _end(walk: Walk, dice: Random) -> datetime | None:
    """When a yes is to end, if it is."""
    return walk.now + timedelta(hours=dice.choice((1, 30, 300))) if dice.random() < 0.25 else None


def _said(
    walk: Walk,
    who: Who,
    to: str,
    about: Sequence[Subject],
    *,
    by: str,
    at: datetime | None,
    until: datetime | None = None,
) -> None:
    """What staff, a system, or a file passes on: `at`, when its evidence was obtained."""
    if to == "no":
        walk.no([who], *about, worth=FIRM if by in ("customer", "file") else BARE, at=at)
        return
    if to == "not_asked":
        for one in about:
            walk.model.hear(Word(walk.now, walk.act, who, one, "not_asked", BARE))
        return
    also = {LINKED[one] for one in about if one in LINKED and (by in ("customer", "agent") or at)}
    if "everything" in about:
        theirs = walk.model.having[who]
        also |= {channel_of(one) for one in theirs} | set(theirs)
    walk.yes([who], *sorted({*about, *also}), worth=FIRM if at else BARE, at=at, until=until)


async def patch(walk: Walk, dice: Random) -> None:
    """Over the API: by a system, by staff, or what the person told somebody."""
    profile_id = walk.someone(dice)
    if profile_id is None:
        return
    who = walk.family[profile_id]
    about = _subjects(walk, dice, who)
    to, by = dice.choice(("yes", "yes", "no", "not_asked")), dice.choice(("", "agent", "customer"))
    evidence, obtained = _evidence(walk, dice) if to == "yes" else ({}, None)
    said_at = walk.now - timedelta(minutes=dice.choice((3, 300))) if to == "no" and dice.random() < 0.25 else None
    until = _end(walk, dice) if to == "yes" else None
    body: dict[str, Any] = {"evidence": evidence} | ({"by": {"kind": by}} if by else {})
    body |= {"expires_at": until.isoformat()} if until else {}
    body |= {"at": said_at.isoformat()} if said_at else {}
    for one in about:
        if one == "everything":
            body["everything"] = to
        else:
            kind = "preferences" if one in TOPICS else "addresses" if ":" in one else "channels"
            body.setdefault(kind, {})[one.removeprefix("#")] = to
    before = await walk.verdicts(), await walk.states(profile_id)
    got = await walk.gateway.ask("PATCH", f"/v1/profiles/{profile_id}/consent", json=body)
    if got.status == 200:
        if got.json["events"]:  # else it says what is so already
            _said(walk, who, to, about, by=by, at=said_at or obtained, until=until)
    elif got.status != 409 or before != (await walk.verdicts(), await walk.states(profile_id)):
        raise Difference(f"{got.status} {got.body!r} for {body}, and changed something")


async def talk(walk: Walk, dice: Random) -> None:
    """An agent says how a talk ended."""
    profile_id = walk.someone(dice)
    if profile_id is None:
        return
    who = walk.family[profile_id]
    name, address = dice.choice(sorted(DISPOSITIONS)), dice.choice(sorted(walk.model.having[who]))
    [change] = DISPOSITIONS[name]
    evidence, obtained = _evidence(walk, dice) if change["to"] == "yes" else ({}, None)
    body = {"disposition": name, "channel": channel_of(address), "address": address, "evidence": evidence}
    got = await walk.gateway.ask("POST", f"/v1/profiles/{profile_id}/interactions", json=body)
    about = (
        {"everything": "everything", "address": address}.get(change["kind"])
        or change.get("channel")
        or f"#{change['name']}"
    )
    if got.status == 201:
        _said(walk, who, change["to"], [about], by="agent", at=obtained)
    elif got.status != 409:
        raise Difference(f"{got.status} {got.body!r} for {body}")


async def import_(walk: Walk, dice: Random) -> None:
    """One row of a file, each another: what the same file says once more is no news."""
    profile_id = walk.someone(dice)
    if profile_id is None:
        return
    to = dice.choice(("yes", "yes", "no"))
    about = [one for one in _subjects(walk, dice, walk.family[profile_id]) if ":" not in one] or ["email"]
    evidence, obtained = _evidence(walk, dice) if to == "yes" else ({}, None)
    until = _end(walk, dice) if to == "yes" else None
    number = next(_files)
    cells = {"profile_id": profile_id, "tags": f"file {number}", **evidence}
    cells |= {"expires_at": until.isoformat()} if until else {}
    cells |= {f"consent.preference.{one[1:]}" if one in TOPICS else f"consent.{one}": to for one in about}
    new = dice.choice(walk.pool)
    if dice.random() < 0.3:
        cells[channel_of(new)] = new.partition(":")[2]
    file = walk.folder / f"{number}.csv"
    file.write_text(",".join(cells) + "\n" + ",".join(cells.values()) + "\n")
    house, results = walk.gateway.house, []
    async for taken in importing.run(house.database, spreadsheet.inspect(file), house.book, clock=walk.gateway.clock):
        results += taken.results
    await walk.look()
    if [one.outcome for one in results] != ["refused"]:
        _said(walk, walk.family[profile_id], to, about, by="file", at=obtained, until=until)


# --- who has what --------------------------------------------------------------------------------


async def move(walk: Walk, dice: Random) -> None:
    """Addresses are given to somebody, or taken."""
    profile_id = walk.someone(dice)
    if profile_id is None:
        return
    theirs = set(walk.model.having[walk.family[profile_id]])
    theirs ^= {dice.choice(walk.pool)}
    given = [dict(zip(("channel", "value"), one.split(":", 1), strict=True)) for one in sorted(theirs)]
    if given:
        await walk.gateway.api("PATCH", f"/v1/profiles/{profile_id}", json={"addresses": given})
    await walk.look()


async def merge(walk: Walk, dice: Random) -> None:
    if len(walk.family) < 2:
        return
    into, gone = dice.sample(walk.profiles, 2)
    await walk.gateway.api("POST", f"/v1/profiles/{into}/merge", json={"from": gone})
    walk.family[into] |= walk.family.pop(gone)
    await walk.look()


async def arrive_new(walk: Walk, dice: Random) -> None:
    """Another system makes somebody, with a yes or without."""
    if len(walk.family) > 4:
        return
    tagged = dice.sample(walk.pool, dice.choice((1, 2)))
    channel = channel_of(tagged[0])
    consent = {"consent": {"channels": {channel: "yes"}}} if dice.random() < 0.6 else {}
    who = await walk.add(tagged, **consent)
    if consent:
        walk.yes([who], channel, worth=BARE)


async def leave(walk: Walk, dice: Random) -> None:
    if len(walk.family) > 2:
        profile_id = dice.choice(walk.profiles)
        await walk.gateway.api("DELETE", f"/v1/profiles/{profile_id}", status=204)
        await walk.look()
