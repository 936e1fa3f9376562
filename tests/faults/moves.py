"""Counts what the commands about trucks did in a fault test: the transitions that they made, and how often they were refused."""

from __future__ import annotations

from dataclasses import dataclass

from tests.faults.fault_system import FaultSystem
from weelo_workers.contracts.trips import CancelTruck, EndTrip, GiveBack, ReplaceTruck, ReportNoShow

WAYS_OUT = {each.name for each in (GiveBack, ReplaceTruck, ReportNoShow, CancelTruck, EndTrip)}
"""The commands with which people leave a won truck."""


@dataclass(frozen=True, slots=True)
class Move:
    """`effect`: a transition of an assignment, or the code with which the command was refused. `times`: how often."""

    command: str
    effect: str
    times: int


def moves(fault_system: FaultSystem) -> list[Move]:
    counted = fault_system.rows("""
        SELECT cause AS command, name AS effect, count(*) AS times FROM transitions WHERE subject = 'assignment'
         GROUP BY 1, 2
         UNION ALL
        SELECT name, 'refused: ' || (error->>'code'), count(*) FROM mailbox
         WHERE name LIKE 'trips.%' AND status = 'rejected' GROUP BY 1, 2
         ORDER BY 1, 2""")
    return [Move(row.command, row.effect, row.times) for row in counted]
