"""Every party can end an assignment before the delivery, and the slot is then offered to other transporters again."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.support.changed_settings import with_settings
from tests.support.world import Fleet, World
from weelo_workers.contracts.offers import Truck
from weelo_workers.contracts.outcomes import CommandOutcome
from weelo_workers.contracts.reasons import CustomerReason, ProviderReason
from weelo_workers.contracts.statuses import AssignmentStatus, EndOutcome, Role
from weelo_workers.contracts.trips import (
    AdvanceTrip,
    CancelTruck,
    EndTrip,
    GiveBack,
    ReplaceTruck,
    ReportNoShow,
)
from weelo_workers.queries.offer_explanation import explain
from weelo_workers.queries.offer_list import offers
from weelo_workers.queries.pages import PageRequest


def gives_back(world: World, assignment: Any, *, role: Role = Role.DRIVER) -> CommandOutcome:
    user = assignment.driver_id if role is Role.DRIVER else assignment.transporter_id
    command = GiveBack(
        assignment_id=assignment.id,
        user_id=user,
        role=role,
        reason_code=ProviderReason.BREAKDOWN,
        note="The clutch is gone",
    )
    return world.execute(command, user, role)


def replaces(
    world: World, assignment: Any, *, driver: UUID | None = None, vehicle: UUID | None = None
) -> CommandOutcome:
    command = ReplaceTruck(
        assignment_id=assignment.id,
        transporter_id=assignment.transporter_id,
        driver_id=driver,
        vehicle_id=vehicle,
    )
    return world.execute(command, assignment.transporter_id, Role.TRANSPORTER)


def reports_no_show(world: World, assignment: Any) -> CommandOutcome:
    command = ReportNoShow(assignment_id=assignment.id, driver_id=assignment.driver_id)
    return world.execute(command, assignment.driver_id, Role.DRIVER)


def cancels_truck(world: World, assignment: Any, customer: UUID) -> CommandOutcome:
    command = CancelTruck(
        assignment_id=assignment.id, customer_id=customer, reason_code=CustomerReason.TOO_SLOW
    )
    return world.execute(command, customer, Role.CUSTOMER)


def ends(world: World, assignment: Any, outcome: EndOutcome) -> CommandOutcome:
    command = EndTrip(
        assignment_id=assignment.id,
        outcome=outcome,
        reason_code=ProviderReason.OTHER,
        note="The customer called",
    )
    return world.execute(command, uuid4(), Role.ADMIN)


def filled_by_fleets(
    world: World, trucks: int, *, status: str = "driver_accepted"
) -> tuple[UUID, UUID, list[Fleet]]:
    """Return a broadcast that is filled by as many fleets, its customer, and the fleets. Their trucks are in `status`."""
    customer = uuid4()
    fleets = [world.fleet() for _ in range(trucks)]
    broadcast = world.broadcast(trucks, customer=customer)
    for fleet in fleets:
        assert world.accept(fleet, broadcast).status == "succeeded"
    world.drivers_accept(broadcast)
    if status != "driver_accepted":
        for assignment in world.assignments(broadcast):
            assert world.report(assignment, status).status == "succeeded"
    world.drain()
    return broadcast, customer, fleets


def assignment_of(world: World, broadcast: UUID, fleet: Fleet) -> Any:
    """Return the fleet's newest assignment on this broadcast."""
    return [a for a in world.assignments(broadcast) if a.transporter_id == fleet.id][-1]


def offers_of(world: World, fleet: Fleet) -> int:
    return len(world.events_of(fleet.id, "new_broadcast"))


def needed(world: World, broadcast: UUID) -> int:
    return int(world.value("SELECT trucks_needed FROM broadcasts WHERE id = :id", id=broadcast))


# --- give back ------------------------------------------------------------------------------------------


def test_WAYS_02_another_fleet_takes_over_from_a_truck_that_breaks_down_after_the_deadline(
    world: World,
) -> None:
    broadcast, customer, fleets = filled_by_fleets(world, 5, status="en_route_pickup")
    saviour = world.fleet(km_north=3)
    world.tick(600)
    assert world.status(broadcast) == "in_progress"
    broken = assignment_of(world, broadcast, fleets[0])

    outcome = gives_back(world, broken)
    assert (outcome.status, outcome.result["status"]) == ("succeeded", "given_back")
    assert (outcome.result["reasonCode"], gives_back(world, broken).replayed) == ("breakdown", True)
    assert world.status(broadcast) == "partially_filled"
    world.drain()
    assert (offers_of(world, saviour), offers_of(world, fleets[0])) == (1, 1)
    [lost] = world.events_of(customer, "truck_lost")
    assert (lost["reasonCode"], lost["reoffered"], lost["assignment"]["id"]) == (
        "breakdown",
        True,
        str(broken.id),
    )
    left = world.value(
        "SELECT EXTRACT(EPOCH FROM expires_at - clock_timestamp()) FROM broadcasts WHERE id = :id",
        id=broadcast,
    )
    assert 115 < left <= 120

    assert world.accept(saviour, broadcast).status == "succeeded"
    world.drivers_accept(broadcast)
    assert world.status(broadcast) == "in_progress"
    for assignment in world.assignments(broadcast):
        if assignment.status != "given_back":
            world.report(assignment, "completed")
    assert (world.status(broadcast), needed(world, broadcast)) == ("completed", 5)
    assert world.slots(broadcast) == ["completed"] * 5


