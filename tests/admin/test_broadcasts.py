"""The operator searches broadcasts by id, customer, number, address and time. Those that do not move are marked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.admin.operator import Operator
from tests.support.world import World, ordering
from weelo_workers import clock
from weelo_workers.contracts.command import Caller
from weelo_workers.contracts.offers import DeclineOffer
from weelo_workers.contracts.reasons import ProviderReason
from weelo_workers.contracts.statuses import Role
from weelo_workers.contracts.wire import Place, rfc3339
from weelo_workers.messaging import mailbox


def booked(
    world: World, *, name: str | None = None, phone: str | None = None, at: Place | None = None
) -> UUID:
    """Book one truck as a new customer with this name and phone number. Return the broadcast's id."""
    customer = uuid4()
    command = world.booking(customer, at=at)
    with world.engine.begin() as connection:
        caller = Caller(customer, Role.CUSTOMER, name, phone)
        posted = mailbox.post(connection, command, caller, uuid4(), "a request")
    world.bus.execute(posted.outcome.command_id)
    outcome = world.outcome(posted.outcome.command_id, customer)
    world.drain()
    return UUID(outcome.result["id"])


def test_a_broadcast_is_shown_with_its_customer_its_trucks_and_its_search(
    world: World, operator: Operator
) -> None:
    customer = uuid4()
    world.fleet(km_north=3)
    outcome = world.execute(ordering(customer, ("17 Feet", 2), ("10 Wheeler", 1)), customer, Role.CUSTOMER)
    world.drain()
    [item] = operator.items("/broadcasts")
    assert item["id"] == outcome.result["id"]
    assert (item["kind"], item["status"], item["area"]) == ("order", "active", "default")
    assert item["customer"] == {"id": str(customer), "name": None, "phone": None}
    assert item["pickup"]["address"] == "0.0 km north"
    counts = {each["vehicleSubtype"]: each["count"] for each in item["requestedVehicles"]}
    assert counts == {"17 Feet": 2, "10 Wheeler": 1}
    assert (item["trucksNeeded"], item["trucksFilled"], item["transportersNotified"]) == (3, 0, 1)
    assert (item["radiusStep"], item["radiusKm"], item["stuck"]) == (1, 10, [])


def test_a_broadcast_is_found_by_what_an_operator_knows(world: World, operator: Operator) -> None:
    wanted = booked(
        world,
        name="आशा वर्मा",
        phone="+91 98100 12345",
        at=Place(latitude=28.6, longitude=77.2, address="करोल बाग 100% market, Delhi"),
    )
    booked(world, phone="+91 98100 54321")
    customer = world.customer_of(wanted)
    for text in (
        str(wanted),
        str(wanted)[:8],
        str(wanted).upper()[:13],
        str(customer),
        "98100 12345",
        "+919810012345",
        "098100-12345",
        "12345",
        "करोल",
        "0% MARKET",
    ):
        assert operator.ids("/broadcasts", q=text) == [wanted], text
    assert operator.ids("/broadcasts", customerId=str(customer)) == [wanted]
    assert operator.items("/broadcasts", q=str(wanted))[0]["customer"]["name"] == "आशा वर्मा"
    for text in ("no such place", "_% market", "98100 99999", str(uuid4())):
        assert operator.ids("/broadcasts", q=text) == [], text


def test_filters_are_combined(world: World, operator: Operator) -> None:
    cancelled, active = booked(world), booked(world)
    world.cancel(cancelled)
    assert operator.ids("/broadcasts", status="open") == [active]
    assert operator.ids("/broadcasts", status="cancelled") == [cancelled]
    assert operator.ids("/broadcasts", kind="booking", vehicleType="Open") == [active, cancelled]
    assert operator.ids("/broadcasts", kind="order") == []
    assert operator.ids("/broadcasts", vehicleType="container") == []
    assert operator.ids("/broadcasts", area="default") == [active, cancelled]
    now = clock.now()
    soon, before = rfc3339(now + timedelta(hours=1)), rfc3339(now - timedelta(hours=1))
    assert operator.ids("/broadcasts", **{"from": before, "to": soon}) == [active, cancelled]
    assert operator.ids("/broadcasts", **{"from": soon}) == []
    assert operator.ids("/broadcasts", to=before) == []


