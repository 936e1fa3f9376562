"""Pushes to a server that speaks FCM's protocol: which users are woken, when, and what happens when FCM fails."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from uuid import uuid4

import pytest
from sqlalchemy import text

from tests.push.phones import acknowledge_all, connect, device, fleet_with_phone, pushes_to_send
from tests.support.fcm_server import FcmServer
from tests.support.relations import set_by_customer
from tests.support.world import World
from weelo_workers.contracts.fleet import ForgetDevice, RegisterDevice
from weelo_workers.contracts.reasons import ProviderReason
from weelo_workers.contracts.statuses import Role
from weelo_workers.contracts.trips import GiveBack
from weelo_workers.notifications import fcm, push, socket_sessions
from weelo_workers.redis_client import redis


def test_PUSH_01_who_has_no_socket_is_woken_at_once(world: World, server: FcmServer) -> None:
    fleet, token = fleet_with_phone(world)
    broadcast = world.broadcast(1)
    (message,) = server.received
    line = world.events_of(fleet.id, "new_broadcast")[0]
    assert message["token"] == token and "notification" not in message
    assert message["data"] == {
        "type": "new_broadcast",
        "eventId": str(world.value("SELECT id FROM events WHERE event = 'new_broadcast'")),
        "seq": str(line["seq"]),
        "broadcastId": str(broadcast),
        "expiresAt": line["expiresAt"],
    }
    android = message["android"]
    assert (android["priority"], android["collapse_key"]) == ("high", str(broadcast))
    assert 100 < float(android["ttl"].rstrip("s")) <= 120


def test_an_iphone_is_woken_in_its_own_way(world: World, server: FcmServer) -> None:
    fleet = world.fleet()
    device(world, fleet.id, "ios")
    broadcast = world.broadcast(1)
    (message,) = server.received
    assert message["apns"]["payload"]["aps"]["content-available"] == 1
    assert message["apns"]["headers"]["apns-collapse-id"] == str(broadcast)
    assert int(message["apns"]["headers"]["apns-expiration"]) > time.time()


def test_who_listens_and_acknowledges_is_not_woken(world: World, server: FcmServer) -> None:
    fleet, _ = fleet_with_phone(world)
    connect(fleet.id)
    world.broadcast(1)
    assert server.received == []
    acknowledge_all(world, fleet.id)
    world.tick(3.1)
    assert server.received == []


def test_who_listens_and_does_not_acknowledge_is_woken_after_three_seconds(
    world: World, server: FcmServer
) -> None:
    fleet, token = fleet_with_phone(world)
    connect(fleet.id)
    world.broadcast(1)
    redis().set(socket_sessions.acked_by(fleet.id), world.events_of(fleet.id)[-1]["seq"] - 1)
    world.tick(2.5)
    assert server.received == []
    world.tick(0.6)
    assert server.tokens() == [token]


def test_a_socket_of_a_process_that_died_counts_for_nothing(world: World, server: FcmServer) -> None:
    fleet, token = fleet_with_phone(world)
    connect(fleet.id)
    redis().delete(socket_sessions.alive("p"))
    world.broadcast(1)
    assert server.tokens() == [token]


def test_a_push_never_outlives_what_it_announces(world: World, server: FcmServer) -> None:
    fleet, token = fleet_with_phone(world)
    connect(fleet.id)
    world.broadcast(1)
    world.shift(121)
    world.drain()
    assert [message["data"]["type"] for message in server.received if message["token"] == token] == []
    world.tick(3.1)
    assert {message["data"]["type"] for message in server.received} == {"booking_expired"}


def test_a_dead_token_is_forgotten_and_others_are_not_disturbed(world: World, server: FcmServer) -> None:
    fleet, alive = fleet_with_phone(world)
    dead = device(world, fleet.id)
    server.answers[dead] = "unregistered"
    world.broadcast(1)
    assert server.tokens() == [alive]
    assert world.value("SELECT count(*) FROM devices WHERE token = :t", t=dead) == 0
    assert world.value("SELECT count(*) FROM devices WHERE token = :t", t=alive) == 1


def test_nobody_is_pushed_again_because_somebody_else_holds_a_dead_token(
    world: World, server: FcmServer
) -> None:
    fleet, alive = fleet_with_phone(world)
    dead = device(world, fleet.id)
    server.answers[dead] = "unregistered"
    world.book(uuid4())
    (push,) = pushes_to_send(world)
    with world.engine.begin() as other:
        other.execute(text("SELECT 1 FROM devices WHERE token = :t FOR UPDATE"), {"t": dead})
        world.bus.execute(push)
    world.tick(10)
    assert server.tokens() == [alive]


def test_a_token_of_another_project_is_refused_and_kept(world: World, server: FcmServer) -> None:
    """No token is deleted for this answer: with wrong credentials, FCM would give it for every token."""
    _, token = fleet_with_phone(world)
    server.answers[token] = "foreign"
    world.broadcast(1)
    world.tick(30)
    assert len(server.asked) == 1
    assert world.value("SELECT count(*) FROM devices WHERE token = :t", t=token) == 1


@pytest.mark.parametrize("trouble", ["quota", "unavailable"])
def test_FCM_is_asked_again_when_it_says(world: World, server: FcmServer, trouble: str) -> None:
    fleet, token = fleet_with_phone(world)
    happy = device(world, fleet.id)
    server.answers[token] = [trouble]
    server.retry_after = "60"
    world.broadcast(1)
    assert server.tokens() == [happy]
    world.tick(50)  # 10 s less than Retry-After, because the test itself takes time too
    assert len(server.asked) == 2
    world.tick(11)
    assert server.tokens() == [happy, token]


def test_a_retry_after_may_be_a_date(world: World, server: FcmServer) -> None:
    _, token = fleet_with_phone(world)
    server.answers[token] = ["unavailable"]
    server.retry_after = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    world.broadcast(1)
    world.tick(27)
    assert server.tokens() == []
    world.tick(5)
    assert server.tokens() == [token]


def test_FCM_is_not_asked_again_after_the_end(world: World, server: FcmServer) -> None:
    _, token = fleet_with_phone(world)
    server.answers[token] = "unavailable"
    server.retry_after = "119"
    world.broadcast(1)
    world.tick(200)
    offers = [each for _, each in server.asked if each == token]
    # The offer and the withdrawal were each sent once. The offer is not sent again, because the request has ended. The
    # withdrawal may be sent again only 119 s after FCM refused it. That time is not reached in this test.
    assert len(offers) == 2


def test_FCM_is_never_asked_earlier_than_it_said(world: World, server: FcmServer) -> None:
    _, token = fleet_with_phone(world)
    server.answers[token] = ["unavailable"]
    server.retry_after = "20"
    world.broadcast(1)
    (asked_at, _) = server.asked[0]
    again_at = world.value(
        "SELECT due_at FROM mailbox WHERE name = 'notifications.push' AND settled_at IS NULL"
    )
    assert again_at.timestamp() - 20 > time.time() - (time.monotonic() - asked_at)


def test_one_phone_that_FCM_puts_off_for_long_does_not_keep_the_others_waiting(
    world: World, server: FcmServer
) -> None:
    fleet, busy = fleet_with_phone(world)
    cut_off = device(world, fleet.id)
    server.answers |= {busy: ["quota"], cut_off: ["cut"]}
    server.retry_after = "60"
    world.broadcast(1)
    world.tick(2)
    assert server.tokens() == [cut_off]
    world.tick(59)
    assert server.tokens() == [cut_off, busy]


def test_PUSH_01_a_withdrawal_outlives_an_outage_of_FCM(world: World, server: FcmServer) -> None:
    fleet = world.fleet()
    token = device(world, fleet.trucks[0].driver_id)
    broadcast = world.broadcast(1)
    world.accept(fleet, broadcast)
    world.drain()
    server.answers[token] = "unavailable"
    world.cancel(broadcast)
    for _ in range(15):
        world.tick(120)
    asked = len(server.asked)
    assert 15 < asked < 30, "retries go on, at growing intervals"
    server.answers[token] = "ok"
    world.tick(120)
    assert server.delivered_to(token) == ["trip_assigned", "trip_cancelled"]


@pytest.mark.parametrize("attempt", [0, 3, 20, 10_000])
def test_the_pauses_grow_to_two_minutes_and_not_beyond(attempt: int) -> None:
    longest = min(2.0 ** min(attempt, 10), 120)
    pauses = [push._pause(attempt) for _ in range(20)]
    assert longest / 2 <= min(pauses) < max(pauses) <= longest


def test_an_FCM_that_names_no_time_at_all_is_not_asked_without_a_pause(
    world: World, server: FcmServer
) -> None:
    _, token = fleet_with_phone(world)
    server.answers[token] = "unavailable"
    server.retry_after = "0"
    world.broadcast(1)
    world.tick(1)
    assert len(server.asked) < 6


@pytest.mark.parametrize("trouble", ["hang", "cut"])
def test_a_connection_that_hangs_or_is_cut_is_tried_again_a_little_later(
    world: World, server: FcmServer, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcm, "HTTP_TIMEOUT_SECONDS", 0.5)
    _, token = fleet_with_phone(world)
    server.answers[token] = [trouble]
    world.broadcast(1)
    world.tick(2)
    assert (server.tokens(), len(server.asked)) == ([token], 2)


def test_what_FCM_refuses_for_good_is_not_tried_again(
    world: World, server: FcmServer, caplog: pytest.LogCaptureFixture
) -> None:
    _, token = fleet_with_phone(world)
    server.answers[token] = "invalid"
    world.broadcast(1)
    world.tick(30)
    assert len(server.asked) == 1
    assert "FCM refuses new_broadcast" in caplog.text and token not in caplog.text


def test_without_credentials_each_push_is_one_line_in_the_log(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    fleet, token = fleet_with_phone(world)
    world.broadcast(1)
    lines = [record.getMessage() for record in caplog.records if "not sent" in record.getMessage()]
    assert lines == [f"a push is not sent, because FCM has no credentials: new_broadcast to user {fleet.id}"]
    assert token not in caplog.text


def test_a_phone_that_changes_hands_is_the_new_users_alone(world: World, server: FcmServer) -> None:
    before, token = fleet_with_phone(world)
    after = uuid4()
    world.execute(RegisterDevice(user_id=after, token=token, platform="android"), after, Role.CUSTOMER)
    world.execute(ForgetDevice(user_id=before.id, token=token), before.id, Role.TRANSPORTER)
    world.broadcast(1)
    assert server.received == []
    assert world.value("SELECT user_id FROM devices") == after
    world.execute(ForgetDevice(user_id=after, token=token), after, Role.CUSTOMER)
    assert world.value("SELECT count(*) FROM devices") == 0


def test_a_driver_who_sleeps_is_woken_for_the_trip_and_its_end(world: World, server: FcmServer) -> None:
    fleet = world.fleet()
    token = device(world, fleet.trucks[0].driver_id)
    broadcast = world.broadcast(1)
    world.accept(fleet, broadcast)
    world.drain()
    world.cancel(broadcast)
    world.drain()
    messages = [message["data"] for message in server.received if message["token"] == token]
    assert [data["type"] for data in messages] == ["trip_assigned", "trip_cancelled"]
    assignment = str(world.assignments(broadcast)[0].id)
    assert all(data["assignmentId"] == assignment for data in messages)


def test_a_customer_who_sleeps_is_woken_for_each_truck_and_the_fleet_when_its_driver_is_late(
    world: World, server: FcmServer
) -> None:
    customer = uuid4()
    fleet, of_the_fleet = fleet_with_phone(world)
    of_the_customer = device(world, customer)
    world.accept(fleet, world.broadcast(1, customer=customer))
    world.drain()
    assert server.delivered_to(of_the_customer) == ["truck_confirmed", "booking_fully_filled"]
    world.tick(60)
    assert "driver_timeout" in server.delivered_to(of_the_fleet)


def test_a_customer_who_sleeps_is_woken_if_there_is_no_truck(world: World, server: FcmServer) -> None:
    customer = uuid4()
    token = device(world, customer)
    world.broadcast(1, customer=customer)
    world.tick(130)
    assert server.delivered_to(token) == ["booking_expired", "no_vehicles_available"]


def test_a_customer_who_sleeps_is_woken_if_a_truck_is_given_back(world: World, server: FcmServer) -> None:
    broadcast = world.on_the_way()
    token = device(world, world.customer_of(broadcast))
    (assignment,) = world.assignments(broadcast)
    command = GiveBack(
        assignment_id=assignment.id,
        user_id=assignment.driver_id,
        role=Role.DRIVER,
        reason_code=ProviderReason.BREAKDOWN,
    )
    assert world.execute(command, assignment.driver_id, Role.DRIVER).status == "succeeded"
    world.drain()
    assert server.delivered_to(token) == ["truck_lost"]
    (message,) = [each["data"] for each in server.received if each["token"] == token]
    assert message["assignmentId"] == str(assignment.id)


def test_driver_and_fleet_who_sleep_are_woken_if_the_truck_does_not_set_out(
    world: World, server: FcmServer
) -> None:
    (assignment,) = world.assignments(world.on_the_way())
    tokens = [device(world, user) for user in (assignment.driver_id, assignment.transporter_id)]
    world.tick(901)
    assert [server.delivered_to(token) for token in tokens] == [["pickup_reminder"]] * 2


@pytest.mark.parametrize(("status", "seconds"), [("en_route_pickup", 21_601), ("at_pickup", 1_801)])
def test_fleet_and_customer_who_sleep_are_woken_if_the_truck_stalls(
    world: World, server: FcmServer, status: str, seconds: int
) -> None:
    broadcast = world.on_the_way()
    (assignment,) = world.assignments(broadcast)
    world.report(assignment, status)
    world.drain()
    tokens = [device(world, user) for user in (assignment.transporter_id, world.customer_of(broadcast))]
    of_the_driver = device(world, assignment.driver_id)
    world.tick(seconds)
    assert [server.delivered_to(token) for token in tokens] == [["assignment_stalled"]] * 2
    assert server.delivered_to(of_the_driver) == []


def test_the_push_of_a_withdrawn_offer_replaces_that_of_the_offer(world: World, server: FcmServer) -> None:
    fleet, token = fleet_with_phone(world)
    customer = uuid4()
    broadcast = world.broadcast(1, customer=customer)
    set_by_customer(world, customer, fleet)
    world.drain()
    assert server.delivered_to(token) == ["new_broadcast", "offer_withdrawn"]
    assert {each["android"]["collapse_key"] for each in server.received} == {str(broadcast)}