def test_WAYS_02_a_fleet_that_gave_a_slot_back_never_gets_it_again(world: World) -> None:
    broadcast, _, [fleet] = filled_by_fleets(world, 1)
    assignment = assignment_of(world, broadcast, fleet)
    gives_back(world, assignment, role=Role.TRANSPORTER)
    world.drain()
    world.set_availability(fleet, online=False)
    world.set_availability(fleet, online=True)
    world.heartbeat(fleet, 1.0)
    world.drain()
    world.tick(16)  # the broadcast is offered in the next ring
    assert offers_of(world, fleet) == 1
    named = [
        Truck(**truck.model_dump() | {"truck_request_id": assignment.truck_request_id})
        for truck in fleet.trucks
    ]
    assert world.accept(fleet, broadcast).error["code"] == "SLOT_GIVEN_BACK"
    assert world.accept(fleet, broadcast, named).error["code"] == "SLOT_GIVEN_BACK"
    assert world.hold(fleet, broadcast).error["code"] == "SLOT_GIVEN_BACK"
    assert world.slots(broadcast) == ["searching"]


def test_a_fleet_that_gave_one_slot_back_may_take_another_one(world: World) -> None:
    broadcast, _, [first, second] = filled_by_fleets(world, 2)
    lost = assignment_of(world, broadcast, first)
    gives_back(world, lost)
    world.drain()
    assert offers_of(world, first) == 1
    other = assignment_of(world, broadcast, second)
    gives_back(world, other)
    world.drain()
    assert [each["truckRequestIds"] for each in world.events_of(first.id, "new_broadcast")[1:]] == [
        [str(other.truck_request_id)]
    ]
    assert world.accept(first, broadcast).status == "succeeded"
    assert assignment_of(world, broadcast, first).truck_request_id == other.truck_request_id


def test_WAYS_02_the_rings_start_again_and_reach_fleets_that_came_later(world: World) -> None:
    broadcast, _, [fleet] = filled_by_fleets(world, 1)
    near, far = world.fleet(km_north=5), world.fleet(km_north=20)
    gives_back(world, assignment_of(world, broadcast, fleet))
    world.drain()
    assert (offers_of(world, near), offers_of(world, far)) == (1, 0)
    world.tick(16)
    assert (offers_of(world, near), offers_of(world, far)) == (1, 1)


def test_WAYS_02_fleets_that_had_an_offer_and_did_not_refuse_are_asked_again(world: World) -> None:
    silent, refusing = world.fleet(), world.fleet()
    customer = uuid4()
    broadcast, fleet = world.won(customer=customer)
    world.drivers_accept(broadcast)
    world.decline(refusing, broadcast)
    gives_back(world, assignment_of(world, broadcast, fleet))
    world.drain()
    assert (offers_of(world, silent), offers_of(world, refusing)) == (2, 1)


def test_a_fleet_whose_driver_was_silent_is_asked_again_in_a_new_round(world: World) -> None:
    broadcast, silent = world.won()
    world.tick(46)  # the driver did not answer
    saviour = world.fleet()
    world.drain()
    assert world.accept(saviour, broadcast).status == "succeeded"
    world.drivers_accept(broadcast)
    gives_back(world, assignment_of(world, broadcast, saviour))
    world.drain()
    assert offers_of(world, silent) == 2
    assert world.accept(silent, broadcast).status == "succeeded"


def test_WAYS_02_after_three_rounds_the_slot_expires(world: World) -> None:
    customer = uuid4()
    broadcast = world.broadcast(1, customer=customer)
    for _ in range(4):
        fleet = world.fleet()
        world.drain()
        assert world.accept(fleet, broadcast).status == "succeeded"
        world.drivers_accept(broadcast)
        gives_back(world, assignment_of(world, broadcast, fleet))
        world.drain()
    assert (world.status(broadcast), world.slots(broadcast)) == ("expired", ["expired"])
    assert [lost["reoffered"] for lost in world.events_of(customer, "truck_lost")] == [
        True,
        True,
        True,
        False,
    ]
    assert len(world.events_of(customer, "no_vehicles_available")) == 1


