"""A blocked pair never meets: nothing is offered, held or assigned between the two, whichever side has blocked."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from sqlalchemy.orm import Session

from tests.support.relations import (
    SIDES,
    Side,
    block,
    new_customer,
    set_by_customer,
    set_by_transporter,
    told,
    unblock,
    why,
)
from tests.support.world import World
from weelo_workers.contracts.broadcasts import OfferLate, OfferPassedOver
from weelo_workers.contracts.command import Caller
from weelo_workers.contracts.statuses import Role
from weelo_workers.models.environment_policy import environment_policy
from weelo_workers.queries import broadcasts
from weelo_workers.queries.offer_explanation import explain

STEP = environment_policy().radius_step_seconds + 1

both_sides = pytest.mark.parametrize("by", SIDES)


@pytest.fixture
def customer(world: World) -> UUID:
    return new_customer(world)


def code(outcome: object) -> str | None:
    error = getattr(outcome, "error", None)
    return None if error is None else error["code"]


# --- offers ---------------------------------------------------------------------------------------------


@both_sides
def test_no_ring_offers(world: World, customer: UUID, by: Side) -> None:
    near, far, other = world.fleet(), world.fleet(km_north=60), world.fleet(km_north=2)
    for fleet in (near, far):
        block(world, by, customer, fleet)
    broadcast = world.broadcast(1, customer=customer)
    for _ in range(8):
        world.tick(STEP)
    assert set(world.told_at(broadcast)) == {other.id}
    assert told(world, near, broadcast) == told(world, far, broadcast) == []
    assert why(world, broadcast, near) == ("blocked",), "one row, however many steps leave it out"


@both_sides
def test_no_ring_offers_without_redis(
    world: World, customer: UUID, by: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    from weelo_workers import presence

    fleet, other = world.fleet(), world.fleet()
    block(world, by, customer, fleet)

    def away(*_: object) -> None:
        raise presence.PresenceUnavailable("away")

    monkeypatch.setattr(presence, "search", away)
    monkeypatch.setattr(presence, "nearest", away)
    broadcast = world.broadcast(1, customer=customer)
    assert set(world.told_at(broadcast)) == {other.id}


@both_sides
def test_no_catch_up_offers(world: World, customer: UUID, by: Side) -> None:
    fleet = world.fleet(online=False)
    block(world, by, customer, fleet)
    broadcast = world.broadcast(1, customer=customer)
    world.set_availability(fleet, online=True)
    world.heartbeat(fleet, 1.0)
    world.drain()
    world.tick(3)
    assert told(world, fleet, broadcast) == []
    assert world.told_at(broadcast) == {}


@both_sides
def test_no_late_offer_is_made(world: World, customer: UUID, by: Side) -> None:
    """Late offers are made after a heartbeat near the pickup, and when a transporter's full list has room again."""
    fleet = world.fleet()
    block(world, by, customer, fleet)
    broadcast = world.broadcast(1, customer=customer)
    world.fire(OfferLate(broadcast_id=broadcast, transporter_id=fleet.id))
    world.fire(OfferPassedOver(broadcast_id=broadcast, transporter_ids=(fleet.id,)))
    world.heartbeat(fleet, 1.0)
    world.drain()
    assert told(world, fleet, broadcast) == []
    assert set(why(world, broadcast, fleet)) == {"blocked"}


@both_sides
def test_no_room_offers_what_a_block_forbids(world: World, customer: UUID, by: Side) -> None:
    """A step passes over a transporter whose list of offers is full. A block is set before the list has room again."""
    cap = environment_policy().max_open_offers
    fleet = world.fleet()
    full = [world.broadcast(1) for _ in range(cap)]
    broadcast = world.broadcast(1, customer=customer)
    assert set(why(world, broadcast, fleet)) == {"too_many_offers"}
    block(world, by, customer, fleet)
    world.drain()
    world.cancel(full[0])
    world.drain()
    assert told(world, fleet, broadcast) == []


@both_sides
@pytest.mark.parametrize("round_of", ["driver declines", "given back"])
def test_no_offer_is_made_again(world: World, customer: UUID, by: Side, round_of: str) -> None:
    winner, fleet = world.fleet(), world.fleet(2)
    broadcast = world.broadcast(1, customer=customer)
    world.accept(winner, broadcast)
    world.drain()
    block(world, by, customer, fleet)
    world.drain()
    before = told(world, fleet, broadcast)
    [assignment] = world.assignments(broadcast)
    if round_of == "driver declines":
        world.answer(assignment, yes=False)
    else:
        world.drivers_accept(broadcast)
        world.give_back(world.assignments(broadcast)[0])
    for _ in range(4):
        world.tick(STEP)
    assert world.status(broadcast) == "active"
    assert told(world, fleet, broadcast) == before == ["new_broadcast", "booking_fully_filled"]


