"""Files of people and of their history: what goes out comes home, and calculates nothing on the way."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from audience import exporting, importing, spreadsheet
from audience.spreadsheet import guarded, joined, separated, unguarded, written
from consent import preferences, reading
from consent.states import Flag, Subject, Wish
from outbox import asking, people
from outbox.asking import Question
from profiles import records
from store.engine import Database
from store.tables import profiles
from tests.acts import BOOK, NOON, about, add_person, address_id, flags, later, say, text_in
from tests.audience.test_importing import count, holds, outcomes, profile, rows, verdict

ANA, BEN, CLEO = "sms:+14155550123", "sms:+14155550124", "email:cleo@example.org"


async def exported(database: Database, what: str, file: Path) -> list[dict[str, str]]:
    """The file that an export gives; returns its rows."""
    export = await exporting.EXPORTS[what](database)
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened)
        writer.writerow(written(export.columns))
        async for page in export.pages:
            writer.writerows(written(row) for row in page)
    with file.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


async def taken(database: Database, file: Path) -> list[importing.Result]:
    sheet = spreadsheet.inspect(file)
    run = importing.run(database, sheet, BOOK, clock=lambda: later(9999))
    return [result async for some in run for result in some.results]


@pytest.fixture
async def story(database: Database) -> dict[str, str]:
    """People who said all sorts of things; returns their ids."""
    async with database.write() as conn:
        drama = await preferences.create(conn, name='Drama, "new" | old', now=NOON)
    ana = await add_person(database, ANA, "sms:+14155550177", "email:Ana@example.org", external_id="=crm-1")
    ben = await add_person(database, BEN, external_id="crm-2", tags=["vip", "a|b"])
    cleo = await add_person(database, CLEO, external_id="crm-3")
    dora = await add_person(database, ANA, external_id="crm-4")  # a household's number
    draft = people.Draft({"first_name": "@SUM(1)", "last_name": "'=x"}, {"seats": 2, "note": {"a": ["|"]}})
    await database.transact(lambda conn: people.change(conn, ana, draft, now=NOON))
    await text_in(database, ANA, "yes", now=later(1))
    await text_in(database, BEN, "no", now=later(2))
    ends = [Wish(about("email"), "yes", "implied", later(10**6)), Wish(about(f"preference:{drama.id}"), "yes")]
    shown = {"obtained_at": later(-3600).isoformat(), "how": "paper", "wording": "+ I want news"}
    await say(database, cleo, ends, now=later(3), source="api", actor="key:crm", evidence=shown)
    async with database.write() as conn:
        news = await preferences.create(conn, name="News", linked_channel="email", now=NOON)
    await say(database, ana, {"email": "no"}, now=later(6))
    await say(database, ana, {f"preference:{news.id}": "yes"}, now=later(7), source="segment", actor="system")
    await say(database, dora, {"everything": "no"}, now=later(4))
    await say(database, dora, {"sms": "yes"}, now=later(5))
    return {"ana": ana, "ben": ben, "cleo": cleo, "dora": dora}


async def test_what_is_exported_comes_home_unchanged(database: Database, story: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    await exported(database, "profiles", file)
    before = await rows(database)
    assert outcomes(await taken(database, file)) == ["unchanged"] * 4
    assert await rows(database) == before


async def test_a_no_by_a_link_comes_home_as_one(database: Database, tmp_path: Path) -> None:
    """It still comes back with its channel."""
    async with database.write() as conn:
        news = await preferences.create(conn, name="News", linked_channel="email", now=NOON)
    ana = await add_person(database, CLEO)
    await say(database, ana, {f"preference:{news.id}": "yes"}, now=later(1))
    await say(database, ana, {"email": "no"}, now=later(2))
    await exported(database, "profiles", tmp_path / "people.csv")
    assert outcomes(await taken(database, tmp_path / "people.csv")) == ["unchanged"]
    await say(database, ana, {"email": "yes"}, now=later(10_000), source="preference_centre")
    assert (await flags(database, ana))[about(f"preference:{news.id}")].state == "yes"


async def test_another_gateway_reads_the_same_people_answers_and_dates(
    database: Database, story: dict[str, str], make_database_url: Callable[..., str], tmp_path: Path
) -> None:
    file, again = tmp_path / "people.csv", tmp_path / "again.csv"
    [ana, *_] = await exported(database, "profiles", file)
    other = Database(make_database_url())
    try:
        async with other.write() as conn:
            await preferences.create(conn, name='Drama, "new" | old', now=NOON)
            await preferences.create(conn, name="News", linked_channel="email", now=NOON)
        assert outcomes(await taken(other, file)) == ["created"] * 4
        assert outcomes(await taken(other, file)) == ["unchanged"] * 4
        await exported(other, "profiles", again)
        here, there = await _told(database), await _told(other)
        assert here == there
        assert await holds(other)
        assert await _verdicts(other) == await _verdicts(database)
        own = {name: cell for name, cell in ana.items() if name != "profile_id"}
        with again.open(newline="", encoding="utf-8") as opened:
            [theirs, *_] = list(csv.DictReader(opened))
        assert {name: cell for name, cell in theirs.items() if name != "profile_id"} == own
    finally:
        await other.dispose()


async def test_what_the_api_takes_another_gateway_takes_from_the_file(
    database: Database, make_database_url: Callable[..., str], tmp_path: Path
) -> None:
    """A row that is refused there would leave a no behind."""
    file = tmp_path / "people.csv"
    ana = await add_person(database, ANA, external_id="crm-1", tags=[f"{'tag' * 32}{n}" for n in range(1000)])
    long = people.Draft(attributes={"story": '"' * 32_000})
    await database.transact(lambda conn: people.change(conn, ana, long, now=NOON))
    shown = {"obtained_at": later(-3600).isoformat(), "how": "h" * 50_000, "wording": "w" * 10_000}
    await say(database, ana, {"sms": "no"}, now=later(1), by_person=True, evidence=shown)
    await exported(database, "profiles", file)
    other = Database(make_database_url())
    try:
        [result] = await taken(other, file)
        assert (result.outcome, result.reason) == ("created", None)
        assert await verdict(other, result.profile_id) == "opted_out_channel"
        assert await _told(database) == await _told(other)
    finally:
        await other.dispose()


async def test_a_yes_goes_out_as_old_as_its_evidence_and_brings_nobody_back_who_said_no_since(
    database: Database, make_database_url: Callable[..., str], tmp_path: Path
) -> None:
    """We heard of it after the no that another gateway has."""
    file = tmp_path / "people.csv"
    ana = await add_person(database, CLEO, external_id="crm-1")
    shown = {"obtained_at": later(10).isoformat(), "how": "paper"}
    own = f"address:{await address_id(database, CLEO)}"
    await say(database, ana, {"email": "yes", own: "yes"}, now=later(30), source="api", actor="key:crm", evidence=shown)
    [row] = await exported(database, "profiles", file)
    assert (row["obtained_at.email"], row["consent.addresses"].split()[2]) == (exporting._spelled(later(10)),) * 2
    assert outcomes(await taken(database, file)) == ["unchanged"]
    other = Database(make_database_url())
    try:
        theirs = await add_person(other, CLEO, external_id="crm-1")
        await say(other, theirs, {"email": "no"}, now=later(20), by_person=True)
        assert outcomes(await taken(other, file)) == ["needs_evidence"]
        assert await verdict(other, theirs, "email") == "opted_out_channel"
    finally:
        await other.dispose()


async def test_a_no_of_an_address_that_only_a_sender_can_have_is_not_left_behind(
    database: Database, make_database_url: Callable[..., str], tmp_path: Path
) -> None:
    file = tmp_path / "people.csv"
    senders = [("sms", "+1415555"), ("email", "ana..b@docomo.example")]
    for number, (channel, value) in enumerate(senders):
        wanted = [people.Wanted(BOOK.proved(channel, value), primary=True)]
        draft = people.Draft({"external_id": f"crm-{number}"}, addresses=wanted)
        profile_id = await database.transact(lambda conn, draft=draft: people.create(conn, draft, now=NOON))
        own = f"address:{(await profile(database, profile_id)).addresses[0].address_id}"
        await say(database, profile_id, {channel: "no", own: "no"}, now=later(1), by_person=True)
    await exported(database, "profiles", file)
    assert set(outcomes(await taken(database, file))) == {"unchanged"}
    other = Database(make_database_url())
    try:
        assert set(outcomes(await taken(other, file))) == {"created"}
        assert await _told(database) == await _told(other)
    finally:
        await other.dispose()


async def test_a_household_or_a_page_of_any_size_comes_home(
    database: Database, make_database_url: Callable[..., str], tmp_path: Path
) -> None:
    """More addresses than anybody has, and an own page with more words than a cell takes."""
    file = tmp_path / "people.csv"
    ana = await add_person(database, *(f"sms:+1415555{n:04}" for n in range(150)), external_id="crm-1")
    boxes = [{"text": f"{n} {'w' * 1_990}", "ticked": n == 1, "new": False} for n in range(70)]
    await say(database, ana, {"sms": "no"}, now=later(1), source="preference_centre", evidence={"wording": boxes})
    one = {f"address:{await address_id(database, f'sms:+1415555{n:04}')}": "no" for n in range(120)}
    await say(database, ana, one, now=later(2), by_person=True)
    [row] = await exported(database, "profiles", file)
    assert row["wording.sms"].startswith(f"[ ] 0 {'w' * 1_990}\n[x] 1 www")
    other = Database(make_database_url())
    try:
        [result] = await taken(other, file)
        assert (result.outcome, result.reason) == ("created", None)
        assert await _told(database) == await _told(other)
    finally:
        await other.dispose()


async def _told(database: Database) -> dict[str, Any]:
    """Everybody by external id: words, addresses, and each flag as far as it is told."""
    async with database.read() as conn:
        found = await records.read(conn, list((await conn.execute(select(profiles.c.id))).scalars()))
        flags = await reading.flags_of(conn, [one.id for one in found])
        obtained = await reading.obtained_of(conn, flags)
        names = await preferences.names_of(conn, {s.key for held in flags.values() for s in held})

    def when(profile_id: str, subject: Subject, flag: Flag) -> datetime:
        return min(flag.at, obtained.get(profile_id, {}).get(subject, flag.at))

    told: dict[str, Any] = {}
    for one in found:
        values = {held.address_id: f"{held.channel}:{held.value}" for held in one.addresses}
        told[str(one.external_id)] = (
            (one.first_name, one.last_name, one.attributes, one.tags, sorted(values.values())),
            {
                (subject.kind, values.get(subject.key) or names.get(subject.key) or subject.key): (
                    flag.state, flag.basis, flag.expires_at, when(one.id, subject, flag), flag.opens,
                    flag.firm or flag.state != "no",
                )
                for subject, flag in flags[one.id].items()
            },
        )  # fmt: skip
    return told


async def _verdicts(database: Database) -> dict[str, str]:
    async with database.read() as conn:
        found = (await conn.execute(select(profiles.c.external_id, profiles.c.id))).all()
    return {f"{name} {channel}": await verdict(database, id_, channel) for name, id_ in found for channel in
            ("sms", "email")}  # fmt: skip


async def test_no_yes_grows_wider_on_the_way(
    database: Database, make_database_url: Callable[..., str], tmp_path: Path
) -> None:
    """Not to a number given after it, be it the primary one or the only one; nor, of everything, to a new channel."""
    people_ = [await add_person(database, f"sms:+1415555013{n}", external_id=f"crm-{n}") for n in range(4)]
    for person in people_[:3]:
        await say(database, person, {"sms": "yes"}, now=later(1))
    await say(database, people_[3], {"everything": "yes"}, now=later(1))
    await give(database, people_[0], "+sms:+14155550150", "sms:+14155550130")
    await give(database, people_[1], "sms:+14155550131", "sms:+14155550151")
    await give(database, people_[2], "sms:+14155550152")
    await give(database, people_[3], "sms:+14155550133", "email:di@example.org")
    await say(database, people_[1], {f"address:{await address_id(database, 'sms:+14155550151')}": "no"}, now=later(3))
    file = tmp_path / "people.csv"
    await exported(database, "profiles", file)
    before = await rows(database)
    assert set(outcomes(await taken(database, file))) == {"unchanged"}
    assert await rows(database) == before
    other = Database(make_database_url())
    try:
        await taken(other, file)
        assert set(outcomes(await taken(other, file))) == {"unchanged"}
        for asked in (_verdicts, _verdicts_of_addresses):
            assert await asked(other) == await asked(database)
        told = await _verdicts_of_addresses(other)
        assert {told["crm-0 +14155550150 True"], told["crm-2 +14155550152 True"]} == {"not_opted_in"}
    finally:
        await other.dispose()


async def give(database: Database, profile_id: str, *tagged: str) -> None:
    """Let somebody have exactly these addresses, later; one behind + is the primary one."""
    wanted = [people.Wanted(BOOK.parse_tagged(one.removeprefix("+")), one.startswith("+")) for one in tagged]
    await database.transact(lambda conn: people.change(conn, profile_id, people.Draft(addresses=wanted), now=later(2)))


async def _verdicts_of_addresses(database: Database) -> dict[str, str]:
    async with database.read() as conn:
        found = (await conn.execute(select(profiles.c.external_id, profiles.c.id))).all()
        told = {}
        for name, id_ in found:
            for held in (await records.read(conn, [id_]))[0].addresses:
                question = Question(held.channel, "marketing", None)
                answer = await asking.of_profile(conn, id_, question, address_id=held.address_id, now=later(99_999))
                told[f"{name} {held.value} {held.primary}"] = answer.reason
    return told


async def test_the_history_is_exported_with_its_evidence(
    database: Database, story: dict[str, str], tmp_path: Path
) -> None:
    lines = await exported(database, "consent-events", tmp_path / "history.csv")
    assert len(lines) == await count(database, "consent_events")
    assert [int(line["seq"]) for line in lines] == sorted((int(line["seq"]) for line in lines), reverse=True)
    asked = {("preference", 'Drama, "new" | old'), ("preference", "News")}
    about = {("everything", ""), ("channel", "sms"), ("channel", "email")}
    assert {(line["subject"], line["subject_name"]) for line in lines} == about | asked
    [email] = [line for line in lines if line["subject_name"] == "email" and line["to"] == "yes"]
    assert (email["from"], email["to"], email["basis"], email["source"]) == ("not_asked", "yes", "implied", "api")
    assert json.loads(email["evidence"])["how"] == "paper"


async def test_an_export_is_written_page_by_page(
    database: Database, story: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = {what: await exported(database, what, tmp_path / what) for what in ("profiles", "consent-events")}
    monkeypatch.setattr(exporting, "PAGE", 2)
    for what, expected in whole.items():
        assert await exported(database, what, tmp_path / what) == expected


async def test_a_no_that_was_left_behind_goes_along_where_somebody_has_the_address(
    database: Database, make_database_url: Callable[..., str], tmp_path: Path
) -> None:
    left = await add_person(database, BEN)
    await text_in(database, BEN, "no", now=later(1))
    await database.transact(lambda conn: people.remove(conn, left, now=later(2)))
    has = await add_person(database, BEN, external_id="crm-2", now=later(3))
    await say(database, has, {"sms": "yes"}, now=later(4))
    assert await verdict(database, has) == "opted_out_address"
    everybody, noes = tmp_path / "people.csv", tmp_path / "noes.csv"
    await exported(database, "profiles", everybody)
    [no] = await exported(database, "suppressions", noes)
    assert no["consent.addresses"].endswith("sms:+14155550124")
    other = Database(make_database_url())
    try:
        assert outcomes(await taken(other, everybody)) == ["created"]
        assert await _verdicts(other) == {"crm-2 sms": "opted_in", "crm-2 email": "no_address"}
        assert outcomes(await taken(other, noes)) == ["updated"]
        assert outcomes(await taken(other, noes)) == ["unchanged"]
        assert await _verdicts(other) == await _verdicts(database)
    finally:
        await other.dispose()


# --- cells that calculate ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "cell", ["=1+1", "+1+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''@x", "+cmd|' /C calc'!A0"]
)
def test_a_cell_that_would_calculate_is_written_behind_an_apostrophe(cell: str) -> None:
    assert guarded(cell) == "'" + cell
    assert unguarded(guarded(cell)) == cell


@pytest.mark.parametrize("cell", ["+14155550123", "+14155550123|+14155550124", "O'Hara", "'tis", "Ana", "", "a=b"])
def test_numbers_and_words_stay_as_they_are(cell: str) -> None:
    assert guarded(cell) == unguarded(cell) == cell


@given(st.text())
def test_every_cell_comes_back(cell: str) -> None:
    assert unguarded(guarded(cell)) == cell
    assert not guarded(cell).startswith(("=", "-", "@", "\t", "\r"))


@given(st.lists(st.text(min_size=1).map(str.strip).filter(bool)))
def test_every_list_in_a_cell_comes_back(items: list[str]) -> None:
    assert separated(joined(items)) == items
