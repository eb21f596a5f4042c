"""What e-mail and WhatsApp Cloud bring: mails, what providers tell of addresses, reviews, forwards, confirmations"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store import types

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("messages", sa.Column("subject", sa.Text(), nullable=True))
    op.add_column("messages", sa.Column("typed", sa.Text(), nullable=True))
    op.add_column("messages", sa.Column("authentic", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.add_column("messages", sa.Column("automatic", sa.Text(), nullable=True))
    op.create_index(
        "ix_attempts_provider_id",
        "attempts",
        ["provider_id"],
        sqlite_where=sa.text("channel = 'whatsapp'"),
        postgresql_where=sa.text("channel = 'whatsapp'"),
    )
    op.create_table(
        "parked",
        sa.Column("id", types.Key(), nullable=False),
        sa.Column("connection", types.Key(), nullable=False),
        sa.Column("hash", types.Key(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_parked")),
    )
    op.create_index("uq_parked_hash", "parked", ["connection", "hash"], unique=True)
    op.create_table(
        "reviews",
        sa.Column("id", types.Key(), nullable=False),
        sa.Column("message_id", types.Key(), nullable=False),
        sa.Column("address_id", types.Key(), nullable=False),
        sa.Column("channel", types.Key(), nullable=False),
        sa.Column("phrase", types.Key(), nullable=False),
        sa.Column("status", types.Key(), nullable=False),
        sa.Column("due_at", types.UTCDateTime(), nullable=False),
        sa.Column("decided_at", types.UTCDateTime(), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("change_id", types.Key(), nullable=True),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reviews")),
        sa.UniqueConstraint("message_id", name=op.f("uq_reviews_message_id")),
    )
    op.create_index("ix_reviews_address_id", "reviews", ["address_id", "status"])
    op.create_index(
        "ix_reviews_open",
        "reviews",
        ["due_at"],
        sqlite_where=sa.text("status = 'open'"),
        postgresql_where=sa.text("status = 'open'"),
    )
    op.create_table(
        "forwards",
        sa.Column("id", types.Key(), nullable=False),
        sa.Column("message_id", types.Key(), nullable=False),
        sa.Column("connection", types.Key(), nullable=False),
        sa.Column("status", types.Key(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("due_at", types.UTCDateTime(), nullable=False),
        sa.Column("done_at", types.UTCDateTime(), nullable=True),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_forwards")),
        sa.UniqueConstraint("message_id", name=op.f("uq_forwards_message_id")),
    )
    op.create_index(
        "ix_forwards_queue",
        "forwards",
        ["due_at"],
        sqlite_where=sa.text("status = 'queued'"),
        postgresql_where=sa.text("status = 'queued'"),
    )
    op.create_index("ix_forwards_status", "forwards", ["status", "connection"])
    op.create_table(
        "address_reports",
        sa.Column("account", types.Key(), nullable=False),
        sa.Column("event_id", types.Key(), nullable=False),
        sa.Column("connection", types.Key(), nullable=False),
        sa.Column("channel", types.Key(), nullable=False),
        sa.Column("address_id", types.Key(), nullable=True),
        sa.Column("kind", types.Key(), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("provider_at", types.UTCDateTime(), nullable=True),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("account", "event_id", name=op.f("pk_address_reports")),
    )
    op.create_index("ix_address_reports_address_id", "address_reports", ["address_id", "kind", "created_at"])
    op.create_table(
        "confirmations",
        sa.Column("id", types.Key(), nullable=False),
        sa.Column("address_id", types.Key(), nullable=False),
        sa.Column("profile_id", types.Key(), nullable=True),
        sa.Column("channel", types.Key(), nullable=False),
        sa.Column("subject_kind", sa.Text(), nullable=False),
        sa.Column("subject_key", types.Key(), nullable=False),
        sa.Column("evidence", types.Json(), nullable=False),
        sa.Column("asked_at", types.UTCDateTime(), nullable=False),
        sa.Column("expires_at", types.UTCDateTime(), nullable=False),
        sa.Column("confirmed_at", types.UTCDateTime(), nullable=True),
        sa.Column("change_id", types.Key(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_confirmations")),
    )
    op.create_index("ix_confirmations_address_id", "confirmations", ["address_id", "asked_at"])


def downgrade() -> None:
    raise RuntimeError("migrations go forward only: restore a backup instead")
