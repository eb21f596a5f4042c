"""What nobody could carry out: parked submissions are counted, and forgotten in time"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Those that stay for good are many: few are looked for among them every ten minutes.
    op.create_index(
        "ix_submissions_parked",
        "submissions",
        ["created_at"],
        sqlite_where=sa.text("status = 'parked'"),
        postgresql_where=sa.text("status = 'parked'"),
    )


def downgrade() -> None:
    raise RuntimeError("migrations go forward only: restore a backup instead")
