"""An order of several kinds, which no fleet could fill alone."""

from __future__ import annotations

import time
from collections.abc import Iterable

from weelo_client import Frame
from weelo_client.shapes import Accepted, Broadcast, Truck as Offered
from weelo_demo.act import Act
from weelo_demo.people import CONTAINER, OPEN, TIPPER, Customer, Transporter, VehicleKind
from weelo_demo.towns import CONNAUGHT_PLACE

WANTED = {OPEN: 2, CONTAINER: 1, TIPPER: 1}
TITLE = "An order of three kinds is filled by two fleets"


def play(act: Act) -> str:
    """Check that one fleet can accept two kinds at once, and another the remaining slots by their ids."""
    customer = act.customer()
    (first,) = act.transporters(CONTAINER, CONNAUGHT_PLACE)
    second = next(fleet for fleet in act.transporters(TIPPER, CONNAUGHT_PLACE, 2) if fleet is not first)
    act.watch(first, second)
    asked = time.monotonic()
    order = act.order(customer, WANTED, CONNAUGHT_PLACE, "Connaught Place, New Delhi")
    heard = [act.hears(fleet, "new_broadcast", broadcastId=order["id"]).received for fleet in (first, second)]
    act.measured("ask → both heard", max(heard) - asked)

    started = time.monotonic()
    half = first.client.accept_trucks(order["id"], [_truck(first, kind) for kind in (OPEN, CONTAINER)])
    act.check(
        (half["status"], half["trucksFilled"]) == ("partially_filled", 2),
        f"two of four were taken, and it is {half['status']} with {half['trucksFilled']}",
    )
    act.hears(second, "trucks_remaining_update", broadcastId=order["id"], trucksRemaining=2)
    rest = second.client.accept_trucks(order["id"], _for_what_is_left(act, second, order))
    act.check(rest["isFullyFilled"], f"all four were taken, and it is {rest['status']}")
    filled = act.hears(customer, "booking_fully_filled", broadcastId=order["id"])
    act.measured("two accepts → fully filled", filled.received - started)

    _each_on_its_kind(act, order, {first: half, second: rest})
    _each_confirmed(act, customer, filled, (half, rest))
    for fleet in (first, second):
        mine = act.hears(fleet, "booking_fully_filled", broadcastId=order["id"]).data["assignedToYou"]
        act.check(mine == 2, f"{fleet.name} has won two slots, but the frame counts {mine}")
    return f"2 trucks of {first.name}, 2 of {second.name}, each on a slot of its kind"


def _for_what_is_left(act: Act, fleet: Transporter, order: Broadcast) -> list[Offered]:
    """Return one of the fleet's trucks for each slot that its list of offers names for this order."""
    kinds = _kinds(order)
    (listed,) = (offer for offer in fleet.client.offers() if offer["broadcastId"] == order["id"])
    left = listed["truckRequestIds"]
    names = sorted(str(kinds[slot]) for slot in left)
    act.check(names == sorted(map(str, (OPEN, TIPPER))), f"what is left to {fleet.name}: {', '.join(names)}")
    return [{**_truck(fleet, kinds[slot]), "truckRequestId": slot} for slot in left]


def _each_on_its_kind(act: Act, order: Broadcast, accepts: dict[Transporter, Accepted]) -> None:
    kinds = _kinds(order)
    slots: set[str] = set()
    for fleet, accepted in accepts.items():
        trucks = {truck.vehicle_id: truck.kind for truck in fleet.trucks}
        for assignment in accepted["assignments"]:
            slot = assignment["truckRequestId"]
            slots.add(slot)
            brought = trucks[assignment["vehicleId"]]
            act.check(brought == kinds[slot], f"{brought} was assigned to a slot for {kinds[slot]}")
    act.check(slots == set(kinds), f"{len(kinds)} trucks share {len(slots)} slots")


def _each_confirmed(act: Act, customer: Customer, filled: Frame, accepts: Iterable[Accepted]) -> None:
    """Check that each truck was confirmed exactly once before the customer's `booking_fully_filled`."""
    won = sorted(each["vehicleNumber"] for accepted in accepts for each in accepted["assignments"])
    heard = customer.listen().frames
    confirmed = sorted(
        frame.data["assignment"]["vehicleNumber"]
        for frame in heard[: heard.index(filled)]
        if frame.event == "truck_confirmed"
    )
    act.check(confirmed == won, f"{', '.join(won)} were taken, {', '.join(confirmed)} confirmed")


def _kinds(order: Broadcast) -> dict[str, VehicleKind]:
    """Return the kind that each slot requires, by slot id."""
    return {
        slot["id"]: VehicleKind(slot["vehicleType"], slot["vehicleSubtype"])
        for slot in order["truckRequests"]
    }


def _truck(fleet: Transporter, kind: VehicleKind) -> Offered:
    truck = fleet.truck(kind)
    assert truck is not None
    return {"vehicleId": truck.vehicle_id, "driverId": truck.driver.id}
