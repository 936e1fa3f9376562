"""`weelo mailbox`: lists, shows and retries parked commands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from weelo_workers.cli.options import data_dir_option, use_running_system


@click.group(name="mailbox")
def mailbox_commands() -> None:
    """List, show and retry parked commands (they failed repeatedly)."""


@mailbox_commands.command()
@data_dir_option
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, help="How many at most.")
def parked(data_dir: Path, limit: int) -> None:
    """List parked commands, the oldest first.

    Each line has the id, the time of parking, the command's name and the reason.
    """
    use_running_system(data_dir, "DATABASE_URL")
    from weelo_workers.contracts.wire import rfc3339
    from weelo_workers.messaging import failures
    from weelo_workers.models.engine import engine

    with engine().connect() as connection:
        rows = failures.parked(connection, limit)
        if not rows:
            click.echo("nothing is parked", err=True)
        for row in rows:
            since = rfc3339(row.parked_at) if row.parked_at else ""
            click.echo(f"{row.id}  {since}  {row.name}  {row.last_error}")


@mailbox_commands.command()
@click.argument("command_id", metavar="ID", type=click.UUID)
@data_dir_option
def show(command_id: UUID, data_dir: Path) -> None:
    """Print one row of the mailbox as JSON, with its payload."""
    use_running_system(data_dir, "DATABASE_URL")
    import json

    from sqlalchemy.orm import Session

    from weelo_workers.models import MailboxRow
    from weelo_workers.models.engine import engine
    from weelo_workers.runtime import CommandError

    with Session(engine()) as session:
        row = session.get(MailboxRow, command_id)
        if row is None:
            raise CommandError(f"{command_id} is not in the mailbox (or was settled, and has aged out)")
        columns = {column.key: getattr(row, column.key) for column in MailboxRow.__table__.columns}
    click.echo(json.dumps(columns, indent=2, default=str))


@mailbox_commands.command()
@click.argument("command_ids", metavar="ID...", type=click.UUID, nargs=-1, required=True)
@click.option("--reason", default="", help="Why, for the audit log.")
@data_dir_option
def retry(command_ids: tuple[UUID, ...], reason: str, data_dir: Path) -> None:
    """Retry parked commands, with their counts of failures reset.

    Also retries a failing timer at once. Each attempt to retry a command is recorded in the audit log. Exit code 1 if
    any of the commands cannot be retried.
    """
    use_running_system(data_dir, "DATABASE_URL")
    from weelo_workers.contracts.rejections import Code
    from weelo_workers.messaging import audit, failures
    from weelo_workers.models.engine import engine

    refusals = 0
    for command_id in command_ids:
        entry: dict[str, Any] = {
            "actor": audit.account(),
            "command": "mailbox.retry",
            "subject": "command",
            "subject_id": command_id,
            "reason": reason or "weelo mailbox retry",
        }
        refusal: failures.CannotRetry | None = None
        name = ""
        with engine().begin() as connection:
            try:
                name = failures.requeue(connection, command_id)
                audit.write(connection, **entry, details={"command": name})
            except failures.CannotRetry as error:
                refusal = error
                audit.write(
                    connection, **entry, code=Code.INVALID_TRANSITION.name, details={"why": str(error)}
                )
        refusals += refusal is not None
        if refusal is not None:
            click.echo(f"{command_id}: {refusal}", err=True)
        else:
            click.echo(f"{command_id}: {name} is tried again")
    if refusals:
        sys.exit(1)
