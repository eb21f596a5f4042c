"""What was asked with an Idempotency-Key, and the answer it got; who was merged into whom"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store import types

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("api_key_id", types.Key(), nullable=False),
        sa.Column("path", types.Key(), nullable=False),
        sa.Column("name", types.Key(), nullable=False),
        sa.Column("fingerprint", types.Key(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("content_type", sa.Text(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("closed", sa.Text(), nullable=True),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("api_key_id", "path", "name", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"])
    op.create_table(
        "profile_merges",
        sa.Column("profile_id", types.Key(), nullable=False),
        sa.Column("into_id", types.Key(), nullable=False),
        sa.Column("at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("profile_id", name=op.f("pk_profile_merges")),
    )
    op.create_index(op.f("ix_profile_merges_into_id"), "profile_merges", ["into_id"])


def downgrade() -> None:
    raise RuntimeError("migrations go forward only: restore a backup instead")
