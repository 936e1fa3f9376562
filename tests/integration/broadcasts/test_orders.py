"""An order: several kinds of trucks in one broadcast, filled by the fleets that have them."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from pydantic import ValidationError
from sqlalchemy.orm import Session

from tests.support.world import KINDS, World, ordering
from weelo_workers.contracts.broadcasts import CancelBroadcast
from weelo_workers.contracts.statuses import BroadcastKind, Role
from weelo_workers.models.engine import engine
from weelo_workers.queries import fleets
from weelo_workers.queries.pages import PageRequest


def test_ACPT_04_an_order_of_three_kinds_is_filled_by_the_fleets_that_have_them(world: World) -> None:
    two_kinds = world.fleet(trucks=1, kind=KINDS[0])
    other = world.fleet(trucks=2, kind=KINDS[1])
    world.fleet(kind="14 Feet")
    customer = uuid4()
    result = world.order(customer, (KINDS[0], 1), (KINDS[1], 2)).result
    world.drain()
    assert (result["kind"], result["trucksNeeded"], "bookingId" in result) == ("order", 3, False)
    assert result["orderId"] == result["id"]
    broadcast = UUID(result["id"])
    offer = world.events_of(two_kinds.id, "new_broadcast")[0]
    assert [(v["vehicleSubtype"], v["count"]) for v in offer["requestedVehicles"]] == [
        (KINDS[0], 1),
        (KINDS[1], 2),
    ]
    assert world.value("SELECT count(*) FROM offers WHERE broadcast_id = :id", id=broadcast) == 2

    assert world.accept(two_kinds, broadcast).result["trucksFilled"] == 1
    assert world.accept(other, broadcast).result["isFullyFilled"]
    kinds = world.rows(
        "SELECT t.vehicle_key AS asked, v.vehicle_key AS sent FROM assignments a"
        " JOIN truck_requests t ON t.id = a.truck_request_id JOIN vehicles v ON v.id = a.vehicle_id"
    )
    assert len(kinds) == 3 and all(row.asked == row.sent for row in kinds)


def test_kinds_are_named_in_the_spelling_of_the_catalogue_with_their_key(world: World) -> None:
    fleet = world.fleet(trucks=3, kind="17ft")
    result = world.order(uuid4(), ("17'", 1), ("17 feet", 2)).result
    world.drain()
    names = {"vehicleType": "open", "vehicleSubtype": "17 Feet", "vehicleKey": "open:17ft"}
    assert all(names.items() <= slot.items() for slot in result["truckRequests"])
    [offer] = world.events_of(fleet.id, "new_broadcast")
    assert offer["requestedVehicles"] == [{**names, "count": 3, "pricePerTruck": None}]
    assert {row.vehicle_subtype for row in world.rows("SELECT vehicle_subtype FROM truck_requests")} == {
        "17'",
        "17 feet",
    }
    with Session(engine()) as session:
        [vehicle, *_] = fleets.vehicles(session, fleet.id, PageRequest(20, None)).items
    assert names.items() <= vehicle.items()


def test_CUST_01_a_booking_and_an_order_count_together(world: World) -> None:
    customer = uuid4()
    first = world.order(customer, (KINDS[0], 1))
    refused = world.book(customer)
    assert refused.error["code"] == "ORDER_ACTIVE_EXISTS"
    assert refused.error["activeBroadcastId"] == first.result["id"]
    outcomes = world.race(
        *[
            lambda customer_id=customer_id: world.order(customer_id, (KINDS[0], 1))
            for customer_id in [customer] * 2
        ],
        *[lambda: world.book(customer) for _ in range(4)],
    )
    assert {outcome.http_status for outcome in outcomes} == {201, 409}
    assert world.value("SELECT count(*) FROM broadcasts") == 1


def test_IDEM_03_a_double_tap_on_an_order_is_one_order(world: World) -> None:
    customer = uuid4()
    first, second = world.order(customer, (KINDS[0], 2)), world.order(customer, (KINDS[0], 2))
    assert second.replayed and first.result["id"] == second.result["id"]


def test_CNCL_06_an_order_is_cancelled_as_an_order_and_not_as_a_booking(world: World) -> None:
    customer = uuid4()
    broadcast = UUID(world.order(customer, (KINDS[0], 1), (KINDS[1], 1)).result["id"])
    assert world.cancel(broadcast, customer).error["code"] == "BOOKING_NOT_FOUND"
    command = CancelBroadcast(broadcast_id=broadcast, customer_id=customer, kind=BroadcastKind.ORDER)
    for _ in range(2):
        assert world.execute(command, customer, Role.CUSTOMER).result["broadcast"]["status"] == "cancelled"


def test_TMOT_02_an_order_expires_like_a_booking(world: World) -> None:
    fleet = world.fleet(kind=KINDS[0])
    customer = uuid4()
    broadcast = UUID(world.order(customer, (KINDS[0], 1), (KINDS[2], 2)).result["id"])
    world.drain()
    world.accept(fleet, broadcast)
    world.drivers_accept(broadcast)
    world.tick(121)
    assert [f["reason"] for f in world.events_of(customer, "booking_expired")] == ["partly_filled"]
    assert world.live_assignments(broadcast) == 1


def test_more_than_fifty_trucks_together_are_refused() -> None:
    with pytest.raises(ValidationError, match="at most 50 trucks together"):
        ordering(uuid4(), *[(KINDS[0], 20)] * 3)
