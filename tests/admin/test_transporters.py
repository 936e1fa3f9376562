"""The operator's view of transporters: presence, fleet, offers, answers, assignments."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from redis import RedisError

from tests.admin.operator import Operator
from tests.support.world import World
from weelo_workers import presence
from weelo_workers.contracts.offers import DeclineOffer
from weelo_workers.contracts.reasons import ProviderReason
from weelo_workers.contracts.statuses import Role


def test_a_transporter_is_shown_with_everything_that_decides_about_offers(
    world: World, operator: Operator
) -> None:
    fleet = world.fleet(trucks=2, km_north=2)
    won = world.broadcast()
    assert world.accept(fleet, won, fleet.trucks[:1]).status == "succeeded"
    world.drain()
    declined, offered = world.broadcast(), world.broadcast()
    command = DeclineOffer(
        broadcast_id=declined,
        transporter_id=fleet.id,
        reason="too far",
        reason_code=ProviderReason.PRICE,
    )
    world.execute(command, fleet.id, Role.TRANSPORTER)
    assert world.accept(fleet, won, fleet.trucks[1:]).status == "rejected"
    about = operator.get(f"/transporters/{fleet.id}")
    assert (about["isAvailable"], about["isOnline"], about["offDutySince"]) == (True, True, None)
    assert about["distanceSource"] == "heartbeat"
    assert about["position"]["longitude"] == pytest.approx(77.2167)
    assert about["lastHeartbeatAt"] is not None
    assert (about["vehicleCount"], about["freeVehicleCount"]) == (2, 1)
    assert sorted(each["status"] for each in about["vehicles"]) == ["available", "on_trip"]
    assert sorted(each["isOnTrip"] for each in about["drivers"]) == [False, True]
    assert [each["broadcastId"] for each in about["openOffers"]] == [str(offered)]
    assert about["openOffers"][0]["pickupDistanceKm"] == pytest.approx(2, abs=0.1)
    assert about["openOfferCount"] == 1
    assert [each["broadcastId"] for each in about["liveAssignments"]] == [str(won)]
    answers = [
        (each["answer"], each["broadcastId"], each["code"], each["reasonCode"], each["note"])
        for each in about["lastAnswers"]
    ]
    assert answers == [
        ("lost", str(won), "BROADCAST_FILLED", None, None),
        ("declined", str(declined), None, "price", "too far"),
        ("accepted", str(won), None, None, None),
    ]


def test_a_transporter_who_has_gone_offline_is_shown_since_when(world: World, operator: Operator) -> None:
    fleet = world.fleet()
    world.set_availability(fleet, online=False)
    about = operator.get(f"/transporters/{fleet.id}")
    assert (about["isAvailable"], about["isOnline"], about["position"]) == (False, False, None)
    assert about["distanceSource"] == "unknown"
    assert about["offDutySince"] == about["changedAt"] is not None


def test_transporters_are_found_by_vehicle_id_and_presence(world: World, operator: Operator) -> None:
    online, offline = world.fleet(), world.fleet(online=False)
    number = world.value("SELECT vehicle_number FROM vehicles WHERE transporter_id = :id", id=offline.id)
    with world.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE users SET name = 'Kumar Roadways', phone = '+91-98100-77777' WHERE id = %s",
            (str(online.id),),
        )
    assert operator.ids("/transporters") == [offline.id, online.id]
    for text in (number, f"{number[:4]} {number[4:]}".lower(), str(offline.id)[:8]):
        assert operator.ids("/transporters", q=text) == [offline.id], text
    for text in ("98100 77777", "roadways", str(online.id)):
        assert operator.ids("/transporters", q=text) == [online.id], text
    assert operator.ids("/transporters", online="true") == [online.id]
    assert operator.ids("/transporters", online="false") == [offline.id]
    page = operator.get("/transporters", limit=1)
    assert UUID(page["items"][0]["id"]) == offline.id
    assert operator.ids("/transporters", limit=1, cursor=page["nextCursor"]) == [online.id]


def test_an_unknown_transporter_is_404(world: World, operator: Operator) -> None:
    customer = uuid4()
    world.broadcast(customer=customer)
    for unknown in (uuid4(), customer):
        assert operator.ask("GET", f"/admin/transporters/{unknown}").status_code == 404


def test_without_redis_the_list_is_shown_without_presence(
    world: World, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = world.fleet()

    def unreachable() -> None:
        raise RedisError

    monkeypatch.setattr(presence, "redis", unreachable)
    about = operator.get(f"/transporters/{fleet.id}")
    assert (about["isAvailable"], about["isOnline"]) == (True, None)
    response = operator.ask("GET", "/admin/transporters", query_string={"online": "true"})
    assert (response.status_code, response.get_json()["code"]) == (503, "SERVICE_UNAVAILABLE")
