"""The tables of transitions: sound in themselves, ending somewhere, and drawn in README as they are."""

from __future__ import annotations

import re
from enum import StrEnum

import pytest

from tests.architecture.sources import ROOT, python_files
from weelo_workers.contracts.statuses import (
    AssignmentStatus,
    BroadcastStatus,
    HoldStatus,
    TruckRequestStatus,
)
from weelo_workers.lifecycles import assignment, broadcast, hold, mailbox, truck_request
from weelo_workers.lifecycles.lifecycle import Lifecycle

LIFECYCLES: dict[str, tuple[Lifecycle, type[StrEnum]]] = {
    "broadcast": (broadcast.LIFECYCLE, BroadcastStatus),
    "truck_request": (truck_request.LIFECYCLE, TruckRequestStatus),
    "hold": (hold.LIFECYCLE, HoldStatus),
    "assignment": (assignment.LIFECYCLE, AssignmentStatus),
    "mailbox": (mailbox.LIFECYCLE, mailbox.MailboxState),
}

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


@each
def test_readme_draws_it_as_it_is(name: str) -> None:
    readme = ROOT / "README.md"
    if not readme.exists():
        pytest.skip("there is no README yet")
    expected = (
        f"<!-- lifecycle:{name} -->\n```mermaid\n{LIFECYCLES[name][0].mermaid()}\n```\n<!-- /lifecycle -->"
    )
    drawn = re.search(rf"<!-- lifecycle:{name} -->.*?<!-- /lifecycle -->", readme.read_text(), re.DOTALL)
    if drawn is None or drawn[0] != expected:
        pytest.fail(f"README should say:\n\n{expected}\n", pytrace=False)


def test_every_move_of_a_mailbox_row_names_what_makes_it() -> None:
    assert mailbox.LIFECYCLE.created_by
    assert not [each.name for each in mailbox.LIFECYCLE.transitions if not each.by]


def test_the_conditions_on_the_state_of_mailbox_rows_are_written_once() -> None:
    """Statements take them from `models/mailbox.py`; migrations keep what they once said."""
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