@both_sides
def test_a_declined_offer_of_a_blocked_fleet_is_not_renewed(world: World, customer: UUID, by: Side) -> None:
    """The fleet's offer is declined because its driver declined. Without the block, a new round would renew the offer."""
    winner, fleet = world.fleet(), world.fleet()
    broadcast = world.broadcast(2, customer=customer)
    world.accept(winner, broadcast)
    world.accept(fleet, broadcast)
    world.drain()
    for assignment in world.assignments(broadcast):
        if assignment.transporter_id == fleet.id:
            world.answer(assignment, yes=False)
    world.drain()
    block(world, by, customer, fleet)
    world.drivers_accept(broadcast)
    world.give_back(world.assignments(broadcast)[0])
    for _ in range(3):
        world.tick(STEP)
    assert told(world, fleet, broadcast).count("new_broadcast") == 1


@both_sides
def test_continue_partial_tells_and_serves_no_blocked_fleet(world: World, customer: UUID, by: Side) -> None:
    winner, fleet = world.fleet(), world.fleet()
    broadcast = world.broadcast(2, customer=customer)
    world.accept(winner, broadcast)
    world.drivers_accept(broadcast)
    world.drain()
    block(world, by, customer, fleet)
    world.drain()
    before = told(world, fleet, broadcast)
    world.tick(200)
    assert world.status(broadcast) == "expired"
    assert world.continue_partial(broadcast, customer).status == "succeeded"
    world.drain()
    assert told(world, fleet, broadcast) == before
    assert before[-1] == "offer_withdrawn"
    assert code(world.accept(fleet, broadcast)) == "BLOCKED"


@both_sides
def test_only_blocked_fleets_online_count_as_none(world: World, customer: UUID, by: Side) -> None:
    """The customer is told that no transporter is online. Any other reason would reveal the block."""
    block(world, by, customer, world.fleet())
    broadcast = world.broadcast(1, customer=customer)
    world.tick(1_000)
    [event] = world.events_of(customer, "no_vehicles_available")
    assert event["reason"] == "no_transporter_online"
    details = world.rows("SELECT details FROM transitions WHERE broadcast_id = :id", id=broadcast)
    assert all("blocked" not in str(row.details) for row in details)


# --- commands of the transporter ------------------------------------------------------------------------


@both_sides
def test_accept_hold_and_confirm_are_refused(world: World, customer: UUID, by: Side) -> None:
    fleet, other = world.fleet(), world.fleet()
    broadcast = world.broadcast(2, customer=customer)
    hold = world.hold(fleet, broadcast).result["holdId"]
    block(world, by, customer, fleet)
    assert code(world.accept(fleet, broadcast)) == "BLOCKED"
    assert code(world.hold(fleet, broadcast)) == "BLOCKED"
    assert code(world.confirm(fleet, hold)) == "BLOCKED"
    assert world.decline(fleet, broadcast).status == "succeeded", "an app may still clear its list"
    assert world.accept(other, broadcast).status == "succeeded"


@both_sides
def test_an_accept_by_id_without_an_offer_is_refused(world: World, customer: UUID, by: Side) -> None:
    fleet, stranger = world.fleet(), world.fleet(online=False)
    block(world, by, customer, fleet)
    broadcast = world.broadcast(1, customer=customer)
    assert code(world.accept(fleet, broadcast)) == "BLOCKED"
    assert code(world.hold(fleet, broadcast)) == "BLOCKED"
    assert code(world.accept(stranger, broadcast)) == "BROADCAST_NOT_FOUND"
    assert code(world.accept(fleet, uuid4())) == "BROADCAST_NOT_FOUND"


@both_sides
def test_a_won_truck_stays_and_gets_no_replacement(world: World, customer: UUID, by: Side) -> None:
    fleet = world.fleet(2)
    broadcast = world.broadcast(1, customer=customer)
    first = world.accept(fleet, broadcast, fleet.trucks[:1])
    world.drain()
    block(world, by, customer, fleet)
    world.drain()
    [assignment] = world.assignments(broadcast)
    assert assignment.status == "pending"
    assert world.accept(fleet, broadcast, fleet.trucks[:1]).result == first.result, "a repeated accept"
    replaced = world.replace(assignment, driver=fleet.trucks[1].driver_id)
    assert code(replaced) == "BLOCKED"
    assert world.answer(assignment, yes=True).status == "succeeded"
    for status in ("en_route_pickup", "at_pickup", "loading_complete", "in_transit", "arrived_at_drop"):
        world.report(assignment, status)
    world.report(assignment, "completed")
    world.drain()
    assert world.status(broadcast) == "completed"
    assert told(world, fleet, broadcast)[-1] in ("booking_completed", "assignment_status_changed")
    assert "booking_completed" in told(world, fleet, broadcast)


@both_sides
def test_a_fleet_with_trucks_hears_that_the_rest_is_cancelled(world: World, customer: UUID, by: Side) -> None:
    fleet = world.fleet()
    broadcast = world.broadcast(2, customer=customer)
    world.accept(fleet, broadcast)
    world.drain()
    block(world, by, customer, fleet)
    world.cancel(broadcast)
    world.drain()
    [cancelled] = world.events_of(fleet.id, "booking_cancelled")
    assert cancelled["assignedToYou"] == 1


# --- the withdrawal -------------------------------------------------------------------------------------


