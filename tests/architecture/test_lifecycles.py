"""The tables of transitions: every state is reachable and leads to a final state.

test_documents.py compares the tables with docs/lifecycles.md.
"""

from __future__ import annotations

import re
from enum import StrEnum

import pytest

from tests.architecture.documents import LIFECYCLES, WITH_PARTIES
from tests.support.sources import ROOT, python_files
from weelo_workers.contracts.statuses import AssignmentStatus as A, BroadcastStatus
from weelo_workers.lifecycles import mailbox
from weelo_workers.lifecycles.lifecycle import Lifecycle
from weelo_workers.lifecycles.parties import (
    ADMIN,
    CUSTOMER,
    DRIVER,
    PARTIES,
    SYSTEM,
    TIMER,
    TRANSPORTER,
)

# EXPIRED is final for a broadcast without trucks. If trucks were assigned before the expiry, they drive on, and the state
# can still change. The customer may continue with these trucks. If a truck is given back, another is searched for. If a
# truck is lost in another way, the number of trucks changes. If the last truck is cancelled, so is the broadcast.
BACK_FROM_THE_END = {
    ("broadcast", BroadcastStatus.EXPIRED, BroadcastStatus.FULLY_FILLED),
    ("broadcast", BroadcastStatus.EXPIRED, BroadcastStatus.ACTIVE),
    ("broadcast", BroadcastStatus.EXPIRED, BroadcastStatus.PARTIALLY_FILLED),
    ("broadcast", BroadcastStatus.EXPIRED, BroadcastStatus.EXPIRED),
    ("broadcast", BroadcastStatus.EXPIRED, BroadcastStatus.CANCELLED),
}

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


# --- parties --------------------------------------------------------------------------------------------

with_parties = pytest.mark.parametrize("name", WITH_PARTIES)

BEFORE_LOADING = {A.PENDING, A.DRIVER_ACCEPTED, A.EN_ROUTE_PICKUP, A.AT_PICKUP}
ON_BOARD = {A.LOADING_COMPLETE, A.IN_TRANSIT, A.ARRIVED_AT_DROP}
ACCEPTED_NOT_LOADED = BEFORE_LOADING - {A.PENDING}

# CONTRACT sections 3 and 4: (party, state, the states from which the party's commands can bring an assignment there).
WAYS_OUT_OF_AN_ASSIGNMENT = [
    (DRIVER, A.GIVEN_BACK, ACCEPTED_NOT_LOADED | {A.PENDING}),
    (DRIVER, A.CUSTOMER_NO_SHOW, {A.AT_PICKUP}),
    (DRIVER, A.COMPLETED, ACCEPTED_NOT_LOADED | ON_BOARD),
    (TRANSPORTER, A.GIVEN_BACK, BEFORE_LOADING),
    (TRANSPORTER, A.PENDING, BEFORE_LOADING),
    (CUSTOMER, A.CANCELLED, BEFORE_LOADING),
    (ADMIN, A.COMPLETED, BEFORE_LOADING | ON_BOARD),
    (ADMIN, A.FAILED, BEFORE_LOADING | ON_BOARD),
    (TIMER, A.DRIVER_DECLINED, {A.PENDING}),
    (TIMER, A.GIVEN_BACK, {A.PENDING, A.DRIVER_ACCEPTED}),
]


@with_parties
def test_every_transition_names_its_parties(name: str) -> None:
    lifecycle, _ = LIFECYCLES[name]
    assert lifecycle.created_by
    unknown = {
        transition.name: transition.by
        for transition in lifecycle.transitions
        if not transition.by or not {*transition.by} <= {*PARTIES, SYSTEM}
    }
    assert not unknown


@with_parties
def test_a_user_or_a_timer_can_leave_every_state_that_is_not_final(name: str) -> None:
    lifecycle, states = LIFECYCLES[name]
    with_a_way_out = {
        state
        for transition in lifecycle.transitions
        if {*transition.by} & {*PARTIES}
        for state in transition.when - {transition.to}
    }
    assert set(states) - lifecycle.final <= with_a_way_out


def test_an_admin_or_a_timer_can_end_whatever_is_not_final() -> None:
    """Without such a transition an object could be stuck if customers, transporters and drivers do nothing."""
    for name in WITH_PARTIES:
        lifecycle, states = LIFECYCLES[name]
        ended = {
            state
            for transition in lifecycle.transitions
            if {ADMIN, TIMER} & {*transition.by} and transition.to in lifecycle.final
            for state in transition.when
        }
        assert set(states) - lifecycle.final <= ended, name


@pytest.mark.parametrize(("party", "to", "states"), WAYS_OUT_OF_AN_ASSIGNMENT)
def test_WAYS_01_each_party_has_its_ways_out_of_an_assignment(party: str, to: A, states: set[A]) -> None:
    reached_from = {
        state
        for transition in LIFECYCLES["assignment"][0].transitions
        if party in transition.by and transition.to == to
        for state in transition.when
    }
    assert reached_from == states


@pytest.mark.parametrize("state", sorted(BEFORE_LOADING))
def test_WAYS_01_another_vehicle_may_be_sent_until_the_goods_are_loaded(state: A) -> None:
    [transition] = [
        transition
        for transition in LIFECYCLES["assignment"][0].transitions
        if transition.when == {state} and transition.to == state
    ]
    assert transition.by == (TRANSPORTER,)


# --- the mailbox ----------------------------------------------------------------------------------------


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
