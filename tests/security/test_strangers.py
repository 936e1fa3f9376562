"""The response for another user's resource is the one for an unknown id, on every route and for every admitted role."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any
from uuid import uuid4

import httpx
import pytest
from flask import Flask

from tests.security.scene import BOOKING, Scene, done
from tests.support.system import System
from weelo_workers.contracts.statuses import Role

pytestmark = pytest.mark.xdist_group("embedded")

TRUCK = {"vehicleId": str(uuid4()), "driverId": str(uuid4())}

# Valid bodies for the routes that read the body before they check the id.
BODIES: dict[str, Any] = {
    "POST /broadcasts/<id>/accept": TRUCK,
    "POST /truck-requests/<id>/accept": TRUCK,
    "POST /broadcasts/<id>/hold": {"quantity": 1},
    "POST /holds/<id>/confirm": {"assignments": [TRUCK]},
    "POST /assignments/<id>/give-back": {"reasonCode": "breakdown"},
    "POST /assignments/<id>/replace": TRUCK,
    "POST /assignments/<id>/cancel": {"reasonCode": "too_slow"},
    "PUT /trips/<tripId>/status": {"status": "completed"},
    "POST /trips/<tripId>/location": {"latitude": 12.9, "longitude": 77.5},
    "PUT /vehicles/<vehicleNumber>": {"vehicleType": "open", "vehicleSubtype": "17 Feet"},
    "PUT /drivers/<driverId>": {"name": "A stranger's", "phone": "+91 80 9999 9999"},
    "PUT /devices/<token>": {"platform": "ios"},
    "PUT /relations/transporters/<transporterId>": {"relation": "preferred"},
    "PUT /relations/customers/<customerId>": {"relation": "blocked"},
    "PUT /webhooks/<id>": {"isActive": False},
    "POST /webhooks/<id>/resend": {"fromSeq": 1, "toSeq": 1},
}

# Users choose the values of the path arguments of the routes in TAKEN and OWNER_NOT_REVEALED. For a value that another
# user has chosen, these routes do not answer 404. The routes in TAKEN answer 409 with the code given here.
TAKEN = {"PUT /vehicles/<vehicleNumber>": "VEHICLE_EXISTS", "PUT /drivers/<driverId>": "DRIVER_EXISTS"}
# The paths of these routes name another user on purpose: the caller blocks or prefers this user. So they answer 200.
ABOUT_OTHERS = {
    f"{method} /relations/{path}"
    for method in ("PUT", "DELETE")
    for path in ("transporters/<transporterId>", "customers/<customerId>")
}
# These routes answer 200 for another user's value and for a value that no user has, so the owner is not revealed.
OWNER_NOT_REVEALED = {"PUT /devices/<token>", "DELETE /devices/<token>"}


@lru_cache
def app() -> Flask:
    from weelo_api import create_app

    return create_app()


def routes() -> list[tuple[str, str]]:
    """Return (route, role) for every route with a path argument, and for each role that the route admits except admin.

    A route is a text such as `POST /holds/<id>/confirm`.
    """
    found = []
    for rule in app().url_map.iter_rules():
        if rule.arguments and rule.rule.startswith("/api/v1/"):
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                # Admins may see all data, so their role is left out. test_tokens.py tests that no other role counts as
                # admin.
                roles = app().view_functions[rule.endpoint].roles - {Role.ADMIN}
                found += [(f"{method} {rule.rule.removeprefix('/api/v1')}", role.value) for role in roles]
    return sorted(found)


@pytest.fixture(scope="module")
def scene(embedded: System) -> Scene:
    return Scene(embedded)


def theirs(scene: Scene, route: str) -> dict[str, str]:
    """Return path arguments for the route: ids of the scene's resources. Raises KeyError for an unknown route."""
    ids = {
        "bookings": scene.booking,
        "broadcasts": scene.booking,
        "orders": scene.order,
        "truck-requests": scene.slot,
        "holds": scene.hold,
        "assignments": scene.assignment,
        "commands": scene.command,
        "webhooks": scene.webhook,
    }
    of = {
        "tripId": lambda: scene.trip,
        "driverId": lambda: str(scene.fleet.drivers[0]),
        "vehicleNumber": lambda: scene.fleet.plates[0],
        "transporterId": lambda: str(scene.fleet.id),
        "customerId": lambda: str(scene.customer),
        "token": lambda: scene.device,
        "id": lambda: ids[route.split("/")[1]],
    }
    return {name: of[name]() for name in re.findall(r"<(\w+)>", route)}


