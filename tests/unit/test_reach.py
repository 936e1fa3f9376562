"""The reach of a broadcast: its value for each step, and the distances that it covers."""

from __future__ import annotations

import pytest

from weelo_workers.lifecycles.reach import Reach
from weelo_workers.models import Broadcast


@pytest.mark.parametrize(
    ("reach", "covered"),
    [
        (Reach.nothing(), set()),
        (Reach.within(10), {0.0, 10.0}),
        (Reach.everyone(), {0.0, 10.0, 10.1, None}),
    ],
)
def test_a_reach_covers_distances_up_to_its_limit_and_everyone_also_one_that_is_not_known(
    reach: Reach, covered: set[float | None]
) -> None:
    assert {km for km in (0.0, 10.0, 10.1, None) if reach.covers(km)} == covered


@pytest.mark.parametrize(
    ("step", "radius_km", "reach"),
    [(0, None, Reach.nothing()), (1, 10.0, Reach.within(10)), (5, None, Reach.everyone())],
)
def test_the_columns_of_a_broadcast_tell_nothing_from_everyone(
    step: int, radius_km: float | None, reach: Reach
) -> None:
    broadcast = Broadcast(radius_step=step, radius_km=radius_km)
    assert broadcast.reach == reach
    assert broadcast.reach.limit_km == radius_km
