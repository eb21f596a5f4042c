"""The first schema"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store import types

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


# The history is append-only, whoever connects. https://sqlite.org/lang_createtrigger.html
_SQLITE = (
    """CREATE TRIGGER consent_events_no_update BEFORE UPDATE ON consent_events
       BEGIN SELECT RAISE(ABORT, 'consent_events is append-only'); END""",
    """CREATE TRIGGER consent_events_no_delete BEFORE DELETE ON consent_events
       BEGIN SELECT RAISE(ABORT, 'consent_events is append-only'); END""",
)
_POSTGRESQL = (
    """CREATE FUNCTION consent_events_refuse() RETURNS trigger LANGUAGE plpgsql AS
       $$ BEGIN RAISE EXCEPTION 'consent_events is append-only'; END $$""",
    """CREATE TRIGGER consent_events_no_change BEFORE UPDATE OR DELETE ON consent_events
       FOR EACH ROW EXECUTE FUNCTION consent_events_refuse()""",
    """CREATE TRIGGER consent_events_no_truncate BEFORE TRUNCATE ON consent_events
       FOR EACH STATEMENT EXECUTE FUNCTION consent_events_refuse()""",
)


def upgrade() -> None:
    postgresql = op.get_bind().dialect.name == "postgresql"
    if postgresql:
        op.execute("CREATE SEQUENCE consent_event_seq")
    op.create_table(
        "addresses",
        sa.Column("id", types.Key(), nullable=False),
        sa.Column("channel", types.Key(), nullable=False),
        sa.Column("value", types.Key(), nullable=True),
        sa.Column("hash", types.Key(), nullable=False),
        sa.Column("status", sa.Text(), server_default="ok", nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("suppressed_at", types.UTCDateTime(), nullable=True),
        sa.Column("held_at", types.UTCDateTime(), nullable=True),
        sa.Column("held_message_id", types.Key(), nullable=True),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_addresses")),
        sa.UniqueConstraint("hash", name=op.f("uq_addresses_hash")),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", types.Key(), nullable=False),
        sa.Column("name", types.Key(), nullable=False),
        sa.Column("hash", types.Key(), nullable=False),
        sa.Column("scopes", types.Json(), nullable=False),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.Column("revoked_at", types.UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("hash", name=op.f("uq_api_keys_hash")),
    )
    with op.batch_alter_table("api_keys", schema=None) as batch_op:
        batch_op.create_index(
            "uq_api_keys_live_name",
            ["name"],
            unique=True,
            sqlite_where=sa.text("revoked_at IS NULL"),
            postgresql_where=sa.text("revoked_at IS NULL"),
        )

    op.create_table(
        "attempts",
        sa.Column("id", types.Key(), nullable=False),
        sa.Column("delivery_id", types.Key(), nullable=False),
        sa.Column("broadcast_id", types.Key(), nullable=True),
        sa.Column("profile_id", types.Key(), nullable=False),
        sa.Column("address_id", types.Key(), nullable=False),
        sa.Column("channel", types.Key(), nullable=False),
        sa.Column("class", types.Key(), nullable=False),
        sa.Column("preference_id", types.Key(), nullable=True),
        sa.Column("consent_version", sa.BigInteger(), nullable=False),
        sa.Column("state", types.Key(), nullable=False),
        sa.Column("owner", types.Key(), nullable=False),
        sa.Column("provider_id", types.Key(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("at", types.UTCDateTime(), nullable=False),
        sa.Column("ended_at", types.UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
    )
    with op.batch_alter_table("attempts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_attempts_delivery_id"), ["delivery_id"], unique=False)
        batch_op.create_index(
            "ix_attempts_sending_address",
            ["address_id"],
            unique=False,
            sqlite_where=sa.text("state = 'sending'"),
            postgresql_where=sa.text("state = 'sending'"),
        )
        batch_op.create_index(
            "uq_attempts_once",
            ["broadcast_id", "channel", "address_id"],
            unique=True,
            sqlite_where=sa.text("broadcast_id IS NOT NULL AND state IN ('sending', 'accepted', 'in_doubt')"),
            postgresql_where=sa.text("broadcast_id IS NOT NULL AND state IN ('sending', 'accepted', 'in_doubt')"),
        )

    op.create_table(
        "audit",
        sa.Column("id", types.Key(), nullable=False),
        sa.Column("at", types.UTCDateTime(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target", types.Key(), nullable=True),
        sa.Column("detail", types.Json(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_audit_at"), ["at"], unique=False)

    op.create_table(
        "audience_parts",
        sa.Column("broadcast_id", types.Key(), nullable=False),
        sa.Column("last", types.Key(), nullable=False),
        sa.Column("members", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("broadcast_id", "last", name=op.f("pk_audience_parts")),
    )
    op.create_table(
        "broadcasts",
        sa.Column("id", types.Key(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("channel", types.Key(), nullable=False),
        sa.Column("connection", types.Key(), nullable=False),
        sa.Column("content", types.Json(), nullable=False),
        sa.Column("audience", types.Json(), nullable=False),
        sa.Column("preference_id", types.Key(), nullable=True),
        sa.Column("send_at", types.UTCDateTime(), nullable=True),
        sa.Column("quiet_hours", types.Json(), nullable=True),
        sa.Column("rate", sa.Numeric(asdecimal=False), nullable=True),
        sa.Column("status", types.Key(), nullable=False),
        sa.Column("held", sa.Text(), nullable=True),
        sa.Column("plan_cursor", types.Key(), nullable=True),
        sa.Column("planned_at", types.UTCDateTime(), nullable=True),
        sa.Column("done_at", types.UTCDateTime(), nullable=True),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.Column("updated_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_broadcasts")),
    )
    with op.batch_alter_table("broadcasts", schema=None) as batch_op:
        batch_op.create_index("ix_broadcasts_status", ["status"], unique=False)

    op.create_table(
        "consent_chains",
        sa.Column("profile_id", types.Key(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("head", types.Key(), nullable=False),
        sa.PrimaryKeyConstraint("profile_id", name=op.f("pk_consent_chains")),
    )
    op.create_table(
        "consent_events",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", types.Key(), nullable=False),
        sa.Column("change_id", types.Key(), nullable=False),
        sa.Column("profile_id", types.Key(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("subject_kind", sa.Text(), nullable=False),
        sa.Column("subject_key", types.Key(), nullable=False),
        sa.Column("address_id", types.Key(), nullable=True),
        sa.Column("with_address", sa.Boolean(), nullable=False),
        sa.Column("from_state", sa.Text(), nullable=False),
        sa.Column("to_state", sa.Text(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=True),
        sa.Column("expires_at", types.UTCDateTime(), nullable=True),
        sa.Column("at", types.UTCDateTime(), nullable=False),
        sa.Column("provider_at", types.UTCDateTime(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("personal", sa.Boolean(), nullable=False),
        sa.Column("via", sa.Text(), nullable=True),
        sa.Column("superseded", sa.Boolean(), nullable=False),
        sa.Column("evidence_hash", types.Key(), nullable=False),
        sa.Column("previous_hash", types.Key(), nullable=False),
        sa.Column("hash", types.Key(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_consent_events")),
        sa.UniqueConstraint("id", name=op.f("uq_consent_events_id")),
    )
    with op.batch_alter_table("consent_events", schema=None) as batch_op:
        batch_op.create_index("ix_consent_events_address_id", ["address_id"], unique=False)
        batch_op.create_index("ix_consent_events_at", ["at"], unique=False)
        batch_op.create_index(batch_op.f("ix_consent_events_change_id"), ["change_id"], unique=False)
        batch_op.create_index("uq_consent_events_profile_position", ["profile_id", "position"], unique=True)

    op.create_table(
        "consent_states",
        sa.Column("profile_id", types.Key(), nullable=False),
        sa.Column("kind", types.Key(), nullable=False),
        sa.Column("key", types.Key(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=True),
        sa.Column("expires_at", types.UTCDateTime(), nullable=True),
        sa.Column("at", types.UTCDateTime(), nullable=False),
        sa.Column("order_at", types.UTCDateTime(), nullable=False),
        sa.Column("recorded_at", types.UTCDateTime(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("via", sa.Text(), nullable=True),
        sa.Column("change_id", types.Key(), nullable=False),
        sa.Column("event_id", types.Key(), nullable=False),
        sa.Column("opens", sa.Boolean(), nullable=False),
        sa.Column("firm", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("profile_id", "kind", "key", name=op.f("pk_consent_states")),
    )
    with op.batch_alter_table("consent_states", schema=None) as batch_op:
        batch_op.create_index("ix_consent_states_subject", ["kind", "key", "profile_id"], unique=False)

    op.create_table(
        "defaults",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("channel", types.Key(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("set_at", types.UTCDateTime(), nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("version", "channel", name=op.f("pk_defaults")),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", types.Key(), nullable=False),
        sa.Column("broadcast_id", types.Key(), nullable=True),
        sa.Column("profile_id", types.Key(), nullable=True),
        sa.Column("address_id", types.Key(), nullable=True),
        sa.Column("address", types.Key(), nullable=True),
        sa.Column("channel", types.Key(), nullable=False),
        sa.Column("connection", types.Key(), nullable=False),
        sa.Column("class", types.Key(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("preference_id", types.Key(), nullable=True),
        sa.Column("content", types.Json(), nullable=True),
        sa.Column("status", types.Key(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("provider_id", types.Key(), nullable=True),
        sa.Column("rule_id", types.Key(), nullable=True),
        sa.Column("in_reply_to", types.Key(), nullable=True),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", types.UTCDateTime(), nullable=False),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.Column("updated_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
    )
    with op.batch_alter_table("deliveries", schema=None) as batch_op:
        batch_op.create_index("ix_deliveries_broadcast", ["broadcast_id", "status", "reason"], unique=False)
        batch_op.create_index(
            "ix_deliveries_broadcast_queue",
            ["broadcast_id", "priority", "due_at", "id"],
            unique=False,
            sqlite_where=sa.text("status = 'queued'"),
            postgresql_where=sa.text("status = 'queued'"),
        )
        batch_op.create_index("ix_deliveries_profile_id", ["profile_id", "id"], unique=False)
        batch_op.create_index(
            "ix_deliveries_queue",
            ["connection", "priority", "due_at", "id"],
            unique=False,
            sqlite_where=sa.text("status = 'queued' AND broadcast_id IS NULL"),
            postgresql_where=sa.text("status = 'queued' AND broadcast_id IS NULL"),
        )
        batch_op.create_index(
            "ix_deliveries_queued_address",
            ["address_id"],
            unique=False,
            sqlite_where=sa.text("status = 'queued'"),
            postgresql_where=sa.text("status = 'queued'"),
        )
        batch_op.create_index(
            "uq_deliveries_broadcast_address",
            ["broadcast_id", "address_id"],
            unique=True,
            sqlite_where=sa.text("status <> 'skipped' AND broadcast_id IS NOT NULL"),
            postgresql_where=sa.text("status <> 'skipped' AND broadcast_id IS NOT NULL"),
        )

    op.create_table(
        "evidence",
        sa.Column("event_id", types.Key(), nullable=False),
        sa.Column("salt", types.Key(), nullable=True),
        sa.Column("body", types.Json(), nullable=True),
        sa.Column("erased_at", types.UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_evidence")),
    )
    op.create_table(
        "messages",
        sa.Column("id", types.Key(), nullable=False),
        sa.Column("connection", types.Key(), nullable=False),
        sa.Column("channel", types.Key(), nullable=False),
        sa.Column("account", types.Key(), nullable=False),
        sa.Column("provider_id", types.Key(), nullable=False),
        sa.Column("address_id", types.Key(), nullable=True),
        sa.Column("profile_id", types.Key(), nullable=True),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("receiver", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=True),
        sa.Column("fields", types.Json(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("rule_id", types.Key(), nullable=True),
        sa.Column("change_id", types.Key(), nullable=True),
        sa.Column("provider_at", types.UTCDateTime(), nullable=True),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
    )
    with op.batch_alter_table("messages", schema=None) as batch_op:
        batch_op.create_index("ix_messages_address_id", ["address_id", "id"], unique=False)
        batch_op.create_index("ix_messages_profile_id", ["profile_id", "id"], unique=False)

    op.create_table(
        "pauses",
        sa.Column("profile_id", types.Key(), nullable=False),
        sa.Column("channel", types.Key(), nullable=False),
        sa.Column("until", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("profile_id", "channel", name=op.f("pk_pauses")),
    )
    op.create_table(
        "preferences",
        sa.Column("id", types.Key(), nullable=False),
        sa.Column("name", types.Key(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("selected_by_default", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("linked_channel", types.Key(), nullable=True),
        sa.Column("contexts", types.Json(), nullable=False),
        sa.Column("partner", sa.Text(), nullable=True),
        sa.Column("position", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.Column("updated_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_preferences")),
        sa.UniqueConstraint("name", name=op.f("uq_preferences_name")),
    )
    op.create_table(
        "profiles",
        sa.Column("id", types.Key(), nullable=False),
        sa.Column("external_id", types.Key(), nullable=True),
        sa.Column("first_name", sa.Text(), nullable=True),
        sa.Column("last_name", sa.Text(), nullable=True),
        sa.Column("locale", sa.Text(), nullable=True),
        sa.Column("timezone", sa.Text(), nullable=True),
        sa.Column("attributes", types.Json(), nullable=False),
        sa.Column("defaults_version", sa.Integer(), nullable=False),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.Column("updated_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_profiles")),
        sa.UniqueConstraint("external_id", name=op.f("uq_profiles_external_id")),
    )
    with op.batch_alter_table("profiles", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_profiles_updated_at"), ["updated_at"], unique=False)

    op.create_table(
        "receipts",
        sa.Column("account", types.Key(), nullable=False),
        sa.Column("provider_id", types.Key(), nullable=False),
        sa.Column("message_id", types.Key(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=True),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.Column("received_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("account", "provider_id", name=op.f("pk_receipts")),
    )
    op.create_table(
        "rule_replies",
        sa.Column("channel", types.Key(), nullable=False),
        sa.Column("sender", types.Key(), nullable=False),
        sa.Column("rule_id", types.Key(), nullable=False),
        sa.Column("at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("channel", "sender", "rule_id", name=op.f("pk_rule_replies")),
    )
    op.create_table(
        "sandbox_messages",
        sa.Column("id", types.Key(), nullable=False),
        sa.Column("connection", types.Key(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("receiver", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sandbox_messages")),
    )
    op.create_table(
        "settings",
        sa.Column("key", types.Key(), nullable=False),
        sa.Column("value", types.Json(), nullable=False),
        sa.Column("updated_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_settings")),
    )
    op.create_table(
        "profile_addresses",
        sa.Column("profile_id", types.Key(), nullable=False),
        sa.Column("address_id", types.Key(), nullable=False),
        sa.Column("channel", types.Key(), nullable=False),
        sa.Column("is_primary", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("since", types.UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["address_id"], ["addresses.id"], name=op.f("fk_profile_addresses_address_id")),
        sa.ForeignKeyConstraint(
            ["profile_id"], ["profiles.id"], name=op.f("fk_profile_addresses_profile_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("profile_id", "address_id", name=op.f("pk_profile_addresses")),
    )
    with op.batch_alter_table("profile_addresses", schema=None) as batch_op:
        batch_op.create_index("ix_profile_addresses_address_id", ["address_id", "profile_id"], unique=False)

    op.create_table(
        "profile_tags",
        sa.Column("profile_id", types.Key(), nullable=False),
        sa.Column("tag", types.Key(), nullable=False),
        sa.ForeignKeyConstraint(
            ["profile_id"], ["profiles.id"], name=op.f("fk_profile_tags_profile_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("profile_id", "tag", name=op.f("pk_profile_tags")),
    )
    with op.batch_alter_table("profile_tags", schema=None) as batch_op:
        batch_op.create_index("ix_profile_tags_tag", ["tag", "profile_id"], unique=False)

    op.create_table(
        "rules",
        sa.Column("id", types.Key(), nullable=False),
        sa.Column("channel", types.Key(), nullable=False),
        sa.Column("received_on", types.Key(), nullable=True),
        sa.Column("keyword", sa.Text(), nullable=False),
        sa.Column("match", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject_kind", sa.Text(), nullable=False),
        sa.Column("preference_id", types.Key(), nullable=True),
        sa.Column("reply", sa.Text(), nullable=True),
        sa.Column("active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("builtin", sa.Text(), nullable=True),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.Column("updated_at", types.UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["preference_id"], ["preferences.id"], name=op.f("fk_rules_preference_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rules")),
    )

    for statement in _POSTGRESQL if postgresql else _SQLITE:
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("migrations go forward only: restore a backup instead")