def test_WAYS_02_the_slot_expires_at_once_if_the_customer_has_another_open_broadcast(world: World) -> None:
    broadcast, customer, fleets = filled_by_fleets(world, 2, status="en_route_pickup")
    second = world.broadcast(1, customer=customer)
    gives_back(world, assignment_of(world, broadcast, fleets[0]))
    assert (world.status(broadcast), world.status(second)) == ("in_progress", "active")
    assert (sorted(world.slots(broadcast)), needed(world, broadcast)) == (["accepted", "expired"], 1)
    assert [lost["reoffered"] for lost in world.events_of(customer, "truck_lost")] == [False]


def test_WAYS_02_a_partly_filled_broadcast_that_has_expired_is_searched_for_again(world: World) -> None:
    customer = uuid4()
    broadcast, fleet = world.won(trucks=2, customer=customer)
    world.drivers_accept(broadcast)
    world.tick(121)
    assert (world.status(broadcast), world.slots(broadcast)) == ("expired", ["accepted", "expired"])
    saviour = world.fleet()
    gives_back(world, assignment_of(world, broadcast, fleet))
    world.drain()
    assert (world.status(broadcast), needed(world, broadcast)) == ("active", 1)
    shown = world.events_of(customer, "broadcast_state_changed")[-1]
    assert (shown["status"], shown["trucksNeeded"], shown["trucksFilled"]) == ("active", 1, 0)
    assert shown["expiresAt"] > world.events_of(customer, "booking_expired")[-1]["stateChangedAt"]
    assert world.accept(saviour, broadcast).result["isFullyFilled"]
    assert world.status(broadcast) == "fully_filled"


def test_the_renewed_deadline_ends_the_search(world: World) -> None:
    broadcast, customer, fleets = filled_by_fleets(world, 2, status="en_route_pickup")
    world.tick(600)
    gives_back(world, assignment_of(world, broadcast, fleets[0]))
    world.tick(100)
    assert world.status(broadcast) == "partially_filled"
    world.tick(25)
    assert (world.status(broadcast), world.live_assignments(broadcast)) == ("expired", 1)
    assert [event["reason"] for event in world.events_of(customer, "booking_expired")] == ["partly_filled"]


def test_a_timer_of_an_earlier_round_does_not_widen_the_new_one(world: World) -> None:
    fleet = world.fleet()
    broadcast = world.broadcast(2)
    world.accept(fleet, broadcast)
    world.drivers_accept(broadcast)
    world.tick(10)  # the second ring of the first round is due in 5 s
    gives_back(world, assignment_of(world, broadcast, fleet))
    near = world.fleet(km_north=5)
    far = world.fleet(km_north=20)
    world.drain()
    world.tick(6)
    assert (offers_of(world, near), offers_of(world, far)) == (1, 0)
    world.tick(10)
    assert offers_of(world, far) == 1


def test_a_driver_is_notified_if_the_transporter_gives_the_truck_back(world: World) -> None:
    broadcast, _, [fleet] = filled_by_fleets(world, 1)
    gives_back(world, assignment_of(world, broadcast, fleet), role=Role.TRANSPORTER)
    [told] = world.events_of(fleet.trucks[0].driver_id, "trip_cancelled")
    assert (told["reason"], told["reasonCode"]) == ("given_back", "breakdown")


@pytest.mark.parametrize("status", ["loading_complete", "in_transit", "arrived_at_drop", "completed"])
def test_a_truck_with_goods_on_board_is_not_given_back_replaced_or_cancelled(
    world: World, status: str
) -> None:
    broadcast, customer, [fleet] = filled_by_fleets(world, 1, status=status)
    assignment = assignment_of(world, broadcast, fleet)
    for role in (Role.DRIVER, Role.TRANSPORTER):
        assert gives_back(world, assignment, role=role).error["code"] == "INVALID_TRANSITION"
    assert replaces(world, assignment, driver=uuid4()).error["code"] == "INVALID_TRANSITION"
    assert cancels_truck(world, assignment, customer).error["code"] == "BOOKING_CANNOT_CANCEL"


def test_a_driver_who_has_not_answered_cannot_give_the_truck_back(world: World) -> None:
    broadcast, fleet = world.won()
    assignment = assignment_of(world, broadcast, fleet)
    assert gives_back(world, assignment).error["code"] == "INVALID_TRANSITION"
    assert gives_back(world, assignment, role=Role.TRANSPORTER).result["status"] == "given_back"


