"""What nobody confirmed is found among what was, to be forgotten in time"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Those that were confirmed stay for good and are many: few are looked for among them every ten minutes.
    op.create_index(
        "ix_confirmations_unconfirmed",
        "confirmations",
        ["asked_at"],
        sqlite_where=sa.text("confirmed_at IS NULL"),
        postgresql_where=sa.text("confirmed_at IS NULL"),
    )


def downgrade() -> None:
    raise RuntimeError("migrations go forward only: restore a backup instead")
