"""Repairs: sends the ordinary commands that repair a finding. No row of a lifecycle is edited here.

Each command is one that the system sends itself, and its handler decides under the lock of the broadcast whether there
is still anything to do. So a repair may be repeated, and may come too late.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from weelo_workers.contracts.broadcasts import ExpireBroadcast, ReofferBroadcast
from weelo_workers.contracts.command import Command
from weelo_workers.contracts.fleet import SyncPresence
from weelo_workers.contracts.offers import ExpireHold
from weelo_workers.contracts.statuses import AssignmentStatus
from weelo_workers.contracts.trips import ExpireAssignment, RemindToStart, ReportStalled
from weelo_workers.contracts.webhooks import DeliverWebhook
from weelo_workers.doctor.check import Examination, Result
from weelo_workers.doctor.checks.invariants import INVARIANTS
from weelo_workers.doctor.checks.presence import differing
from weelo_workers.messaging import audit, failures, mailbox
from weelo_workers.messaging.sweep import wake_again_after_outage
from weelo_workers.messaging.wakeup import BrokerUnavailable, Waker, WakeUp
from weelo_workers.models.mailbox import as_sql, unsettled

MAX_ROWS = 1_000
"""The limit on the rows that one repair of a finding handles. A further repair handles the others."""


@dataclass(frozen=True, slots=True)
class Repairs:
    """What repairs use. `sweep`: sweeps once and returns the number of overdue commands that it found."""

    engine: Engine
    waker: Waker
    sweep: Callable[[], int]


Repair = Callable[[Repairs, Result], Iterable[str]]
_QUERIES = {invariant.name: invariant.query for invariant in INVARIANTS}


def repair(results: Sequence[Result], using: Repairs) -> Iterable[str]:
    """Repair the findings for which there is an ordinary command, and yield a line for each action.

    Each line is recorded in the audit log.
    """
    for result in results:
        if not result.ok and (act := REPAIRS.get(result.check.name)):
            for line in act(using, result):
                with using.engine.begin() as connection:
                    audit.write(
                        connection,
                        actor=audit.account(),
                        command="doctor.repair",
                        subject="check",
                        subject_id=None,
                        reason=result.detail.splitlines()[0],
                        details={"check": result.check.name, "repair": line},
                    )
                yield f"{result.check.name}: {line}"


def _send(using: Repairs, commands: Sequence[Command]) -> Iterable[str]:
    """Store these commands, wake workers for them, and yield a line for each."""
    with using.engine.begin() as connection:
        ids = [mailbox.send(connection, command) for command in commands]
    for command_id, command in zip(ids, commands, strict=True):
        with suppress(BrokerUnavailable):  # if no wake-up can be sent, the sweep executes the command
            using.waker.wake(WakeUp(command_id, command.name, command.queue))
        about = ", ".join(f"{field}={value}" for field, value in _ids(command).items())
        yield f"sent {command.name} {command_id} ({about})"


def _ids(command: Command) -> Mapping[str, UUID]:
    return {field: value for field, value in command if isinstance(value, UUID)}


def _per_row(make: Callable[[UUID], Command]) -> Repair:
    """Return a repair that sends one command for each row that breaks the invariant."""

    def act(using: Repairs, result: Result) -> Iterable[str]:
        with using.engine.connect() as connection:
            found = _broken(connection, result.check.name)
        return _send(using, [make(row_id) for row_id in found])

    return act


def _broken(connection: Connection, invariant: str) -> list[UUID]:
    return list(connection.scalars(text(f"{_QUERIES[invariant]} LIMIT {MAX_ROWS}")))


def _set_timers(using: Repairs, result: Result) -> Iterable[str]:
    """Send a timer for each assignment that lacks it.

    No timer exists for a truck with goods on board: an operator ends such a trip.
    """
    with using.engine.connect() as connection:
        found = connection.execute(_ASSIGNMENTS, {"ids": _broken(connection, result.check.name)}).all()
    commands: list[Command] = []
    for row in found:
        status = AssignmentStatus(row.status)
        if status is AssignmentStatus.PENDING:
            commands.append(ExpireAssignment(assignment_id=row.id))
        elif status is AssignmentStatus.DRIVER_ACCEPTED:
            commands.append(RemindToStart(assignment_id=row.id, since=row.state_changed_at))
        elif status in (AssignmentStatus.EN_ROUTE_PICKUP, AssignmentStatus.AT_PICKUP):
            commands.append(ReportStalled(assignment_id=row.id, since=row.state_changed_at, status=status))
    return _send(using, commands)


_ASSIGNMENTS = text("""
    SELECT id, status, state_changed_at FROM assignments WHERE id = ANY(CAST(:ids AS uuid[]))
