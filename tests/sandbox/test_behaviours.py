"""TRYI-01: each behaviour of a robot fleet, as customers and transporters see it after the clock was moved."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from tests.sandbox.sandbox_system import Sandbox
from tests.support.people import BareSocket
from weelo_workers.contracts.statuses import Role

pytestmark = pytest.mark.xdist_group("system")


def assignments(sandbox: Sandbox, broadcast_id: str) -> list[str]:
    rows = sandbox.rows(
        "SELECT status FROM assignments WHERE broadcast_id = :id ORDER BY created_at", id=broadcast_id
    )
    return [row["status"] for row in rows]


def test_TRYI_01_a_fleet_that_accepts_wins_after_its_time_and_its_driver_accepts(sandbox: Sandbox) -> None:
    sandbox.fleet("accepts", after=20, trucks=3)
    broadcast_id = sandbox.book(sandbox.customer(), trucks=2)
    sandbox.advance(18)
    assert assignments(sandbox, broadcast_id) == []
    sandbox.advance(10)
    assert assignments(sandbox, broadcast_id) == ["pending"] * 2
    sandbox.advance(15)
    assert assignments(sandbox, broadcast_id) == ["driver_accepted"] * 2
    assert sandbox.status(broadcast_id) == "fully_filled"


def test_TRYI_01_a_fleet_offers_as_many_trucks_as_it_has(sandbox: Sandbox) -> None:
    sandbox.fleet("accepts", trucks=2)
    sandbox.fleet("accepts", after=10)
    broadcast_id = sandbox.book(sandbox.customer(), trucks=4)
    sandbox.advance(30)
    assert assignments(sandbox, broadcast_id) == ["driver_accepted"] * 3
    assert sandbox.status(broadcast_id) == "partially_filled"


def test_TRYI_01_a_fleet_that_declines_leaves_the_request_open(sandbox: Sandbox) -> None:
    fleet = sandbox.fleet("declines")
    broadcast_id = sandbox.book(sandbox.customer())
    sandbox.advance(10)
    [offer] = sandbox.rows("SELECT declined_at FROM offers WHERE transporter_id = :id", id=fleet)
    assert offer["declined_at"] is not None
    assert sandbox.status(broadcast_id) == "active"


def test_TRYI_01_a_silent_fleet_lets_the_request_expire(sandbox: Sandbox) -> None:
    fleet = sandbox.fleet("silent")
    customer = sandbox.customer()
    broadcast_id = sandbox.book(customer)
    sandbox.advance(121)
    assert sandbox.status(broadcast_id) == "expired"
    log = sandbox.log(sandbox.customer_of(broadcast_id))
    assert ("no_vehicles_available", "expired") in log
    assert sandbox.log(fleet) == [("new_broadcast", "broadcasting"), ("booking_expired", "expired")]


def test_TRYI_01_a_driver_who_declines_opens_the_slot_again(sandbox: Sandbox) -> None:
    sandbox.fleet("accepts_driver_declines")
    broadcast_id = sandbox.book(sandbox.customer())
    sandbox.advance(12)
    assert assignments(sandbox, broadcast_id) == ["driver_declined"]
    assert sandbox.status(broadcast_id) == "active"


def test_TRYI_01_a_silent_driver_is_timed_out_by_46_seconds(sandbox: Sandbox) -> None:
    fleet = sandbox.fleet("accepts_driver_silent", after=1)
    broadcast_id = sandbox.book(sandbox.customer())
    sandbox.advance(2)
    assert assignments(sandbox, broadcast_id) == ["pending"]
    answer = sandbox.advance(46)
    assert answer["timersExecuted"] >= 1
    assert assignments(sandbox, broadcast_id) == ["driver_declined"]
    assert ("driver_timeout", "driver_declined") in sandbox.log(fleet)
    [row] = sandbox.rows(
        """SELECT EXTRACT(EPOCH FROM t.at - a.created_at)::float AS after FROM transitions t
             JOIN assignments a ON a.id = t.subject_id WHERE t.cause = 'trips.expire_assignment'"""
    )
    assert 45 <= row["after"] < 46


def test_TRYI_01_a_truck_that_is_given_back_is_searched_for_again(sandbox: Sandbox) -> None:
    sandbox.fleet("gives_back", after=5)
    sandbox.fleet("accepts", after=30, km_north=3)
    broadcast_id = sandbox.book(sandbox.customer())
    sandbox.advance(16)
    assert assignments(sandbox, broadcast_id) == ["given_back"]
    sandbox.advance(80)
    assert assignments(sandbox, broadcast_id) == ["given_back", "driver_accepted"]
    assert ("truck_lost", "given_back") in sandbox.log(sandbox.customer_of(broadcast_id))


def test_TRYI_01_a_fleet_that_drives_completes_the_trip_step_by_step(sandbox: Sandbox) -> None:
    sandbox.fleet("drives", after=30)
    broadcast_id = sandbox.book(sandbox.customer())
    customer_id = sandbox.customer_of(broadcast_id)
    # the fleet accepts after 30 s, its driver accepts after 60 s, and the truck sets out after 90 s
    sandbox.advance(95)
    assert sandbox.status(broadcast_id) == "in_progress"
    sandbox.advance(160)
    assert sandbox.status(broadcast_id) == "completed"
    steps = [status for event, status in sandbox.log(customer_id) if event == "assignment_status_changed"]
    assert steps == [
        "pending",
        "driver_accepted",
        "en_route_pickup",
        "at_pickup",
        "loading_complete",
        "in_transit",
        "arrived_at_drop",
        "completed",
    ]


def test_robots_act_without_an_advance_as_well(sandbox: Sandbox) -> None:
    sandbox.fleet("drives", after=0)
    socket = BareSocket(sandbox, Role.CUSTOMER, customer_id := uuid4())
    sandbox.book(sandbox.client(Role.CUSTOMER, customer_id))
    socket.until("booking_completed")
    socket.close()


def test_a_fleet_in_a_farther_ring_is_reached_when_the_ring_grows(sandbox: Sandbox) -> None:
    sandbox.fleet("silent", km_north=1)
    far = sandbox.fleet("accepts", after=1, km_north=40)
    broadcast_id = sandbox.book(sandbox.customer())
    # The second ring (25 km) is searched 15 s after the first one (10 km). It contains no further fleet, so the third ring
    # (50 km) follows at once.
    sandbox.advance(14)
    assert sandbox.log(far) == []
    sandbox.advance(4)
    assert sandbox.status(broadcast_id) == "fully_filled"


def test_robots_stay_online_through_long_advances(sandbox: Sandbox) -> None:
    sandbox.fleet("accepts", after=1)
    for _ in range(3):
        sandbox.advance(86_400)
    broadcast_id = sandbox.book(sandbox.customer())
    sandbox.advance(2)
    assert sandbox.status(broadcast_id) == "fully_filled"


def test_a_fleet_whose_app_is_silent_goes_offline_by_the_moved_clock(sandbox: Sandbox) -> None:
    app = sandbox.client(Role.TRANSPORTER, fleet := uuid4())
    app.register_vehicle(f"HR {fleet.hex[:8]}", "open", "17 Feet")
    app.set_availability(True)
    app.heartbeat(28.6, 77.2)
    sandbox.advance(55)
    sandbox.book(sandbox.customer())
    assert len(sandbox.rows("SELECT FROM offers WHERE transporter_id = :id", id=fleet)) == 1
    sandbox.advance(65)
    second = sandbox.book(sandbox.customer())
    assert sandbox.rows("SELECT FROM offers WHERE broadcast_id = :id", id=UUID(second)) == []


def test_a_deleted_fleet_is_offline_and_does_nothing_more(sandbox: Sandbox) -> None:
    fleet = sandbox.fleet("accepts", after=30)
    broadcast_id = sandbox.book(sandbox.customer())
    assert sandbox.routes.delete(f"/fleets/{fleet}").status_code == 204
    assert sandbox.routes.delete(f"/fleets/{fleet}").status_code == 404
    sandbox.advance(60)
    assert sandbox.status(broadcast_id) == "active"
    later = sandbox.book(sandbox.customer())
    assert sandbox.rows("SELECT FROM offers WHERE broadcast_id = :id", id=UUID(later)) == []


def test_a_repeated_request_for_a_fleet_with_a_key_starts_one(sandbox: Sandbox) -> None:
    body = {
        "latitude": 28.6,
        "longitude": 77.2,
        "vehicleType": "open",
        "vehicleSubtype": "17 Feet",
        "trucks": 2,
        "behaviour": "silent",
        "afterSeconds": 1,
    }
    key = uuid4().hex
    answers = [sandbox.post("/fleets", body, Idempotency_Key=key) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert len(answers[0].json()["driverIds"]) == 2
    assert len(sandbox.rows("SELECT FROM vehicles")) == 2
    other = sandbox.post("/fleets", {**body, "trucks": 3}, Idempotency_Key=key)
    assert (other.status_code, other.json()["code"]) == (422, "IDEMPOTENCY_CONFLICT")


def test_sockets_receive_the_frames_of_an_advance_in_order_and_with_its_times(sandbox: Sandbox) -> None:
    sandbox.fleet("accepts_driver_silent", after=1)
    socket = BareSocket(sandbox, Role.CUSTOMER, customer_id := uuid4())
    sandbox.book(sandbox.client(Role.CUSTOMER, customer_id))
    sandbox.advance(125)
    socket.until("booking_expired")
    seqs = [frame["seq"] for frame in socket.frames if "seq" in frame]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    times = [frame["at"] for frame in socket.frames if "seq" in frame]
    assert times == sorted(times)
    assert ("assignment_status_changed", "driver_declined") in [
        (frame["event"], (frame["data"].get("assignment") or {}).get("status")) for frame in socket.frames
    ]
    socket.close()
