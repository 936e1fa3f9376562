"""Store when a broadcast got its trucks and by which ring's offer, and index what the market figures read."""

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
    # From here until the migration ends, all commands wait for the table of broadcasts, so the indexes were made
    # earlier. Finished broadcasts may be millions, so their rows are not written, and figures about durations leave
    # them out.
    op.add_column("broadcasts", sa.Column("first_won_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("broadcasts", sa.Column("filled_at", sa.DateTime(timezone=True), nullable=True))
    # While old and new workers run side by side, an old one does not set these times. If it has assigned the first trucks
    # of a broadcast, and a new one further trucks, the figures use the time of the further trucks.
    op.execute("""
        UPDATE broadcasts b
           SET first_won_at = (SELECT min(at) FROM transitions t
                                WHERE t.broadcast_id = b.id AND subject = 'broadcast' AND name IN ('take_some', 'take_last')),
               filled_at = (SELECT min(at) FROM transitions t
                             WHERE t.broadcast_id = b.id AND subject = 'broadcast' AND name = 'take_last')
         WHERE b.status NOT IN ('completed', 'cancelled', 'expired')
    """)
    # In older rows this column is null, and the figures read the ring from the offer.
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
