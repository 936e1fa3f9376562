"""Re-offers: for every cause, status, deadline and number of rounds, whether and until when a slot is offered again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import product

import pytest

from weelo_workers.contracts.statuses import AssignmentStatus, BroadcastStatus as S
from weelo_workers.lifecycles import assignment, broadcast
from weelo_workers.lifecycles.reoffer import RULES, LostBecause, RoundLimits, open_until

NOW = datetime(2026, 2, 19, 10, 0, tzinfo=UTC)
ROUND = timedelta(seconds=120)
LIMITS = RoundLimits(seconds=ROUND.total_seconds(), rounds=3)

# Columns: the cause of a loss, the transition of the assignment, whether the search begins again with the first ring, and
# whether a later round may offer the fleet another slot of the broadcast.
CAUSES = """
driver_declined        decline               rings_go_on  no
driver_silent          decline               rings_go_on  yes
replacement_declined   decline_replacement   new_round    yes
replacement_silent     decline_replacement   new_round    yes
given_back             give_back             new_round    yes
given_back_unanswered  give_back_unanswered  new_round    yes
stalled                stall                 new_round    yes
"""

# When a truck is lost, the deadline of its broadcast may change. Rows: the status of the broadcast before the loss.
# Columns: at the loss the old deadline is an hour away (`far`), 10 s away (`near`) or 10 s ago (`over`). Cells: `kept`: the
# deadline stays, because it is late enough. `60`, `120`: the new deadline is this many seconds after the loss. `-`: the
# slot is not offered again.
RINGS_GO_ON = """
                  far   near  over
created           -     -     -
broadcasting      -     -     -
active            -     -     -
partially_filled  kept  60    -
fully_filled      kept  60    -
in_progress       kept  60    -
completed         -     -     -
cancelled         -     -     -
expired           -     -     -
"""
NEW_ROUND = """
                  far   near  over
