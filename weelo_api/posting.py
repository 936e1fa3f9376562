"""The system's own commands, written down and rung for by the API: what a heartbeat brings to light."""

from __future__ import annotations

from contextlib import suppress

from weelo_workers.contracts.command import Command
from weelo_workers.messaging import mailbox
from weelo_workers.messaging.bell import BellSilent, Ring
from weelo_workers.messaging.celery_bell import CeleryBell
from weelo_workers.models.engine import autocommitting

bell = CeleryBell()


def send(command: Command) -> None:
    """Record it as due now, and ring."""
    with autocommitting().connect() as connection:
        command_id = mailbox.send(connection, command)
    with suppress(BellSilent):
        bell.ring(Ring(command_id, command.name, command.queue))
