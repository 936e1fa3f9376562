"""Each lever has the effect of the user's or timer's command that it replaces, and is written to the audit log."""

from __future__ import annotations

import subprocess
import sys
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.admin.operator import Operator
from tests.support.programs import weelo_here
from tests.support.world import World
from weelo_api.telemetry import transporter_heartbeat
from weelo_lab.truths import TRUTHS, violations
from weelo_workers.contracts.statuses import Role
from weelo_workers.models.engine import engine
from weelo_workers.redis_client import redis

REASON = "the customer asked for it by telephone"


def audited(operator: Operator, subject: UUID) -> list[tuple[Any, ...]]:
    """Return the audit log of this subject, newest first."""
    return [
        (each["command"], each["outcome"], each["code"], each["reason"], each["actorId"])
        for each in operator.items("/audit", subject=str(subject))
    ]


def events_of(world: World, user: UUID) -> list[tuple[str, Any]]:
    """Return the events of a user about broadcasts, each with its reason, without ids and times."""
    lines = world.rows(
        "SELECT e.event, e.data FROM log_lines l JOIN events e ON e.id = l.event_id WHERE l.user_id = :id ORDER BY l.seq",
        id=user,
    )
    return [(line.event, line.data.get("reason")) for line in lines if line.event != "command_settled"]


def test_a_cancelled_broadcast_is_reported_as_if_its_customer_had_cancelled_it(
    world: World, operator: Operator
) -> None:
    reports = []
    for lever in (False, True):
        world.empty()
        broadcast, fleet = world.won(trucks=2)
        [assignment] = world.assignments(broadcast)
        customer = world.customer_of(broadcast)
        if lever:
            outcome = operator.do("POST", f"/admin/broadcasts/{broadcast}/cancel", {"reason": REASON})
        else:
            outcome = world.cancel(broadcast)
        assert (outcome.http_status, outcome.result["assignmentsCancelled"]) == (200, 1)
        assert world.status(broadcast) == "cancelled"
        world.drain()
        reports.append([events_of(world, user) for user in (customer, fleet.id, assignment.driver_id)])
    assert reports[0] == reports[1]
    assert audited(operator, broadcast) == [
        ("broadcasts.cancel_by_operator", "applied", None, REASON, str(operator.id))
    ]
    history = world.rows(
        "SELECT actor_id, details FROM transitions WHERE cause = 'broadcasts.cancel_by_operator' AND subject = 'broadcast'"
    )
    assert [(row.actor_id, row.details) for row in history] == [(operator.id, {"note": REASON})]


def test_a_broadcast_whose_truck_has_set_out_is_refused_with_the_lever_to_use(
    world: World, operator: Operator
) -> None:
    broadcast = world.on_the_way()
    [assignment] = world.assignments(broadcast)
    world.report(assignment, "loading_complete")
    outcome = operator.do("POST", f"/admin/broadcasts/{broadcast}/cancel", {"reason": REASON})
    assert outcome.error["code"] == "BOOKING_CANNOT_CANCEL"
    assert "/assignments/{id}/end" in outcome.error["detail"]
    assert audited(operator, broadcast) == [
        (
            "broadcasts.cancel_by_operator",
            "rejected",
            "BOOKING_CANNOT_CANCEL",
            REASON,
            str(operator.id),
        )
    ]
    body = {"outcome": "failed", "reasonCode": "breakdown", "note": "towed away"}
    assert operator.do("POST", f"/assignments/{assignment.id}/end", body).status == "succeeded"
    assert world.status(broadcast) == "cancelled"
    assert audited(operator, assignment.id) == [
        ("trips.end", "applied", None, "towed away", str(operator.id))
    ]
    [entry] = operator.items("/audit", subject=str(assignment.id))
    assert entry["details"] == {"outcome": "failed", "reasonCode": "breakdown"}