created           -     -     -
broadcasting      -     -     -
active            -     -     -
partially_filled  kept  120   120
fully_filled      kept  120   120
in_progress       kept  120   120
completed         -     -     -
cancelled         -     -     -
expired           kept  120   120
"""
DEADLINES = {
    "far": NOW + timedelta(hours=1),
    "near": NOW + timedelta(seconds=10),
    "over": NOW - timedelta(seconds=10),
}
LINES = [line.split() for line in CAUSES.strip().splitlines()]
SEARCH = {because: search for because, _, search, _ in LINES}


def _cells(table: str) -> dict[tuple[str, str], str]:
    head, *lines = [line.split() for line in table.strip().splitlines()]
    return {(status, name): cell for status, *cells in lines for name, cell in zip(head, cells, strict=True)}


UNTIL = {"rings_go_on": _cells(RINGS_GO_ON), "new_round": _cells(NEW_ROUND)}


def _expected(because: LostBecause, status: S, deadline: str, rounds: int) -> datetime | None:
    search = SEARCH[because]
    cell = UNTIL[search][status, deadline]
    if cell == "-" or (search == "new_round" and rounds >= LIMITS.rounds):
        return None
    return DEADLINES[deadline] if cell == "kept" else NOW + timedelta(seconds=int(cell))


@pytest.mark.parametrize(("because", "transition", "search", "again"), LINES)
def test_WAYS_02_every_cause_has_its_rule(because: str, transition: str, search: str, again: str) -> None:
    rule = RULES[LostBecause(because)]
    assert rule.transition.name == transition
    assert rule.new_round == (search == "new_round")
    assert rule.may_be_offered_again == (again == "yes")


def test_WAYS_02_the_table_has_every_cause_and_every_status() -> None:
    assert list(SEARCH) == list(LostBecause) == list(RULES)
    for cells in UNTIL.values():
        assert set(cells) == set(product(map(str, S), DEADLINES))


@pytest.mark.parametrize("status", S)
@pytest.mark.parametrize("because", LostBecause)
def test_WAYS_02_a_lost_truck_is_searched_for_until_the_time_of_the_table(
    because: LostBecause, status: S
) -> None:
    for deadline, rounds in product(DEADLINES, range(LIMITS.rounds + 2)):
        until = open_until(
            RULES[because], status, now=NOW, deadline=DEADLINES[deadline], rounds=rounds, limits=LIMITS
        )
        assert until == _expected(because, status, deadline, rounds), (deadline, rounds)


@pytest.mark.parametrize("because", LostBecause)
def test_WAYS_02_at_the_deadline_itself_only_a_new_round_begins(because: LostBecause) -> None:
    until = open_until(RULES[because], S.FULLY_FILLED, now=NOW, deadline=NOW, rounds=0, limits=LIMITS)
    assert until == (NOW + ROUND if RULES[because].new_round else None)


def test_WAYS_02_without_rounds_no_truck_is_searched_for_after_it_was_given_back() -> None:
    none = RoundLimits(seconds=120, rounds=0)
    for because, status in product(LostBecause, S):
        until = open_until(RULES[because], status, now=NOW, deadline=DEADLINES["far"], rounds=0, limits=none)
        assert (until is None) or not RULES[because].new_round


def test_WAYS_02_a_slot_that_came_back_by_a_new_round_is_one_that_was_given_back() -> None:
    for rule in RULES.values():
        assert rule.new_round == (rule.transition.to == AssignmentStatus.GIVEN_BACK)
        assert rule.transition in assignment.LIFECYCLE.transitions
        assert rule.transition.when <= assignment.BEFORE_LOADING


# --- losing a truck whose slot is not offered again -----------------------------------------------------

# The first five columns describe the loss: the status of the broadcast, the number of open slots, the number of filled
# slots (without the lost truck's), whether another truck has set out, and the new status of the lost truck's slot. The
# last two columns are the result: the transition that the broadcast makes, and its new status.
AFTER_LOSS = """
partially_filled  1  0  no   expired    lose_only_truck_while_open  active
partially_filled  1  0  no   cancelled  lose_only_truck_while_open  active
partially_filled  1  1  no   expired    lose_truck_while_open       partially_filled
partially_filled  1  1  no   cancelled  lose_truck_while_open       partially_filled
partially_filled  1  1  yes  expired    lose_truck_while_open       partially_filled
partially_filled  1  1  yes  cancelled  lose_truck_while_open       partially_filled
fully_filled      0  0  no   expired    lapse                       expired
fully_filled      0  0  no   cancelled  cancel_last_truck           cancelled
fully_filled      0  1  no   expired    lose_truck                  fully_filled
fully_filled      0  1  no   cancelled  lose_truck                  fully_filled
in_progress       0  0  no   expired    lapse                       expired
in_progress       0  0  no   cancelled  cancel_last_truck           cancelled
in_progress       0  1  no   expired    none_under_way              fully_filled
in_progress       0  1  no   cancelled  none_under_way              fully_filled
in_progress       0  1  yes  expired    lose_truck_under_way        in_progress
in_progress       0  1  yes  cancelled  lose_truck_under_way        in_progress
expired           0  0  no   expired    lose_truck_after_expiry     expired
expired           0  0  no   cancelled  cancel_last_truck           cancelled
expired           0  1  no   expired    lose_truck_after_expiry     expired
expired           0  1  no   cancelled  lose_truck_after_expiry     expired
expired           0  1  yes  expired    lose_truck_after_expiry     expired
expired           0  1  yes  cancelled  lose_truck_after_expiry     expired
"""


@pytest.mark.parametrize("line", AFTER_LOSS.strip().splitlines(), ids=lambda line: "-".join(line.split()[:5]))
def test_WAYS_02_a_broadcast_without_a_lost_truck_moves_as_the_table_says(line: str) -> None:
    status, open_slots, filled, set_out, slot, name, to = line.split()
    transition = broadcast.after_loss(
        S(status),
        open_slots=int(open_slots),
        filled=int(filled),
        has_set_out=set_out == "yes",
        cancelled=slot == "cancelled",
    )
    assert (transition.name, transition.to) == (name, to)
    assert status in transition.when


@pytest.mark.parametrize("status", S)
def test_WAYS_02_only_a_broadcast_with_a_truck_can_lose_one(status: S) -> None:
    """In a status with a truck, every combination of arguments has a transition that starts in this status."""
    can_lose = status in ("partially_filled", "fully_filled", "in_progress", "expired")
    for open_slots, filled, set_out, cancelled in product((0, 1, 7), (0, 1, 7), (False, True), (False, True)):
        lose = partial(
            broadcast.after_loss,
            status,
            open_slots=open_slots,
            filled=filled,
            has_set_out=set_out,
            cancelled=cancelled,
        )
        if can_lose:
            assert status in lose().when
        else:
            with pytest.raises(ValueError, match="has no truck to lose"):
                lose()


# --- no dead end ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", sorted(assignment.LIVE))
def test_WAYS_01_a_live_assignment_can_be_moved_by_persons_in_every_status(status: AssignmentStatus) -> None:
    movers = {party for each in assignment.LIFECYCLE.transitions if status in each.when for party in each.by}
    assert {"driver", "admin"} <= movers
    if status in assignment.BEFORE_LOADING:
        assert {"transporter", "customer"} <= movers


@pytest.mark.parametrize("status", sorted(assignment.LIVE))
def test_WAYS_01_the_driver_the_customer_and_the_operator_can_end_what_has_not_ended(
    status: AssignmentStatus,
) -> None:
    ends = [
        each
        for each in assignment.LIFECYCLE.transitions
        if status in each.when and each.to in assignment.OVER
    ]
    enders = {party for each in ends for party in each.by}
    assert {"driver", "admin"} <= enders
    assert ("customer" in enders) == (status in assignment.BEFORE_LOADING)
    assert ("transporter" in enders) == (status in assignment.BEFORE_LOADING)
