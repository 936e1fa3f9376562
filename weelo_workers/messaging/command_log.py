"""The log line of each attempt at a command: one when it is settled, one when it has failed."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from weelo_workers import tracing
from weelo_workers.contracts.queues import TIMERS
from weelo_workers.lifecycles.mailbox import MAX_ATTEMPTS, REJECT
from weelo_workers.logs.context import bind, extra
from weelo_workers.messaging.claim import ClaimedRow
from weelo_workers.models import MailboxRow

log = logging.getLogger(__name__)

# Fields of a payload that say what the command is about. Only ids are logged.
_SUBJECTS = ("broadcast_id", "assignment_id", "hold_id", "transporter_id", "webhook_id")
_UUID_LENGTH = 36


@dataclass(frozen=True, slots=True)
class Settled:
    """A command whose outcome has been committed. `broadcast_id`: the broadcast that it has changed, if any."""

    row: ClaimedRow
    outcome: dict[str, Any]
    broadcast_id: UUID | None
    swept: bool
    """Whether the sweep executed the command, and not a woken worker."""


def bind_command(row: ClaimedRow) -> None:
    """Add the command, its caller's role and its subject to the log lines of this attempt."""
    bind(command_id=row.id, command=row.name, queue=row.queue, role=row.caller_role, **_subject(row.payload))


def settled(command: Settled, seconds: float) -> None:
    """Log that a command is settled. `seconds`: the duration of the attempt up to its commit."""
    row, outcome = command.row, command.outcome
    waited = max(0.0, (row.claimed_at - row.due_at).total_seconds())
    fields: dict[str, Any] = {}
    if command.broadcast_id is not None:
        fields["broadcast_id"] = command.broadcast_id
    if outcome["status"] == REJECT.to.value:
        fields["outcome"], fields["code"] = "rejected", outcome["error"]["code"]
    else:
        fields["outcome"] = "settled"
        if outcome["replayed"]:
            fields["replayed"] = True
    if row.queue == TIMERS:
        fields["fired_by"], fields["lateness"] = "sweep" if command.swept else "countdown", round(waited, 4)
    else:
        fields["queue_wait"] = round(waited, 4)
    if row.attempts:
        fields["attempt"] = row.attempts + 1
    tracing.annotate({f"weelo.{name}": value for name, value in fields.items()})
    fields["duration"] = round(seconds, 4)
    log.info("%s is %s", row.name, fields["outcome"], extra=extra(**fields))


def failed(row: MailboxRow, error: Exception, seconds: float) -> None:
    """Log that an attempt has raised an unexpected error, which is recorded in the row.

    The first attempts are logged with their tracebacks, later ones with one line each, because a timer may fail for
    ever.
    """
    outcome = "parked" if row.parked_at is not None else "failed"
    fields = extra(outcome=outcome, attempt=row.attempts, duration=round(seconds, 4))
    tracing.annotate({"weelo.outcome": outcome, "weelo.attempt": row.attempts})
    then = (
        "is parked until an operator retries it"
        if row.parked_at is not None
        else "failed, and is tried again"
    )
    traceback = error if row.attempts <= MAX_ATTEMPTS else None
    log.error("%s %s: %s", row.name, then, row.last_error, exc_info=traceback, extra=fields)


def settled_together(name: str, ids: list[UUID], seconds: float) -> None:
    """Log that commands were settled by one batch."""
    fields = extra(command=name, command_ids=ids, outcome="settled", duration=round(seconds, 4))
    log.info("%s is settled for %d commands in one batch", name, len(ids), extra=fields)


def _subject(payload: Any) -> dict[str, str]:
    if not isinstance(payload, dict):
        return {}  # Another version of this program wrote this payload, and the command will fail.
    found = {name: payload.get(name) for name in _SUBJECTS}
    if isinstance(data := payload.get("data"), dict):  # A command of a push has the ids in its field `data`.
        found["broadcast_id"] = data.get("broadcastId")
    return {
        name: value for name, value in found.items() if isinstance(value, str) and len(value) == _UUID_LENGTH
    }