def test_WAYS_02_the_search_begins_although_the_slot_was_taken_before_its_first_step(world: World) -> None:
    fleet, quick = world.fleet(), world.fleet()
    broadcast = world.broadcast(2)
    world.accept(fleet, broadcast)
    world.drivers_accept(broadcast)
    gives_back(world, assignment_of(world, broadcast, fleet))
    taken = world.accept(quick, broadcast)  # this fleet takes the slot that was given back
    assert taken.status == "succeeded"
    assert world.slots(broadcast) == ["assigned", "searching"]
    late = world.fleet(km_north=2)
    world.drain()
    assert offers_of(world, late) == 1


def test_WAYS_02_the_search_begins_although_the_slot_was_held_before_its_first_step(world: World) -> None:
    holder = world.fleet()
    broadcast, fleet = world.won()
    world.drivers_accept(broadcast)
    gives_back(world, assignment_of(world, broadcast, fleet))
    hold = world.hold(holder, broadcast).result["holdId"]
    late = world.fleet(km_north=2)
    world.drain()
    world.release_hold(holder, UUID(hold))
    world.tick(16)
    assert offers_of(world, late) == 1


def test_WAYS_02_a_slot_that_was_held_before_it_was_offered_again_is_offered_when_the_hold_ends(
    world: World,
) -> None:
    holder, told = world.fleet(), world.fleet()
    broadcast, fleet = world.won()
    world.drivers_accept(broadcast)
    gives_back(world, assignment_of(world, broadcast, fleet))
    assert world.hold(holder, broadcast).status == "succeeded"
    world.drain()
    assert offers_of(world, told) == 1
    world.tick(95)
    world.tick(2)
    assert offers_of(world, told) == 2


def test_a_slot_is_offered_again_to_fleets_whose_lists_contain_it_or_have_room(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_settings(monkeypatch, max_open_offers=1)
    told = world.fleet()
    broadcast, silent = world.won()
    world.tick(46)  # the driver does not answer, so the fleet's offer counts as declined
    saviour = world.fleet()
    world.drain()
    world.accept(saviour, broadcast)
    world.drivers_accept(broadcast)
    other = world.broadcast(1)
    before = [offers_of(world, each) for each in (told, silent)]
    gives_back(world, assignment_of(world, broadcast, saviour))
    world.drain()
    after = [offers_of(world, each) for each in (told, silent)]
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 0]
    assert [len(listed(world, each)) for each in (told, silent)] == [2, 1]
    world.cancel(other)


def test_a_taken_slot_beside_one_that_was_given_back_is_refused_as_taken(world: World) -> None:
    fleet, other = world.fleet(trucks=2), world.fleet()
    broadcast = world.broadcast(3)
    world.accept(fleet, broadcast, fleet.trucks[:1])
    world.drivers_accept(broadcast)
    gives_back(world, assignment_of(world, broadcast, fleet))
    world.drain()
    [open_slots] = listed(world, fleet)
    named = {"truck_request_id": UUID(open_slots[0])}
    world.accept(other, broadcast, [truck.model_copy(update=named) for truck in other.trucks])
    refused = world.accept(fleet, broadcast, [fleet.trucks[0].model_copy(update=named)])
    assert refused.error["code"] == "REQUEST_ALREADY_TAKEN"


def test_a_truck_that_set_out_in_time_keeps_its_trip_although_the_report_waits(world: World) -> None:
    broadcast, _, [fleet] = filled_by_fleets(world, 1)
    assignment = assignment_of(world, broadcast, fleet)
    world.tick(910)
    command = AdvanceTrip(
        trip_id=assignment.trip_id,
        driver_id=assignment.driver_id,
        status=AssignmentStatus.EN_ROUTE_PICKUP,
    )
    report = world.post(command, assignment.driver_id, Role.DRIVER)
    world.shift(2_800)
    timer = world.value(
        "SELECT id FROM mailbox WHERE name = 'trips.give_back_stalled' AND settled_at IS NULL"
    )
    world.bus.execute(timer)
    assert assignment_of(world, broadcast, fleet).status == "driver_accepted"
    world.bus.execute(report)
    world.tick(5)
    assert assignment_of(world, broadcast, fleet).status == "en_route_pickup"


def test_a_late_reminder_leaves_the_driver_the_time_until_the_limit(world: World) -> None:
    broadcast, _, [fleet] = filled_by_fleets(world, 1)
    world.shift(5_000)  # all timers are late, as after an outage of the workers
    world.drain()
    assert len(world.events_of(fleet.id, "pickup_reminder")) == 1
    world.tick(2_600)
    assert assignment_of(world, broadcast, fleet).status == "driver_accepted"
    world.tick(150)
    assert assignment_of(world, broadcast, fleet).status == "given_back"


