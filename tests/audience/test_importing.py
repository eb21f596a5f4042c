"""People out of a file: who is meant, what is taken, and that nobody is brought back who said no."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import select, text

from audience import importing, spreadsheet
from audience.importing import Summary
from audience.plans import Result
from audience.spreadsheet import Unreadable
from consent import preferences, proof
from outbox import asking, people
from outbox.asking import Question
from outbox.protocol import SETTLE_SECONDS
from profiles import records
from store.engine import Database
from store.tables import consent_events, deliveries, evidence, metadata
from tests.acts import BOOK, NOON, about, add_person, address_id, flags, later, say, states, text_in
from tests.outbox.conftest import Claimed, Planned, claimed, planned  # noqa: F401 - fixtures

ANA, BEN = "sms:+14155550123", "sms:+14155550124"
HEADER = "external_id,sms,consent.sms,obtained_at,how\n"
Import = Callable[..., Awaitable[list[Result]]]


@pytest.fixture
def import_(database: Database, tmp_path: Path) -> Import:
    """Import a file with this text: `await import_("sms,consent.sms\\n…")` returns what became of each row."""

    async def imported(
        text: str | bytes, *, name: str = "people.csv", now: datetime = NOON, dry: bool = False
    ) -> list[Result]:
        file = tmp_path / name
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        sheet = spreadsheet.inspect(file)
        return [
            result
            async for taken in importing.run(database, sheet, BOOK, clock=lambda: now, dry=dry)
            for result in taken.results
        ]

    return imported


def outcomes(results: list[Result]) -> list[str]:
    return [result.code or result.outcome for result in results]


async def rows(database: Database) -> dict[str, list[str]]:
    """Every row of every table, to compare with."""
    async with database.read() as conn:
        return {
            name: sorted(map(str, (await conn.execute(select(table))).all())) for name, table in metadata.tables.items()
        }


async def count(database: Database, table: str) -> int:
    async with database.read() as conn:
        return int((await conn.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one())


async def profile(database: Database, profile_id: str | None) -> records.Profile:
    async with database.read() as conn:
        [found] = await records.read(conn, [profile_id or ""])
        return found


async def verdict(database: Database, profile_id: str | None, channel: str = "sms") -> str:
    async with database.read() as conn:
        return (
            await asking.of_profile(conn, profile_id or "", Question(channel, "marketing", None), now=later())
        ).reason


async def holds(database: Database) -> bool:
    """Whether history and flags verify."""
    async with database.read() as conn:
        return not [f async for f in proof.verify(conn)] and not [f async for f in proof.rebuild_check(conn)]


# --- what a row says ---------------------------------------------------------------------------


async def test_a_person_comes_with_all_that_the_row_says(database: Database, import_: Import) -> None:
    async with database.write() as conn:
        await preferences.create(conn, name="Drama, new", now=NOON)
    [made] = await import_(
        "\ufeffexternal_id,first_name,last_name,locale,timezone,tags,attributes.seats,attributes,phone,email,"
        'consent.sms,consent.email,"consent.preference.Drama, new",obtained_at,how,wording\r\n'
        'crm-7,Ana,Ruiz,es,Europe/Madrid,vip | press,2,"{""a"": {""b"": [1, null]}, ""c"": null}",(415) 555-0123,'
        "Ana@Example.org,YES,not_asked,no,2024-05-01T10:00:00+02:00,paper form,I want news\r\n"
    )
    assert made.outcome == "created"
    ana = await profile(database, made.profile_id)
    assert (ana.external_id, ana.first_name, ana.locale, ana.timezone) == ("crm-7", "Ana", "es", "Europe/Madrid")
    assert ana.tags == ("press", "vip")
    assert ana.attributes == {"seats": "2", "a": {"b": [1, None]}}
    held = [(a.channel, a.value, a.primary) for a in ana.addresses]
    assert held == [("sms", "+14155550123", True), ("voice", "+14155550123", True), ("email", "Ana@example.org", True)]
    flag = (await flags(database, ana.id))[about("sms")]
    assert (flag.state, flag.source, flag.actor) == ("yes", "import", "system")
    assert flag.at == datetime.fromisoformat("2024-05-01T08:00:00Z"), "it counts from when it was said"
    assert await verdict(database, ana.id) == "opted_in"
    async with database.read() as conn:
        said = (await conn.execute(select(consent_events.c.id).where(consent_events.c.subject_key == "sms"))).scalar()
        body = (await conn.execute(select(evidence.c.body).where(evidence.c.event_id == said))).scalar_one()
    assert len(body.pop("file_sha256")) == 64
    assert body == {
        "file": "people.csv",
        "line": 2,
        "obtained_at": "2024-05-01T08:00:00.000000+00:00",
        "how": "paper form",
        "wording": "I want news",
    }
    assert await holds(database)


@pytest.mark.parametrize(
    ("header", "row", "why"),
    [
        ("sms,consent.sms", "12,yes", "sms: not a phone number"),
        ("sms,consent.sms", "+14155550123,maybe", "consent.sms: use one of yes, no, not_asked"),
        ("sms,consent.sms,obtained_at", "+14155550123,yes,2024-05-01", "obtained_at: write a time with its zone"),
        ("sms,consent.sms,obtained_at", "+14155550123,yes,2027-05-01T00:00:00Z", "obtained_at: it lies in the future"),
        ("sms,consent.sms,obtained_at", "+14155550123,yes,0001-01-01T00:00:00+14:00", "obtained_at: write a time"),
        ("sms,consent.sms,basis", "+14155550123,yes,guessed", "basis: use one of express"),
        ("sms,timezone", "+14155550123,Madrid", "timezone: use a name of the time zone database"),
        ("sms,locale", "+14155550123,Spanish please", "locale: use a language"),
        ("sms,attributes", "+14155550123,[1]", "attributes: it must be a JSON object"),
        ("sms,attributes", '+14155550123,"{""a"": 1e999}"', "attributes: it must be a JSON object"),
        ("sms,attributes", '+14155550123,"{""a"": ""\\ud800""}"', "attributes: it must be a JSON object"),
        ("sms,attributes", '+14155550123,"{""a"": NaN}"', "attributes: it is not JSON"),
        ("sms,attributes", '+14155550123,"{""a"": ""' + "x" * 65_536 + '""}"', "attributes: all of them together"),
        ("sms,tags", "+14155550123," + "|".join(map(str, range(1001))), "tags: at most 1000 in one cell"),
        ("sms,first_name", "+14155550123,a\x00b", "first_name: a NUL character cannot be stored"),
        ("sms,first_name", "+14155550123," + "x" * 501, "first_name: at most 500 characters"),
        ("sms,first_name", "+14155550123", "row: it has 1 cells where the first row has 2"),
        ("sms,first_name", "+14155550123,a,b", "row: it has 3 cells where the first row has 2"),
        ("first_name,tags", "Ana,vip", "row: it names nobody"),
        ("sms,consent.addresses", "+14155550123,no sms:+14155550124", "consent.addresses: the address is none of"),
        ("sms,consent.addresses", "+14155550123,perhaps", "consent.addresses: write `no at"),
    ],
)
async def test_a_row_that_cannot_be_read_is_refused_with_its_reason_and_changes_nothing(
    database: Database, import_: Import, header: str, row: str, why: str
) -> None:
    before = await rows(database)
    [result] = await import_(f"{header}\n{row}\n")
    assert (result.line, result.outcome, result.code) == (2, "refused", "bad_cell")
    assert (result.reason or "").startswith(why)
    assert await rows(database) == before


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "the file is empty"),
        (b"\xff\xfes\x00m\x00s\x00", "line 1 is not UTF-8: save the file as UTF-8"),
        (b"sms,first_name\n+14155550123,Zo\xeb\n", "line 2 is not UTF-8"),
        (b"sms,shoe_size\n", "the column shoe_size means nothing here"),
        (b"sms;first_name\n", "write commas between the columns"),
        (b"sms,consent.preference.Drama\n", "the column consent.preference.Drama: there is no such preference"),
        (b"sms,how.fax\n", "the column how.fax means nothing here"),
        (b"sms,sms\n", "the column sms is there twice"),
        (b'sms\n"+1415', "line 2 is not CSV"),
        (b"sms\r+14155550123\r+14155550124", "line 1 is not CSV"),
        (b"sms\n" + b"x" * (1 << 20) + b"x", "line 2 is longer than 1 MiB"),
    ],
)
async def test_a_file_that_cannot_be_read_is_refused_before_its_first_row_is_taken(
    database: Database, import_: Import, content: bytes, why: str
) -> None:
    before = await rows(database)
    with pytest.raises(Unreadable, match=why):
        await import_(content)
    assert await rows(database) == before


# --- whom it means -----------------------------------------------------------------------------


async def test_who_is_known_is_changed_and_who_is_not_is_made(database: Database, import_: Import) -> None:
    ana = await add_person(database, ANA, external_id="crm-1")
    ben = await add_person(database, BEN)
    done = await import_(
        "external_id,sms,email,first_name\n"
        "crm-1,,,Ana\n"  # by her external id
        ",+14155550124,,Ben\n"  # by his address, which nobody else has
        "crm-3,+14155550124,,Ben\n"  # has it too, and no external id: it is his
        "crm-4,+14155550124,,Bea\n"  # has another external id: she is somebody else at that number
        "crm-5,,eve@example.org,Eve\n"
        ",,EVE@example.org,Eva\n"  # of the same file
    )
    assert outcomes(done) == ["updated", "updated", "updated", "created", "created", "updated"]
    assert [result.profile_id for result in done[:3]] == [ana, ben, ben]
    assert done[5].profile_id == done[4].profile_id
    assert (await profile(database, ben)).external_id == "crm-3"
    assert (await profile(database, done[5].profile_id)).first_name == "Eva"


async def test_a_preference_that_is_deleted_meanwhile_fails_the_rows_that_name_it_and_no_others(
    database: Database, tmp_path: Path
) -> None:
    ana = await add_person(database, ANA)
    await text_in(database, ANA, "yes", now=NOON)
    drama = await database.transact(lambda conn: preferences.create(conn, name="Drama", now=NOON))
    before = "".join(f"crm-{n},,,,\n" for n in range(importing.ROWS))
    after = (
        "crm-50,,,yes,at the desk\n"  # of somebody new
        "crm-51,,,,\n"  # says nothing of it
        ",+14155550123,no,yes,at the desk\n"  # of somebody known, who says no besides
    )
    file = tmp_path / "people.csv"
    file.write_text("external_id,sms,consent.sms,consent.preference.Drama,how\n" + before + after)
    done: list[Result] = []
    async for taken in importing.run(database, spreadsheet.inspect(file), BOOK, clock=lambda: later(60)):
        if not done:
            await database.transact(lambda conn: preferences.remove(conn, drama))
        done += taken.results
    assert outcomes(done) == ["created"] * importing.ROWS + ["preference_gone", "created", "preference_gone"]
    told = "consent.preference.Drama: the preference was deleted meanwhile; "
    assert done[-3].reason == told + "nothing of the row was taken"
    assert done[-1].reason == told + "its no was taken, and nothing else"
    assert (await states(database, ana))["sms"] == "no"
    async with database.read() as conn:
        about_it = select(consent_events.c.id).where(consent_events.c.subject_key == drama.id)
        assert (await conn.execute(about_it)).all() == []
        assert [str(finding) async for finding in proof.verify(conn)] == []


async def test_a_row_that_leads_to_several_people_is_refused_and_yet_its_no_is_taken_for_each(
    database: Database, import_: Import
) -> None:
    ana, ben = await add_person(database, ANA), await add_person(database, ANA, BEN)
    [yes, no] = await import_(
        "sms,first_name,consent.sms,consent.email\n+14155550123,Xaver,yes,\n+14155550123,Xaver,no,yes\n"
    )
    assert (yes.code, yes.reason) == (
        "several_people",
        "several people have these addresses: tell them apart by external_id",
    )
    assert (no.code, no.profile_id) == ("several_people", f"{ana}|{ben}")
    assert (no.reason or "").endswith("its no was taken for each of them")
    for person in (ana, ben):
        assert await states(database, person) == {"sms": "no"}
        assert (await profile(database, person)).first_name is None


async def test_an_import_adds_and_changes_and_takes_nothing_away(database: Database, import_: Import) -> None:
    ana = await add_person(database, ANA, "sms:+14155550199", external_id="crm-1", tags=["vip"])
    await import_('external_id,first_name,tags,sms,attributes\ncrm-1,Ana,press,+14155550177,"{""a"": 1}"\n')
    await import_("external_id,first_name,tags,sms,attributes\ncrm-1,,,,\n")
    found = await profile(database, ana)
    assert (found.first_name, found.tags, found.attributes) == ("Ana", ("press", "vip"), {"a": 1})
    assert [(a.value, a.primary) for a in found.addresses] == [
        ("+14155550123", False),
        ("+14155550199", False),
        ("+14155550177", True),  # the first that the file names is the primary one
    ]


# --- nobody is brought back --------------------------------------------------------------------


async def test_an_import_cannot_bring_back_who_said_no(database: Database, import_: Import) -> None:
    ana = await add_person(database, ANA, external_id="crm-1")
    await text_in(database, ANA, "no", now=NOON)
    stopped = NOON.isoformat()
    before = await rows(database)
    for row in (
        "crm-1,,yes,,",
        "crm-1,,yes,,at the desk",
        f"crm-1,,yes,{stopped},at the desk",  # not later
        f"crm-1,,yes,{later().isoformat()},",  # nobody knows how
        "crm-1,,not_asked,,",
    ):
        [result] = await import_(HEADER + row, now=later(60))
        assert result.code == ("persons_no" if "not_asked" in row else "needs_evidence")
        assert result.profile_id == ana
        assert (result.reason or "").endswith("nothing of the row was taken")
        assert await rows(database) == before
    [result] = await import_(HEADER + f"crm-1,,yes,{later().isoformat()},at the desk", now=later(60))
    assert result.outcome == "updated"
    assert (await states(database, ana))["sms"] == "yes"


async def test_of_a_row_that_is_refused_only_its_no_happens(database: Database, import_: Import) -> None:
    ana = await add_person(database, ANA, external_id="crm-1")
    await text_in(database, ANA, "no")
    before = await rows(database)
    header = "external_id,first_name,tags,email,consent.sms,consent.email\n"
    [result] = await import_(header + "crm-1,Ana,vip,ana@example.org,yes,not_asked\n", now=later())
    assert result.code == "needs_evidence"
    assert await rows(database) == before
    [result] = await import_(header + "crm-1,Ana,vip,ana@example.org,yes,no\n", now=later())
    assert (result.code, (result.reason or "")[-34:]) == ("needs_evidence", "its no was taken, and nothing else")
    assert (await states(database, ana)).items() >= {"sms": "no", "email": "no"}.items()
    assert (await profile(database, ana)).first_name is None


async def test_of_a_row_that_makes_attributes_too_large_only_its_no_happens(
    database: Database, import_: Import
) -> None:
    ana = await add_person(database, ANA, external_id="crm-1")
    large = people.Draft(attributes={"story": "s" * 65_000})
    await database.transact(lambda conn: people.change(conn, ana, large, now=NOON))
    row = f"crm-1,Ana,{'n' * 1000},no\n"
    [result] = await import_(f"external_id,first_name,attributes.note,consent.sms\n{row}", now=later())
    assert (result.code, result.profile_id) == ("too_large", ana)
    assert (result.reason or "").endswith("65,536 characters; its no was taken, and nothing else")
    assert await verdict(database, ana) == "opted_out_channel"
    assert (await profile(database, ana)).first_name is None


async def test_a_row_whose_two_ids_are_two_peoples_is_refused_and_yet_its_no_is_taken_for_each(
    database: Database, import_: Import
) -> None:
    ids = [await add_person(database, ANA, external_id="crm-1"), await add_person(database, BEN, external_id="crm-2")]
    [result] = await import_(f"profile_id,external_id,first_name,consent.sms\n{ids[0]},crm-2,Ana,no\n", now=later())
    assert (result.code, result.profile_id) == ("several_people", "|".join(sorted(ids)))
    assert (result.reason or "").startswith("its profile_id and its external_id are two people's")
    assert [await verdict(database, one) for one in ids] == ["opted_out_channel"] * 2
    assert [(await profile(database, one)).first_name for one in ids] == [None, None]


async def test_an_address_that_no_plan_of_numbers_knows_is_taken_with_a_no_alone(
    database: Database, import_: Import
) -> None:
    rows_ = "+1415555,yes\n+1415555,not_asked\n+1415555,\n+1415555,No\n"
    done = await import_("sms,consent.sms\n" + rows_)
    assert outcomes(done) == ["bad_cell", "bad_cell", "bad_cell", "created"]
    assert await verdict(database, done[3].profile_id) == "opted_out_channel"


async def test_what_a_file_says_no_to_another_file_cannot_turn_without_evidence(
    database: Database, import_: Import
) -> None:
    [made] = await import_(HEADER + "crm-1,+14155550123,no,,")
    [again] = await import_(HEADER + "crm-1,+14155550123,yes,,", name="other.csv", now=later())
    assert (again.code, await states(database, made.profile_id or "")) == ("needs_evidence", {"sms": "no"})


async def test_what_a_row_says_no_to_nothing_else_in_it_turns(database: Database, import_: Import) -> None:
    """Neither a linked preference, said later and with evidence, nor `everything` yes."""
    async with database.write() as conn:
        await preferences.create(conn, name="News", linked_channel="email", now=NOON)
    dates = (later(-90).isoformat(), later(-60).isoformat())
    header = "sms,email,{},how\n+1415555012{},a{}@example.org,{},{},{},{},desk\n"
    linked = "consent.email,consent.preference.News,obtained_at.email,obtained_at.preference.News"
    wide = "consent.sms,consent.everything,obtained_at.sms,obtained_at.everything"
    for number, (columns, channel) in enumerate([(linked, "email"), (wide, "sms")]):
        [made] = await import_(header.format(columns, number, number, "no", "yes", *dates))
        assert (await states(database, made.profile_id or ""))[channel] == "no"
        assert await verdict(database, made.profile_id, channel) == "opted_out_channel"
        [again] = await import_(header.format(columns, number, number, "no", "yes", *dates), now=later())
        assert again.outcome == "unchanged"
    assert await holds(database)


async def test_a_no_is_always_taken_and_one_that_is_older_than_a_yes_does_not_undo_it(
    database: Database, import_: Import
) -> None:
    ana = await add_person(database, ANA, external_id="crm-1")
    await text_in(database, ANA, "yes", now=NOON)
    await import_(HEADER + f"crm-1,,no,{later(-60).isoformat()},", now=later())
    assert (await states(database, ana))["sms"] == "yes"
    await import_(HEADER + "crm-1,,no,,", now=later(2))
    assert (await states(database, ana))["sms"] == "no"
    assert await count(database, "consent_events") == 3


async def test_nobody_becomes_a_yes_by_a_file_that_does_not_show_it(database: Database, import_: Import) -> None:
    done = await import_(HEADER + "crm-1,+14155550123,yes,,\ncrm-2,+14155550124,yes,,desk\n")
    assert outcomes(done) == ["needs_evidence", "created"]
    summary = Summary()
    summary.add(done)
    assert (summary.outcomes["created"], summary.refusals) == (1, {"needs_evidence": 1})
    ana = await add_person(database, ANA, external_id="crm-1")
    [again] = await import_(HEADER + "crm-1,+14155550123,yes,,\n")
    assert again.code == "needs_evidence"
    assert await states(database, ana) == {}


async def test_an_undated_no_of_a_file_is_the_persons_and_the_last_word(database: Database, import_: Import) -> None:
    """Also over a no that stands: staff's, which anybody could undo, or an older one of the person's own."""
    ana = await add_person(database, ANA, external_id="crm-1")
    await text_in(database, ANA, "no")
    between = later(60).isoformat()
    await import_(HEADER + "crm-1,+14155550123,no,,\n", now=later(120))
    [back] = await import_(HEADER + f"crm-1,+14155550123,yes,{between},desk\n", name="other.csv", now=later(180))
    assert (back.code, (await states(database, ana))["sms"]) == ("needs_evidence", "no")


async def test_who_left_an_address_with_a_no_is_not_reached_at_it_by_an_import(
    database: Database, import_: Import
) -> None:
    ana = await add_person(database, ANA)
    await text_in(database, ANA, "no")
    await database.transact(lambda conn: _removed(conn, ana))
    [made] = await import_(HEADER + f"crm-9,+14155550123,yes,{later().isoformat()},desk", now=later(60))
    assert made.outcome == "created"
    assert await verdict(database, made.profile_id) == "opted_out_address"


async def _removed(conn: Any, profile_id: str) -> None:
    from outbox import people

    await people.remove(conn, profile_id, now=NOON)


async def test_an_imported_no_skips_what_is_queued_for_the_person(
    database: Database,
    import_: Import,
    planned: Planned,  # noqa: F811 - the fixture
) -> None:
    await planned(ANA, BEN)
    [result] = await import_("sms,consent.sms\n+14155550123,no\n", now=later())
    assert result.outcome == "updated"
    ana = await address_id(database, ANA)
    async with database.read() as conn:
        found = (await conn.execute(select(deliveries.c.address_id, deliveries.c.status, deliveries.c.reason))).all()
    assert {(status, reason) for address, status, reason in found if address == ana} == {
        ("skipped", "opted_out_channel")
    }
    assert {status for address, status, _ in found if address != ana} == {"queued"}


async def test_an_imported_no_is_told_once_no_send_to_the_person_can_begin(
    import_: Import,
    claimed: Claimed,  # noqa: F811 - the fixture
) -> None:
    await claimed(ANA)
    began = monotonic()
    await import_("sms,consent.sms\n+14155550123,no\n", now=later())
    assert monotonic() - began >= SETTLE_SECONDS * 0.9


# --- again, and again --------------------------------------------------------------------------

FILE = (
    "external_id,sms,email,tags,consent.sms,consent.email,consent.everything,obtained_at,how\n"
    "crm-1,+14155550123,,vip,yes,,,2024-05-01T00:00:00Z,desk\n"
    "crm-2,+14155550124,ben@example.org,,no,yes,,,by letter\n"
    ",+14155550125,,,yes,,,,by word of mouth\n"
    "crm-4,,di@example.org,,,,no,2024-05-01T00:00:00Z,\n"
    ",,eve@example.org,,,no,,,\n"
)


async def test_to_import_a_file_again_changes_nothing(database: Database, import_: Import) -> None:
    assert outcomes(await import_(FILE)) == ["created"] * 5
    before = await rows(database)
    assert outcomes(await import_(FILE, now=later())) == ["unchanged"] * 5
    assert outcomes(await import_(FILE, now=later(), name="a_copy.csv")) == ["unchanged"] * 5
    moved = FILE.replace("crm-1", "crm-0,+14155550100,,,,,,,\ncrm-1")
    assert outcomes(await import_(moved, now=later())) == ["created"] + ["unchanged"] * 5
    after = await rows(database)
    assert after["consent_events"] == before["consent_events"]
    assert await holds(database)


async def test_an_undated_no_of_another_file_closes_what_was_opened_since(database: Database, import_: Import) -> None:
    ana = await add_person(database, ANA)
    row = f"profile_id,consent.sms,tags\n{ana},no,"
    await import_(row + "one\n")
    at = f"address:{await address_id(database, ANA)}"
    await say(database, ana, {at: "yes"}, source="preference_centre", now=later(1))
    assert await verdict(database, ana) == "opted_in"
    await import_(row + "one\n", now=later(2))
    assert await verdict(database, ana) == "opted_in", "what the same file says once more is no news"
    await import_(row + "two\n", name="other.csv", now=later(3))
    assert await verdict(database, ana) == "opted_out_channel"


async def test_what_the_person_said_since_outlives_the_same_file(database: Database, import_: Import) -> None:
    """Its no was said once; a no of another file is another no."""
    await import_("sms,consent.sms\n+14155550123,no\n")
    await text_in(database, ANA, "yes", now=later())
    [again] = await import_("sms,consent.sms\n+14155550123,no\n", now=later(2))
    assert (again.outcome, (await states(database, again.profile_id or ""))["sms"]) == ("unchanged", "yes")
    [other, _] = await import_("sms,consent.sms\n+14155550123,no\n+14155550124,no\n", now=later(3))
    assert (other.outcome, (await states(database, other.profile_id or ""))["sms"]) == ("updated", "no")


async def test_an_import_that_was_interrupted_goes_on_when_it_is_run_again(
    database: Database, tmp_path: Path, import_: Import
) -> None:
    lines = "".join(f"crm-{n},+1415555{n:04d},yes,2024-05-01T00:00:00Z,desk\n" for n in range(100, 160))
    file = tmp_path / "people.csv"
    file.write_text(HEADER + lines)
    async for taken in importing.run(database, spreadsheet.inspect(file), BOOK, clock=lambda: NOON):
        assert len(taken.results) == importing.ROWS
        break
    done = await import_(HEADER + lines, now=later())
    assert outcomes(done) == ["unchanged"] * importing.ROWS + ["created"] * (60 - importing.ROWS)
    assert (await count(database, "profiles"), await count(database, "consent_events")) == (60, 60)


async def test_a_preview_tells_what_would_be_and_writes_nothing(database: Database, import_: Import) -> None:
    await add_person(database, ANA, external_id="crm-1")
    await add_person(database, BEN)
    await text_in(database, ANA, "no")
    before = await rows(database)
    told = await import_(FILE, now=later(), dry=True)
    assert outcomes(told) == ["needs_evidence", "updated", "created", "created", "created"]
    assert await rows(database) == before


async def test_a_row_that_the_database_refuses_fails_alone(database: Database, import_: Import) -> None:
    """The database refuses Ben: the transaction he is in is taken apart."""
    async with database.write() as conn:
        refuse = (
            "CREATE TRIGGER no_ben BEFORE INSERT ON profiles WHEN NEW.first_name = 'Ben' "
            "BEGIN SELECT RAISE(ABORT, 'no Ben'); END"
        )
        if conn.dialect.name == "postgresql":
            await conn.execute(text("ALTER TABLE profiles ADD CONSTRAINT no_ben CHECK (first_name <> 'Ben')"))
        else:
            await conn.execute(text(refuse))
    done = await import_("external_id,first_name\ncrm-1,Ana\ncrm-2,Ben\ncrm-3,Cleo\n")
    assert outcomes(done) == ["created", "failed", "created"]
    assert "Ben" not in (done[1].reason or "")
    assert await count(database, "profiles") == 2


async def test_two_imports_of_one_file_at_once_make_nobody_twice(database: Database, import_: Import) -> None:
    lines = "".join(f"crm-{n},+1415555{n:04d},yes,2024-05-01T00:00:00Z,desk\n" for n in range(100, 200))
    one, other = await asyncio.gather(import_(HEADER + lines), import_(HEADER + lines))
    assert sorted(outcomes(one) + outcomes(other)) == ["created"] * 100 + ["unchanged"] * 100
    assert (await count(database, "profiles"), await count(database, "consent_events")) == (100, 100)
    assert await holds(database)


async def test_a_stop_that_comes_while_a_file_is_imported_stands(database: Database, import_: Import) -> None:
    """Whichever comes first: the file's yes is older than the STOP."""
    people = "".join(f"crm-{n},+1415555{n:04d},yes,2024-05-01T00:00:00Z,desk\n" for n in range(100, 150))
    for n in range(100, 150, 10):
        await add_person(database, f"sms:+1415555{n:04d}", external_id=f"crm-{n}")

    async def stopping() -> None:
        for n in range(100, 150, 10):
            await text_in(database, f"sms:+1415555{n:04d}", "no", now=later(n))

    done, _ = await asyncio.gather(import_(HEADER + people, now=later(200)), stopping())
    for result in done[::10]:
        assert (await states(database, result.profile_id or ""))["sms"] == "no"
    assert await holds(database)