def test_an_expired_broadcast_ends_as_at_its_deadline(world: World, operator: Operator) -> None:
    reports = []
    for lever in (False, True):
        world.empty()
        fleet = world.fleet()
        broadcast = world.broadcast()
        customer = world.customer_of(broadcast)
        if lever:
            outcome = operator.do("POST", f"/admin/broadcasts/{broadcast}/expire", {"reason": REASON})
            assert outcome.result["status"] == "expired"
            world.tick(300)  # The deadline's timer does nothing, because the broadcast is expired.
        else:
            world.shift(200)
            for row in world.rows(
                "SELECT id FROM mailbox WHERE name = 'broadcasts.expire' AND settled_at IS NULL"
            ):
                world.bus.execute(row.id)
        assert world.status(broadcast) == "expired"
        world.drain()
        reports.append([events_of(world, user) for user in (customer, fleet.id)])
    assert reports[0] == reports[1]
    assert ("no_vehicles_available", "nobody_accepted") in reports[0][0]


def test_a_widened_search_makes_the_next_ring_now_and_goes_on_from_there(
    world: World, operator: Operator
) -> None:
    near, far = world.fleet(km_north=2), world.fleet(km_north=20)
    broadcast = world.broadcast()
    assert world.told_at(broadcast).keys() == {near.id}
    outcome = operator.do("POST", f"/admin/broadcasts/{broadcast}/widen", {"reason": REASON})
    assert (outcome.result["radiusKm"], outcome.result["transportersNotified"]) == (25, 2)
    assert [event for event, _ in events_of(world, far.id)] == ["new_broadcast"]
    # When the timer of the second ring fires, it has no effect, because the lever has already made that ring. The lever
    # has also set the timer that makes the third ring.
    world.tick(16)
    assert world.value("SELECT radius_step FROM broadcasts WHERE id = :id", id=broadcast) >= 3
    made = world.rows(
        "SELECT name, cause, details FROM transitions WHERE broadcast_id = :id AND details ? 'step' ORDER BY id",
        id=broadcast,
    )
    steps = [row.details["step"] for row in made]
    assert steps == list(range(1, len(steps) + 1))
    assert (made[1].cause, made[1].details["note"]) == ("broadcasts.widen_by_operator", REASON)


def test_a_search_that_is_complete_cannot_be_widened(world: World, operator: Operator) -> None:
    broadcast = world.broadcast()
    outcome = operator.do("POST", f"/admin/broadcasts/{broadcast}/widen", {"reason": REASON})
    assert outcome.error["code"] == "INVALID_TRANSITION"
    assert "widest" in outcome.error["detail"]


@pytest.mark.parametrize("action", ["cancel", "expire", "widen"])
def test_an_unknown_broadcast_is_404_and_audited(world: World, operator: Operator, action: str) -> None:
    unknown = uuid4()
    outcome = operator.do("POST", f"/admin/broadcasts/{unknown}/{action}", {"reason": REASON})
    assert (outcome.http_status, outcome.error["code"]) == (404, "BROADCAST_NOT_FOUND")
    assert [entry[1:3] for entry in audited(operator, unknown)] == [("rejected", "BROADCAST_NOT_FOUND")]


def test_SEEN_01_the_same_request_has_one_effect_and_one_audit_entry(
    world: World, operator: Operator
) -> None:
    broadcast = world.broadcast()
    path, body = f"/admin/broadcasts/{broadcast}/cancel", {"reason": REASON}
    first = operator.do("POST", path, body, key="lever-once-1")
    again = operator.do("POST", path, body, key="lever-once-1")
    assert (first.command_id, first.replayed, again.replayed) == (again.command_id, False, True)
    assert len(audited(operator, broadcast)) == 1
    other = operator.ask(
        "POST", path, json={"reason": "another"}, headers={"Idempotency-Key": "lever-once-1"}
    )
    assert other.get_json()["code"] == "IDEMPOTENCY_CONFLICT"


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": "  "}, {"reason": "x" * 501}, {"reason": 7}])
def test_a_lever_needs_a_reason(world: World, operator: Operator, body: dict[str, Any]) -> None:
    for action in ("cancel", "expire", "widen"):
        response = operator.ask("POST", f"/admin/broadcasts/{uuid4()}/{action}", json=body)
        assert (response.status_code, response.get_json()["code"]) == (400, "VALIDATION_ERROR")