def ask(client: httpx.Client, route: str, names: dict[str, str]) -> httpx.Response:
    method, _, path = route.partition(" ")
    body = BODIES.get(route, {}) if method != "GET" else None
    return client.request(method, re.sub(r"<(\w+)>", lambda name: names[name[1]], path), json=body)


@pytest.mark.parametrize(("route", "role"), routes())
def test_somebody_elses_thing_is_not_there(scene: Scene, route: str, role: str) -> None:
    names = theirs(scene, route)
    nothing = {name: "KA000NOTHING" if name == "vehicleNumber" else str(uuid4()) for name in names}
    before = scene.as_its_people_see_it()
    with scene.system.http(Role(role), uuid4()) as stranger:
        answer = ask(stranger, route, names)
        if route in TAKEN:
            assert (answer.status_code, answer.json()["code"]) == (409, TAKEN[route])
        elif route in ABOUT_OTHERS:
            assert answer.status_code == 200, answer.text
            assert ask(stranger, route, nothing).status_code == 404
        elif route in OWNER_NOT_REVEALED:
            other = ask(stranger, route, nothing)
            assert answer.status_code == other.status_code == 200
            assert answer.json() == {**other.json(), "token": names["token"]}
        else:
            assert answer.status_code == 404, answer.text
            # The response is the same as for an id that does not exist, so that ids cannot be probed.
            assert answer.json() == ask(stranger, route, nothing).json()
    assert scene.as_its_people_see_it() == before


@pytest.mark.parametrize("role", Role)
def test_another_role_does_not_make_it_ones_own(scene: Scene, role: Role) -> None:
    """A token with the owner's id but another role does not give the owner's access."""
    if role in (Role.ADMIN, Role.CUSTOMER):
        return
    with scene.system.http(role, scene.customer) as same_person:
        assert same_person.get(f"/broadcasts/{scene.booking}").status_code == 404
    with scene.system.http(Role.CUSTOMER, scene.fleet.id) as fleet_as_customer:
        assert fleet_as_customer.get(f"/broadcasts/{scene.booking}").status_code == 404


def test_lists_hold_ones_own_alone(scene: Scene) -> None:
    """Every list returns only the caller's own rows.

    Each read without a path argument is tried in every role that it admits.
    """
    mine = [
        scene.booking,
        scene.order,
        scene.assignment,
        scene.hold,
        scene.webhook,
        str(scene.fleet.id),
        *scene.fleet.vehicles,
    ]
    for rule in app().url_map.iter_rules():
        roles = getattr(app().view_functions[rule.endpoint], "roles", ())
        if rule.arguments or "GET" not in (rule.methods or ()):
            continue
        if rule.rule.startswith("/api/v1/admin/"):
            continue  # Operators see the rows of all users. tests/admin checks that other roles get 403.
        for role in roles:
            with scene.system.http(role, uuid4()) as stranger:
                answer = stranger.get(rule.rule.removeprefix("/api/v1"))
            assert answer.status_code in (200, 404), answer.text
            assert not [thing for thing in mine if thing in answer.text], rule.rule


def test_a_cursor_of_somebody_elses_list_opens_nothing(scene: Scene) -> None:
    cursor = done(scene.fleet.http.get("/vehicles?limit=1"))["nextCursor"]
    assert cursor
    with scene.system.http(Role.TRANSPORTER, uuid4()) as stranger:
        assert done(stranger.get(f"/vehicles?cursor={cursor}"))["items"] == []


