"""The messages of a review: what comes while one of its address is open joins it"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store import types

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "review_messages",
        sa.Column("message_id", types.Key(), nullable=False),
        sa.Column("review_id", types.Key(), nullable=False),
        sa.Column("phrase", types.Key(), nullable=False),
        sa.Column("came_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_review_messages")),
    )
    op.create_index("ix_review_messages_review_id", "review_messages", ["review_id", "came_at"])
    # Of an address several may be open: each stays one to decide, and what comes now joins the oldest.
    op.execute(
        "INSERT INTO review_messages (message_id, review_id, phrase, came_at)"
        " SELECT message_id, id, phrase, created_at FROM reviews"
    )


def downgrade() -> None:
    raise RuntimeError("migrations go forward only: restore a backup instead")
