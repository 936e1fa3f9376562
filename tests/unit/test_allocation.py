"""Which truck gets which slot, and with what reason trucks are refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from weelo_workers.contracts.offers import Truck
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.models import Assignment, Broadcast, Driver, Hold, TruckRequest, Vehicle
from weelo_workers.offers.allocation import Offered, allocate
from weelo_workers.offers.assigning import ensure_open, split_repeated
from weelo_workers.offers.holds import held_slots

NOW = datetime(2026, 2, 19, 10, tzinfo=UTC)


def slot(kind: str = "open") -> TruckRequest:
    return TruckRequest(id=uuid4(), vehicle_key=kind, status="searching")


def truck(kind: str = "open", slot_id: UUID | None = None) -> Offered:
    vehicle = Vehicle(
        id=uuid4(), vehicle_key=kind, vehicle_type=kind, vehicle_subtype="17 Feet", vehicle_number="HR55X1"
    )
    driver = Driver(id=uuid4())
    named = Truck(vehicle_id=vehicle.id, driver_id=driver.id, truck_request_id=slot_id)
    return named, vehicle, driver


def test_a_truck_gets_the_first_open_slot_of_its_kind() -> None:
    slots = [slot("closed"), slot(), slot()]
    offered = truck()
    assert allocate([offered], slots, slots, partial=False) == [(slots[1], offered[1], offered[2])]


def test_a_truck_that_names_a_slot_gets_it_though_another_truck_comes_first() -> None:
    slots = [slot(), slot()]
    any_slot, first_slot = truck(), truck(slot_id=slots[0].id)
    given = allocate([any_slot, first_slot], slots, slots, partial=False)
    assert given == [(slots[0], first_slot[1], first_slot[2]), (slots[1], any_slot[1], any_slot[2])]


def test_partial_allocates_as_many_as_possible() -> None:
    slots = [slot()]
    assert len(allocate([truck(), truck()], slots, slots, partial=True)) == 1


@pytest.mark.parametrize(
    ("kinds", "taken", "partial", "code", "remaining"),
    [
        (["open"], 1, False, Code.REQUEST_ALREADY_TAKEN, 0),
        (["open"], 1, True, Code.REQUEST_ALREADY_TAKEN, 0),
        (["open", "open"], 0, False, Code.NOT_ENOUGH_AVAILABLE, 1),
        (["closed"], 0, False, Code.VEHICLE_TYPE_MISMATCH, None),
        (["closed"], 0, True, Code.VEHICLE_TYPE_MISMATCH, None),
    ],
)
def test_trucks_without_a_slot_are_refused_with_the_reason(
    kinds: list[str], taken: int, partial: bool, code: Code, remaining: int | None
) -> None:
    slots = [slot()]
    with pytest.raises(Rejected) as refused:
        allocate([truck(kind) for kind in kinds], slots, slots[taken:], partial=partial)
    assert (refused.value.code, refused.value.extra.get("remaining")) == (code, remaining)


def test_a_slot_of_another_broadcast_is_not_found_and_a_taken_one_is_taken() -> None:
    slots = [slot(), slot()]
    with pytest.raises(Rejected) as unknown:
        allocate([truck(slot_id=uuid4())], slots, slots, partial=False)
    assert unknown.value.code is Code.TRUCK_REQUEST_NOT_FOUND
    with pytest.raises(Rejected) as taken:
        allocate([truck(slot_id=slots[0].id), truck()], slots, slots[1:], partial=False)
    assert taken.value.code is Code.REQUEST_ALREADY_TAKEN


@pytest.mark.parametrize(
    ("names", "repeated"),
    [(None, True), ("its slot", True), ("another slot", False)],
)
def test_a_truck_that_has_won_already_is_repeated_unless_it_names_another_slot(
    names: str | None, repeated: bool
) -> None:
    won = Assignment(vehicle_id=uuid4(), driver_id=uuid4(), truck_request_id=uuid4())
    slot_id = {None: None, "its slot": won.truck_request_id, "another slot": uuid4()}[names]
    again = Truck(vehicle_id=won.vehicle_id, driver_id=won.driver_id, truck_request_id=slot_id)
    other_driver = Truck(vehicle_id=won.vehicle_id, driver_id=uuid4())
    before, wanted = split_repeated([won], [again, other_driver])
    assert (before, wanted) == (([won], (other_driver,)) if repeated else ([], (again, other_driver)))


@pytest.mark.parametrize(
    ("status", "seconds_left", "code"),
    [
        ("active", 1, None),
        ("partially_filled", 1, None),
        ("active", 0, Code.BROADCAST_EXPIRED),
        ("expired", 1, Code.BROADCAST_EXPIRED),
        ("cancelled", -1, Code.BROADCAST_CANCELLED),
        ("fully_filled", 1, Code.BROADCAST_FILLED),
        ("fully_filled", -1, Code.BROADCAST_FILLED),
        ("in_progress", 1, Code.BROADCAST_FILLED),
        ("completed", 1, Code.BROADCAST_FILLED),
    ],
)
def test_a_broadcast_that_is_not_open_is_refused_with_the_reason(
    status: str, seconds_left: int, code: Code | None
) -> None:
    broadcast = Broadcast(status=status, expires_at=NOW + timedelta(seconds=seconds_left))
    if code is None:
        ensure_open(broadcast, NOW)
        return
    with pytest.raises(Rejected) as refused:
        ensure_open(broadcast, NOW)
    assert refused.value.code is code


def test_the_slots_of_a_hold_are_those_that_are_held_by_it() -> None:
    hold = Hold(id=uuid4())
    slots = [
        TruckRequest(status=status, hold_id=hold_id)
        for status, hold_id in (
            ("held", hold.id),
            ("held", uuid4()),
            ("assigned", hold.id),
            ("searching", None),
        )
    ]
    assert held_slots(hold, slots) == slots[:1]
    assert held_slots(None, slots) == []
