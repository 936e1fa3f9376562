"""Counts the commands and transitions of a fault test, which show that its people used all ways out of a won truck."""

from __future__ import annotations

from dataclasses import dataclass

from tests.faults.fault_system import FaultSystem
from weelo_workers.lifecycles import assignment

WAYS_OUT = {
    each.name
    for each in (
        assignment.GIVE_BACK,
        assignment.STALL,
        assignment.REPLACE_DRIVER,
        assignment.REPORT_NO_SHOW,
        assignment.CANCEL_TRUCK,
        assignment.END_COMPLETED,
        assignment.END_FAILED,
    )
}
"""Transitions that every fault test must have made."""


@dataclass(frozen=True, slots=True)
class Move:
    """A transition of assignments by one command. `times`: how often it was made."""

    command: str
    transition: str
    times: int


def moves(fault_system: FaultSystem) -> list[Move]:
    counted = fault_system.rows(
        "SELECT cause, name, count(*) AS times FROM transitions WHERE subject = 'assignment'"
        " GROUP BY 1, 2 ORDER BY 1, 2"
    )
    return [Move(row.cause, row.name, row.times) for row in counted]
