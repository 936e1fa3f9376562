"""The list of open offers is made from rows without models. It must have the same content as the models' views."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.orm import Session

from tests.support.world import Fleet, World, ordering, place
from weelo_workers.contracts.command import Caller
from weelo_workers.contracts.offers import OfferView
from weelo_workers.contracts.statuses import Role
from weelo_workers.queries import broadcasts, offer_list
from weelo_workers.queries.pages import Page, PageRequest


def listed(world: World, fleet: Fleet, limit: int = 100, cursor: str | None = None) -> Page:
    with Session(world.engine) as session:
        return offer_list.offers(session, fleet.id, PageRequest(limit, cursor))


def seen(world: World, fleet: Fleet, broadcast_id: str) -> dict[str, Any]:
    """Return what `GET /bookings/{id}` returns to this fleet, without the two fields that the list does not have."""
    with Session(world.engine) as session:
        found = broadcasts.find(session, UUID(broadcast_id), Caller(fleet.id, Role.TRANSPORTER))
    assert found is not None and found.view is not None
    return {name: value for name, value in found.view.items() if name not in ("serverTime", "assignments")}


@pytest.fixture
def fleet(world: World) -> Fleet:
    """Return a fleet with offers of a booking with all fields, and of an order with held, taken and hidden slots."""
    fleet, other = world.fleet(3), world.fleet(3)
    far = place(0.333)
    world.broadcast(
        2, at=far, notes="Two helpers", goods_type="Cement", distance_km=268.555, price_per_truck=0
    )
    order = ordering(uuid4(), ("17 Feet", 6), ("32 Feet Multi Axle", 1))
    outcome = world.execute(order, order.customer_id, Role.CUSTOMER)
    assert outcome.result is not None
    world.drain()
    broadcast = UUID(outcome.result["id"])
    for one in (fleet, other):
        assert world.accept(one, broadcast, one.trucks[:1]).status == "succeeded"
        assert world.hold(one, broadcast, 1).status == "succeeded"
    world.drain()
    return fleet


def test_an_item_is_what_the_models_give(world: World, fleet: Fleet) -> None:
    items = listed(world, fleet).items
    assert [each["broadcast"]["kind"] for each in items] == ["order", "booking"]
    assert [len(each["broadcast"]["truckRequests"]) for each in items] == [6, 2]
    assert [len(each["truckRequestIds"]) for each in items] == [3, 2]
    for item in items:
        assert OfferView.model_validate(item, strict=False).json_dict() == item
        broadcast = {name: value for name, value in item["broadcast"].items() if name != "serverTime"}
        assert broadcast == seen(world, fleet, item["broadcastId"])


def test_unknown_distances_and_an_unlimited_search_are_null(world: World, fleet: Fleet) -> None:
    with world.engine.begin() as connection:
        connection.execute(text("UPDATE offers SET distance_km = NULL"))
        connection.execute(text("UPDATE broadcasts SET radius_km = NULL, distance_km = NULL"))
    for item in listed(world, fleet).items:
        assert (
            item["pickupDistanceKm"]
            is item["broadcast"]["radiusKm"]
            is item["broadcast"]["distanceKm"]
            is None
        )
        assert OfferView.model_validate(item, strict=False).json_dict() == item


def test_a_kind_that_is_no_longer_in_the_catalogue_keeps_its_names(world: World, fleet: Fleet) -> None:
    with world.engine.begin() as connection:
        connection.execute(text("UPDATE truck_requests SET vehicle_key = 'gone', vehicle_type = 'A tractor'"))
    for item in listed(world, fleet).items:
        assert {slot["vehicleType"] for slot in item["broadcast"]["truckRequests"]} == {"A tractor"}
        assert item["truckRequestIds"] == []


def test_a_page_is_one_statement(world: World, fleet: Fleet) -> None:
    sent: list[str] = []

    def note(connection: object, cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    first = listed(world, fleet, limit=1)
    event.remove(Engine, "before_cursor_execute", note)
    assert len(sent) == 1
    second = listed(world, fleet, limit=1, cursor=first.next_cursor)
    assert first.next_cursor is not None and second.next_cursor is None
    assert [*first.items, *second.items] == [
        {**item, "broadcast": {**item["broadcast"], "serverTime": each["broadcast"]["serverTime"]}}
        for item, each in zip(listed(world, fleet).items, [*first.items, *second.items], strict=True)
    ]
