"""Holds keep slots from other transporters for a limited time."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.orm import Session

from tests.support.world import KINDS, Fleet, World
from weelo_workers.contracts.command import Caller
from weelo_workers.contracts.offers import ExpireHold
from weelo_workers.contracts.statuses import Role
from weelo_workers.queries import broadcasts, offer_list
from weelo_workers.queries.pages import PageRequest


def test_a_hold_keeps_slots_from_others_and_tells_them_what_is_left(world: World) -> None:
    holder, other = world.fleet(trucks=2), world.fleet(trucks=2)
    broadcast = world.broadcast(3)
    held = world.hold(holder, broadcast, 2).result
    assert len(held["truckRequestIds"]) == 2 and held["status"] == "open"
    assert world.slots(broadcast) == ["held", "held", "searching"]
    world.drain()
    assert world.events_of(other.id, "trucks_remaining_update")[-1]["trucksRemaining"] == 1
    refused = world.accept(other, broadcast)
    assert (refused.error["code"], refused.error["remaining"]) == ("NOT_ENOUGH_AVAILABLE", 1)
    named = [other.trucks[0].model_copy(update={"truck_request_id": UUID(held["truckRequestIds"][0])})]
    assert world.accept(other, broadcast, named).error["code"] == "REQUEST_ALREADY_TAKEN"


def test_what_others_hold_is_not_in_a_transporters_view(world: World) -> None:
    holder, other = world.fleet(), world.fleet()
    broadcast = world.broadcast(2)
    world.hold(holder, broadcast)
    assert _seen_by(world, holder, broadcast) == ["held", "searching"]
    assert _seen_by(world, other, broadcast) == ["searching"]
    assert len(_offer(world, holder)["truckRequestIds"]) == 2
    assert len(_offer(world, other)["truckRequestIds"]) == 1


def test_confirming_gives_the_slots_their_trucks(world: World) -> None:
    holder, customer = world.fleet(trucks=2), uuid4()
    broadcast = world.broadcast(2, customer=customer)
    hold = world.hold(holder, broadcast, 2).result["holdId"]
    result = world.confirm(holder, hold).result
    assert (result["trucksFilled"], result["isFullyFilled"], result["status"]) == (2, True, "fully_filled")
    again = world.confirm(holder, hold)
    assert again.replayed and again.result["assignments"] == result["assignments"]
    world.drain()
    assert len(world.events_of(customer, "truck_confirmed")) == 2
    world.tick(100)
    assert world.events_of(holder.id, "hold_expired") == []


def test_slots_left_over_at_the_confirmation_come_back(world: World) -> None:
    holder = world.fleet(trucks=2)
    broadcast = world.broadcast(2)
    hold = world.hold(holder, broadcast, 2).result["holdId"]
    assert world.confirm(holder, hold, holder.trucks[:1]).result["status"] == "partially_filled"
    assert world.slots(broadcast) == ["assigned", "searching"]


def test_more_trucks_than_slots_on_hold_change_nothing(world: World) -> None:
    holder = world.fleet(trucks=2)
    broadcast = world.broadcast(2)
    hold = world.hold(holder, broadcast, 1).result["holdId"]
    refused = world.confirm(holder, hold)
    assert (refused.error["code"], refused.error["remaining"]) == ("NOT_ENOUGH_AVAILABLE", 1)
    assert world.slots(broadcast) == ["held", "searching"]
    assert world.confirm(holder, hold, holder.trucks[:1]).status == "succeeded"


def test_a_refused_truck_leaves_the_hold_as_it_was(world: World) -> None:
    holder, other = world.fleet(), world.fleet()
    broadcast = world.broadcast(1)
    hold = world.hold(holder, broadcast).result["holdId"]
    assert world.confirm(holder, hold, other.trucks).error["code"] == "VEHICLE_NOT_IN_FLEET"
    assert world.slots(broadcast) == ["held"]
    assert world.confirm(holder, hold).result["isFullyFilled"]


def test_TIMR_01_a_hold_runs_out_by_a_timer_and_its_holder_hears_it(world: World) -> None:
    holder, other = world.fleet(), world.fleet()
    broadcast = world.broadcast(1)
    hold = world.hold(holder, broadcast).result["holdId"]
    world.tick(89)
    assert world.slots(broadcast) == ["held"]
    world.tick(2)
    assert world.slots(broadcast) == ["searching"]
    assert [frame["holdId"] for frame in world.events_of(holder.id, "hold_expired")] == [hold]
    assert world.events_of(other.id, "hold_expired") == []
    assert world.events_of(other.id, "trucks_remaining_update")[-1]["trucksRemaining"] == 1
    assert world.confirm(holder, hold).error["code"] == "HOLD_EXPIRED"
    assert world.accept(other, broadcast).result["isFullyFilled"]


def test_a_hold_past_its_end_is_over_even_if_its_timer_is_late(world: World) -> None:
    holder, other = world.fleet(), world.fleet()
    broadcast = world.broadcast(1)
    hold = world.hold(holder, broadcast).result["holdId"]
    with world.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE holds SET expires_at = clock_timestamp() - interval '1 ms'")
    assert world.confirm(holder, hold).error["code"] == "HOLD_EXPIRED"
    assert world.hold(holder, broadcast).error["code"] == "HOLD_EXPIRED"
    assert world.accept(other, broadcast).result["isFullyFilled"]
    world.drain()
    assert [frame["holdId"] for frame in world.events_of(holder.id, "hold_expired")] == [hold]


def test_a_timer_that_comes_early_or_twice_does_no_harm(world: World) -> None:
    holder = world.fleet()
    broadcast = world.broadcast(1)
    hold = UUID(world.hold(holder, broadcast).result["holdId"])
    world.execute(ExpireHold(hold_id=hold), uuid4(), Role.ADMIN)
    assert world.slots(broadcast) == ["held"]
    world.tick(91)
    world.execute(ExpireHold(hold_id=hold), uuid4(), Role.ADMIN)
    assert world.slots(broadcast) == ["searching"]
    assert len(world.events_of(holder.id, "hold_expired")) == 1


def test_a_second_hold_extends_nothing(world: World) -> None:
    holder = world.fleet(trucks=2)
    broadcast = world.broadcast(2)
    first = world.hold(holder, broadcast, 1)
    world.tick(10)
    second = world.hold(holder, broadcast, 2)
    assert second.replayed
    assert second.result["holdId"] == first.result["holdId"]
    assert second.result["truckRequestIds"] == first.result["truckRequestIds"]


def test_letting_go_and_holding_again_extends_nothing(world: World) -> None:
    holder = world.fleet()
    broadcast = world.broadcast(1)
    first = world.hold(holder, broadcast).result
    assert world.release_hold(holder, first["holdId"]).result["status"] == "released"
    assert world.slots(broadcast) == ["searching"]
    second = world.hold(holder, broadcast).result
    assert second["holdId"] != first["holdId"]
    assert second["expiresAt"] == first["expiresAt"]


def test_whose_hold_has_run_out_gets_no_other_on_that_broadcast(world: World) -> None:
    holder, other = world.fleet(), world.fleet()
    broadcast = world.broadcast(1)
    world.hold(holder, broadcast)
    world.tick(91)
    assert world.hold(holder, broadcast).error["code"] == "HOLD_EXPIRED"
    assert world.hold(other, broadcast).status == "succeeded"


def test_one_truck_holds_one_slot_wherever_it_is(world: World) -> None:
    holder = world.fleet(trucks=2)
    first, second = world.broadcast(2), world.broadcast(2)
    assert world.hold(holder, first, 1).status == "succeeded"
    assert world.hold(holder, second, 2).error["code"] == "NOT_ENOUGH_AVAILABLE"
    assert world.hold(holder, second, 1).status == "succeeded"


def test_after_a_confirmation_another_hold_has_its_full_time(world: World) -> None:
    holder = world.fleet(trucks=2)
    broadcast = world.broadcast(2)
    first = world.hold(holder, broadcast, 1).result
    world.tick(20)
    world.confirm(holder, first["holdId"], holder.trucks[:1])
    assert world.hold(holder, broadcast, 1).result["expiresAt"] > first["expiresAt"]


def test_slots_that_come_back_after_everyone_was_asked_reach_who_came_meanwhile(world: World) -> None:
    holder = world.fleet(km_north=1)
    broadcast = world.broadcast(1)
    for _ in range(4):
        world.tick(15)
    hold = world.hold(holder, broadcast).result["holdId"]
    late = world.fleet(km_north=1)
    world.drain()
    assert world.events_of(late.id, "new_broadcast") == []
    world.release_hold(holder, UUID(hold))
    world.drain()
    assert len(world.events_of(late.id, "new_broadcast")) == 1
    assert len(world.events_of(holder.id, "new_broadcast")) == 1


def test_a_hold_lasts_at_most_until_the_broadcast_expires(world: World) -> None:
    holder, customer = world.fleet(), uuid4()
    broadcast = world.broadcast(1, customer=customer)
    world.tick(100)
    held = world.hold(holder, broadcast).result
    frame = world.events_of(customer, "broadcast_state_changed")[-1]
    assert held["expiresAt"] <= frame["expiresAt"]
    world.tick(21)
    assert (world.status(broadcast), world.slots(broadcast)) == ("expired", ["expired"])
    assert world.value("SELECT status FROM holds") in ("ended", "expired")


def test_CNCL_05_a_cancel_ends_the_holds(world: World) -> None:
    holder = world.fleet()
    broadcast = world.broadcast(1)
    hold = world.hold(holder, broadcast).result["holdId"]
    world.cancel(broadcast)
    assert (world.slots(broadcast), world.value("SELECT status FROM holds")) == (["cancelled"], "ended")
    assert world.confirm(holder, hold).error["code"] == "BROADCAST_CANCELLED"
    assert world.release_hold(holder, hold).status == "succeeded"
    world.tick(100)
    assert world.events_of(holder.id, "hold_expired") == []


def test_slots_come_back_without_starting_the_rings_again(world: World) -> None:
    """When held slots reopen, the rings continue where they were. While all slots are on hold, no offer is made."""
    holder = world.fleet(km_north=1)
    far = world.fleet(km_north=20)
    broadcast = world.broadcast(1)
    hold = world.hold(holder, broadcast).result["holdId"]
    world.tick(16)
    assert world.events_of(far.id, "new_broadcast") == []
    assert world.release_hold(holder, hold).status == "succeeded"
    world.drain()
    assert len(world.events_of(holder.id, "new_broadcast")) == 1
    world.tick(16)
    assert [frame["radiusStep"] for frame in world.events_of(far.id, "new_broadcast")] == [2]
    assert len(world.events_of(holder.id, "new_broadcast")) == 1


def test_nobody_keeps_more_slots_than_they_have_trucks_for(world: World) -> None:
    holder = world.fleet(trucks=1)
    broadcast = world.broadcast(3)
    refused = world.hold(holder, broadcast, 2)
    assert (refused.error["code"], refused.error["remaining"]) == ("NOT_ENOUGH_AVAILABLE", 3)
    assert world.slots(broadcast) == ["searching"] * 3


def test_a_hold_of_one_kind_of_an_order(world: World) -> None:
    fleet = world.fleet(kind=KINDS[1])
    broadcast = UUID(world.order(uuid4(), (KINDS[0], 1), (KINDS[1], 2)).result["id"])
    world.drain()
    assert world.hold(fleet, broadcast, kind="14 Feet").error["code"] == "VEHICLE_TYPE_MISMATCH"
    assert world.hold(fleet, broadcast, kind=KINDS[0]).error["code"] == "NOT_ENOUGH_AVAILABLE"
    assert world.hold(fleet, broadcast, kind="32 ft multi axle").status == "succeeded"
    assert world.slots(broadcast) == ["searching", "held", "searching"]


def test_the_holders_own_accept_takes_what_they_hold(world: World) -> None:
    holder = world.fleet(trucks=2)
    broadcast = world.broadcast(2)
    world.hold(holder, broadcast, 1)
    assert world.accept(holder, broadcast).result["isFullyFilled"]
    assert world.value("SELECT status FROM holds") == "confirmed"


def test_the_last_truck_taken_beside_a_hold_does_not_fill_the_broadcast(world: World) -> None:
    holder, other = world.fleet(), world.fleet()
    broadcast = world.broadcast(2)
    world.hold(holder, broadcast)
    result = world.accept(other, broadcast).result
    assert (result["isFullyFilled"], result["status"]) == (False, "partially_filled")
    assert world.accept(world.fleet(), broadcast).error["code"] == "BROADCAST_NOT_FOUND"
    world.drain()
    assert world.events_of(other.id, "booking_fully_filled") == []


def test_declining_lets_go_of_the_hold(world: World) -> None:
    holder = world.fleet()
    broadcast = world.broadcast(1)
    world.hold(holder, broadcast)
    world.decline(holder, broadcast)
    assert (world.slots(broadcast), world.value("SELECT status FROM holds")) == (["searching"], "released")


def test_somebody_elses_hold_does_not_exist(world: World) -> None:
    holder, other = world.fleet(), world.fleet()
    broadcast = world.broadcast(1)
    hold = world.hold(holder, broadcast).result["holdId"]
    assert world.confirm(other, hold).error["code"] == "HOLD_NOT_FOUND"
    assert world.release_hold(other, hold).error["code"] == "HOLD_NOT_FOUND"
    assert world.hold(world.fleet(online=False), broadcast).error["code"] == "BROADCAST_NOT_FOUND"


def test_holding_what_is_over_says_why(world: World) -> None:
    fleet, winner = world.fleet(), world.fleet()
    cancelled = world.broadcast(1)
    world.cancel(cancelled)
    assert world.hold(fleet, cancelled).error["code"] == "BROADCAST_CANCELLED"
    full = world.broadcast(1)
    world.accept(winner, full)
    assert world.hold(fleet, full).error["code"] == "BROADCAST_FILLED"
    taken = world.broadcast(1)
    world.hold(fleet, taken)
    other = world.fleet()
    assert world.hold(other, taken).error["code"] == "BROADCAST_NOT_FOUND"


def test_the_history_tells_of_the_hold(world: World) -> None:
    holder = world.fleet()
    broadcast = world.broadcast(1)
    world.hold(holder, broadcast)
    world.tick(91)
    query = (
        "SELECT subject, name, cause FROM transitions WHERE subject IN ('hold', 'truck_request') ORDER BY id"
    )
    assert [tuple(row) for row in world.rows(query)] == [
        ("hold", "hold", "offers.hold"),
        ("truck_request", "hold", "offers.hold"),
        ("truck_request", "release", "offers.expire_hold"),
        ("hold", "expire", "offers.expire_hold"),
    ]


def _seen_by(world: World, fleet: Fleet, broadcast: UUID) -> list[str]:
    with Session(world.engine) as session:
        found = broadcasts.find(session, broadcast, Caller(fleet.id, Role.TRANSPORTER))
    assert found is not None and found.view is not None
    return [slot["status"] for slot in found.view["truckRequests"]]


def _offer(world: World, fleet: Fleet) -> dict[str, Any]:
    with Session(world.engine) as session:
        (offer,) = offer_list.offers(session, fleet.id, PageRequest(10, None)).items
    return dict(offer)
