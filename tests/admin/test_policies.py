"""Policies of operators: versions without gaps, impossible values, previews, pauses, and which policy a request gets."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from tests.admin.operator import Operator
from tests.support.changed_settings import with_settings
from tests.support.world import DELHI, World, place
from weelo_workers.contracts.statuses import Role
from weelo_workers.lifecycles.policy import Policy
from weelo_workers.models.broadcasts import Broadcast
from weelo_workers.models.environment_policy import environment_policy

REASON = "rings follow too slowly in the morning"
CENTER = {"latitude": DELHI[0], "longitude": DELHI[1]}
HERE = {"center": CENTER, "radiusKm": 40}


def version(*, area: Any = HERE, types: list[str] | None = None, **settings: Any) -> dict[str, Any]:
    """Return the body of a new version. `settings`: in camel case."""
    body: dict[str, Any] = {"settings": settings, "reason": REASON}
    return body | ({"area": area} if area else {}) | ({"vehicleTypes": types} if types else {})


def put(operator: Operator, scope: str, body: dict[str, Any]) -> Any:
    outcome = operator.do("PUT", f"/admin/policies/{scope}", body)
    assert outcome.status == "succeeded", outcome.error
    return outcome.result


def pause(operator: Operator, scope: str, *, paused: bool = True) -> None:
    body = {"paused": paused, "reason": REASON}
    outcome = operator.do("PUT", f"/admin/policies/{scope}/paused", body)
    assert outcome.result["paused"] is paused


def begun_with(world: World, broadcast: UUID | str) -> tuple[str, int, dict[str, Any]]:
    """Return scope, version and values of the policy of this broadcast."""
    [row] = world.rows(
        "SELECT policy_scope, policy_version, policy_settings FROM broadcasts WHERE id = :id", id=broadcast
    )
    return row.policy_scope, row.policy_version, row.policy_settings


# --- storing --------------------------------------------------------------------------------------------


def test_a_version_replaces_the_one_before_and_says_what_is_in_force(
    world: World, operator: Operator
) -> None:
    put(operator, "default", version(area=None, holdSeconds=30, maxOpenOffers=5))
    first = put(operator, "delhi", version(radiusStepSeconds=10, holdSeconds=45))
    second = put(operator, "delhi", version(types=["Open"], radiusStepSeconds=8))
    assert (first["version"], second["version"]) == (1, 2)
    assert second["settings"] == {"radiusStepSeconds": 8.0}
    assert second["vehicleTypes"] == ["open"]
    assert second["area"] == HERE
    effective = second["effective"]
    assert (effective["radiusStepSeconds"], effective["holdSeconds"], effective["maxOpenOffers"]) == (
        8,
        30,
        5,
    )
    assert effective["driverAcceptSeconds"] == environment_policy().driver_accept_seconds
    listed = operator.items("/policies")
    assert [(each["scope"], each["version"], each["paused"]) for each in listed] == [
        ("default", 1, False),
        ("delhi", 2, False),
    ]
    assert listed[1] == second


def test_versions_are_listed_newest_first_by_pages_and_never_change(world: World, operator: Operator) -> None:
    stored = [put(operator, "delhi", version(holdSeconds=seconds)) for seconds in (10, 20, 30)]
    page = operator.get("/policies/delhi/versions", limit=2)
    rest = operator.get("/policies/delhi/versions", limit=2, cursor=page["nextCursor"])
    listed = page["items"] + rest["items"]
    assert [each["version"] for each in listed] == [3, 2, 1]
    assert rest["nextCursor"] is None
    for each in listed:
        before = stored[each["version"] - 1]
        assert each == {name: before[name] for name in each}
        assert (each["reason"], each["actorId"]) == (REASON, str(operator.id))


def test_before_any_version_there_is_only_default_with_the_values_of_the_environment(
    world: World, operator: Operator
) -> None:
    [default] = operator.items("/policies")
    assert (default["scope"], default["version"], default["settings"]) == ("default", 0, {})
    assert default["effective"]["radiusStepsKm"] == list(environment_policy().radius_steps_km)
    assert operator.items("/policies/default/versions") == []
    unknown = operator.ask("GET", "/admin/policies/nowhere/versions")
    assert (unknown.status_code, unknown.get_json()["code"]) == (404, "POLICY_NOT_FOUND")
    refused = operator.do("PUT", "/admin/policies/nowhere/paused", {"paused": True, "reason": REASON})
    assert refused.error["code"] == "POLICY_NOT_FOUND"


def test_concurrent_versions_of_one_scope_are_numbered_without_gaps(world: World, operator: Operator) -> None:
    bodies = [version(holdSeconds=seconds) for seconds in range(10, 18)]
    posted = [
        operator.ask("PUT", "/admin/policies/delhi", json=body).get_json()["commandId"] for body in bodies
    ]
    barrier = threading.Barrier(4)

    def execute(part: list[str]) -> None:
        barrier.wait(10)
        for each in part:
            world.bus.execute(UUID(each))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(execute, [posted[start::4] for start in range(4)]))
    outcomes = [world.outcome(UUID(each), operator.id) for each in posted]
    assert sorted(each.result["version"] for each in outcomes) == list(range(1, 9))
    newest = max((each.result for each in outcomes), key=lambda each: each["version"])
    assert operator.items("/policies")[1]["settings"] == newest["settings"]
    times = world.rows("SELECT created_at FROM policy_versions ORDER BY version")
    assert times == sorted(times), "versions are in the order of their times"


def test_a_repeated_request_stores_one_version(world: World, operator: Operator) -> None:
    for _ in range(2):
        outcome = operator.do("PUT", "/admin/policies/delhi", version(holdSeconds=10), key="the-same-key")
        assert outcome.result["version"] == 1
    assert world.value("SELECT count(*) FROM policy_versions") == 1


def test_a_type_that_is_named_twice_is_stored_once(world: World, operator: Operator) -> None:
    body = {**version(), "vehicleTypes": ["open", "Open", "tipper"]}
    assert operator.do("PUT", "/admin/policies/open-trucks", body).result["vehicleTypes"] == [
        "open",
        "tipper",
    ]


def test_each_change_is_in_the_audit_log(world: World, operator: Operator) -> None:
    put(operator, "delhi", version(holdSeconds=10))
    pause(operator, "delhi")
    paused, stored = operator.items("/audit")
    assert (stored["command"], stored["subject"], stored["reason"]) == ("policies.put", "policy", REASON)
    assert (stored["details"]["scope"], stored["details"]["settings"]) == ("delhi", {"holdSeconds": 10.0})
    assert stored["details"]["area"].keys() == {"center", "radiusKm"}
    assert (paused["command"], paused["details"]) == ("policies.pause", {"scope": "delhi", "paused": True})


@pytest.mark.parametrize(
    ("scope", "body", "field"),
    [
        ("delhi", version(radiusStepsKm=[]), "settings.radiusStepsKm"),
        ("delhi", version(radiusStepsKm=[25, 10]), "settings.radiusStepsKm"),
        ("delhi", version(radiusStepsKm=[10, 10]), "settings.radiusStepsKm"),
        ("delhi", version(radiusStepsKm=[0, 10]), "settings.radiusStepsKm"),
        ("delhi", version(radiusStepsKm=[10, 20_001]), "settings.radiusStepsKm"),
        ("delhi", version(radiusStepsKm="10,25"), "settings.radiusStepsKm"),
        ("delhi", version(radiusStepSeconds=0), "settings.radiusStepSeconds"),
        ("delhi", version(radiusStepSeconds=3_601), "settings.radiusStepSeconds"),
        ("delhi", version(broadcastTimeoutSeconds=0), "settings.broadcastTimeoutSeconds"),
        (
            "delhi",
            version(broadcastTimeoutSeconds=5, radiusStepSeconds=6),
            "settings.broadcastTimeoutSeconds",
        ),
        ("delhi", version(broadcastTimeoutSeconds=5), "settings.broadcastTimeoutSeconds"),
        ("delhi", version(radiusStepSeconds=600), "settings.radiusStepSeconds"),
        ("delhi", version(contractedFirstSeconds=120), "settings.contractedFirstSeconds"),
        ("delhi", version(minOffersPerStep=251), "settings.minOffersPerStep"),
        ("delhi", version(maxOffersPerStep=10, minOffersPerStep=20), "settings.minOffersPerStep"),
        (
            "delhi",
            version(contractedFirstSeconds=60, broadcastTimeoutSeconds=60),
            "settings.contractedFirstSeconds",
        ),
        ("delhi", version(lastStepMaxKm=9, radiusStepsKm=[5, 10]), "settings.lastStepMaxKm"),
        ("delhi", version(lastStepMaxKm=74), "settings.lastStepMaxKm"),
        ("delhi", version(maxOffersPerStep=0), "settings.maxOffersPerStep"),
        ("delhi", version(maxOpenOffers=0), "settings.maxOpenOffers"),
        ("delhi", version(maxOpenOffers=True), "settings.maxOpenOffers"),
        ("delhi", version(minOffersPerStep=-1), "settings.minOffersPerStep"),
        ("delhi", version(holdSeconds=0), "settings.holdSeconds"),
        ("delhi", version(driverAcceptSeconds="45"), "settings.driverAcceptSeconds"),
        ("delhi", version(reofferSeconds=0), "settings.reofferSeconds"),
        ("delhi", version(reofferRounds=1_001), "settings.reofferRounds"),
        ("delhi", version(pickupWaitSeconds=-1), "settings.pickupWaitSeconds"),
        ("delhi", version(ringSeconds=3), "settings.ringSeconds"),
        ("delhi", version(radius_step_seconds=3), "settings.radius_step_seconds"),
        ("delhi", version(area={"center": CENTER, "radiusKm": 0}), "area.radiusKm"),
        (
            "delhi",
            version(area={"center": {"latitude": 91, "longitude": 0}, "radiusKm": 1}),
            "area.center.latitude",
        ),
        ("delhi", version(area=None), "area"),
        ("delhi", version(types=["rocket"]), "vehicleTypes.0"),
        ("delhi", {"settings": {}, "reason": " ", "area": HERE}, "reason"),
        ("delhi", {"area": HERE, "reason": REASON}, "settings"),
        ("default", version(area=HERE), "area"),
        ("default", version(area=None, types=["open"]), "vehicleTypes"),
        ("Delhi!", version(), "scope"),
        ("a" * 41, version(), "scope"),
    ],
    ids=str,
)
def test_an_impossible_version_is_refused_at_once_with_its_field(
    world: World, operator: Operator, scope: str, body: dict[str, Any], field: str
) -> None:
    for method, path in (("PUT", f"/admin/policies/{scope}"), ("POST", f"/admin/policies/{scope}/preview")):
        if method == "POST" and field == "reason":
            continue
        response = operator.ask(method, path, json=body)
        assert (response.status_code, response.get_json()["code"]) == (400, "VALIDATION_ERROR")
        assert [each["field"] for each in response.get_json()["errors"]] == [field]
    assert (
        world.value("SELECT count(*) FROM mailbox")
        == world.value("SELECT count(*) FROM policy_versions")
        == 0
    )


def test_a_version_of_default_that_makes_another_scope_impossible_is_refused(
    world: World, operator: Operator
) -> None:
    put(operator, "delhi", version(radiusStepSeconds=60))
    response = operator.ask(
        "PUT", "/admin/policies/default", json=version(area=None, broadcastTimeoutSeconds=50)
    )
    assert response.status_code == 400
    assert "delhi" in response.get_json()["detail"]
    assert world.value("SELECT count(*) FROM policy_versions") == 1


def test_the_deadline_must_leave_time_for_a_ring_after_the_contracted_transporters(
    world: World, operator: Operator
) -> None:
    put(operator, "delhi", version(contractedFirstSeconds=60, broadcastTimeoutSeconds=61))
    refused = operator.ask(
        "PUT",
        "/admin/policies/delhi",
        json=version(contractedFirstSeconds=60, broadcastTimeoutSeconds=60),
    ).get_json()
    assert refused["errors"][0]["message"] == (
        "impossible in the scope delhi: no ring would follow the 60 s of contracted transporters before the deadline (60 s)"
    )
    # The scope delhi now inherits its deadline from default. A deadline of 60 s in default would leave delhi no time
    # for a ring.
    put(operator, "delhi", version(contractedFirstSeconds=60))
    shorter = operator.ask(
        "PUT", "/admin/policies/default", json=version(area=None, broadcastTimeoutSeconds=60)
    )
    assert (shorter.status_code, shorter.get_json()["errors"][0]["field"]) == (
        400,
        "settings.broadcastTimeoutSeconds",
    )


def test_what_became_impossible_after_it_was_recorded_is_rejected_when_it_is_executed(
    world: World, operator: Operator
) -> None:
    body = version(area=None, broadcastTimeoutSeconds=50)
    recorded = operator.ask("PUT", "/admin/policies/default", json=body).get_json()["commandId"]
    put(operator, "delhi", version(radiusStepSeconds=60))
    world.bus.execute(UUID(recorded))
    outcome = world.outcome(UUID(recorded), operator.id)
    assert outcome.error["errors"][0]["field"] == "settings.broadcastTimeoutSeconds"
    assert operator.items("/policies")[0]["version"] == 0


def test_a_preview_says_what_would_change_and_stores_nothing(world: World, operator: Operator) -> None:
    put(operator, "delhi", version(holdSeconds=10))
    put(operator, "old-town", version(area={"center": CENTER, "radiusKm": 3}))
    put(operator, "tippers", version(area=None, types=["tipper"]))
    put(operator, "far", version(area={"center": {"latitude": 12.97, "longitude": 77.59}, "radiusKm": 50}))
    world.broadcast(at=place(10))
    body = version(holdSeconds=20, radiusStepsKm=[5, 15]) | {"vehicleTypes": ["open"]}
    shown = operator.ask("POST", "/admin/policies/delhi/preview", json=body).get_json()
    assert (shown["version"], shown["openBroadcasts"]) == (2, 1)
    changes = {each["setting"]: (each["now"], each["then"]) for each in shown["changes"]}
    assert changes == {
        "holdSeconds": (10, 20),
        "radiusStepsKm": (list(environment_policy().radius_steps_km), [5, 15]),
    }
    assert (shown["vehicleTypesNow"], shown["vehicleTypesThen"]) == (None, ["open"])
    assert [(each["scope"], each["takesPrecedence"]) for each in shown["overlaps"]] == [("old-town", False)]
    assert operator.items("/policies")[1]["version"] == 1


# --- which policy a request gets ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kilometres", "kind", "expected"),
    [
        (1.0, "17 Feet", "b-open-town"),
        (30.0, "17 Feet", "open-everywhere"),
        (300.0, "17 Feet", "open-everywhere"),
    ],
)
def test_a_policy_of_vehicle_types_is_chosen_before_one_of_all_types(
    world: World, operator: Operator, kilometres: float, kind: str, expected: str
) -> None:
    town = {"center": CENTER, "radiusKm": 5}
    put(operator, "region", version(holdSeconds=11))
    put(operator, "town", version(area=town, holdSeconds=12))
    put(operator, "b-open-town", version(area=town, types=["open"], holdSeconds=13))
    put(operator, "c-open-town", version(area=town, types=["open", "tipper"], holdSeconds=14))
    put(operator, "open-everywhere", version(area=None, types=["open"], holdSeconds=15))
    put(operator, "tippers", version(area=town, types=["tipper"], holdSeconds=16))
    broadcast = world.broadcast(at=place(kilometres), kind=kind)
    assert begun_with(world, broadcast)[0] == expected


@pytest.mark.parametrize(
    ("kilometres", "expected"),
    [(1.0, "town"), (4.97, "town"), (5.03, "region"), (39.0, "region"), (41.0, "default")],
)
def test_of_several_areas_the_smallest_is_chosen(
    world: World, operator: Operator, kilometres: float, expected: str
) -> None:
    put(operator, "region", version(holdSeconds=11))
    put(operator, "town", version(area={"center": CENTER, "radiusKm": 5}, holdSeconds=12))
    put(operator, "z-town", version(area={"center": CENTER, "radiusKm": 5}, holdSeconds=13))
    broadcast = world.broadcast(at=place(kilometres))
    assert begun_with(world, broadcast)[0] == expected


def test_an_order_gets_a_policy_of_vehicle_types_only_if_all_its_types_are_among_them(
    world: World, operator: Operator
) -> None:
    put(operator, "containers", version(types=["container"]))
    put(operator, "both", version(types=["container", "open"]))
    order = world.order(uuid4(), ("17 Feet", 1), ("10 Wheeler", 1))
    assert begun_with(world, order.result["id"])[0] == "both"


def test_values_that_a_scope_does_not_set_are_those_of_default_and_then_of_the_environment(
    world: World, operator: Operator
) -> None:
    put(operator, "default", version(area=None, maxOpenOffers=7, holdSeconds=33, broadcastTimeoutSeconds=300))
    put(operator, "delhi", version(holdSeconds=44))
    scope, number, values = begun_with(world, world.broadcast())
    assert (scope, number) == ("delhi", 1)
    policy = Policy.from_json(values, otherwise=environment_policy())
    assert (policy.hold_seconds, policy.max_open_offers, policy.broadcast_timeout_seconds) == (44, 7, 300)
    assert policy.reoffer_seconds == 300, "a new search lasts as long as the first one"
    assert policy.driver_accept_seconds == environment_policy().driver_accept_seconds


def test_a_broadcast_keeps_its_version_and_names_it_in_every_view(world: World, operator: Operator) -> None:
    put(operator, "delhi", version(radiusStepSeconds=7, radiusStepsKm=[2, 4]))
    customer = uuid4()
    world.fleet()
    world.fleet(km_north=3)
    broadcast = world.broadcast(customer=customer)
    put(operator, "delhi", version(radiusStepSeconds=3))
    reference = {"scope": "delhi", "version": 1}
    reader = Operator(world)
    reader.id = customer
    shown = [
        reader.ask("GET", path, role=Role.CUSTOMER).get_json()
        for path in (f"/bookings/{broadcast}", f"/broadcasts/{broadcast}", "/broadcasts/current")
    ]
    listed = reader.ask("GET", "/broadcasts", role=Role.CUSTOMER).get_json()["items"]
    entries = reader.ask("GET", f"/broadcasts/{broadcast}/timeline", role=Role.CUSTOMER).get_json()["items"]
    assert [each["policy"] for each in (*shown, *listed)] == [reference] * 4
    created = next(each for each in entries if each["transition"] == "create")
    assert created["details"]["policy"] == reference
    [summary] = operator.items("/broadcasts", area="delhi")
    assert (summary["policy"], summary["area"]) == (reference, "delhi")
    assert operator.items("/broadcasts", area="default") == []
    # Ring 2 follows after 7 s and reaches 4 km: these are the values of version 1.
    [due] = world.rows(
        "SELECT due_at - received_at AS after FROM mailbox WHERE name = 'broadcasts.widen' AND settled_at IS NULL"
    )
    assert due.after.total_seconds() == pytest.approx(7, abs=0.5)
    world.tick(7)
    assert world.value("SELECT radius_km FROM broadcasts") == 4


def test_a_double_tap_returns_the_first_one_with_its_version(world: World, operator: Operator) -> None:
    put(operator, "delhi", version(holdSeconds=10))
    customer = uuid4()
    first = world.book(customer)
    put(operator, "delhi", version(holdSeconds=20))
    second = world.book(customer)
    assert second.replayed
    assert second.result["id"] == first.result["id"]
    assert second.result["policy"] == {"scope": "delhi", "version": 1}


def test_a_broadcast_from_before_policies_goes_on_with_the_environment(
    world: World, operator: Operator
) -> None:
    put(operator, "default", version(area=None, radiusStepSeconds=2, radiusStepsKm=[1], maxOpenOffers=1))
    # The fleet is 20 km away: within the radius of the environment's policy, and outside the 1 km of the stored
    # version. So the offer shows that the environment's policy is used.
    fleet = world.fleet(km_north=20, online=False)
    broadcast = world.broadcast()
    with world.engine.begin() as connection:
        connection.execute(
            text("UPDATE broadcasts SET policy_settings = NULL, policy_scope = NULL, policy_version = NULL")
        )
    world.tick(2)
    world.set_availability(fleet, online=True)
    world.drain()
    assert fleet.id in world.told_at(broadcast)
    [shown] = operator.items("/broadcasts", area="default")
    assert shown["policy"] == {"scope": "default", "version": 0}
    with world.engine.connect() as connection:
        row = connection.execute(text("SELECT * FROM broadcasts")).mappings().one()
    assert Broadcast(**row).policy == environment_policy()
    assert operator.get("/market")["policies"][0]["policy"] == {"scope": "default", "version": 0}


def test_the_figures_of_the_market_are_by_area_and_by_version(world: World, operator: Operator) -> None:
    world.broadcast(at=place(100))
    put(operator, "delhi", version(holdSeconds=10))
    world.fleet(trucks=2)
    world.broadcast(trucks=2)
    put(operator, "delhi", version(holdSeconds=20))
    world.broadcast()
    shown = operator.get("/market")
    assert {(each["area"], each["requests"]) for each in shown["groups"]} == {("default", 1), ("delhi", 2)}
    by_version = {
        (each["policy"]["scope"], each["policy"]["version"]): (
            each["requests"],
            each["slotsAsked"],
            each["offers"],
        )
        for each in shown["policies"]
    }
    assert by_version[("default", 0)][:2] == (1, 1)
    assert by_version[("delhi", 1)] == (1, 2, 1)
    assert by_version[("delhi", 2)][:2] == (1, 1)
    for name in ("requests", "slotsAsked", "offers"):
        assert sum(each[name] for each in shown["policies"]) == shown["total"][name]
    only = operator.get("/market", area="delhi")
    assert (only["total"]["requests"], [each["area"] for each in only["groups"]]) == (2, ["delhi"])


# --- pauses and areas that are not served ---------------------------------------------------------------


def booking(km_north: float = 0.0) -> dict[str, Any]:
    at = place(km_north).json_dict()
    return {
        "pickup": at,
        "drop": place(200).json_dict(),
        "vehicleType": "open",
        "vehicleSubtype": "17 Feet",
        "trucksNeeded": 1,
    }


class Customer:
    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self.id = uuid4()

    def book(self, km_north: float = 0.0, *, key: str | None = None) -> Any:
        """Send a booking, execute it if it is accepted, and return the response."""
        operator = Operator(self._operator._world)
        operator.id = self.id
        headers = {"Idempotency-Key": key} if key else {}
        response = operator.ask(
            "POST", "/bookings", json=booking(km_north), role=Role.CUSTOMER, headers=headers
        )
        if response.status_code == 202:
            self._operator._world.bus.execute(UUID(response.get_json()["commandId"]))
        return response


def code(response: Any) -> tuple[int, str | None]:
    return response.status_code, response.get_json().get("code")


def test_a_paused_scope_refuses_new_requests_until_the_pause_ends(world: World, operator: Operator) -> None:
    put(operator, "delhi", version(holdSeconds=10))
    before = Customer(operator)
    assert code(before.book(key="before-the-pause")) == (202, None)
    pause(operator, "delhi")
    new = Customer(operator)
    refused = new.book(key="the-same-key")
    assert code(refused) == (503, "AREA_PAUSED")
    assert int(refused.headers["Retry-After"]) == refused.get_json()["retryAfter"] == 60
    assert refused.get_json()["retryable"] is True
    assert world.value("SELECT count(*) FROM mailbox WHERE caller_id = :id", id=new.id) == 0
    # This request was accepted before the pause. Repeating it returns its outcome, and a double tap returns its
    # broadcast.
    assert code(before.book(key="before-the-pause")) == (202, None)
    repeated = before.book(key="before-the-pause")
    assert repeated.get_json()["replayed"] is True
    assert code(before.book()) == (202, None)
    assert world.value("SELECT count(*) FROM broadcasts") == 1
    assert code(Customer(operator).book(100)) == (202, None), "another scope goes on"
    pause(operator, "delhi", paused=False)
    assert code(new.book(key="the-same-key")) == (202, None)
    assert world.value("SELECT count(*) FROM broadcasts WHERE customer_id = :id", id=new.id) == 1


def test_a_pause_of_default_concerns_what_no_other_policy_is_for(world: World, operator: Operator) -> None:
    put(operator, "delhi", version(holdSeconds=10))
    pause(operator, "default")
    assert code(Customer(operator).book(100)) == (503, "AREA_PAUSED")
    assert code(Customer(operator).book()) == (202, None)
    assert [each["version"] for each in operator.items("/policies")] == [0, 1]
    pause(operator, "default", paused=False)
    assert code(Customer(operator).book(100)) == (202, None)


def test_a_request_that_was_recorded_before_a_pause_is_carried_out(world: World, operator: Operator) -> None:
    put(operator, "delhi", version(holdSeconds=10))
    customer = uuid4()
    recorded = world.post(world.booking(customer), customer, Role.CUSTOMER)
    pause(operator, "delhi")
    world.bus.execute(recorded)
    assert world.outcome(recorded, customer).http_status == 201


def test_pausing_again_changes_nothing(world: World, operator: Operator) -> None:
    put(operator, "delhi", version(holdSeconds=10))
    pause(operator, "delhi")
    body = {"paused": True, "reason": REASON}
    assert operator.do("PUT", "/admin/policies/delhi/paused", body).replayed
    put(operator, "delhi", version(holdSeconds=20))
    assert operator.items("/policies")[1]["paused"] is True, "a new version does not end a pause"


def test_a_pickup_outside_every_area_is_refused_if_only_areas_are_served(
    world: World, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(operator, "delhi", version(types=["tipper"], holdSeconds=10))
    put(operator, "open-everywhere", version(area=None, types=["open"]))
    inside, outside = Customer(operator), Customer(operator)
    with monkeypatch.context() as during:
        with_settings(during, served_areas_only=True)
        refused = outside.book(100, key="the-same-key")
        assert code(refused) == (422, "NOT_SERVED")
        assert code(inside.book()) == (202, None), (
            "the pickup is in an area, though that policy is for other trucks"
        )
    assert world.value("SELECT count(*) FROM mailbox WHERE caller_id = :id", id=outside.id) == 0
    assert code(outside.book(100, key="the-same-key")) == (202, None), (
        "without the setting every pickup is served"
    )
