"""Checks that timers acted on time: deadlines, answer windows, holds, and all others."""

from __future__ import annotations

from dataclasses import dataclass

from tests.faults.checks import Evidence, check
from tests.faults.fault_system import FaultSystem

LATE_SECONDS = 2.0
"""Allowed lateness in seconds, not counting outages of the database and of the process that sweeps."""
SHARING_SECONDS = 1.0
"""Additional allowance in the suite, where other tests use the same cores."""

TIMERS = """
    SELECT name, id, EXTRACT(EPOCH FROM due_at)::float AS due, EXTRACT(EPOCH FROM settled_at)::float AS settled,
           COALESCE(payload->>'broadcast_id',
                    (SELECT a.broadcast_id::text FROM assignments a WHERE a.id::text = payload->>'assignment_id'),
                    (SELECT h.broadcast_id::text FROM holds h WHERE h.id::text = payload->>'hold_id')) AS broadcast,
           sweep_count
      FROM mailbox WHERE queue = 'timers' AND due_at > received_at + interval '50 ms'"""
# If a truck is given back after the deadline of its request, the request gets a new deadline in `expires_at`. The first
# deadline is then the due time of the timer that made the transition `expire`.
ENDS = {
    "expire": """
        SELECT b.id, EXTRACT(EPOCH FROM CASE WHEN reopened.at IS NULL THEN b.expires_at ELSE m.due_at END)::float AS due,
               EXTRACT(EPOCH FROM x.at)::float AS settled, b.id::text AS broadcast
          FROM transitions x JOIN broadcasts b ON b.id = x.subject_id LEFT JOIN mailbox m ON m.id = x.command_id
          LEFT JOIN LATERAL (SELECT later.at FROM transitions later
                              WHERE later.subject_id = x.subject_id AND later.id > x.id
                                AND later.name IN ('reopen_some', 'reopen_all') LIMIT 1) AS reopened ON true
         WHERE x.name = 'expire'""",
    "answer": """
        SELECT a.id, EXTRACT(EPOCH FROM a.expires_at)::float AS due, EXTRACT(EPOCH FROM x.at)::float AS settled,
               a.broadcast_id::text AS broadcast
          FROM transitions x JOIN assignments a ON a.id = x.subject_id
         WHERE x.name IN ('decline', 'decline_replacement') AND x.details->>'reasonCode' = 'driver_timeout'""",
    "hold": """
        SELECT h.id, EXTRACT(EPOCH FROM h.expires_at)::float AS due, EXTRACT(EPOCH FROM x.at)::float AS settled,
               h.broadcast_id::text AS broadcast
          FROM transitions x JOIN holds h ON h.id = x.subject_id
         WHERE x.name = 'expire' AND x.subject = 'hold'""",
}


@dataclass(frozen=True, slots=True)
class Delay:
    what: str
    id: str
    due: float
    late: float
    """Seconds; negative means early."""
    forgiven: float
    """The part of `late`, in seconds, that belongs to an outage."""
    swept: bool = False


def delays(fault_system: FaultSystem, query: str) -> list[Delay]:
    found = []
    for row in fault_system.rows(query):
        if row.settled is None or row.due < fault_system.zero:
            continue
        forgiven = fault_system.outage_between(row.due, row.settled, str(row.broadcast))
        name, swept = getattr(row, "name", ""), bool(getattr(row, "sweep_count", 0))
        found.append(Delay(name, str(row.id), row.due, row.settled - row.due, forgiven, swept))
    return found


def _in_time(seen: Evidence, query: str) -> tuple[str, list[str]]:
    found = delays(seen.fault_system, query)
    wrong = [
        f"{each.what} {each.id}: due at {each.due - seen.fault_system.zero:.1f} s, {each.late:.2f} s late,"
        f" of which {each.forgiven:.2f} s in an outage"
        for each in found
        if each.late - each.forgiven > LATE_SECONDS + SHARING_SECONDS * seen.fault_system.shares_its_cores
    ]
    wrong += [f"{each.what} {each.id}: {-each.late:.3f} s early" for each in found if each.late < 0]
    latest = max((each.late for each in found), default=0.0)
    unforgiven = max((each.late - each.forgiven for each in found), default=0.0)
    return f"{len(found)}, the latest after {latest:.2f} s, {unforgiven:.2f} s without outages", wrong


@check("no request is open past its deadline + 2 s (+ outages of the database, not of Redis)")
def deadlines(seen: Evidence) -> tuple[str, list[str]]:
    return _in_time(seen, ENDS["expire"])


@check("no unanswered assignment is past its deadline")
def answers(seen: Evidence) -> tuple[str, list[str]]:
    return _in_time(seen, ENDS["answer"])


@check("no hold is past its end")
def holds(seen: Evidence) -> tuple[str, list[str]]:
    return _in_time(seen, ENDS["hold"])


@check("no timer is lost, early or late")
def timers(seen: Evidence) -> tuple[str, list[str]]:
    figure, wrong = _in_time(seen, TIMERS)
    swept = sum(each.swept for each in delays(seen.fault_system, TIMERS))
    return f"{figure}; {swept} were taken up by the sweep", wrong


@check("no timer was refused")
def no_timer_refused(seen: Evidence) -> tuple[str, list[str]]:
    """Check that no timer was rejected, because a rejected timer is settled without having had its effect."""
    refused = seen.fault_system.rows(
        "SELECT id, name, error FROM mailbox WHERE queue = 'timers' AND status = 'rejected'"
    )
    return "timers", [f"{row.name} {row.id}: {row.error}" for row in refused]
