"""The state of a fleet of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from weelo_demo.towns import Point
from weelo_lab.demand import PlannedFleet


@dataclass(slots=True)
class Fleet:
    """A fleet of the run, as it is now."""

    plan: PlannedFleet
    at: Point
    online: bool = False
    drivers: list[UUID] = field(default_factory=list)
    offers: int = 0
    wins: int = 0
    over: set[str] = field(default_factory=set)
    """The broadcasts that this fleet's app shows as taken or ended."""
    won_of: set[str] = field(default_factory=set)
    """The broadcasts of which this fleet has won a truck. If a driver declines or gives it back, the fleet does not try again."""
