"""Step 0: the transporters who have a contract with the customer get the offer first, the rings follow."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from sqlalchemy.orm import Session

from tests.support.changed_settings import with_settings
from tests.support.relations import remove_by_operator, set_by_customer, set_by_operator
from tests.support.world import Fleet, World
from weelo_workers import presence
from weelo_workers.contracts.broadcasts import CatchUp, WidenBroadcast
from weelo_workers.contracts.statuses import Role
from weelo_workers.models.engine import engine
from weelo_workers.queries.offer_explanation import explain
from weelo_workers.redis_client import redis

SECONDS = 20


@pytest.fixture(autouse=True)
def contracted_first(monkeypatch: pytest.MonkeyPatch) -> None:
    with_settings(monkeypatch, contracted_first_seconds=SECONDS)


@pytest.fixture
def customer() -> UUID:
    return uuid4()


def contracted(world: World, customer: UUID, *, km_north: float = 1.0, online: bool = True) -> Fleet:
    """Return a fleet that has a contract with the customer. An operator has recorded it."""
    fleet = world.fleet(km_north=km_north, online=online)
    with world.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO relations (customer_id, transporter_id, contracted_at) VALUES (%s, %s, now())",
            (customer, fleet.id),
        )
    return fleet


def next_step_in(world: World, broadcast: UUID) -> tuple[int, int]:
    """Return the number of the next step, and the whole seconds from the last step to the next one."""
    rows = world.rows(
        "SELECT payload->>'step' AS step, due_at - b.state_changed_at AS later"
        "  FROM mailbox, broadcasts b WHERE b.id = :id AND name = 'broadcasts.widen' AND settled_at IS NULL"
        "   AND (payload->>'round')::int = reoffer_rounds ORDER BY due_at",
        id=broadcast,
    )
    return int(rows[0].step), round(rows[0].later.total_seconds())


def why(broadcast: UUID, fleet: Fleet) -> tuple[str | None, str]:
    with Session(engine()) as session:
        found = explain(session, broadcast, fleet.id, None)
    assert found is not None
    return found.reason, found.answer


def test_POLI_02_contracted_fleets_get_the_offer_at_once_and_others_after_the_time(
    world: World, customer: UUID
) -> None:
    stranger, near, far = (
        world.fleet(km_north=1),
        contracted(world, customer),
        contracted(world, customer, km_north=900),
    )
    broadcast = world.broadcast(1, customer=customer)
    assert world.told_at(broadcast) == {near.id: 0, far.id: 0}
    assert next_step_in(world, broadcast) == (1, SECONDS)
    (offer,) = world.events_of(near.id, "new_broadcast")
    assert offer["radiusStep"] == 0
    shown = world.events_of(customer, "broadcast_state_changed")[-1]
    assert (shown["status"], shown["radiusKm"], shown["transportersNotified"]) == ("active", None, 2)
    reason, answer = why(broadcast, stranger)
    assert reason == "contracted_first"
    assert answer == "not offered: the fleets that have a contract with the customer come first"
    world.tick(SECONDS - 1)
    assert stranger.id not in world.told_at(broadcast)
    world.tick(1)
    assert world.told_at(broadcast) == {near.id: 0, far.id: 0, stranger.id: 1}
    steps = "SELECT details->>'step' AS step, name FROM transitions WHERE details ? 'step' ORDER BY id"
    assert [(row.step, row.name) for row in world.rows(steps)] == [("0", "begin"), ("1", "widen_unfilled")]


def test_contracts_of_other_customers_and_without_the_setting_change_nothing(
    world: World, customer: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = world.fleet(km_north=1)
    own = contracted(world, customer)
    assert world.told_at(world.broadcast(1)) == {stranger.id: 1, own.id: 1}
    monkeypatch.undo()
    assert world.told_at(world.broadcast(1, customer=customer)) == {stranger.id: 1, own.id: 1}


@pytest.mark.parametrize("absent", ["offline", "silent", "busy", "blocked"])
def test_without_a_contracted_fleet_that_can_take_it_the_rings_follow_at_once(
    world: World, customer: UUID, absent: str
) -> None:
    fleet = contracted(world, customer, online=absent != "offline")
    if absent == "silent":
        redis().zadd("weelo:presence:seen", {str(fleet.id): 1.0})
        redis().set("weelo:presence:since", 1.0)
    if absent == "blocked":
        set_by_customer(world, customer, fleet)
    stranger = world.fleet(km_north=1)
    if absent == "busy":
        world.set_availability(stranger, online=False)
        world.accept(fleet, world.broadcast(1))
        world.set_availability(stranger, online=True)
        world.heartbeat(stranger, 1)
        world.drain()
    broadcast = world.broadcast(1, customer=customer)
    assert world.told_at(broadcast) == {stranger.id: 1}
    assert next_step_in(world, broadcast) == (2, 15)


def test_the_rings_follow_at_once_when_all_contracted_fleets_have_declined(
    world: World, customer: UUID
) -> None:
    stranger, first, second = world.fleet(), contracted(world, customer), contracted(world, customer)
    broadcast = world.broadcast(1, customer=customer)
    world.decline(first, broadcast)
    world.drain()
    assert stranger.id not in world.told_at(broadcast)
    world.decline(second, broadcast)
    world.drain()
    assert world.told_at(broadcast)[stranger.id] == 1
    world.fire(WidenBroadcast(broadcast_id=broadcast, step=1))  # the timer of step 0 does nothing any more
    assert world.value("SELECT radius_step FROM broadcasts WHERE id = :id", id=broadcast) == 1


def test_a_contracted_fleet_that_comes_online_in_step_0_gets_the_offer_and_others_do_not(
    world: World, customer: UUID
) -> None:
    present = contracted(world, customer)
    late, stranger = contracted(world, customer, online=False), world.fleet(online=False)
    broadcast = world.broadcast(1, customer=customer)
    for fleet in (late, stranger):
        world.set_availability(fleet, online=True)
        world.heartbeat(fleet, 400)
        world.drain()
        world.tick(2)  # CatchUp is executed a second time after 2 s
    assert world.told_at(broadcast) == {present.id: 0, late.id: 0}
    world.heartbeat(stranger, 1)
    world.drain()
    assert stranger.id not in world.told_at(broadcast)


def test_the_heartbeat_of_a_contracted_fleet_that_was_silent_brings_the_offer(
    world: World, customer: UUID
) -> None:
    present, silent = contracted(world, customer), contracted(world, customer)
    world.drain()
    redis().zadd("weelo:presence:seen", {str(silent.id): 1.0})
    redis().set("weelo:presence:since", 1.0)
    broadcast = world.broadcast(1, customer=customer)
    assert world.told_at(broadcast) == {present.id: 0}
    world.heartbeat(silent, 3)
    world.drain()
    assert world.told_at(broadcast) == {present.id: 0, silent.id: 0}


def test_a_contracted_fleet_without_room_gets_the_offer_once_it_has_room(
    world: World, customer: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet, other = contracted(world, customer), contracted(world, customer, km_north=2)
    monkeypatch.undo()
    with_settings(monkeypatch, max_open_offers=1, contracted_first_seconds=SECONDS)
    world.set_availability(other, online=False)
    earlier = world.broadcast(1)
    assert set(world.told_at(earlier)) == {fleet.id}
    world.set_availability(other, online=True)
    world.heartbeat(other, 2)
    broadcast = world.broadcast(1, customer=customer)
    assert fleet.id not in world.told_at(broadcast)
    world.cancel(earlier)
    world.drain()
    assert world.told_at(broadcast)[fleet.id] == 0


def test_without_redis_contracted_fleets_get_the_offer_at_an_unknown_distance(
    world: World, customer: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.fleet()
    fleet = contracted(world, customer)
    contracted(world, customer, online=False)

    def unavailable(*_: object, **__: object) -> None:
        raise presence.PresenceUnavailable("Redis is away")

    monkeypatch.setattr(presence, "online_within", unavailable)
    broadcast = world.broadcast(1, customer=customer)
    assert world.told_at(broadcast) == {fleet.id: 0}


def test_soon_after_redis_was_emptied_contracted_fleets_are_read_from_the_rows(
    world: World, customer: UUID
) -> None:
    stranger, fleet = world.fleet(), contracted(world, customer)
    redis().flushdb()
    broadcast = world.broadcast(1, customer=customer)
    assert world.told_at(broadcast) == {fleet.id: 0}
    assert stranger.id not in world.told_at(broadcast)


def test_the_timer_of_a_step_may_come_twice_and_that_of_step_0_late(world: World, customer: UUID) -> None:
    fleet = contracted(world, customer)
    broadcast = world.broadcast(1, customer=customer)
    for step in (0, 0, 2):
        world.fire(WidenBroadcast(broadcast_id=broadcast, step=step))
    assert world.value("SELECT radius_step FROM broadcasts") == 0
    assert world.told_at(broadcast) == {fleet.id: 0}
    world.tick(SECONDS)
    assert world.value("SELECT radius_step FROM broadcasts") == 5
    world.fire(WidenBroadcast(broadcast_id=broadcast, step=0))
    assert world.value("SELECT radius_step FROM broadcasts") == 5


def test_an_operator_ends_step_0(world: World, customer: UUID) -> None:
    contracted(world, customer)
    stranger = world.fleet()
    broadcast = world.broadcast(1, customer=customer)
    assert world.widen_by_operator(broadcast).status == "succeeded"
    assert world.told_at(broadcast)[stranger.id] == 1


def test_a_hold_that_ends_in_step_0_does_not_end_it(world: World, customer: UUID) -> None:
    fleet, stranger = contracted(world, customer), world.fleet()
    broadcast = world.broadcast(1, customer=customer)
    hold = world.hold(fleet, broadcast)
    world.release_hold(fleet, hold.result["holdId"])
    world.drain()
    assert stranger.id not in world.told_at(broadcast)


@pytest.mark.parametrize("ends", ["released", "expired"])
def test_a_contracted_fleet_that_comes_online_while_all_slots_are_held_gets_the_offer_when_the_hold_ends(
    world: World, customer: UUID, ends: str
) -> None:
    holder, stranger = contracted(world, customer), world.fleet()
    late, far = (contracted(world, customer, online=False) for _ in range(2))
    broadcast = world.broadcast(1, customer=customer)
    hold = world.hold(holder, broadcast)
    with world.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE holds SET expires_at = now() + interval '5 s'")
        connection.exec_driver_sql(
            "UPDATE mailbox SET due_at = now() + interval '5 s' WHERE name = 'offers.expire_hold'"
        )
    for fleet, km in ((late, 1), (far, 400)):
        world.set_availability(fleet, online=True)
        world.heartbeat(fleet, km)
        world.drain()
        world.tick(2)  # CatchUp is executed a second time after 2 s
    assert world.told_at(broadcast) == {holder.id: 0}, "there is nothing to take"
    if ends == "released":
        world.release_hold(holder, hold.result["holdId"])
        world.drain()
    else:
        world.tick(2)
    assert world.slots(broadcast) == ["searching"]
    assert world.told_at(broadcast) == {holder.id: 0, late.id: 0, far.id: 0}
    world.tick(SECONDS)
    assert world.told_at(broadcast)[stranger.id] == 1


@pytest.mark.parametrize("others", [False, True])
def test_a_contracted_fleet_that_comes_online_while_all_slots_are_filled_gets_the_offer_when_a_truck_is_lost(
    world: World, customer: UUID, others: bool
) -> None:
    winner, stranger = contracted(world, customer), world.fleet()
    if others:
        contracted(world, customer)
    late = contracted(world, customer, online=False)
    broadcast = world.broadcast(1, customer=customer)
    world.accept(winner, broadcast)
    world.set_availability(late, online=True)
    world.heartbeat(late, 400)
    world.drain()
    assert late.id not in world.told_at(broadcast)
    (assignment,) = world.assignments(broadcast)
    world.answer(assignment, yes=False)
    world.drain()
    assert world.told_at(broadcast)[late.id] == 0
    assert stranger.id not in world.told_at(broadcast), "a contracted fleet has the offer"
    world.tick(SECONDS)
    assert world.told_at(broadcast)[stranger.id] == 1


@pytest.mark.parametrize("others", [False, True])
def test_a_driver_who_declines_in_step_0_ends_it_only_if_no_contracted_fleet_has_the_offer(
    world: World, customer: UUID, others: bool
) -> None:
    fleet, stranger = contracted(world, customer), world.fleet()
    if others:
        contracted(world, customer)
    broadcast = world.broadcast(1, customer=customer)
    world.accept(fleet, broadcast)
    (assignment,) = world.assignments(broadcast)
    world.answer(assignment, yes=False)
    world.drain()
    assert (stranger.id in world.told_at(broadcast)) is not others
    world.tick(SECONDS)
    assert stranger.id in world.told_at(broadcast)


@pytest.mark.parametrize("has_it_already", [False, True])
def test_each_new_round_begins_with_step_0(world: World, customer: UUID, has_it_already: bool) -> None:
    fleet = contracted(world, customer, online=has_it_already)
    winner = world.fleet()
    broadcast = world.broadcast(1, customer=customer)
    world.tick(SECONDS)
    world.accept(winner, broadcast)
    world.drivers_accept(broadcast)
    stranger = world.fleet(km_north=2)
    if not has_it_already:
        world.set_availability(fleet, online=True)
        world.heartbeat(fleet, 1)
    world.drain()
    (assignment,) = world.assignments(broadcast)
    world.give_back(assignment)
    world.drain()
    assert world.value("SELECT reoffer_rounds FROM broadcasts WHERE id = :id", id=broadcast) == 1
    assert world.told_at(broadcast)[fleet.id] == 0
    assert stranger.id not in world.told_at(broadcast)
    assert next_step_in(world, broadcast) == (1, SECONDS)
    world.tick(SECONDS)
    assert world.told_at(broadcast)[stranger.id] == 1


def test_a_contract_that_has_ended_counts_no_more(world: World) -> None:
    stranger = world.fleet()
    fleet = world.fleet()
    broadcast = world.broadcast(1)
    customer = world.customer_of(broadcast)
    world.cancel(broadcast)
    assert set_by_operator(world, customer, fleet).status == "succeeded"
    second = world.broadcast(1, customer=customer)
    assert world.told_at(second) == {fleet.id: 0}
    world.cancel(second)
    remove_by_operator(world, customer, fleet)
    third = world.broadcast(1, customer=customer)
    assert world.told_at(third) == {fleet.id: 1, stranger.id: 1}


def test_looking_for_missed_offers_in_step_0_changes_nothing(world: World, customer: UUID) -> None:
    fleet, stranger = contracted(world, customer), world.fleet()
    broadcast = world.broadcast(1, customer=customer)
    for each in (fleet, stranger):
        world.execute(CatchUp(transporter_id=each.id), each.id, Role.TRANSPORTER)
    world.drain()
    assert world.told_at(broadcast) == {fleet.id: 0}
