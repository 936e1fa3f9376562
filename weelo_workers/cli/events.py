"""`weelo events`: restarts the event logs after a restore from a backup."""

from __future__ import annotations

from pathlib import Path

import click

from weelo_workers.cli.options import data_dir_option, use_running_system


@click.group()
def events() -> None:
    """Restart the event logs of all users."""


@events.command()
@data_dir_option
@click.confirmation_option(prompt="This deletes all lines of the event logs. Go on?")
def restart(data_dir: Path) -> None:
    """Delete the event logs after a restore, while no process runs.

    An app may have read lines that the backup does not contain. New lines would get the same numbers, and the app would
    ignore them as read. After this command each app reads the present state again.
    """
    use_running_system(data_dir, "DATABASE_URL")
    from weelo_workers.models.engine import engine
    from weelo_workers.models.restart_logs import restart_logs

    with engine().begin() as connection:
        count = restart_logs(connection)
    click.echo(f"{count} logs begin anew; apps get `resync_required`, and read the present state")