""")


def _begin_searches(using: Repairs, result: Result) -> Iterable[str]:
    """Send the missing commands that begin a search, and sweep once to execute those that exist and are overdue."""
    with using.engine.connect() as connection:
        rows = connection.execute(_SLOTS, {"ids": _broken(connection, result.check.name)}).all()
    yield from _send(
        using,
        [
            ReofferBroadcast(
                broadcast_id=row.broadcast_id, truck_request_id=row.id, new_round=not row.has_begun
            )
            for row in rows
        ],
    )
    yield f"one sweep took up {using.sweep()} overdue commands"


_SLOTS = text(f"""
    SELECT t.id, t.broadcast_id, b.radius_step > 0 OR b.contracted_until IS NOT NULL AS has_begun
      FROM truck_requests t JOIN broadcasts b ON b.id = t.broadcast_id
     WHERE t.id = ANY(CAST(:ids AS uuid[]))
       AND NOT EXISTS (SELECT 1 FROM mailbox WHERE name = '{ReofferBroadcast.name}' AND {as_sql(unsettled())}
                          AND payload->>'truck_request_id' = t.id::text)
""")


def _retry(using: Repairs, result: Result) -> Iterable[str]:
    """Retry the commands that the finding names, as `weelo mailbox retry` does."""
    listed = failures.parked if result.check.name == "commands-parked" else failures.failing
    with using.engine.connect() as connection:
        ids = [row.id for row in listed(connection, MAX_ROWS)]
    for command_id in ids:
        try:
            with using.engine.begin() as connection:
                name = failures.requeue(connection, command_id)
        except failures.CannotRetry as why:
            yield f"{command_id} is not tried again: {why}"
        else:
            yield f"{name} {command_id} is tried again"


def _wake_again(using: Repairs, _result: Result) -> Iterable[str]:
    woken = wake_again_after_outage(using.engine)
    yield f"workers are woken again for {woken} overdue commands"
    yield f"one sweep took up {using.sweep()} overdue commands"


def _sweep(using: Repairs, _result: Result) -> Iterable[str]:
    yield f"one sweep took up {using.sweep()} overdue commands; it does not replace beat"


def _sync_presence(using: Repairs, _result: Result) -> Iterable[str]:
    found = differing(Examination(using.engine, 10.0))
    return _send(using, [SyncPresence(transporter_id=each) for each in found])


REPAIRS: dict[str, Repair] = {
    "beat-not-sweeping": _sweep,
    "queue-behind": _wake_again,
    "commands-parked": _retry,
    "commands-failing": _retry,
    "presence-differs": _sync_presence,
    # A timer command that is executed before the deadline does no harm: its handler sets the timer again.
    "broadcast-without-timer": _per_row(lambda id_: ExpireBroadcast(broadcast_id=id_)),
    "broadcast-past-its-deadline": _per_row(lambda id_: ExpireBroadcast(broadcast_id=id_)),
    "hold-past-its-end": _per_row(lambda id_: ExpireHold(hold_id=id_)),
    "assignment-past-its-end": _per_row(lambda id_: ExpireAssignment(assignment_id=id_)),
    "assignment-without-timer": _set_timers,
    "search-not-begun": _begin_searches,
    "webhook-not-delivered": _per_row(lambda id_: DeliverWebhook(webhook_id=id_)),
}
"""The repairs, by the name of the check. A finding of any other check needs an operator."""
