"""Counts the transitions that commands about trucks made in a fault test, and the rejections of these commands."""

from __future__ import annotations

from dataclasses import dataclass

from tests.faults.fault_system import FaultSystem
from weelo_workers.contracts.trips import CancelTruck, EndTrip, GiveBack, ReplaceTruck, ReportNoShow

WAYS_OUT = {each.name for each in (GiveBack, ReplaceTruck, ReportNoShow, CancelTruck, EndTrip)}
"""The commands with which people leave a won truck."""


@dataclass(frozen=True, slots=True)
class Move:
    """`effect`: a transition of an assignment, or `refused: ` and the code of a rejection. `times`: how often it occurred."""

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
