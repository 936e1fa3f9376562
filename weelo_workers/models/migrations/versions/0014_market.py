"""Store when a broadcast got its first and its last truck, and in which ring each truck was found.

The market figures read these columns, and the indexes that are added here.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.create_index(
        "history_of_ended_slots",
        "transitions",
        ["broadcast_id"],
        unique=False,
        postgresql_where=sa.text(
            "name IN ('cancel', 'cancel_truck', 'end_failed', 'expire', 'report_no_show')"
        ),
    )
    op.create_index(
        "mailbox_rejected_offers",
        "mailbox",
        ["received_at"],
        unique=False,
        postgresql_where=sa.text("status = 'rejected' AND queue = 'offers'"),
    )
    # The next statement locks the table of broadcasts until the migration ends, and all commands wait for this lock. So
    # the indexes, which take long, are created before it. The rows of finished broadcasts are not updated, because
    # there may be millions of them. The figures about durations leave these broadcasts out.
    op.add_column("broadcasts", sa.Column("first_won_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("broadcasts", sa.Column("filled_at", sa.DateTime(timezone=True), nullable=True))
    # During the deploy, workers of the earlier version do not set these times. If such a worker assigns the first truck
    # of a broadcast, and a newer worker assigns another truck, the figures use the time of the other truck.
    op.execute("""
        UPDATE broadcasts b
           SET first_won_at = (SELECT min(at) FROM transitions t
                                WHERE t.broadcast_id = b.id AND subject = 'broadcast' AND name IN ('take_some', 'take_last')),
               filled_at = (SELECT min(at) FROM transitions t
                             WHERE t.broadcast_id = b.id AND subject = 'broadcast' AND name = 'take_last')
         WHERE b.status NOT IN ('completed', 'cancelled', 'expired')
    """)
    # In rows from before this migration the column is null. For them the figures read the ring from the offer.
    op.add_column("assignments", sa.Column("ring", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_index(
        "mailbox_rejected_offers",
        table_name="mailbox",
        postgresql_where=sa.text("status = 'rejected' AND queue = 'offers'"),
    )
    op.drop_index(
        "history_of_ended_slots",
        table_name="transitions",
        postgresql_where=sa.text(
            "name IN ('cancel', 'cancel_truck', 'end_failed', 'expire', 'report_no_show')"
        ),
    )
    op.drop_column("assignments", "ring")
    op.drop_column("broadcasts", "filled_at")
    op.drop_column("broadcasts", "first_won_at")
