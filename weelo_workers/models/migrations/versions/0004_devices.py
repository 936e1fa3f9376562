"""Create the table of devices that receive pushes."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "devices",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("platform IN ('android', 'ios')", name="a_device_has_a_known_platform"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("token", name="a_token_is_of_one_device"),
    )
    op.create_index("devices_of_a_user", "devices", ["user_id", "registered_at"], unique=False)


def downgrade() -> None:
    op.drop_index("devices_of_a_user", table_name="devices")
    op.drop_table("devices")