def test_trucks_and_drivers_of_others_are_as_unknown_as_any(scene: Scene) -> None:
    """If a fleet accepts with another fleet's vehicle or driver, the response is the same as for an unknown id."""
    own = scene.neighbours.truck()
    path = f"/broadcasts/{scene.booking}/accept"
    for thing, whose in (("vehicleId", scene.fleet.vehicles[1]), ("driverId", str(scene.fleet.drivers[1]))):
        known = scene.neighbours.http.post(path, json={**own, thing: whose})
        unknown = scene.neighbours.http.post(path, json={**own, thing: str(uuid4())})
        assert (known.status_code, without_ids(known)) == (unknown.status_code, without_ids(unknown))
        assert known.status_code == 403


@pytest.mark.parametrize("field", ["vehicleId", "driverId"])
@pytest.mark.parametrize("way", ["one", "partial", "slot", "hold"])
def test_no_body_puts_a_truck_or_driver_of_another_fleet_on_a_slot(
    scene: Scene, way: str, field: str
) -> None:
    """A fleet names a vehicle or driver of another fleet, alone or beside its own free truck.

    Both a busy and a free truck of the other fleet are tried.
    """
    own, order = scene.neighbours.truck(), scene.order
    http = scene.neighbours.http
    path, hold = f"/broadcasts/{order}/accept", None
    if way == "slot":
        slots = done(http.get(f"/orders/{order}"))["truckRequests"]
        path = f"/truck-requests/{slots[-1]['id']}/accept"
    if way == "hold":
        hold = done(http.post(f"/broadcasts/{order}/hold", json={"quantity": 1}))["holdId"]
        path = f"/holds/{hold}/confirm"
    before = scene.as_its_people_see_it()
    for number in (0, 1):  # truck 0 has an assignment, truck 1 is free
        other = scene.fleet.truck(number)
        # A `partial` body names our own truck first, and a body must not name a vehicle or driver twice. So the second
        # truck has both the vehicle and the driver of the other fleet.
        foreign = other if way == "partial" else {**own, field: other[field]}
        bodies = {"partial": {"trucks": [own, foreign], "partial": True}, "hold": {"assignments": [foreign]}}
        answer = http.post(path, json=bodies.get(way, foreign))
        assert answer.status_code == 403, answer.text
        assert answer.json()["code"] in {"VEHICLE_NOT_IN_FLEET", "DRIVER_NOT_IN_FLEET"}
    assert scene.as_its_people_see_it() == before
    if hold:
        done(http.post(f"/holds/{hold}/release"))


def test_slots_of_another_broadcast_are_not_opened_by_naming_them(scene: Scene) -> None:
    body = {"trucks": [{**scene.neighbours.truck(), "truckRequestId": scene.slot}]}
    answer = scene.neighbours.http.post(f"/broadcasts/{scene.booking}/accept", json=body)
    assert answer.status_code == 404, answer.text


def test_a_hold_is_not_seen_by_the_neighbours(scene: Scene) -> None:
    seen = done(scene.neighbours.http.get(f"/orders/{scene.order}"))
    assert scene.slot not in {slot["id"] for slot in seen["truckRequests"]}
    assert seen["assignments"] == []


def test_the_same_key_of_somebody_else_is_another_command(embedded: System) -> None:
    key = {"Idempotency-Key": f"key-{uuid4()}", "Prefer": "wait=20"}
    ids = set()
    for _ in range(2):
        with embedded.http(Role.CUSTOMER, uuid4()) as customer:
            answer = customer.post("/bookings", json=BOOKING, headers=key)
            assert "Idempotency-Replayed" not in answer.headers
            ids.add(done(answer)["id"])
    assert len(ids) == 2


def without_ids(answer: httpx.Response) -> str:
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "{}", answer.text)
