"""A lifecycle returns its transitions as a list of arrows and as a diagram. A trip's statuses have a fixed order."""

from __future__ import annotations

from enum import StrEnum

import pytest

from weelo_workers.contracts.statuses import AssignmentStatus
from weelo_workers.lifecycles import assignment
from weelo_workers.lifecycles.lifecycle import Lifecycle


class Door(StrEnum):
    OPEN = "open"
    SHUT = "shut"
    GONE = "gone"


def door() -> Lifecycle[Door]:
    table = Lifecycle("door", initial=Door.OPEN, final=frozenset({Door.GONE}), created_by=("a carpenter",))
    table.transition("shut", when={Door.OPEN}, to=Door.SHUT, by=("a hand", "the wind"))
    table.transition("slam", when={Door.OPEN}, to=Door.SHUT)
    table.transition("remove", when={Door.SHUT, Door.OPEN}, to=Door.GONE)
    return table


def test_arrows_come_in_the_order_of_the_table_and_of_its_states() -> None:
    assert list(door().arrows()) == [
        ("open", "shut", "shut"),
        ("open", "shut", "slam"),
        ("open", "gone", "remove"),
        ("shut", "gone", "remove"),
    ]


def test_the_diagram_has_one_arrow_per_pair_of_states() -> None:
    assert door().mermaid().splitlines() == [
        "stateDiagram-v2",
        "    [*] --> open: a carpenter",
        "    open --> shut: shut (a hand or the wind), slam",
        "    open --> gone: remove",
        "    shut --> gone: remove",
        "    gone --> [*]",
    ]


def test_a_name_is_given_once() -> None:
    table = door()
    with pytest.raises(ValueError, match="door has two transitions called slam"):
        table.transition("slam", when={Door.SHUT}, to=Door.OPEN)


@pytest.mark.parametrize(("number", "step"), list(enumerate(assignment.STEPS)), ids=str)
def test_a_trip_may_leave_steps_out_and_never_goes_back(number: int, step: AssignmentStatus) -> None:
    allowed = assignment.REACH[step].when
    assert allowed == {"driver_accepted", *assignment.STEPS[:number]}