def test_an_offer_names_only_the_trucks_that_are_still_asked_for(world: World) -> None:
    customer = uuid4()
    broadcast, fleet = world.won(trucks=3, customer=customer)
    cancels_truck(world, assignment_of(world, broadcast, fleet), customer)
    late = world.fleet(km_north=20)
    world.tick(16)
    [offer] = world.events_of(late.id, "new_broadcast")
    assert (offer["trucksNeeded"], [each["count"] for each in offer["requestedVehicles"]]) == (2, [2])


def listed(world: World, fleet: Fleet) -> list[list[str]]:
    """Return the slots of each offer in the fleet's list."""
    with Session(world.engine) as session:
        return [each["truckRequestIds"] for each in offers(session, fleet.id, PageRequest(20, None)).items]


def test_a_fleet_that_gave_a_slot_back_keeps_its_offer_for_the_other_slots(world: World) -> None:
    fleet, other = world.fleet(trucks=2), world.fleet()
    broadcast = world.broadcast(2)
    world.accept(fleet, broadcast, fleet.trucks[:1])
    world.drivers_accept(broadcast)
    lost = assignment_of(world, broadcast, fleet)
    gives_back(world, lost)
    world.drain()
    [open_slots] = listed(world, fleet)
    assert str(lost.truck_request_id) not in open_slots and len(open_slots) == 1
    named = [truck.model_copy(update={"truck_request_id": UUID(open_slots[0])}) for truck in other.trucks]
    assert world.accept(other, broadcast, named).status == "succeeded"
    assert listed(world, fleet) == []
    both = [
        fleet.trucks[0].model_copy(update={"truck_request_id": lost.truck_request_id}),
        fleet.trucks[1],
    ]
    assert world.accept(fleet, broadcast, both, partial=True).error["code"] == "SLOT_GIVEN_BACK"


def test_a_hold_of_an_earlier_round_does_not_prevent_a_new_one(world: World) -> None:
    holder = world.fleet()
    broadcast = world.broadcast(1)
    world.hold(holder, broadcast)
    world.tick(95)  # the hold runs out
    fleet = world.fleet()
    world.drain()
    assert world.accept(fleet, broadcast).status == "succeeded"
    world.drivers_accept(broadcast)
    gives_back(world, assignment_of(world, broadcast, fleet))
    world.drain()
    assert world.hold(holder, broadcast).status == "succeeded"


def test_a_fleet_whose_driver_declines_after_an_earlier_silence_is_not_asked_again(world: World) -> None:
    broadcast, fleet = world.won()
    world.tick(46)  # the driver does not answer in time
    assert world.accept(fleet, broadcast).status == "succeeded"
    world.answer(assignment_of(world, broadcast, fleet), yes=False)
    saviour = world.fleet()
    world.drain()
    world.accept(saviour, broadcast)
    world.drivers_accept(broadcast)
    gives_back(world, assignment_of(world, broadcast, saviour))
    world.drain()
    assert offers_of(world, fleet) == 1


def test_the_explanation_of_an_offer_says_that_the_truck_was_given_back(world: World) -> None:
    broadcast, _, [fleet] = filled_by_fleets(world, 1)
    gives_back(world, assignment_of(world, broadcast, fleet))
    with Session(world.engine) as session:
        answer = explain(session, broadcast, fleet.id, None)
    assert answer is not None and answer.answer.endswith("declined, gave 1 back")


# --- replace --------------------------------------------------------------------------------------------


def two_drivers(world: World, status: str) -> tuple[UUID, Fleet, Any]:
    """Return a broadcast with one truck in `status`, its fleet with a second truck and driver, and the assignment."""
    fleet = world.fleet(trucks=2)
    broadcast = world.broadcast(1)
    world.accept(fleet, broadcast, fleet.trucks[:1])
    if status != "pending":
        world.drivers_accept(broadcast)
    if status not in ("pending", "driver_accepted"):
        world.report(world.assignments(broadcast)[0], status)
    world.drain()
    return broadcast, fleet, world.assignments(broadcast)[0]