def test_pages_continue_where_the_one_before_ended(world: World, operator: Operator) -> None:
    expected = [booked(world) for _ in range(5)][::-1]
    found, cursor = list[UUID](), None
    while True:
        page = operator.get("/broadcasts", limit=2, **({"cursor": cursor} if cursor else {}))
        found += [UUID(item["id"]) for item in page["items"]]
        if (cursor := page["nextCursor"]) is None:
            break
    assert found == expected


def test_SEEN_01_a_broadcast_that_does_not_move_is_marked(world: World, operator: Operator) -> None:
    late, without_timer, parked = booked(world), booked(world), booked(world)
    with world.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE broadcasts SET expires_at = clock_timestamp() - interval '10 s' WHERE id = %s",
            (str(late),),
        )
        connection.exec_driver_sql(
            "DELETE FROM mailbox WHERE name = 'broadcasts.expire' AND payload->>'broadcast_id' = %s",
            (str(without_timer),),
        )
        connection.exec_driver_sql(
            """UPDATE mailbox SET parked_at = clock_timestamp(), attempts = 5, last_error = 'ValueError: a test'
                WHERE name = 'broadcasts.expire' AND settled_at IS NULL AND payload->>'broadcast_id' = %s""",
            (str(parked),),
        )
    marks = {UUID(item["id"]): item["stuck"] for item in operator.items("/broadcasts")}
    assert marks == {
        late: ["past_deadline"],
        without_timer: ["no_expiry_timer"],
        parked: ["parked_command"],
    }
    listed = {(each["because"], each["broadcastId"]) for each in operator.items("/stuck")}
    assert listed >= {
        ("past_deadline", str(late)),
        ("no_expiry_timer", str(without_timer)),
        ("parked_command", str(parked)),
    }


@pytest.mark.parametrize(
    "query",
    [
        {"status": "lost"},
        {"from": "yesterday"},
        {"from": "1700000000"},
        {"to": "1700000000.5"},
        {"q": ""},
        {"limit": "0"},
        {"cursor": "x"},
        {"area": "nope"},
    ],
    ids=str,
)
def test_a_wrong_parameter_is_400(operator: Operator, query: dict[str, Any]) -> None:
    response = operator.ask("GET", "/admin/broadcasts", query_string=query)
    assert (response.status_code, response.get_json()["code"]) == (400, "VALIDATION_ERROR")


@pytest.mark.parametrize("name", ["from", "to"])
def test_a_number_is_no_time_of_the_audit_log(operator: Operator, name: str) -> None:
    response = operator.ask("GET", "/admin/audit", query_string={name: "1700000000"})
    assert (response.status_code, response.get_json()["code"]) == (400, "VALIDATION_ERROR")


def test_an_operator_reads_why_a_transporter_declined_and_the_customer_does_not(
    world: World, operator: Operator
) -> None:
    fleet = world.fleet()
    broadcast = world.broadcast()
    command = DeclineOffer(
        broadcast_id=broadcast,
        transporter_id=fleet.id,
        reason="the bridge is closed",
        reason_code=ProviderReason.PICKUP_UNREACHABLE,
    )
    assert world.execute(command, fleet.id, Role.TRANSPORTER).status == "succeeded"
    items = operator.ask("GET", f"/broadcasts/{broadcast}/timeline").get_json()["items"]
    [declined] = [each for each in items if each["subject"] == "offer"]
    assert (declined["subjectId"], declined["actorId"]) == (str(fleet.id), str(fleet.id))
    assert (declined["transition"], declined["toStatus"]) == ("decline", "declined")
    assert declined["details"] == {"reasonCode": "pickup_unreachable", "note": "the bridge is closed"}
    [recipient] = operator.ask("GET", f"/broadcasts/{broadcast}/offers").get_json()["items"]
    assert recipient["declineReasonCode"] == "pickup_unreachable"
    assert recipient["declineNote"] == "the bridge is closed"
    customer = Operator(world)
    customer.id = world.customer_of(broadcast)
    response = customer.ask("GET", f"/broadcasts/{broadcast}/timeline", role=Role.CUSTOMER)
    assert "the bridge is closed" not in response.get_data(as_text=True)
