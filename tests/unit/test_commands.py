"""How command classes are declared, how stored commands are loaded, and which fields details, events and outcomes have."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from weelo_workers.contracts.broadcasts import TransitionDetails, TrucksRemainingUpdate
from weelo_workers.contracts.command import REGISTRY, Command, load
from weelo_workers.contracts.outcomes import CommandOutcome
from weelo_workers.contracts.queues import TIMERS
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import BroadcastKind, BroadcastStatus

NOW = datetime(2026, 2, 19, 10, tzinfo=UTC)


@pytest.fixture
def paint() -> Iterator[type[Command]]:
    """Yield a command class that is registered for the duration of a test."""

    class Paint(Command, name="trips.paint"):
        color: str = "red"

    yield Paint
    del REGISTRY["trips.paint"]


def test_a_command_goes_to_the_queue_of_its_domain_unless_it_names_one(paint: type[Command]) -> None:
    class Remind(Command, name="trips.remind", queue=TIMERS):
        pass

    del REGISTRY["trips.remind"]
    assert (paint.queue, Remind.queue) == ("trips", "timers")


def test_two_commands_have_two_names(paint: type[Command]) -> None:
    with pytest.raises(TypeError, match=r"two commands are called trips\.paint"):

        class Again(Command, name="trips.paint"):
            pass

    assert REGISTRY["trips.paint"] is paint


def test_a_stored_command_may_lack_new_fields_and_have_unknown_ones(paint: type[Command]) -> None:
    assert load("trips.paint", {"brush": 7}) == paint()


@pytest.mark.parametrize(
    ("stored", "sent"),
    [
        ({}, {}),
        ({"step": 4, "radiusKm": None, "told": 0}, {"step": 4, "radiusKm": None, "told": 0}),
        ({"radiusKm": 12.345_678}, {"radiusKm": 12.35}),
        ({"reasonCode": "price", "note": "x"}, {"reasonCode": "price", "note": "x"}),
        ({"aFieldOfAnotherVersion": [1]}, {"aFieldOfAnotherVersion": [1]}),
    ],
    ids=str,
)
def test_the_details_of_a_transition_are_those_that_were_stored(
    stored: dict[str, Any], sent: dict[str, Any]
) -> None:
    assert TransitionDetails.model_validate(stored).json_dict() == sent


@pytest.mark.parametrize(
    ("kind", "name"), [(BroadcastKind.BOOKING, "bookingId"), (BroadcastKind.ORDER, "orderId")]
)
def test_an_event_names_the_broadcast_by_its_kind(kind: BroadcastKind, name: str) -> None:
    event = TrucksRemainingUpdate(
        broadcast_id=uuid4(),
        kind=kind,
        status=BroadcastStatus.ACTIVE,
        state_changed_at=NOW,
        version=1,
        trucks_remaining=1,
    )
    data = event.json_dict()
    assert data[name] == data["broadcastId"] == str(event.broadcast_id)
    assert {"bookingId", "orderId"} & set(data) == {name}


@pytest.mark.parametrize(
    ("result", "error", "present"),
    [
        (None, None, set()),
        ({"id": 1}, None, {"result"}),
        ({}, None, {"result"}),
        (None, {"code": "X"}, {"error"}),
    ],
)
def test_an_outcome_has_a_result_or_an_error_or_neither(
    result: object, error: dict[str, str] | None, present: set[str]
) -> None:
    outcome = CommandOutcome(
        command_id=uuid4(), command="x.y", status="pending", received_at=NOW, result=result, error=error
    )
    assert {"result", "error"} & set(outcome.json_dict()) == present


def test_a_rejection_is_problem_json_with_its_code_and_what_it_adds() -> None:
    assert Rejected(Code.RATE_LIMITED, extra={"retryAfter": 3}).problem() == {
        "type": "/docs/codes#RATE_LIMITED",
        "title": "Too many requests",
        "status": 429,
        "detail": "Too many requests",
        "code": "RATE_LIMITED",
        "retryable": True,
        "retryAfter": 3,
    }
