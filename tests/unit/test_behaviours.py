"""The table of behaviours: each one determines what a robot does after an event."""

from __future__ import annotations

import pytest

from weelo_api.sandbox.behaviours import NEXT_STATUS, Action, Behaviour, reaction
from weelo_workers.contracts.statuses import AssignmentStatus
from weelo_workers.lifecycles.assignment import STEPS


@pytest.mark.parametrize("behaviour", Behaviour)
def test_the_reaction_of_a_transporter_to_an_offer(behaviour: Behaviour) -> None:
    expected = {Behaviour.DECLINES: Action.DECLINE_OFFER, Behaviour.SILENT: None}
    found = reaction(behaviour, "new_broadcast", {}, is_driver=False)
    assert found == expected.get(behaviour, Action.ACCEPT_OFFER)
    assert reaction(behaviour, "new_broadcast", {}, is_driver=True) is None


@pytest.mark.parametrize("behaviour", Behaviour)
def test_the_reaction_of_a_driver_to_a_trip(behaviour: Behaviour) -> None:
    expected = {
        Behaviour.ACCEPTS_DRIVER_DECLINES: Action.DECLINE_TRIP,
        Behaviour.ACCEPTS_DRIVER_SILENT: None,
    }
    found = reaction(behaviour, "trip_assigned", {}, is_driver=True)
    assert found == expected.get(behaviour, Action.ACCEPT_TRIP)


@pytest.mark.parametrize("status", AssignmentStatus)
@pytest.mark.parametrize("behaviour", Behaviour)
def test_the_reaction_of_a_driver_to_a_status(behaviour: Behaviour, status: AssignmentStatus) -> None:
    data = {"assignment": {"status": status.value}}
    found = reaction(behaviour, "assignment_status_changed", data, is_driver=True)
    if behaviour is Behaviour.DRIVES and status in NEXT_STATUS:
        assert found is Action.ADVANCE_TRIP
    elif behaviour is Behaviour.GIVES_BACK and status is AssignmentStatus.DRIVER_ACCEPTED:
        assert found is Action.GIVE_BACK
    else:
        assert found is None
    assert reaction(behaviour, "assignment_status_changed", data, is_driver=False) is None


def test_a_driver_reports_every_status_in_order() -> None:
    assert tuple(NEXT_STATUS.values()) == STEPS
    assert tuple(NEXT_STATUS) == (AssignmentStatus.DRIVER_ACCEPTED, *STEPS[:-1])
