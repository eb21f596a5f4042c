"""The test of the checker, on imports: each violation is planted and must be found."""

from __future__ import annotations

import random
from pathlib import Path

from sqlalchemy import delete

from gateway.prepare import prepare
from gateway.settings import Settings
from store.clock import utcnow
from store.engine import Database
from store.tables import profile_addresses
from tests.torture import checker, checker_imports
from tests.torture.imports import PEOPLE, Importer
from tests.torture.records import Record, Row
from tests.torture.world import settings_for

ANA = "+14155580100"
ROW = Row(ANA, 2, "no", 10, 20, "pro_ana")
UNANSWERED = Row(ANA, 2, "no", 10)


def test_of_a_row_that_is_taken_once_or_neither_told_nor_taken_nothing_is_said() -> None:
    for row, holders, said in ((ROW, {ANA: ["pro_ana"]}, {2: 1}), (UNANSWERED, {ANA: ["pro_ana"]}, {2: 1})):
        assert list(checker_imports.unlike_rows([row], holders, said)) == []
    assert list(checker_imports.unlike_rows([UNANSWERED], {}, {})) == []


def test_i5_a_row_that_was_told_and_is_gone_or_half_taken_is_found() -> None:
    [found] = checker_imports.unlike_rows([ROW], {}, {})
    assert found == "I5: line 2 was told to be pro_ana, and is gone"
    [found] = checker_imports.unlike_rows([UNANSWERED], {ANA: ["pro_ana"]}, {})
    assert found.endswith("it is half taken")
    [found] = checker_imports.unlike_rows([UNANSWERED], {}, {2: 1})
    assert found.endswith("it is half taken")


def test_i6_a_row_that_made_two_people_or_was_said_twice_is_found() -> None:
    for holders, said in (({ANA: ["pro_ana", "pro_ben"]}, {2: 1}), ({ANA: ["pro_ana"]}, {2: 2})):
        [found] = checker_imports.unlike_rows([ROW], holders, said)
        assert found.startswith("I6: line 2 made")


async def test_an_import_that_dies_is_taken_up_by_the_next_and_what_it_lost_would_be_found(
    tmp_path: Path, database_url: str, database: Database
) -> None:
    await prepare(database, Settings.model_validate(settings_for(database_url, "http://127.0.0.1:9")), now=utcnow())
    record = Record()
    importer = Importer(tmp_path, database_url, random.Random(1), record)
    await importer.start("transaction.committed:3")  # the first is a line of the audit
    await importer.ended()
    taken = [row for row in record.rows if row.answered_ns]
    assert 0 < len(taken) < len(PEOPLE)
    assert await checker.of_books(database, record, []) == []
    await importer.start(None)
    await importer.ended()
    assert importer.is_through
    assert importer.findings == []
    assert await checker.of_books(database, record, []) == await checker.of_the_end(database, record, []) == []
    async with database.write() as conn:
        await conn.execute(delete(profile_addresses).where(profile_addresses.c.profile_id == taken[0].profile_id))
    found = await checker.of_books(database, record, [])
    assert f"I5: line {taken[0].line} made 0 people and 1 changes: it is half taken" in found