@pytest.mark.parametrize("status", ["pending", "driver_accepted", "en_route_pickup", "at_pickup"])
def test_WAYS_01_another_driver_takes_the_trip_over(world: World, status: str) -> None:
    broadcast, fleet, assignment = two_drivers(world, status)
    before, after = (truck.driver_id for truck in fleet.trucks)
    outcome = replaces(world, assignment, driver=after)
    assert (outcome.status, outcome.result["status"]) == ("succeeded", "pending")
    assert (outcome.result["id"], outcome.result["tripId"]) == (str(assignment.id), str(assignment.trip_id))
    assert outcome.result["driverId"] == str(after)
    assert replaces(world, assignment, driver=after).replayed
    [told] = world.events_of(before, "trip_cancelled")
    assert (told["reason"], told["reasonCode"]) == ("replaced", "replaced")
    [asked] = world.events_of(after, "trip_assigned")
    assert asked["expiresAt"] == outcome.result["expiresAt"]
    assert world.answer(assignment, yes=True).error["code"] == "DRIVER_REPLACED"
    assert world.report(assignment, "at_pickup").error["code"] == "DRIVER_REPLACED"
    world.tick(30)
    assert (
        world.answer(assignment_of(world, broadcast, fleet), yes=True).result["status"] == "driver_accepted"
    )
    assert (world.slots(broadcast), world.status(broadcast)) == (["accepted"], "fully_filled")


@pytest.mark.parametrize("status", ["pending", "driver_accepted", "en_route_pickup", "at_pickup"])
def test_WAYS_01_with_another_vehicle_the_trip_stays_in_its_status(world: World, status: str) -> None:
    broadcast, fleet, assignment = two_drivers(world, status)
    outcome = replaces(world, assignment, vehicle=fleet.trucks[1].vehicle_id)
    assert (outcome.status, outcome.result["status"]) == ("succeeded", status)
    assert outcome.result["vehicleId"] == str(fleet.trucks[1].vehicle_id)
    now = assignment_of(world, broadcast, fleet)
    assert now.state_changed_at == assignment.state_changed_at
    assert now.vehicle_number != assignment.vehicle_number


@pytest.mark.parametrize("silent", [True, False])
def test_WAYS_01_if_the_new_driver_declines_or_is_silent_the_truck_is_given_back(
    world: World, silent: bool
) -> None:
    broadcast, fleet, assignment = two_drivers(world, "en_route_pickup")
    customer = world.customer_of(broadcast)
    saviour = world.fleet()
    replaces(world, assignment, driver=fleet.trucks[1].driver_id)
    world.tick(600 if silent else 30)
    if not silent:
        world.answer(assignment_of(world, broadcast, fleet), yes=False, reason="stalled")
        world.drain()
    assert assignment_of(world, broadcast, fleet).status == "given_back"
    [lost] = world.events_of(customer, "truck_lost")
    assert lost["reasonCode"] == ("driver_timeout" if silent else "driver_unavailable")
    assert (offers_of(world, saviour), offers_of(world, fleet)) == (1, 1)
    late = world.answer(assignment_of(world, broadcast, fleet), yes=True)
    assert late.error["code"] == ("ASSIGNMENT_EXPIRED" if silent else "INVALID_TRANSITION")


def test_a_replacement_is_refused_with_the_codes_of_an_accept(world: World) -> None:
    broadcast, fleet, assignment = two_drivers(world, "driver_accepted")
    other, wrong = world.fleet(), world.fleet(kind="10 Wheeler")
    second = world.broadcast(1)
    world.accept(fleet, second, fleet.trucks[1:])
    codes = [
        replaces(world, assignment, driver=other.trucks[0].driver_id).error["code"],
        replaces(world, assignment, vehicle=other.trucks[0].vehicle_id).error["code"],
        replaces(world, assignment, driver=fleet.trucks[1].driver_id).error["code"],
        replaces(world, assignment, vehicle=fleet.trucks[1].vehicle_id).error["code"],
    ]
    assert codes == ["DRIVER_NOT_IN_FLEET", "VEHICLE_NOT_IN_FLEET", "DRIVER_BUSY", "VEHICLE_BUSY"]
    with world.engine.begin() as connection:
        connection.execute(
            text("UPDATE vehicles SET transporter_id = :to WHERE transporter_id = :from"),
            {"to": fleet.id, "from": wrong.id},
        )
    outcome = replaces(world, assignment, vehicle=wrong.trucks[0].vehicle_id)
    assert outcome.error["code"] == "VEHICLE_TYPE_MISMATCH"
    assert assignment_of(world, broadcast, fleet).vehicle_id == assignment.vehicle_id


# --- no-show, cancel of one truck, end -------------------------------------------------------------------


