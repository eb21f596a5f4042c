"""The door out: routes, times and rates of broadcasts, what was sent, who asked for it"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store import types

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_MARKETED = "class = 'marketing' AND state IN ('sending', 'accepted', 'in_doubt')"


def upgrade() -> None:
    op.create_table(
        "paces",
        sa.Column("name", types.Key(), nullable=False),
        sa.Column("free_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_paces")),
    )
    op.add_column("deliveries", sa.Column("created_by", sa.Text(), nullable=True))
    op.add_column("deliveries", sa.Column("resend_of", types.Key(), nullable=True))
    op.add_column("deliveries", sa.Column("by_address", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("attempts", sa.Column("tag", types.Key(), nullable=True))
    op.add_column("attempts", sa.Column("sent", types.Json(), nullable=True))
    op.add_column("attempts", sa.Column("asked", sa.Integer(), server_default="0", nullable=False))
    op.add_column("attempts", sa.Column("ask_at", types.UTCDateTime(), nullable=True))
    op.add_column("broadcasts", sa.Column("routes", types.Json(), server_default="[]", nullable=False))
    op.add_column("broadcasts", sa.Column("not_after", types.UTCDateTime(), nullable=True))
    _fill_from_broadcasts()
    # What is in doubt already is asked about, too.
    op.execute("UPDATE attempts SET ask_at = at WHERE state = 'in_doubt'")
    op.drop_index("ix_deliveries_broadcast_queue", table_name="deliveries")
    _partial_index(
        "ix_deliveries_broadcast_queue",
        "deliveries",
        ["broadcast_id", "connection", "due_at", "id"],
        "status = 'queued'",
    )
    _partial_index("ix_attempts_ask_at", "attempts", ["ask_at"], "state = 'in_doubt'")
    _partial_index("ix_attempts_marketing", "attempts", ["profile_id", "at"], _MARKETED)


def _fill_from_broadcasts() -> None:
    """Every broadcast so far has the one route of its channel and connection; some asked for addresses."""
    broadcasts = sa.table(
        "broadcasts",
        sa.column("id", types.Key()),
        sa.column("channel", types.Key()),
        sa.column("connection", types.Key()),
        sa.column("routes", types.Json()),
        sa.column("audience", types.Json()),
    )
    deliveries = sa.table("deliveries", sa.column("broadcast_id", types.Key()), sa.column("by_address", sa.Boolean()))
    bind = op.get_bind()
    columns = (broadcasts.c.id, broadcasts.c.channel, broadcasts.c.connection, broadcasts.c.audience)
    for row in bind.execute(sa.select(*columns)).all():
        routes = [{"channel": row.channel, "connection": row.connection}]
        bind.execute(sa.update(broadcasts).where(broadcasts.c.id == row.id).values(routes=routes))
        if row.audience["kind"] == "addresses":
            bind.execute(sa.update(deliveries).where(deliveries.c.broadcast_id == row.id).values(by_address=sa.true()))


def _partial_index(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def downgrade() -> None:
    raise RuntimeError("migrations go forward only: restore a backup instead")
