"""Alembic's entry: runs on the connection that `migrate.py` hands over, in its transaction."""

from alembic import context

from weelo_workers.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    compare_type=True,
    compare_server_default=False,
)
context.run_migrations()
