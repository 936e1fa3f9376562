"""Sends wake-ups, and commands that no caller requests, such as the search for missed broadcasts after a heartbeat."""

from __future__ import annotations

import logging
from collections.abc import Callable
from uuid import UUID

from weelo_api.per_process import PerProcess
from weelo_workers.contracts.command import Command
from weelo_workers.logs.context import extra
from weelo_workers.messaging import mailbox
from weelo_workers.messaging.celery_waker import CeleryWaker
from weelo_workers.messaging.wakeup import BrokerUnavailable, Waker, WakeUp
from weelo_workers.models.engine import autocommit_engine

log = logging.getLogger(__name__)

waker: Callable[[], Waker] = PerProcess(CeleryWaker)
"""Return this process's connection to the broker. The lab replaces it."""


def enqueue(command: Command) -> None:
    """Store a command that is due now, and wake a worker."""
    with autocommit_engine().connect() as connection:
        command_id = mailbox.send(connection, command)
    wake(command_id, command)


def wake(command_id: UUID, command: Command | type[Command]) -> None:
    """Wake a worker for this committed row. Raises nothing, because the sweep executes the row if no wake-up was sent."""
    try:
        waker().wake(WakeUp(command_id, command.name, command.queue))
    except BrokerUnavailable:
        pass  # CeleryWaker has logged this error
    except Exception:
        log.exception("no worker could be woken", extra=extra(command_id=command_id, command=command.name))
