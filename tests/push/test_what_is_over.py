"""A push that was delayed, by an open socket or by FCM, is sent only if its event still applies."""

from __future__ import annotations

import threading
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest

from tests.push.phones import acknowledge_all, connect, device, fleet_with_phone, pushes_to_send
from tests.support.fcm_server import FcmServer
from tests.support.waiting import eventually
from tests.support.world import Fleet, World

# Seconds by which the tests delay waiting pushes, so that even a slow machine executes all other commands first.
A_WHILE = 20


def held_up_by_a_socket(server: FcmServer, user_id: UUID, token: str) -> None:
    connect(user_id)


def held_up_by_fcm(server: FcmServer, user_id: UUID, token: str) -> None:
    server.answers[token] = ["unavailable"]
    server.retry_after = "3"


def cancelled(world: World, fleet: Fleet, broadcast: UUID) -> None:
    assert world.cancel(broadcast).status == "succeeded"


def declined(world: World, fleet: Fleet, broadcast: UUID) -> None:
    assert world.decline(fleet, broadcast).status == "succeeded"


def filled(world: World, fleet: Fleet, broadcast: UUID) -> None:
    quicker = world.fleet()
    world.drain()
    assert world.accept(quicker, broadcast).status == "succeeded"


@pytest.mark.parametrize("held_up", [held_up_by_a_socket, held_up_by_fcm])
@pytest.mark.parametrize(
    ("over", "hears"),
    [(cancelled, ["booking_cancelled"]), (filled, ["booking_fully_filled"]), (declined, [])],
)
def test_PUSH_01_an_offer_is_not_pushed_any_more_once_it_is_over(
    world: World,
    server: FcmServer,
    held_up: Callable[[FcmServer, UUID, str], None],
    over: Callable[[World, Fleet, UUID], None],
    hears: list[str],
) -> None:
    fleet, token = fleet_with_phone(world)
    held_up(server, fleet.id, token)
    broadcast = world.broadcast(1)
    assert server.delivered_to(token) == []
    world.shift(-A_WHILE)
    over(world, fleet, broadcast)
    world.drain()
    world.tick(A_WHILE + 3.1)
    assert server.delivered_to(token) == hears


def test_PUSH_01_an_offer_that_is_still_open_is_pushed_however_it_was_held_up(
    world: World, server: FcmServer
) -> None:
    _, token = fleet_with_phone(world)
    other = world.fleet()
    server.answers[token] = ["unavailable", "unavailable"]
    broadcast = world.broadcast(2)
    world.accept(other, broadcast)
    world.tick(2)
    world.tick(3)
    assert server.delivered_to(token) == ["new_broadcast"]


@pytest.mark.parametrize(("answer", "hears"), [("yes", []), ("no", []), ("cancelled", ["trip_cancelled"])])
def test_PUSH_01_a_driver_is_not_asked_any_more_once_there_is_an_answer(
    world: World,
    server: FcmServer,
    answer: str,
    hears: list[str],
) -> None:
    fleet = world.fleet()
    driver = fleet.trucks[0].driver_id
    token = device(world, driver)
    held_up_by_fcm(server, driver, token)
    broadcast = world.broadcast(1)
    world.accept(fleet, broadcast)
    world.drain()
    assert server.delivered_to(token) == []
    world.shift(-A_WHILE)
    if answer == "cancelled":
        world.cancel(broadcast)
    else:
        world.answer(world.assignments(broadcast)[0], yes=answer == "yes")
    world.drain()
    world.tick(A_WHILE + 3.1)
    assert server.delivered_to(token) == hears


@pytest.mark.parametrize(
    ("moves_on", "hears"),
    [([], ["pickup_reminder"]), (["en_route_pickup"], []), (["completed"], [])],
)
def test_PUSH_01_a_driver_is_not_reminded_any_more_once_the_truck_has_set_out(
    world: World, server: FcmServer, moves_on: list[str], hears: list[str]
) -> None:
    (assignment,) = world.assignments(world.on_the_way())
    driver = assignment.driver_id
    token = device(world, driver)
    held_up_by_fcm(server, driver, token)
    world.tick(901)
    assert len(server.asked) == 1
    assert server.delivered_to(token) == []
    world.shift(-A_WHILE)
    for status in moves_on:
        assert world.report(assignment, status).status == "succeeded"
    world.tick(A_WHILE + 3.1)
    assert server.delivered_to(token) == hears


@pytest.mark.parametrize(
    ("moves_on", "hears"),
    [([], ["assignment_stalled"]), (["at_pickup"], ["assignment_stalled"]), (["loading_complete"], [])],
)
def test_PUSH_01_a_truck_that_has_loaded_is_not_reported_as_stalled_any_more(
    world: World, server: FcmServer, moves_on: list[str], hears: list[str]
) -> None:
    (assignment,) = world.assignments(world.on_the_way())
    world.report(assignment, "en_route_pickup")
    world.drain()
    token = device(world, assignment.transporter_id)
    held_up_by_fcm(server, assignment.transporter_id, token)
    world.tick(21_601)
    assert len(server.asked) == 1
    assert server.delivered_to(token) == []
    world.shift(-A_WHILE)
    for status in moves_on:
        assert world.report(assignment, status).status == "succeeded"
    world.tick(A_WHILE + 3.1)
    assert server.delivered_to(token) == hears


def test_a_broadcast_that_is_open_again_is_not_withdrawn_by_a_late_push(
    world: World, server: FcmServer
) -> None:
    _, token = fleet_with_phone(world)
    other = world.fleet()
    broadcast = world.broadcast(1)
    server.answers[token] = ["unavailable"]
    server.retry_after = "30"
    world.accept(other, broadcast)
    world.drain()
    world.answer(world.assignments(broadcast)[0], yes=False)
    world.drain()
    world.tick(31)
    assert server.delivered_to(token) == ["new_broadcast", "new_broadcast"]


def test_a_withdrawal_does_not_overtake_the_offer_that_is_on_its_way(world: World, server: FcmServer) -> None:
    """An offer and its withdrawal have the same collapse key, so a sleeping phone only gets the push that was sent last."""
    _, token = fleet_with_phone(world)
    server.answers[token] = ["slow"]
    broadcast = UUID(world.book(uuid4()).result["id"])
    (offer,) = pushes_to_send(world)
    sending = threading.Thread(target=world.bus.execute, args=(offer,))
    sending.start()
    eventually(lambda: server.asked)
    world.cancel(broadcast)
    for push in pushes_to_send(world):
        if push != offer:
            world.bus.execute(push)
    server.let_go.set()
    sending.join(10)
    world.tick(1.1)
    assert server.delivered_to(token) == ["new_broadcast", "booking_cancelled"]


def test_who_has_read_it_while_FCM_was_busy_is_not_woken(world: World, server: FcmServer) -> None:
    fleet, token = fleet_with_phone(world)
    server.answers[token] = ["unavailable"]
    server.retry_after = "30"
    world.broadcast(1)
    acknowledge_all(world, fleet.id)
    world.tick(31)
    assert len(server.asked) == 1


def test_who_has_read_it_before_anybody_came_to_push_is_not_woken(world: World, server: FcmServer) -> None:
    fleet, _ = fleet_with_phone(world)
    world.book(uuid4())
    assert pushes_to_send(world)
    acknowledge_all(world, fleet.id)
    world.drain()
    assert server.asked == []