def test_a_transporter_is_put_offline_and_online_again(world: World, operator: Operator) -> None:
    fleet = world.fleet()
    path = f"/admin/transporters/{fleet.id}/availability"
    off = operator.do("PUT", path, {"isAvailable": False, "reason": REASON})
    assert off.result["isAvailable"] is False
    world.sync_presence()
    assert world.told_at(world.broadcast()) == {}
    assert [data["isAvailable"] for data in world.events_of(fleet.id, "availability_changed")] == [False]
    again = operator.do("PUT", path, {"isAvailable": False, "reason": REASON})
    assert again.result == off.result
    # The app sent a heartbeat a moment ago, so the transporter can be put online.
    on = operator.do("PUT", path, {"isAvailable": True, "reason": REASON})
    assert on.result["isAvailable"] is True
    world.heartbeat(fleet, 1)
    assert world.told_at(world.broadcast()).keys() == {fleet.id}
    assert [data["isAvailable"] for data in world.events_of(fleet.id, "availability_changed")] == [
        False,
        True,
    ]
    assert [entry[1] for entry in audited(operator, fleet.id)] == ["applied"] * 3


def test_a_transporter_whose_app_is_silent_is_not_put_online(world: World, operator: Operator) -> None:
    fleet = world.fleet(online=False)
    path = f"/admin/transporters/{fleet.id}/availability"
    silent = operator.do("PUT", path, {"isAvailable": True, "reason": REASON})
    assert (silent.http_status, silent.error["code"]) == (409, "TRANSPORTER_SILENT")
    assert operator.get(f"/transporters/{fleet.id}")["isAvailable"] is False
    # A heartbeat does not put an offline transporter online. It only shows that the transporter's app runs.
    transporter_heartbeat(fleet.id, 28.6, 77.2)
    assert operator.get(f"/transporters/{fleet.id}")["isOnline"] is False
    assert operator.do("PUT", path, {"isAvailable": True, "reason": REASON}).status == "succeeded"
    assert operator.get(f"/transporters/{fleet.id}")["isOnline"] is True
    assert [entry[1:3] for entry in audited(operator, fleet.id)] == [
        ("applied", None),
        ("rejected", "TRANSPORTER_SILENT"),
    ]


def test_putting_a_silent_transporter_online_is_refused_also_if_it_already_wants_offers(
    world: World, operator: Operator
) -> None:
    """Without a heartbeat in presence, the transporter gets no offers. A success would hide this from the operator."""
    fleet = world.fleet()
    for key in redis().scan_iter("weelo:presence:*"):
        redis().delete(key)
    path = f"/admin/transporters/{fleet.id}/availability"
    assert operator.get(f"/transporters/{fleet.id}")["isAvailable"] is True
    silent = operator.do("PUT", path, {"isAvailable": True, "reason": REASON})
    assert (silent.http_status, silent.error["code"]) == (409, "TRANSPORTER_SILENT")
    world.heartbeat(fleet, 1)
    again = operator.do("PUT", path, {"isAvailable": True, "reason": REASON})
    assert (again.status, again.result["isAvailable"]) == ("succeeded", True)
    ways = [(entry["details"]["isAvailable"], entry["outcome"]) for entry in operator.items("/audit")]
    assert ways == [(True, "applied"), (True, "rejected")]


def test_only_a_transporter_can_be_put_online(world: World, operator: Operator) -> None:
    customer = world.customer_of(world.broadcast())
    for unknown in (uuid4(), customer):
        path = f"/admin/transporters/{unknown}/availability"
        outcome = operator.do("PUT", path, {"isAvailable": False, "reason": REASON})
        assert outcome.error["code"] == "TRANSPORTER_NOT_FOUND"


def test_the_audit_log_is_listed_by_actor_subject_and_time(world: World, operator: Operator) -> None:
    other = Operator(world)
    first, second = world.broadcast(), world.broadcast()
    operator.do("POST", f"/admin/broadcasts/{first}/cancel", {"reason": "one"})
    other.do("POST", f"/admin/broadcasts/{second}/cancel", {"reason": "two"})
    entries = operator.items("/audit")
    assert [entry["reason"] for entry in entries] == ["two", "one"]
    assert [entry["reason"] for entry in operator.items("/audit", actor=str(operator.id))] == ["one"]
    assert [entry["reason"] for entry in operator.items("/audit", subject=str(second))] == ["two"]
    newest = entries[0]["at"]
    assert [entry["reason"] for entry in operator.items("/audit", **{"from": newest})] == ["two"]
    assert [entry["reason"] for entry in operator.items("/audit", to=newest)] == ["one"]
    page = operator.get("/audit", limit=1)
    assert [each["reason"] for each in operator.items("/audit", limit=1, cursor=page["nextCursor"])] == [
        "one"
    ]


