"""Migrations: the same schema as the tables, once, however many start at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, bindparam, select, text

from forms import intake
from inbox import reviews
from outbox.sources import Source, is_any_due, sources
from store.engine import Database
from store.migrate import ForeignDatabase, NewerDatabase, _config, is_current, migrate, standing
from store.tables import (
    attempts,
    broadcasts,
    confirmations,
    deliveries,
    metadata,
    preferences,
    review_messages,
    rules,
    submissions,
)
from store.types import UTCDateTime

Make = Callable[..., str]


def differences(connection: Connection) -> list[object]:
    options = {"compare_type": True, "compare_server_default": connection.dialect.name == "sqlite"}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


def schema(connection: Connection) -> list[tuple[object, ...]]:
    """Every table, index and trigger, as the database has it."""
    if connection.dialect.name == "sqlite":
        statement = "SELECT type, name, sql FROM sqlite_master ORDER BY type, name"
    else:
        statement = """SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
            UNION ALL SELECT 'column', table_name || '.' || column_name, data_type || is_nullable
                FROM information_schema.columns WHERE table_schema = 'public'
            UNION ALL SELECT 'trigger', tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
            ORDER BY 1, 2"""
    return [tuple(row) for row in connection.execute(text(statement))]


async def test_the_migrations_give_the_schema_of_the_tables(database: Database) -> None:
    async with database.read() as conn:
        assert await conn.run_sync(differences) == []
    assert await is_current(database)


async def test_three_that_start_at_once_migrate_once(make_database_url: Make) -> None:
    for _ in range(10):  # SQLite's collision of new files comes in one of ten
        url = make_database_url(migrated=False)
        databases = [Database(url) for _ in range(3)]
        await asyncio.gather(*map(migrate, databases))
        async with databases[0].read() as conn:
            assert await conn.run_sync(differences) == []
        for database in databases:
            assert await is_current(database)
            await database.dispose()


async def test_to_migrate_twice_changes_nothing(database: Database) -> None:
    async with database.read() as conn:
        before = await conn.run_sync(schema)
    await migrate(database)
    async with database.read() as conn:
        assert await conn.run_sync(schema) == before
    assert before


async def test_a_database_of_a_newer_version_is_refused(make_database_url: Make) -> None:
    database = Database(make_database_url())
    async with database.write() as conn:
        await conn.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(NewerDatabase, match="9999"):
        await migrate(database)
    assert not await is_current(database)
    await database.dispose()


async def test_an_empty_database_is_not_current(make_database_url: Make) -> None:
    database = Database(make_database_url(migrated=False))
    assert not await is_current(database)
    await database.dispose()


async def test_what_another_program_keeps_is_refused_but_where_schemas_are_shared(make_database_url: Make) -> None:
    database = Database(make_database_url(migrated=False))
    async with database.write() as conn:
        await conn.execute(text("CREATE TABLE spatial_ref_sys (id INTEGER)"))
    if database.dialect == "postgresql":  # an extension, perhaps: they put their tables beside ours
        await migrate(database)
        assert await is_current(database)
    else:
        with pytest.raises(ForeignDatabase):
            await migrate(database)
    await database.dispose()


async def test_the_migrations_of_another_program_are_not_gone_on_with(make_database_url: Make) -> None:
    database = Database(make_database_url(migrated=False))
    async with database.write() as conn:
        await conn.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        await conn.execute(text("INSERT INTO alembic_version VALUES ('0001')"))
    with pytest.raises(ForeignDatabase):
        await migrate(database)
    assert await standing(database) == "foreign"
    await database.dispose()


async def test_a_migration_that_fails_leaves_nothing(make_database_url: Make) -> None:
    database = Database(make_database_url(migrated=False))
    async with database.write() as conn:
        await conn.execute(text("CREATE VIEW rules AS SELECT 1"))  # in the way of the last table made
    with pytest.raises(Exception, match="rules"):
        await migrate(database)
    async with database.read() as conn:
        assert not [row for row in await conn.run_sync(schema) if row[0] != "table" and "consent" in str(row[1])]
    assert not await is_current(database)
    await database.dispose()


# --- with data, from every version ------------------------------------------------------------


async def stand_at(database: Database, revision: str) -> None:
    """Migrate only so far."""
    async with database.write() as conn:
        await conn.run_sync(lambda sync: command.upgrade(_config(sync), revision))


_SENDING_AT_0001 = (
    """INSERT INTO broadcasts
           (id, name, channel, connection, content, audience, status, created_by, created_at, updated_at)
       VALUES
           ('brd_1', 'Autumn', 'sms', 'main', '{"body": "Hi"}', '{"kind": "all"}', 'sending', 'key', :now, :now),
           ('brd_2', 'Drama', 'sms', 'main', '{"body": "Hi"}', '{"kind": "addresses"}', 'paused', 'key', :now, :now)""",
    """INSERT INTO deliveries (id, broadcast_id, profile_id, address_id, channel, connection, class, priority, status,
           tries, due_at, created_at, updated_at)
       VALUES ('msg_1', 'brd_1', 'pro_1', 'adr_1', 'sms', 'main', 'marketing', 2, 'queued', 0, :now, :now, :now),
              ('msg_2', 'brd_1', 'pro_2', 'adr_2', 'sms', 'main', 'marketing', 2, 'in_doubt', 1, :now, :now, :now),
              ('msg_3', 'brd_2', 'pro_1', 'adr_1', 'sms', 'main', 'marketing', 2, 'queued', 0, :now, :now, :now)""",
    """INSERT INTO attempts (id, delivery_id, broadcast_id, profile_id, address_id, channel, class, consent_version,
           state, owner, at)
       VALUES ('att_1', 'msg_2', 'brd_1', 'pro_2', 'adr_2', 'sms', 'marketing', 7, 'in_doubt', 'dsp_1', :now)""",
)


async def test_a_broadcast_under_way_goes_on_after_0002(make_database_url: Make) -> None:
    database = Database(make_database_url(migrated=False))
    await stand_at(database, "0001")
    now = datetime(2026, 11, 1, 12, tzinfo=UTC)
    async with database.write() as conn:
        for statement in _SENDING_AT_0001:
            await conn.execute(text(statement).bindparams(bindparam("now", now, type_=UTCDateTime())))
    assert not await is_current(database)
    await migrate(database)
    assert await is_current(database)
    async with database.read() as conn:
        assert await conn.run_sync(differences) == []
        for broadcast in (await conn.execute(select(broadcasts))).all():
            assert broadcast.routes == [{"channel": "sms", "connection": "main"}]
        assert await sources(conn, "main") == [Source(), Source("brd_1")]
        assert await is_any_due(conn, "main", now=now)
        [attempt] = (await conn.execute(select(attempts))).all()
        assert (attempt.tag, attempt.sent, attempt.asked, attempt.ask_at) == (None, None, 0, now)
        kept = (await conn.execute(select(deliveries.c.id, deliveries.c.by_address).order_by(deliveries.c.id))).all()
        assert [tuple(row) for row in kept] == [("msg_1", False), ("msg_2", False), ("msg_3", True)]
    await database.dispose()


_RESENT_AT_0002 = (
    """INSERT INTO broadcasts
           (id, name, channel, connection, content, audience, status, not_after, quiet_hours, created_by, created_at,
           updated_at)
       VALUES
           ('brd_1', 'Autumn', 'sms', 'main', '{"body": "Hi"}', '{"kind": "all"}', 'done', :now, 'false', 'key', :now,
           :now),
           ('brd_2', 'Drama', 'sms', 'main', '{"body": "Hi"}', '{"kind": "all"}', 'done', NULL,
           '{"from": "20:00", "to": "09:00"}', 'key', :now, :now)""",
    """INSERT INTO deliveries (id, broadcast_id, resend_of, profile_id, address_id, channel, connection, class,
           priority, status, tries, due_at, created_at, updated_at)
       VALUES ('msg_1', 'brd_1', NULL, 'pro_1', 'adr_1', 'sms', 'main', 'marketing', 2, 'failed', 1, :now, :now, :now),
              ('msg_2', NULL, 'msg_3', 'pro_1', 'adr_1', 'sms', 'main', 'marketing', 1, 'queued', 0, :now, :now, :now),
              ('msg_3', NULL, 'msg_1', 'pro_1', 'adr_1', 'sms', 'main', 'marketing', 1, 'failed', 1, :now, :now, :now),
              ('msg_4', 'brd_2', NULL, 'pro_2', 'adr_2', 'sms', 'main', 'marketing', 2, 'failed', 1, :now, :now, :now),
              ('msg_5', NULL, 'msg_4', 'pro_2', 'adr_2', 'sms', 'main', 'marketing', 1, 'queued', 0, :now, :now, :now),
              ('msg_6', NULL, NULL, 'pro_2', 'adr_2', 'sms', 'main', 'marketing', 1, 'failed', 1, :now, :now, :now),
              ('msg_7', NULL, 'msg_6', 'pro_2', 'adr_2', 'sms', 'main', 'marketing', 1, 'queued', 0, :now, :now,
              :now)""",
)


async def test_what_was_sent_again_keeps_its_broadcasts_times_after_0003(make_database_url: Make) -> None:
    database = Database(make_database_url(migrated=False))
    await stand_at(database, "0002")
    now = datetime(2026, 11, 1, 12, tzinfo=UTC)
    async with database.write() as conn:
        for statement in _RESENT_AT_0002:
            await conn.execute(text(statement).bindparams(bindparam("now", now, type_=UTCDateTime())))
    await migrate(database)
    async with database.read() as conn:
        assert await conn.run_sync(differences) == []
        columns = (deliveries.c.id, deliveries.c.not_after, deliveries.c.quiet_hours)
        kept = {row.id: (row.not_after, row.quiet_hours) for row in await conn.execute(select(*columns))}
    assert kept == {
        "msg_1": (None, None),
        "msg_2": (now, False),
        "msg_3": (now, False),
        "msg_4": (None, None),
        "msg_5": (None, {"from": "20:00", "to": "09:00"}),
        "msg_6": (None, None),
        "msg_7": (None, None),
    }
    await database.dispose()


_WAITING_AT_0005 = (
    """INSERT INTO reviews (id, message_id, address_id, channel, phrase, status, due_at, created_at)
       VALUES ('rev_1', 'msg_1', 'adr_1', 'sms', 'en_spam', 'open', :now, :now),
              ('rev_2', 'msg_2', 'adr_1', 'sms', 'en_stop', 'open', :now, :now),
              ('rev_3', 'msg_3', 'adr_2', 'email', 'en_spam', 'dismissed', :now, :now)""",
)


async def test_each_review_holds_its_message_after_0006(make_database_url: Make) -> None:
    database = Database(make_database_url(migrated=False))
    await stand_at(database, "0005")
    now = datetime(2026, 11, 1, 12, tzinfo=UTC)
    async with database.write() as conn:
        for statement in _WAITING_AT_0005:
            await conn.execute(text(statement).bindparams(bindparam("now", now, type_=UTCDateTime())))
    await migrate(database)
    async with database.read() as conn:
        assert await conn.run_sync(differences) == []
        kept = (await conn.execute(select(review_messages).order_by(review_messages.c.message_id))).all()
        assert await reviews.held_by(conn, ["msg_2"]) == [("msg_2", "adr_1")]
    assert [tuple(row) for row in kept] == [
        ("msg_1", "rev_1", "en_spam", now),
        ("msg_2", "rev_2", "en_stop", now),
        ("msg_3", "rev_3", "en_spam", now),
    ]
    await database.dispose()


_SENT_IN_AT_0007 = """INSERT INTO submissions (id, form_id, version, status, body, outcome, tries, created_at, done_at)
    VALUES ('sub_1', 'frm_1', 1, 'parked', '{"address": "ana@example.org"}', NULL, 3, :now, NULL),
           ('sub_2', 'frm_1', 1, 'new', '{"address": "ben@example.org"}', NULL, 0, :now, NULL),
           ('sub_3', 'frm_1', 1, 'done', NULL, 'opted_in', 0, :now, :now)"""


async def test_what_was_parked_before_is_counted_and_forgotten_after_0008(make_database_url: Make) -> None:
    database = Database(make_database_url(migrated=False))
    await stand_at(database, "0007")
    now = datetime(2026, 11, 1, 12, tzinfo=UTC)
    async with database.write() as conn:
        await conn.execute(text(_SENT_IN_AT_0007).bindparams(bindparam("now", now, type_=UTCDateTime())))
    await migrate(database)
    async with database.read() as conn:
        assert await conn.run_sync(differences) == []
        assert await intake.counted(conn) == {"new": 1, "parked": 1}
    await database.transact(lambda conn: intake.forget_old(conn, now=now + timedelta(days=38)))
    async with database.read() as conn:
        assert (await conn.execute(select(submissions.c.id).order_by("id"))).scalars().all() == ["sub_2", "sub_3"]
    await database.dispose()


_ASKED_AT_0005 = (
    """INSERT INTO preferences
           (id, name, text, selected_by_default, active, contexts, position, created_at, updated_at)
       VALUES ('prf_1', 'Drama', 'Plays', false, true, '[]', 0, :now, :now),
              ('prf_2', 'Opera', 'Operas', false, true, '[]', 0, :now, :now)""",
    """INSERT INTO rules
           (id, channel, keyword, match, action, subject_kind, preference_id, active, created_at, updated_at)
       VALUES ('rul_1', 'email', 'DRAMA', 'exact', 'opt_in', 'preference', 'prf_2', true, :now, :now)""",
    """INSERT INTO confirmations
           (id, address_id, channel, subject_kind, subject_key, evidence, asked_at, expires_at)
       VALUES ('cnf_1', 'adr_1', 'email', 'channel', 'email', '{"text": "START"}', :now, :now),
              ('cnf_2', 'adr_2', 'email', 'preference', 'prf_2', '{"text": "DRAMA"}', :now, :now)""",
)


async def test_what_waits_for_a_confirmation_still_does_after_0007(make_database_url: Make) -> None:
    database = Database(make_database_url(migrated=False))
    await stand_at(database, "0005")
    now = datetime(2026, 11, 1, 12, tzinfo=UTC)
    async with database.write() as conn:
        for statement in _ASKED_AT_0005:
            await conn.execute(text(statement).bindparams(bindparam("now", now, type_=UTCDateTime())))
    await migrate(database)
    async with database.read() as conn:
        assert await conn.run_sync(differences) == []
        asked = {row.id: row for row in await conn.execute(select(confirmations))}
        assert asked["cnf_1"].wishes == [{"kind": "channel", "key": "email", "to": "yes"}]
        assert asked["cnf_2"].wishes == [{"kind": "preference", "key": "prf_2", "to": "yes"}]
        assert asked["cnf_2"].evidence == {"text": "DRAMA"}
        assert (asked["cnf_1"].at_no, asked["cnf_1"].asked_at) == (False, now)
        order = select(preferences.c.name, preferences.c.group_id).order_by(preferences.c.position)
        assert [tuple(row) for row in await conn.execute(order)] == [("Drama", None), ("Opera", None)]
        assert (await conn.execute(select(rules.c.preference_id))).scalars().all() == ["prf_2"]
    await database.dispose()
