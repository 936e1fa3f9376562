"""How a moment of a broadcast is drawn: a scale of distances with a dot for each fleet, and a map."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from weelo_workers.presence import Point
from weelo_workers.queries.past_moments import FleetAtMoment, FleetState, Moment

WIDTH, LEFT, RIGHT = 560, 16, 544
# Dots are stacked. This is the width of a stack, and the distance between the dots of a stack, in pixels.
_ROW = 11
_MAX_STACKED = 8
_HEIGHT = 132
_AXIS = 100


@dataclass(frozen=True, slots=True)
class Dot:
    x: float
    y: float
    fleet: FleetAtMoment


@dataclass(frozen=True, slots=True)
class Scale:
    """A drawing: its size, the ends of its axis, its marks as (x, text), the end of the ring, and the fleets' dots."""

    width: int
    height: int
    left: int
    right: int
    axis: int
    marks: tuple[tuple[float, str], ...]
    ring: float | None
    """Where the newest ring ends; None before the first ring."""
    dots: tuple[Dot, ...]
    unplaced: int
    """How many fleets have no known distance."""


def scale_of(moment: Moment) -> Scale:
    """Return the drawing of this moment."""
    known = [each for each in moment.fleets if each.distance_km is not None]
    farthest = max([10.0, moment.radius_km or 0.0, *(each.distance_km or 0.0 for each in known)])

    def x(km: float) -> float:
        # The square root gives more space to short distances, because near fleets are offered the broadcast first.
        return round(LEFT + (RIGHT - LEFT) * math.sqrt(km / (farthest * 1.05)), 1)

    stacked: Counter[int] = Counter()
    dots = []
    # Fleets with an offer are drawn nearest to the axis, and those that were passed over farther away.
    for each in sorted(known, key=lambda each: each.state is FleetState.PASSED_OVER):
        place = x(each.distance_km or 0.0)
        column = int(place // _ROW)
        if stacked[column] < _MAX_STACKED:
            dots.append(Dot(place, _AXIS - 10 - _ROW * stacked[column], each))
            stacked[column] += 1
    everyone = moment.step > 0 and moment.radius_km is None
    return Scale(
        width=WIDTH,
        height=_HEIGHT,
        left=LEFT,
        right=RIGHT,
        axis=_AXIS,
        marks=tuple((x(km), f"{km:g} km") for km in _marks(farthest)),
        ring=RIGHT if everyone else x(moment.radius_km) if moment.radius_km is not None else None,
        dots=tuple(dots),
        unplaced=len(moment.fleets) - len(known),
    )


def _marks(farthest: float) -> list[float]:
    """Return the distances in km to mark on the axis. They are so far apart that their texts do not overlap."""
    marks = [0.0]
    for each in (1, 2, 5, 10, 25, 50, 75, 100, 150, 250, 500, 750, 1_000, 1_500, 2_000, 3_000, 5_000, 10_000):
        if each <= farthest and math.sqrt(each / farthest) - math.sqrt(marks[-1] / farthest) > 0.12:
            marks.append(each)
    return marks


def map_of(view: dict[str, Any], moment: Moment, positions: Mapping[UUID, Point]) -> str:
    """Return what the map of a broadcast draws, as JSON. Fleets are at their present positions."""
    return json.dumps(
        {
            "pickup": [view["pickup"]["latitude"], view["pickup"]["longitude"]],
            "drop": [view["drop"]["latitude"], view["drop"]["longitude"]],
            "status": moment.status,
            "step": moment.step,
            "radiusKm": moment.radius_km,
            "fleets": [
                [str(each.transporter_id), at.latitude, at.longitude, each.state]
                for each in moment.fleets
                if (at := positions.get(each.transporter_id))
            ],
        },
        separators=(",", ":"),
    )
