"""Which transporters a step offers to first: bands of distance, preference, the last offer and the soft cap."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from weelo_workers.lifecycles.offer_order import StepLimits, choose, in_order

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Fleet:
    name: str
    distance_km: float | None
    preferred: bool = False
    last_offered_at: datetime | None = None
    open_offers: int = 0
    transporter_id: UUID = field(default_factory=uuid4)


def minutes_ago(minutes: float) -> datetime:
    return NOON - timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        # Of transporters in different bands of 1 km, the nearer one comes first.
        (Fleet("", 0.9, last_offered_at=NOON), Fleet("", 1.0)),
        (Fleet("", 4.0), Fleet("", 5.0, preferred=True)),
        # Within a band the preferred one comes first, then the one whose last offer is longer ago, then the nearer one.
        (Fleet("", 4.9, preferred=True, last_offered_at=NOON), Fleet("", 4.0)),
        (Fleet("", 4.9, last_offered_at=minutes_ago(2)), Fleet("", 4.0, last_offered_at=minutes_ago(1))),
        (Fleet("", 4.9), Fleet("", 4.0, last_offered_at=minutes_ago(600))),
        (Fleet("", 4.0), Fleet("", 4.9)),
        # An unknown distance counts as the farthest. Of such transporters the one with fewer open offers comes first.
        (Fleet("", 900.0, open_offers=5), Fleet("", None, preferred=True)),
        (Fleet("", None, last_offered_at=NOON), Fleet("", None, open_offers=1, preferred=True)),
        (Fleet("", None, preferred=True), Fleet("", None)),
    ],
)
def test_one_comes_before_the_other(first: Fleet, second: Fleet) -> None:
    assert in_order([first, second]) == in_order([second, first]) == [first, second]


NEAR = [Fleet(f"free {km}", float(km)) for km in range(3)]
FULL = [Fleet(f"full {km}", float(km), open_offers=5) for km in range(3)]


@pytest.mark.parametrize(
    ("candidates", "limits", "chosen", "next_step", "at_soft_cap"),
    [
        # Without a soft cap only the number of offers counts.
        (NEAR, StepLimits(2), ["free 0", "free 1"], ["free 2"], []),
        (FULL, StepLimits(2), ["full 0", "full 1"], ["full 2"], []),
        # Transporters at the soft cap come behind all others. They get an offer only if the others are fewer than `fill_to`.
        (FULL + NEAR, StepLimits(9, 5), ["free 0", "free 1", "free 2"], [], ["full 0", "full 1", "full 2"]),
        (FULL[:1] + NEAR[1:], StepLimits(9, 6), ["full 0", "free 1", "free 2"], [], []),
        (FULL + NEAR[:1], StepLimits(9, 5, 2), ["free 0", "full 0"], [], ["full 1", "full 2"]),
        (
            FULL + NEAR,
            StepLimits(9, 5, 3),
            ["free 0", "free 1", "free 2"],
            [],
            ["full 0", "full 1", "full 2"],
        ),
        (FULL + NEAR, StepLimits(2, 5, 9), ["free 0", "free 1"], ["free 2"], ["full 0", "full 1", "full 2"]),
        (FULL, StepLimits(2, 5, 9), ["full 0", "full 1"], [], ["full 2"]),
        # If all are at the soft cap, one of them gets the offer in any case, so that every request is offered.
        (FULL, StepLimits(9, 5, 1), ["full 0"], [], ["full 1", "full 2"]),
        (FULL, StepLimits(9, 5, 0), ["full 0"], [], ["full 1", "full 2"]),
        ([], StepLimits(9, 5, 1), [], [], []),
    ],
)
def test_who_gets_the_offer(
    candidates: list[Fleet],
    limits: StepLimits,
    chosen: list[str],
    next_step: list[str],
    at_soft_cap: list[str],
) -> None:
    choice = choose(candidates, limits)
    assert [each.name for each in choice.chosen] == chosen
    assert [each.name for each in choice.next_step] == next_step
    assert [each.name for each in choice.at_soft_cap] == at_soft_cap
