"""A past moment of a broadcast is computed from its history, whatever happened since."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy.orm import Session

from tests.support.relations import set_by_customer
from tests.support.world import World
from weelo_workers.contracts.statuses import BroadcastStatus
from weelo_workers.queries.past_moments import FleetState, History, history


def history_of(world: World, broadcast_id: UUID) -> History:
    with Session(world.engine) as session:
        found = history(session, broadcast_id)
    assert found is not None
    return found


def states(found: History, at: datetime) -> dict[UUID, FleetState]:
    return {each.transporter_id: each.state for each in found.at(at).fleets}


def now(world: World) -> datetime:
    at: datetime = world.value("SELECT clock_timestamp()")
    return at


def test_every_moment_shows_what_was_known_then(world: World) -> None:
    near, far, busy = world.fleet(km_north=2), world.fleet(km_north=15), world.fleet(km_north=3)
    world.accept(busy, world.broadcast(1))
    broadcast_id = world.broadcast(2)
    world.tick(15)  # lets 15 s pass, by moving all times in the database into the past
    widened = now(world)
    world.decline(near, broadcast_id)
    declined = now(world)
    world.accept(far, broadcast_id)
    taken = now(world)
    world.drivers_accept(broadcast_id)
    [assignment] = world.assignments(broadcast_id)
    world.give_back(assignment)
    world.drain()
    world.cancel(broadcast_id, world.customer_of(broadcast_id))
    ended = now(world)

    found = history_of(world, broadcast_id)
    before_the_second_ring = found.at(widened - timedelta(seconds=10))
    assert (before_the_second_ring.step, before_the_second_ring.radius_km) == (1, 10.0)
    assert far.id not in states(found, before_the_second_ring.at)
    assert states(found, before_the_second_ring.at)[near.id] is FleetState.ASKED
    assert found.at(found.created_at - timedelta(days=1)) == found.at(found.created_at)

    assert found.at(widened).radius_km == 25.0 and found.at(widened).step == 2
    assert states(found, widened)[near.id] is FleetState.ASKED
    assert states(found, widened)[far.id] is FleetState.ASKED
    assert states(found, widened)[busy.id] is FleetState.PASSED_OVER
    assert states(found, declined)[near.id] is FleetState.DECLINED
    assert states(found, declined)[far.id] is FleetState.ASKED

    assert found.at(taken).status is BroadcastStatus.PARTIALLY_FILLED
    assert states(found, taken)[far.id] is FleetState.WON
    slots = {slot.number: slot for slot in found.at(taken).slots}
    assert sorted(slot.status for slot in slots.values()) == ["assigned", "searching"]
    assert [slot.vehicle_number for slot in slots.values() if slot.vehicle_number] == [
        assignment.vehicle_number
    ]

    assert found.at(ended).status is BroadcastStatus.CANCELLED
    assert states(found, ended)[far.id] is FleetState.LOST
    assert all(slot.vehicle_number is None for slot in found.at(ended).slots)
    # After the end, a moment before the end is still shown as it was then.
    assert found.at(taken).status is BroadcastStatus.PARTIALLY_FILLED


def test_a_withdrawn_offer_was_asked_or_declined_before_and_is_withdrawn_since(world: World) -> None:
    silent, declining, winner = (world.fleet() for _ in range(3))
    broadcast_id = world.broadcast(2)
    customer = world.customer_of(broadcast_id)
    world.decline(declining, broadcast_id)
    world.accept(winner, broadcast_id)
    before = now(world)
    for fleet in (silent, declining, winner):
        set_by_customer(world, customer, fleet)
    after = now(world)

    found = history_of(world, broadcast_id)
    assert states(found, before) == {
        silent.id: FleetState.ASKED,
        declining.id: FleetState.DECLINED,
        winner.id: FleetState.WON,
    }
    assert states(found, after) == {
        silent.id: FleetState.WITHDRAWN,
        declining.id: FleetState.WITHDRAWN,
        winner.id: FleetState.WON,
    }
    reasons = {each.transporter_id: each.reason for each in found.at(after).fleets}
    assert reasons == {silent.id: "blocked", declining.id: "blocked", winner.id: None}
    assert found.at(after).count(FleetState.WITHDRAWN) == 2


def test_the_last_moment_is_the_present_state(world: World) -> None:
    broadcast_id, _ = world.won(3)
    found = history_of(world, broadcast_id)
    last = found.at(now(world))
    assert last.status == world.status(broadcast_id)
    assert [slot.status for slot in last.slots] == world.slots(broadcast_id)
    assert found.times == sorted(found.times)
    assert last.version == world.value("SELECT version FROM broadcasts WHERE id = :id", id=broadcast_id)


def test_a_broadcast_that_does_not_exist_has_no_history(world: World) -> None:
    with Session(world.engine) as session:
        assert history(session, uuid4()) is None
