"""A policy in a running system: every process uses a new version at once; a broadcast keeps the version it began with."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest

from tests.support.system import System
from tests.support.waiting import eventually
from weelo_client import Rejected, WeeloClient
from weelo_workers.contracts.statuses import Role

pytestmark = pytest.mark.xdist_group("system")

# This point is in the middle of an ocean, so that the policies of this area apply to no broadcast of another test.
CENTER = {"latitude": -40.0, "longitude": 80.0}
REASON = "a test of the policies"


def put(admin: WeeloClient, scope: str, **settings: Any) -> Any:
    area: Any = {"center": CENTER, "radiusKm": 50}
    values: Any = settings
    return admin.put_policy(scope, values, REASON, area=area)


def booked(system: System, *, key: str | None = None, customer: WeeloClient | None = None) -> Any:
    pickup: Any = {**CENTER, "address": "A ship"}
    client = customer or system.client(Role.CUSTOMER, uuid4())
    given = {"key": key} if key else {}
    return client.create_booking(pickup, pickup, "open", "17 Feet", trucks_needed=1, **given)  # type: ignore[arg-type]


def steps_of(system: System, broadcast: Any) -> list[tuple[int, datetime]]:
    """Return the number and the time of each step in the search of this broadcast."""
    admin = system.client(Role.ADMIN, uuid4())
    return [
        (each["details"]["step"], datetime.fromisoformat(each["at"]))
        for each in admin.timeline(broadcast["id"])
        if "step" in each["details"] and each["subject"] == "broadcast"
    ]


def test_POLI_01_every_process_takes_a_new_version_at_once_and_a_broadcast_keeps_its_own(
    system: System,
) -> None:
    admin = system.client(Role.ADMIN, uuid4())
    scope = f"sea-{uuid4().hex[:8]}"
    # No fleet is near this pickup. With `minOffersPerStep=0` the next ring is searched only after `radiusStepSeconds`,
    # although the ring before it brought no offer. So the times of the steps show which version a broadcast uses.
    at_first = put(admin, scope, radiusStepsKm=[1, 2, 3], radiusStepSeconds=2, minOffersPerStep=0)
    old = booked(system)
    assert old["policy"] == {"scope": scope, "version": at_first["version"]}
    second = put(admin, scope, radiusStepsKm=[1, 2, 3], radiusStepSeconds=0.5, minOffersPerStep=0)
    began = time.monotonic()
    with ThreadPoolExecutor(6) as pool:
        new = list(pool.map(lambda _: booked(system), range(12)))
    assert time.monotonic() - began < 15
    assert {each["policy"]["version"] for each in new} == {second["version"]}
    eventually(lambda: min(len(steps_of(system, each)) for each in (old, new[0])) >= 2, within=15)
    slow, quick = steps_of(system, old), steps_of(system, new[0])
    between = [(steps[1][1] - steps[0][1]).total_seconds() for steps in (slow, quick)]
    assert between[0] >= 1.9, "the broadcast keeps the ring time with which it began"
    assert 0.4 <= between[1] < 1.9
    # A worker that was restarted uses the same version of the policy as the killed one.
    system.kill("broadcasts")
    again = booked(system)
    assert again["policy"] == {"scope": scope, "version": second["version"]}
    assert [each["version"] for each in admin.policy_versions(scope)] == [2, 1]


def test_POLI_01_an_app_repeats_a_request_after_a_pause_with_the_same_key(system: System) -> None:
    admin = system.client(Role.ADMIN, uuid4())
    scope = f"a-sea-{uuid4().hex[:8]}"  # "a-": of two areas of the same size, the alphabetically first one applies
    put(admin, scope, holdSeconds=20)
    admin.pause_policy(scope, True, REASON)
    try:
        customer, key = system.client(Role.CUSTOMER, uuid4()), uuid4().hex
        with pytest.raises(Rejected) as refused:
            booked(system, key=key, customer=customer)
        assert (refused.value.code, refused.value.status) == ("AREA_PAUSED", 503)
        with system.http(Role.CUSTOMER, uuid4()) as http:
            body = {
                "pickup": {**CENTER, "address": "A ship"},
                "drop": {**CENTER, "address": "A ship"},
                "vehicleType": "open",
                "vehicleSubtype": "17 Feet",
                "trucksNeeded": 1,
            }
            answer = http.post("/bookings", json=body)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60")
    finally:
        admin.pause_policy(scope, False, REASON)
    assert booked(system, key=key, customer=customer)["policy"]["scope"] == scope
