"""What customers see: groups of preferences, terms, dispositions, forms; confirmations of more than one wish"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store import types

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _preferences()
    _confirmations()
    _dispositions()
    _forms()


def _preferences() -> None:
    op.create_table(
        "preference_groups",
        sa.Column("id", types.Key(), nullable=False),
        sa.Column("headline", types.Key(), nullable=False),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.Column("partner", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.Column("updated_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_preference_groups")),
        sa.UniqueConstraint("headline", name=op.f("uq_preference_groups_headline")),
    )
    op.create_index(
        "uq_preference_groups_partner",
        "preference_groups",
        ["partner"],
        unique=True,
        sqlite_where=sa.text("partner"),
        postgresql_where=sa.text("partner"),
    )
    op.add_column("preferences", sa.Column("group_id", types.Key(), nullable=True))
    op.create_index("ix_preferences_group_id", "preferences", ["group_id"])
    # The order of their making is the order that was shown until now.
    op.execute(
        "UPDATE preferences SET position ="
        " (SELECT count(*) FROM preferences AS earlier WHERE earlier.id < preferences.id)"
    )
    op.create_table(
        "terms",
        sa.Column("version", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("language", types.Key(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("link", sa.Text(), nullable=True),
        sa.Column("set_at", types.UTCDateTime(), nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("version", "language", name=op.f("pk_terms")),
    )


def _confirmations() -> None:
    """One subject becomes a list of wishes: a form asks for several things at once."""
    build = "json_array(json_object('kind', subject_kind, 'key', subject_key, 'to', 'yes'))"
    if op.get_bind().dialect.name == "postgresql":
        build = "jsonb_build_array(jsonb_build_object('kind', subject_kind, 'key', subject_key, 'to', 'yes'))"
    with op.batch_alter_table("confirmations") as table:
        table.add_column(sa.Column("same_as", types.Key(), nullable=True))
        table.add_column(sa.Column("wishes", types.Json(), nullable=True))
        table.add_column(sa.Column("details", types.Json(), nullable=True))
        table.add_column(sa.Column("form_id", types.Key(), nullable=True))
        table.add_column(sa.Column("at_no", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.execute(f"UPDATE confirmations SET wishes = {build}")  # noqa: S608 - no value of anybody's
    with op.batch_alter_table("confirmations") as table:
        table.alter_column("wishes", existing_type=types.Json(), nullable=False)
        table.drop_column("subject_kind")
        table.drop_column("subject_key")
    op.create_index("ix_confirmations_same_as", "confirmations", ["same_as", "asked_at"])
    with op.batch_alter_table("attempts") as table:  # who is asked may be nobody yet
        table.alter_column("profile_id", existing_type=types.Key(), nullable=True)


def _dispositions() -> None:
    op.create_table(
        "dispositions",
        sa.Column("id", types.Key(), nullable=False),
        sa.Column("name", types.Key(), nullable=False),
        sa.Column("changes", types.Json(), nullable=False),
        sa.Column("undeliverable", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("active", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.Column("updated_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dispositions")),
        sa.UniqueConstraint("name", name=op.f("uq_dispositions_name")),
    )
    op.create_table(
        "interactions",
        sa.Column("id", types.Key(), nullable=False),
        sa.Column("profile_id", types.Key(), nullable=False),
        sa.Column("disposition_id", types.Key(), nullable=False),
        sa.Column("channel", types.Key(), nullable=False),
        sa.Column("address_id", types.Key(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("by", sa.Text(), nullable=True),
        sa.Column("change_id", types.Key(), nullable=True),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_interactions")),
    )
    op.create_index("ix_interactions_disposition_id", "interactions", ["disposition_id"])
    op.create_index("ix_interactions_profile_id", "interactions", ["profile_id", "id"])


def _forms() -> None:
    op.create_table(
        "forms",
        sa.Column("id", types.Key(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("channel", types.Key(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.Column("updated_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_forms")),
    )
    op.create_table(
        "form_versions",
        sa.Column("form_id", types.Key(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("body", types.Json(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("form_id", "version", name=op.f("pk_form_versions")),
        sa.ForeignKeyConstraint(
            ["form_id"], ["forms.id"], name=op.f("fk_form_versions_form_id_forms"), ondelete="CASCADE"
        ),
    )
    op.create_table(
        "submissions",
        sa.Column("id", types.Key(), nullable=False),
        sa.Column("form_id", types.Key(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("status", types.Key(), nullable=False),
        sa.Column("body", types.Json(), nullable=True),
        sa.Column("outcome", types.Key(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.Column("done_at", types.UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_submissions")),
    )
    op.create_index("ix_submissions_form_id", "submissions", ["form_id"])
    op.create_index(
        "ix_submissions_new",
        "submissions",
        ["id"],
        sqlite_where=sa.text("status = 'new'"),
        postgresql_where=sa.text("status = 'new'"),
    )
    op.create_index(
        "ix_submissions_passing",
        "submissions",
        ["done_at"],
        sqlite_where=sa.text("outcome IN ('asked', 'asked_before', 'nothing', 'gone')"),
        postgresql_where=sa.text("outcome IN ('asked', 'asked_before', 'nothing', 'gone')"),
    )
    op.create_table(
        "spent",
        sa.Column("hash", types.Key(), nullable=False),
        sa.Column("expires_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_spent")),
    )
    op.create_index("ix_spent_expires_at", "spent", ["expires_at"])
    op.create_table(
        "budgets",
        sa.Column("name", types.Key(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("expires_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_budgets")),
    )
    op.create_index("ix_budgets_expires_at", "budgets", ["expires_at"])


def downgrade() -> None:
    raise RuntimeError("migrations go forward only: restore a backup instead")
