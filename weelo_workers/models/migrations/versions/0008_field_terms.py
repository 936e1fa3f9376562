"""Rename columns of the mailbox and three commands to field terms."""

from alembic import op

revision = "0008"
down_revision = "0007"

COLUMNS = {"trouble": "last_error", "losses": "crashes", "sweeps": "sweep_count", "ring_at": "wake_at"}


def upgrade() -> None:
    for old, new in COLUMNS.items():
        op.alter_column("mailbox", old, new_column_name=new)
    # One UPDATE renames both commands about holds, because the new name of one is the old name of the other.
    op.execute("""
        UPDATE mailbox
           SET name = CASE name WHEN 'offers.release_hold' THEN 'offers.expire_hold'
                                WHEN 'offers.drop_hold' THEN 'offers.release_hold'
                                ELSE 'fleet.sync_presence' END
         WHERE name IN ('offers.release_hold', 'offers.drop_hold', 'fleet.sign_on')
    """)
    op.execute("""
        UPDATE transitions
           SET cause = CASE cause WHEN 'offers.release_hold' THEN 'offers.expire_hold' ELSE 'offers.release_hold' END
         WHERE cause IN ('offers.release_hold', 'offers.drop_hold')
    """)


def downgrade() -> None:
    op.execute("""
        UPDATE transitions
           SET cause = CASE cause WHEN 'offers.expire_hold' THEN 'offers.release_hold' ELSE 'offers.drop_hold' END
         WHERE cause IN ('offers.release_hold', 'offers.expire_hold')
    """)
    op.execute("""
        UPDATE mailbox
           SET name = CASE name WHEN 'offers.expire_hold' THEN 'offers.release_hold'
                                WHEN 'offers.release_hold' THEN 'offers.drop_hold'
                                ELSE 'fleet.sign_on' END
         WHERE name IN ('offers.release_hold', 'offers.expire_hold', 'fleet.sync_presence')
    """)
    for old, new in COLUMNS.items():
        op.alter_column("mailbox", new, new_column_name=old)