def test_a_retry_from_the_command_line_is_audited(world: World, operator: Operator) -> None:
    broadcast, unknown = world.broadcast(), uuid4()
    with world.engine.begin() as connection:
        parked = connection.exec_driver_sql(
            """UPDATE mailbox SET parked_at = clock_timestamp(), attempts = 5, last_error = 'ValueError: a test'
                WHERE name = 'broadcasts.expire' AND payload->>'broadcast_id' = %s RETURNING id""",
            (str(broadcast),),
        ).scalar_one()
    done = weelo_here("mailbox", "retry", str(parked), str(unknown), "--reason", "the disk has room again")
    assert done.returncode == 1, done.stderr
    [entry] = operator.items("/audit", subject=str(parked))
    assert entry["actor"].startswith("weelo (")
    assert (entry["outcome"], entry["reason"]) == ("applied", "the disk has room again")
    assert entry["details"] == {"command": "broadcasts.expire"}
    [entry] = operator.items("/audit", subject=str(unknown))
    assert (entry["outcome"], entry["code"]) == ("rejected", "INVALID_TRANSITION")


@pytest.mark.parametrize("role", [Role.CUSTOMER, Role.TRANSPORTER, Role.DRIVER])
def test_every_admin_route_is_403_for_other_roles(operator: Operator, role: Role) -> None:
    some = uuid4()
    for method, path in (
        ("GET", "/admin/broadcasts"),
        ("GET", "/admin/transporters"),
        ("GET", f"/admin/transporters/{some}"),
        ("GET", "/admin/stuck"),
        ("GET", "/admin/audit"),
        ("POST", f"/admin/broadcasts/{some}/cancel"),
        ("POST", f"/admin/broadcasts/{some}/expire"),
        ("POST", f"/admin/broadcasts/{some}/widen"),
        ("PUT", f"/admin/transporters/{some}/availability"),
    ):
        response = operator.ask(method, path, role=role, json={} if method != "GET" else None)
        assert (response.status_code, response.get_json()["code"]) == (403, "FORBIDDEN"), path


# A program that executes a command, and kills itself after the commit, when it sends the first wake-up. A worker that
# dies at this point leaves the command's message unacknowledged.
DIES_AFTER_COMMIT = """
import os, signal, sys
from uuid import UUID
from weelo_workers.app import load_handlers
from weelo_workers.messaging.bus import Bus
from weelo_workers.models.engine import engine

class KillingWaker:
    recently_failed = False
    def wake(self, wake_up):
        os.kill(os.getpid(), signal.SIGKILL)

load_handlers()
Bus(engine(), KillingWaker()).execute(UUID(sys.argv[1]))
"""


def test_a_worker_killed_after_the_commit_leaves_one_effect_and_one_audit_entry(
    world: World, operator: Operator
) -> None:
    broadcast, fleet = world.won(trucks=2)
    response = operator.ask("POST", f"/admin/broadcasts/{broadcast}/cancel", json={"reason": REASON})
    command_id = UUID(response.get_json()["commandId"])
    program = (sys.executable, "-c", DIES_AFTER_COMMIT, str(command_id))
    assert subprocess.run(program, check=False, timeout=60).returncode == -9
    assert world.status(broadcast) == "cancelled"
    lines = events_of(world, fleet.id)
    world.bus.execute(command_id, redelivered=True)
    world.drain()
    assert events_of(world, fleet.id) == lines
    assert len(audited(operator, broadcast)) == 1
    assert world.outcome(command_id, operator.id).status == "succeeded"
    with engine().connect() as connection:
        assert violations(connection, TRUTHS) == {}
