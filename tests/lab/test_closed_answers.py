"""LABS-01: the lab computes the right figures in cases where they can also be computed by hand."""

from __future__ import annotations

from typing import Any

import pytest

from weelo_lab.comparing import FIGURES, PROCESSOR, Comparison
from weelo_lab.demand import draw, parse
from weelo_lab.playing import Job, play
from weelo_lab.policies import NamedPolicy, parse as policy
from weelo_lab.run import WARM_UP, Run
from weelo_lab.servers import Servers

pytestmark = pytest.mark.xdist_group("lab")

PICKUP = {"name": "here", "latitude": 28.6, "longitude": 77.2, "spread_km": 0}
# This town is 0.27 degrees of latitude, or 29.9 km, north of the pickup. So its fleets are in the ring of 50 km.
YARD = {"name": "there", "latitude": 28.87, "longitude": 77.2, "spread_km": 0, "weight": 0}
CERTAIN = {
    "sees": 1, "accepts": 1, "half_km": 1e9, "load": 0, "spread": 0, "seconds": 7, "seconds_per_km": 0,
    "driver_accepts": 1, "gives_back": 0,
}  # fmt: skip
RINGS = policy(
    "rings", {"radius_steps_km": [10, 25, 50], "radius_step_seconds": 15, "min_offers_per_step": 0}
)


def played(lab: Servers, values: dict[str, Any], chosen: NamedPolicy = RINGS, seed: int = 1) -> Run:
    demand = {"hours": 0.1, "settles_minutes": 5, "trucks_wanted": {1: 1}, "towns": [PICKUP, YARD], **values}
    return play(lab, Job(parse(demand), chosen, seed))


def test_one_fleet_that_accepts_after_T_is_found_after_its_ring_and_T_exactly(lab: Servers) -> None:
    fleet = {"count": 1, "towns": ["there"], "trucks": {1: 1}, "answers": CERTAIN}
    run = played(lab, {"requests": 1, "fleets": [fleet]})
    assert run.details["first"] == [2 * 15 + 7]
    assert run.details["wonByRing"] == {"3": 1}
    assert run.figures["pickupKm"] == pytest.approx(29.9, abs=0.1)


def test_without_anybody_online_nothing_is_filled(lab: Servers) -> None:
    fleet = {"count": 2, "towns": ["there"], "answers": CERTAIN, "online_until_hour": 0}
    run = played(lab, {"requests": 3, "fleets": [fleet]})
    assert run.figures["requestsFilled"] == run.figures["slotsFilled"] == 0
    assert run.details["offers"] == 0


def test_ten_times_as_many_willing_fleets_as_needed_fill_everything(lab: Servers) -> None:
    fleet = {"count": 20, "towns": ["here"], "trucks": {1: 1}, "answers": CERTAIN}
    run = played(lab, {"requests": 2, "fleets": [fleet]})
    assert run.figures["requestsFilled"] == run.figures["slotsFilled"] == 1


def test_LABS_01_two_identical_policies_differ_by_exactly_nothing(lab: Servers) -> None:
    values = {"requests": 3, "fleets": [{"count": 4, "towns": ["here", "there"]}]}
    again = NamedPolicy("again", RINGS.values)
    runs = {each.name: {seed: played(lab, values, each, seed) for seed in (1, 2)} for each in (RINGS, again)}
    assert [run.hash for run in runs["rings"].values()] == [run.hash for run in runs["again"].values()]
    compared = Comparison(runs)
    for figure in FIGURES:
        if figure.name == PROCESSOR:
            continue  # This figure is measured with the real clock, so it differs between runs.
        assert not any(compared.difference("again", figure.name).values), figure.name


HURRIED = {"gives_up": 1, "waits_seconds": 40, "leaves": 1, "waits_for_start_seconds": 60, "spread": 0}


def test_a_customer_without_a_truck_cancels_after_the_time_that_they_wait(lab: Servers) -> None:
    deaf = {"count": 1, "towns": ["here"], "answers": {"sees": 0}}
    run = played(lab, {"requests": 2, "fleets": [deaf], "customers": HURRIED})
    assert run.figures["requestsCancelled"] == 1
    assert run.details["cancelledAfter"] == [40, 40]


def test_a_customer_whose_truck_does_not_set_out_cancels_and_the_truck_is_lost(lab: Servers) -> None:
    fleet = {"count": 1, "towns": ["here"], "trucks": {1: 1}, "answers": {**CERTAIN, "does_not_set_out": 1}}
    run = played(lab, {"requests": 1, "fleets": [fleet], "customers": HURRIED})
    assert run.details["cancelledAfter"] == [7 + 60]
    assert run.figures["slotsFilled"] == 0


def test_fleets_accept_usual_prices_and_refuse_those_below_half_of_it(lab: Servers) -> None:
    """The elasticity is 10: a fleet accepts the usual price always, and half of that price once in a thousand times."""
    fleet = {"count": 8, "towns": ["here"], "trucks": {1: 1}, "answers": {**CERTAIN, "price": 10}}
    values = {"requests": 6, "fleets": [fleet], "price": {"spread": 1.5}}
    demand = parse({**values, "hours": 0.1, "trucks_wanted": {1: 1}, "towns": [PICKUP, YARD]})
    ratios = [each.price_ratio for each in draw(demand, "lab 1", WARM_UP).requests]
    run = played(lab, values)
    filled = run.details["won"]
    assert 0 < sum(ratio >= 1 for ratio in ratios) <= filled <= sum(ratio > 0.5 for ratio in ratios) < 6