def test_WAYS_01_a_driver_waits_before_reporting_that_the_customer_did_not_come(world: World) -> None:
    broadcast, customer, [fleet, other] = filled_by_fleets(world, 2, status="at_pickup")
    assignment = assignment_of(world, broadcast, fleet)
    early = reports_no_show(world, assignment)
    assert early.error["code"] == "TOO_EARLY"
    assert 1790 < early.error["retryAfter"] <= 1800
    world.tick(1801)
    outcome = reports_no_show(world, assignment)
    assert (outcome.status, outcome.result["status"]) == ("succeeded", "customer_no_show")
    assert reports_no_show(world, assignment).replayed
    assert (sorted(world.slots(broadcast)), needed(world, broadcast)) == (["accepted", "cancelled"], 1)
    assert world.status(broadcast) == "in_progress"
    reports_no_show(world, assignment_of(world, broadcast, other))
    assert world.status(broadcast) == "cancelled"
    [ended] = world.events_of(customer, "booking_cancelled")
    assert ended["reason"] == "customer_no_show"
    third = world.broadcast(1)
    assert world.accept(fleet, third).status == "succeeded"  # succeeds only if truck and driver are free


def test_WAYS_01_a_customer_cancels_one_truck_while_others_are_under_way(world: World) -> None:
    broadcast, customer, fleets = filled_by_fleets(world, 3)
    first, second, third = (assignment_of(world, broadcast, fleet) for fleet in fleets)
    world.report(second, "in_transit")
    assert world.status(broadcast) == "in_progress"
    outcome = cancels_truck(world, first, customer)
    assert (outcome.result["assignment"]["status"], outcome.result["broadcast"]["trucksNeeded"]) == (
        "cancelled",
        2,
    )
    assert outcome.result["broadcast"]["status"] == "in_progress"
    assert cancels_truck(world, first, customer).replayed
    [told] = world.events_of(first.driver_id, "trip_cancelled")
    assert (told["reason"], told["reasonCode"]) == ("customer_cancelled", "too_slow")
    assert cancels_truck(world, second, customer).error["code"] == "BOOKING_CANNOT_CANCEL"
    assert cancels_truck(world, third, uuid4()).error["code"] == "ASSIGNMENT_NOT_FOUND"
    cancels_truck(world, third, customer)
    world.report(second, "completed")
    assert world.status(broadcast) == "completed"


def test_WAYS_01_cancelling_the_last_truck_cancels_the_broadcast(world: World) -> None:
    broadcast, customer, fleets = filled_by_fleets(world, 2)
    one, other = (assignment_of(world, broadcast, fleet) for fleet in fleets)
    world.report(one, "at_pickup")
    cancels_truck(world, one, customer)
    assert (world.status(broadcast), needed(world, broadcast)) == ("fully_filled", 1)
    outcome = cancels_truck(world, other, customer)
    assert outcome.result["broadcast"]["status"] == "cancelled"
    assert world.live_assignments(broadcast) == 0
    again = world.cancel(broadcast, customer)
    assert (again.status, again.result["assignmentsCancelled"]) == ("succeeded", 1)


def test_cancelling_the_only_truck_of_an_open_broadcast_does_not_end_its_search(world: World) -> None:
    customer = uuid4()
    broadcast, fleet = world.won(trucks=2, customer=customer)
    cancels_truck(world, assignment_of(world, broadcast, fleet), customer)
    assert (world.status(broadcast), world.slots(broadcast)) == ("active", ["cancelled", "searching"])
    assert needed(world, broadcast) == 1


@pytest.mark.parametrize("status", ["driver_accepted", "at_pickup", "in_transit", "arrived_at_drop"])
def test_WAYS_01_an_operator_ends_a_trip_in_any_status(world: World, status: str) -> None:
    broadcast, customer, [fleet, other] = filled_by_fleets(world, 2, status=status)
    failed, done = assignment_of(world, broadcast, fleet), assignment_of(world, broadcast, other)
    assert ends(world, failed, EndOutcome.FAILED).result["status"] == "failed"
    assert ends(world, failed, EndOutcome.FAILED).replayed
    assert ends(world, failed, EndOutcome.COMPLETED).error["code"] == "INVALID_TRANSITION"
    [lost] = world.events_of(customer, "truck_lost")
    assert (lost["reasonCode"], lost["reoffered"]) == ("other", False)
    [told] = world.events_of(failed.driver_id, "trip_cancelled")
    assert told["reason"] == "ended_by_operator"
    assert ends(world, done, EndOutcome.COMPLETED).result["status"] == "completed"
    assert (world.status(broadcast), needed(world, broadcast)) == ("completed", 1)
    assert sorted(world.slots(broadcast)) == ["cancelled", "completed"]