@both_sides
def test_a_block_withdraws_the_open_offer_and_the_hold(world: World, customer: UUID, by: Side) -> None:
    fleet, other = world.fleet(), world.fleet()
    broadcast = world.broadcast(1, customer=customer)
    world.hold(fleet, broadcast)
    assert world.slots(broadcast) == ["held"]
    block(world, by, customer, fleet)
    world.drain()
    assert world.slots(broadcast) == ["searching"]
    assert told(world, fleet, broadcast) == ["new_broadcast", "trucks_remaining_update", "offer_withdrawn"]
    assert told(world, other, broadcast)[-1] == "trucks_remaining_update"
    with Session(world.engine) as session:
        reader = Caller(fleet.id, Role.TRANSPORTER)
        assert broadcasts.find(session, broadcast, reader) is None
        why_view = explain(session, broadcast, fleet.id, None)
    assert why_view is not None
    assert (why_view.offered, why_view.reason, why_view.declined_at) == (True, "blocked", None)
    block(world, by, customer, fleet)
    world.drain()
    assert told(world, fleet, broadcast).count("offer_withdrawn") == 1


@both_sides
def test_a_withdrawn_offer_leaves_room_for_another(world: World, customer: UUID, by: Side) -> None:
    cap = environment_policy().max_open_offers
    fleet = world.fleet()
    broadcast = world.broadcast(1, customer=customer)
    for _ in range(cap - 1):
        world.broadcast(1)
    waiting = world.broadcast(1)
    assert set(why(world, waiting, fleet)) == {"too_many_offers"}
    block(world, by, customer, fleet)
    world.drain()
    assert told(world, fleet, waiting) == ["new_broadcast"]
    assert told(world, fleet, broadcast)[-1] == "offer_withdrawn"


@both_sides
def test_the_end_of_a_block_offers_what_was_missed(world: World, customer: UUID, by: Side) -> None:
    fleet = world.fleet()
    block(world, by, customer, fleet)
    broadcast = world.broadcast(1, customer=customer)
    unblock(world, by, customer, fleet)
    world.drain()
    assert told(world, fleet, broadcast) == ["new_broadcast"]
    assert world.accept(fleet, broadcast).status == "succeeded"


def test_two_blocks_are_removed_one_by_one(world: World, customer: UUID) -> None:
    fleet = world.fleet()
    set_by_customer(world, customer, fleet)
    set_by_transporter(world, customer, fleet)
    broadcast = world.broadcast(1, customer=customer)
    set_by_customer(world, customer, fleet, "preferred")
    world.drain()
    assert told(world, fleet, broadcast) == []
    unblock(world, "transporter", customer, fleet)
    world.drain()
    assert told(world, fleet, broadcast) == ["new_broadcast"]


def test_the_customer_does_not_learn_from_the_timeline_that_a_fleet_blocks_them(
    world: World, customer: UUID
) -> None:
    fleet = world.fleet()
    broadcast = world.broadcast(1, customer=customer)
    world.hold(fleet, broadcast)
    block(world, "transporter", customer, fleet)
    with Session(world.engine) as session:
        for_customer = broadcasts.timeline(session, broadcast, Caller(customer, Role.CUSTOMER))
        for_operator = broadcasts.timeline(session, broadcast, Caller(uuid4(), Role.ADMIN))
    assert for_customer and for_operator
    assert {"offers.hold", "offers.release_hold"} <= {each["cause"] for each in for_customer}
    assert "relations" not in str(for_customer)
    assert {each["transition"]: each["cause"] for each in for_operator}["withdraw"] == (
        "relations.set_by_transporter"
    )


# --- why ------------------------------------------------------------------------------------------------


@both_sides
def test_an_operator_reads_why_and_the_transporter_does_not(world: World, customer: UUID, by: Side) -> None:
    fleet, late = world.fleet(), world.fleet(online=False)
    for each in (fleet, late):
        block(world, by, customer, each)
    broadcast = world.broadcast(1, customer=customer)
    with Session(world.engine) as session:
        recorded = explain(session, broadcast, fleet.id, None)
        derived = explain(session, broadcast, late.id, None)
        own = explain(session, broadcast, fleet.id, None, for_transporter=True)
    assert recorded is not None and derived is not None and own is not None
    assert (recorded.reason, recorded.as_of_now) == ("blocked", False)
    assert (derived.reason, derived.as_of_now) == ("blocked", True)
    assert (own.reason, own.answer, own.passed_over) == (None, "not offered", ())


def test_few_rows_are_stored_for_hundreds_of_blocked_fleets(world: World, customer: UUID) -> None:
    from weelo_workers.broadcasts.matching import Excluded
    from weelo_workers.broadcasts.offering import MAX_BLOCKED_PER_STEP, most_relevant
    from weelo_workers.contracts.statuses import PassedOverBecause

    blocked = [Excluded(uuid4(), PassedOverBecause.BLOCKED, km) for km in range(300)]
    full = Excluded(uuid4(), PassedOverBecause.TOO_MANY_OFFERS, 400)
    stored = most_relevant([*blocked, full])
    assert stored == [*blocked[:MAX_BLOCKED_PER_STEP], full]
