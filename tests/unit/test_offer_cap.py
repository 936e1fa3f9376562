"""Which open offers count towards the cap when a new one is considered."""

from __future__ import annotations

import pytest

from weelo_workers.lifecycles.offer_cap import OfferRank, counts_against, has_room, split_by_room


def in_ring(km: float | None) -> OfferRank:
    return OfferRank(km, last_step=False)


def last(km: float | None) -> OfferRank:
    return OfferRank(km, last_step=True)


@pytest.mark.parametrize(
    ("open_offer", "new", "counts"),
    [
        (in_ring(5), in_ring(9), True),
        (in_ring(9), in_ring(9), True),
        (in_ring(9), in_ring(5), False),
        (in_ring(None), in_ring(5), False),
        (in_ring(5), in_ring(None), True),
        (in_ring(None), in_ring(None), True),
        (last(5), in_ring(9), False),
        (last(5), last(9), True),
        (last(9), last(5), False),
        (in_ring(9), last(5), False),
        (in_ring(5), last(9), True),
        (last(None), last(None), True),
    ],
)
def test_only_offers_at_least_as_near_count_and_those_of_the_last_step_only_in_the_last_step(
    open_offer: OfferRank, new: OfferRank, counts: bool
) -> None:
    assert counts_against(open_offer, new) is counts


@pytest.mark.parametrize(
    ("pickup", "counts"),
    [((28.6, 77.2), False), ((19.0, 72.8), True), ((19.0 + 15 / 111, 72.8), True), ((19.2, 72.8), False)],
)
def test_a_distance_measured_before_the_transporter_moved_does_not_count(
    pickup: tuple[float, float], counts: bool
) -> None:
    new = OfferRank(8, last_step=False, pickup=(19.0, 72.8))
    assert counts_against(OfferRank(2, last_step=False, pickup=pickup), new) is counts


def test_a_cap_full_of_far_offers_has_room_for_a_near_one() -> None:
    far = [last(1142)] * 21
    assert has_room(far, in_ring(3.5), cap=20)
    assert has_room(far, last(3.5), cap=20)
    assert not has_room(far, last(1142), cap=20)


def test_wanted_offers_are_accepted_in_their_order_while_there_is_room() -> None:
    fit, refused = split_by_room([in_ring(1)], [in_ring(2), in_ring(3), last(1), in_ring(4)], cap=lambda _: 2)
    assert fit == [in_ring(2), last(1)]
    assert refused == [in_ring(3), in_ring(4)]