def test_the_broadcast_is_cancelled_if_its_last_truck_fails(world: World) -> None:
    broadcast, customer, [fleet] = filled_by_fleets(world, 1, status="in_transit")
    ends(world, assignment_of(world, broadcast, fleet), EndOutcome.FAILED)
    assert world.status(broadcast) == "cancelled"
    assert [each["reason"] for each in world.events_of(customer, "booking_cancelled")] == [
        "ended_by_operator"
    ]


# --- watchdogs ------------------------------------------------------------------------------------------


def test_WAYS_01_a_truck_that_does_not_set_out_is_given_back_after_a_reminder(world: World) -> None:
    broadcast, customer, [fleet] = filled_by_fleets(world, 1)
    driver, saviour = fleet.trucks[0].driver_id, world.fleet()
    world.tick(850)
    assert world.events_of(driver, "pickup_reminder") == []
    world.tick(60)
    assert [len(world.events_of(user, "pickup_reminder")) for user in (driver, fleet.id)] == [1, 1]
    world.tick(2_640)  # now it is 3,550 s after the driver accepted
    assert world.assignments(broadcast)[0].status == "driver_accepted"
    world.tick(60)
    assert assignment_of(world, broadcast, fleet).status == "given_back"
    [lost] = world.events_of(customer, "truck_lost")
    assert (lost["reasonCode"], lost["reoffered"]) == ("stalled", True)
    [told] = world.events_of(driver, "trip_cancelled")
    assert (told["reason"], told["reasonCode"]) == ("stalled", "stalled")
    assert (offers_of(world, saviour), offers_of(world, fleet)) == (1, 1)


def test_a_truck_that_sets_out_gets_no_reminder_and_is_not_given_back(world: World) -> None:
    broadcast, _, [fleet] = filled_by_fleets(world, 1)
    world.report(assignment_of(world, broadcast, fleet), "en_route_pickup")
    world.tick(4000)
    assert assignment_of(world, broadcast, fleet).status == "en_route_pickup"
    assert world.events_of(fleet.id, "pickup_reminder") == []


def test_WAYS_01_a_truck_that_does_not_arrive_is_reported(world: World) -> None:
    broadcast, customer, [fleet] = filled_by_fleets(world, 1, status="en_route_pickup")
    world.tick(21_500)
    assert world.events_of(customer, "assignment_stalled") == []
    world.tick(200)
    for user in (customer, fleet.id):
        assert len(world.events_of(user, "assignment_stalled")) == 1
    assert assignment_of(world, broadcast, fleet).status == "en_route_pickup"


def test_WAYS_01_a_truck_that_waits_at_the_pickup_is_reported(world: World) -> None:
    _, customer, [fleet] = filled_by_fleets(world, 1, status="at_pickup")
    world.tick(1_801)
    for user in (customer, fleet.id):
        [told] = world.events_of(user, "assignment_stalled")
        assert told["assignment"]["status"] == "at_pickup"


def test_each_watchdog_can_be_switched_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with_settings(monkeypatch, start_reminder_seconds=0, start_limit_seconds=0, pickup_limit_seconds=0)
    broadcast, customer, [fleet] = filled_by_fleets(world, 1)
    world.tick(100_000)
    assert assignment_of(world, broadcast, fleet).status == "driver_accepted"
    world.report(assignment_of(world, broadcast, fleet), "en_route_pickup")
    world.tick(100_000)
    assert assignment_of(world, broadcast, fleet).status == "en_route_pickup"
    for user in (customer, fleet.id):
        assert not world.events_of(user, "assignment_stalled") + world.events_of(user, "pickup_reminder")


def test_a_new_driver_is_watched_from_their_own_acceptance_on(world: World) -> None:
    broadcast, fleet, assignment = two_drivers(world, "driver_accepted")
    world.tick(3000)
    replaces(world, assignment, driver=fleet.trucks[1].driver_id)
    world.answer(assignment_of(world, broadcast, fleet), yes=True)
    world.tick(700)
    assert assignment_of(world, broadcast, fleet).status == "driver_accepted"
    world.tick(300)  # the reminder is published
    world.tick(2_700)
    assert assignment_of(world, broadcast, fleet).status == "given_back"


# --- reasons --------------------------------------------------------------------------------------------


def test_the_drivers_own_words_have_no_effect(world: World) -> None:
    broadcast, fleet = world.won()
    assignment = assignment_of(world, broadcast, fleet)
    world.answer(assignment, yes=False, reason="timeout")
    assert world.answer(assignment, yes=True).error["code"] == "INVALID_TRANSITION"
    other, second_fleet = world.won(trucks=2)
    world.answer(assignment_of(world, other, second_fleet), yes=False, reason="customer_cancelled")
    assert world.cancel(other).result["assignmentsCancelled"] == 0
