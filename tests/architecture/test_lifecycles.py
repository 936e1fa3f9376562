"""The tables of transitions: every state is reachable and leads to a final state.

test_documents.py compares the tables with docs/lifecycles.md.
"""

from __future__ import annotations

import re
from enum import StrEnum

import pytest

from tests.architecture.documents import LIFECYCLES
from tests.support.sources import ROOT, python_files
from weelo_workers.contracts.statuses import BroadcastStatus
from weelo_workers.lifecycles import mailbox
from weelo_workers.lifecycles.lifecycle import Lifecycle

# EXPIRED is final with one exception: the customer may still continue with the trucks that were assigned.
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


def test_every_move_of_a_mailbox_row_names_what_makes_it() -> None:
    assert mailbox.LIFECYCLE.created_by
    assert not [each.name for each in mailbox.LIFECYCLE.transitions if not each.by]


def test_the_conditions_on_the_state_of_mailbox_rows_are_written_once() -> None:
    """SQL statements take the conditions on a row's state from `models/mailbox.py`.

    Migrations contain conditions of their own, because a migration never changes.
    """
    state = re.compile(
        r"(settled_at|parked_at|retry_at)(\.is_\b|\.is_not\b| IS (NOT )?NULL)|attempts (>|=) \d|crashes (> [1-9]|<= \d)"
    )
    files = [path for path in python_files("weelo_workers", "weelo_api") if "migrations" not in path.parts]
    found = {str(path.relative_to(ROOT)) for path in files if state.search(path.read_text())}
    assert found == {"weelo_workers/models/mailbox.py", "weelo_workers/lifecycles/mailbox.py"}


def _reachable(lifecycle: Lifecycle, start: StrEnum) -> set[StrEnum]:
    """Return `start` and all states that can follow it."""
    seen, new = {start}, {start}
    while new:
        new = {end for begin, end, _ in lifecycle.arrows() if begin in new} - seen
        seen |= new
    return seen
