"""A message that is sent again keeps the times that its broadcast set"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store import types

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("deliveries", sa.Column("not_after", types.UTCDateTime(), nullable=True))
    op.add_column("deliveries", sa.Column("quiet_hours", types.Json(), nullable=True))
    _fill_from_broadcasts()


def _fill_from_broadcasts() -> None:
    """Each message that was sent again already gets the times of the broadcast that the first of its family was of."""
    deliveries = sa.table(
        "deliveries",
        sa.column("id", types.Key()),
        sa.column("broadcast_id", types.Key()),
        sa.column("resend_of", types.Key()),
        sa.column("not_after", types.UTCDateTime()),
        sa.column("quiet_hours", types.Json()),
    )
    broadcasts = sa.table(
        "broadcasts",
        sa.column("id", types.Key()),
        sa.column("not_after", types.UTCDateTime()),
        sa.column("quiet_hours", types.Json()),
    )
    bind = op.get_bind()
    again = sa.select(deliveries.c.id, deliveries.c.resend_of).where(deliveries.c.resend_of.is_not(None))
    repeats = {row.id: row.resend_of for row in bind.execute(again).all()}
    for id_ in repeats:
        first = id_
        while first in repeats:
            first = repeats[first]
        times = (
            sa.select(broadcasts.c.not_after, broadcasts.c.quiet_hours)
            .join(deliveries, deliveries.c.broadcast_id == broadcasts.c.id)
            .where(deliveries.c.id == first)
        )
        if (row := bind.execute(times).one_or_none()) is not None:
            kept = {"not_after": row.not_after, "quiet_hours": row.quiet_hours}
            bind.execute(sa.update(deliveries).where(deliveries.c.id == id_).values(**kept))


def downgrade() -> None:
    raise RuntimeError("migrations go forward only: restore a backup instead")
