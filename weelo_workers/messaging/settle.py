"""Settle a command: store its outcome, publish it to the caller, and count it."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

from weelo_workers.contracts.outcomes import CommandSettled
from weelo_workers.contracts.queues import TIMERS
from weelo_workers.contracts.recipients import ToCaller
from weelo_workers.messaging import audit
from weelo_workers.messaging.claim import ClaimedRow
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.metrics import counters

_EMPTY_OUTCOME = {"result": None, "error": None, "replayed": False}


def settle(uow: UnitOfWork, row: ClaimedRow, outcome: dict[str, Any], *, swept: bool) -> None:
    """Store the outcome in the row, publish it to the caller if there is one, and audit a command of operators.

    `swept`: whether the sweep executed the command.
    """
    if uow.caller:
        uow.publish(
            CommandSettled(
                command_id=row.id,
                command=row.name,
                received_at=row.received_at,
                settled_at=uow.now,
                **outcome,
            ),
            ToCaller(caller_id=uow.caller.id),
        )
    audit.record(uow, row, outcome)
    uow.settle({"settled_at": uow.now, **_EMPTY_OUTCOME, **outcome})
    uow.after_commit(partial(_count, row, outcome["status"], uow.now, swept))


def _count(row: ClaimedRow, status: str, settled_at: datetime, swept: bool) -> None:
    counters.COMMANDS.labels(row.name, status).inc()
    if row.caller_id is not None:
        waited = (settled_at - row.received_at).total_seconds()
        counters.COMMAND_SECONDS.labels(row.queue).observe(max(0.0, waited))
    if row.queue == TIMERS:
        counters.TIMERS_FIRED.labels("sweep" if swept else "countdown").inc()
        late = max(0.0, (row.claimed_at - row.due_at).total_seconds())
        counters.TIMER_LATE_SECONDS.observe(late)
        counters.count_for_slo(counters.TIMER_LATENESS, late)
