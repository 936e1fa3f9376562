"""Matching: how far a step reaches, which kinds of truck it searches, and which candidates wait for the next step."""

from __future__ import annotations

from uuid import uuid4

import pytest

from weelo_workers.broadcasts.matching import Candidate, Excluded, MatchResult
from weelo_workers.contracts.statuses import PassedOverBecause
from weelo_workers.lifecycles.offer_order import StepLimits
from weelo_workers.models import Broadcast, TruckRequest
from weelo_workers.queries.slots import filled, kinds_of, searching


@pytest.mark.parametrize(
    ("step", "radius_km", "km", "within"),
    [
        (0, None, 1.0, False),
        (1, 10.0, 10.0, True),
        (1, 10.0, 10.1, False),
        (1, 10.0, None, False),
        (5, None, 3_000.0, True),
        (5, None, None, True),
    ],
)
def test_a_step_covers_its_radius_and_without_one_every_distance(
    step: int, radius_km: float | None, km: float | None, within: bool
) -> None:
    assert Broadcast(radius_step=step, radius_km=radius_km).reach.covers(km) is within


def test_only_searching_slots_are_searched_and_only_those_with_a_truck_are_filled() -> None:
    states = ("searching", "held", "assigned", "accepted", "completed", "cancelled", "expired")
    slots = [TruckRequest(vehicle_key=state, status=state) for state in states]
    assert kinds_of(searching(slots)) == {"searching"}
    assert filled(slots) == 3


@pytest.mark.parametrize(("limit", "more"), [(2, True), (3, False), (4, False)])
def test_candidates_beyond_the_limit_wait_for_the_next_step(limit: int, more: bool) -> None:
    candidates = [Candidate(uuid4(), float(km), ("open",)) for km in range(3)]
    found = MatchResult(candidates=list(candidates))
    assert found.keep_first(StepLimits(limit)) is more
    assert found.candidates == candidates[:limit]
    assert found.excluded == [
        Excluded(each.transporter_id, PassedOverBecause.NEXT_STEP, each.distance_km)
        for each in candidates[limit:]
    ]
