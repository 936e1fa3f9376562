"""The tables of transitions: every state is reachable and leads to an end. test_documents.py compares docs/lifecycles.md."""

from __future__ import annotations

from enum import StrEnum

import pytest

from tests.architecture.documents import LIFECYCLES
from weelo_workers.contracts.statuses import BroadcastStatus
from weelo_workers.lifecycles.lifecycle import Lifecycle

# Final, and yet: continue-partial goes on with the trucks that an expired broadcast has won.
BACK_FROM_THE_END = {("broadcast", BroadcastStatus.EXPIRED, BroadcastStatus.FULLY_FILLED)}

each = pytest.mark.parametrize("name", LIFECYCLES)


@each
def test_every_transition_joins_states_that_exist(name: str) -> None:
    lifecycle, states = LIFECYCLES[name]
    assert lifecycle.initial in states
    assert lifecycle.final <= set(states)
    for transition in lifecycle.transitions:
        assert transition.when, f"{transition.name} is never possible"
        assert {*transition.when, transition.to} <= set(states)


@each
def test_every_state_can_be_reached(name: str) -> None:
    lifecycle, states = LIFECYCLES[name]
    assert _reachable(lifecycle, lifecycle.initial) == set(states)


@each
def test_whatever_is_reached_can_come_to_an_end(name: str) -> None:
    lifecycle, _ = LIFECYCLES[name]
    stuck = {
        s for s in _reachable(lifecycle, lifecycle.initial) if not _reachable(lifecycle, s) & lifecycle.final
    }
    assert not stuck


@each
def test_the_end_is_the_end(name: str) -> None:
    lifecycle, _ = LIFECYCLES[name]
    ways_out = {(name, start, end) for start, end, _ in lifecycle.arrows() if start in lifecycle.final}
    assert ways_out <= BACK_FROM_THE_END


def _reachable(lifecycle: Lifecycle, start: StrEnum) -> set[StrEnum]:
    """`start` and whatever follows from it."""
    seen, new = {start}, {start}
    while new:
        new = {end for begin, end, _ in lifecycle.arrows() if begin in new} - seen
        seen |= new
    return seen
