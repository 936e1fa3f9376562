"""The radius ladder: how far each step reaches, and when the next one comes."""

from __future__ import annotations

import pytest

from weelo_workers.lifecycles.ladder import (
    Ring,
    is_last_step,
    next_step_in,
    portion_size,
    ring,
    ring_name,
    step_after,
)
from weelo_workers.lifecycles.reach import Reach

RADII = (10.0, 25.0)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, Ring(0, Reach.everyone())),
        (1, Ring(1, Reach.within(10))),
        (2, Ring(2, Reach.within(25))),
        (3, Ring(3, Reach.everyone(), last=True)),
        (4, Ring(4, Reach.everyone(), last=True)),
    ],
)
def test_each_radius_is_a_step_and_the_steps_after_them_are_the_last(step: int, expected: Ring) -> None:
    assert ring(step, RADII) == expected
    assert is_last_step(step, RADII) is expected.last


def test_the_last_step_has_a_limit_only_if_one_is_set() -> None:
    assert ring(2, RADII, 300) == Ring(2, Reach.within(25))
    assert ring(3, RADII, 300) == Ring(3, Reach.within(300), last=True)
    assert ring(4, RADII, 0) == Ring(4, Reach.everyone(), last=True)


def test_portions_of_the_last_step_look_at_twice_as_many_each_time() -> None:
    assert [portion_size(step, RADII, 250, offers_before=7) for step in (3, 4, 5)] == [257, 507, 1007]


def test_a_portion_stops_growing_before_its_number_is_too_large_for_redis() -> None:
    assert portion_size(15, RADII, 250, 0) == portion_size(1_000, RADII, 250, 0) == 250 * 4096


@pytest.mark.parametrize(
    ("this", "offers_made", "left_over", "seconds"),
    [
        (Ring(1, Reach.within(10)), 3, False, 15),
        (Ring(1, Reach.within(10)), 0, False, 0),
        (Ring(3, Reach.everyone(), last=True), 3, True, 15),
        (Ring(3, Reach.everyone(), last=True), 0, True, 0),
        (Ring(3, Reach.everyone(), last=True), 3, False, None),
    ],
)
def test_a_step_is_followed_at_once_if_it_told_nobody(
    this: Ring, offers_made: int, left_over: bool, seconds: float | None
) -> None:
    assert (
        next_step_in(this, offers_made=offers_made, left_over=left_over, at_least=1, step_seconds=15)
        == seconds
    )


@pytest.mark.parametrize(
    ("newest", "contracted_step_made", "contracted_first_seconds", "following"),
    [
        (0, False, 0, 1),
        (0, False, 20, 0),
        (0, True, 20, 1),
        (0, True, 0, 1),
        (1, False, 20, 2),
        (5, True, 20, 6),
    ],
)
def test_the_step_of_contracted_transporters_comes_once_and_first(
    newest: int, contracted_step_made: bool, contracted_first_seconds: float, following: int
) -> None:
    assert (
        step_after(
            newest,
            contracted_step_made=contracted_step_made,
            contracted_first_seconds=contracted_first_seconds,
        )
        == following
    )


@pytest.mark.parametrize(("offers_made", "seconds"), [(0, 0), (1, 20), (9, 20)])
def test_the_rings_follow_the_contracted_transporters(offers_made: int, seconds: float) -> None:
    this = Ring(0, Reach.everyone())
    assert this.is_for_contracted
    assert (
        next_step_in(
            this,
            offers_made=offers_made,
            left_over=False,
            at_least=3,
            step_seconds=15,
            contracted_first_seconds=20,
        )
        == seconds
    )


def test_rings_have_names() -> None:
    names = [ring_name(step, last_step=step == 3) for step in (0, 1, 2, 3)]
    assert names == ["contracted", "1", "2", "last"]
