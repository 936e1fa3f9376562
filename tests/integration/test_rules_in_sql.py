"""Rules that exist both in Python and in SQL give the same answer for the same rows."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings, strategies as some
from sqlalchemy import Double, Uuid, cast, literal, select
from sqlalchemy.orm import Session

from tests.support.world import World
from weelo_workers.contracts.offers import Truck
from weelo_workers.contracts.statuses import AssignmentStatus, HoldStatus, TruckRequestStatus
from weelo_workers.contracts.vehicle_kinds import CATALOGUE
from weelo_workers.lifecycles.assignment import LIVE
from weelo_workers.models import (
    Assignment,
    Broadcast,
    Driver,
    Hold,
    Offer,
    TruckRequest,
    Vehicle,
    driver_busy,
    vehicle_busy,
)
from weelo_workers.models.broadcasts import is_for_contracted, reach_covers, reach_is_limited
from weelo_workers.models.fleet import of_kinds
from weelo_workers.queries.fleets import busy_among
from weelo_workers.queries.open_offers import open_offer_exists
from weelo_workers.queries.slots import kinds_of, searching

# The rows are made once per test and changed by each example, inside a transaction that is rolled back.
EXAMPLES = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
KM = some.floats(0, 20_000)
KEYS = some.sampled_from(sorted(kind.key for kind in CATALOGUE)[:3])


@pytest.fixture
def broadcast_id(world: World) -> UUID:
    return world.broadcast(1)


@pytest.fixture
def truck(world: World) -> Truck:
    return world.fleet(online=False).trucks[0]


@EXAMPLES
@given(step=some.integers(0, 9), radius_km=KM | some.none(), km=KM | some.none())
def test_reach(
    world: World, broadcast_id: UUID, step: int, radius_km: float | None, km: float | None
) -> None:
    if step == 0:
        radius_km = None  # a broadcast that was not offered yet has no radius
    with Session(world.engine) as session:
        broadcast = session.get_one(Broadcast, broadcast_id)
        broadcast.radius_step, broadcast.radius_km = step, radius_km
        session.flush()
        covers, limited = session.execute(
            select(reach_covers(cast(literal(km), Double())), reach_is_limited()).where(
                Broadcast.id == broadcast_id
            )
        ).one()
        assert bool(covers) == broadcast.reach.covers(km)
        assert limited == (broadcast.reach.limit_km is not None)


@pytest.mark.parametrize("step", [0, 1, 4])
@pytest.mark.parametrize("contracted", [False, True])
def test_step_of_the_contracted(world: World, broadcast_id: UUID, step: int, contracted: bool) -> None:
    with Session(world.engine) as session:
        broadcast = session.get_one(Broadcast, broadcast_id)
        broadcast.radius_step = step
        broadcast.contracted_until = broadcast.created_at if contracted else None
        session.flush()
        in_sql = session.scalar(select(is_for_contracted()).where(Broadcast.id == broadcast_id))
        assert in_sql == broadcast.is_for_contracted == (contracted and step == 0)
        assert broadcast.has_begun == (contracted or step > 0)
        assert [broadcast.precedes(each) for each in range(6)] == [
            not broadcast.has_begun,
            *(step + 1 == each for each in range(1, 6)),
        ]


@EXAMPLES
@given(
    declined=some.lists(some.booleans(), min_size=1, max_size=4),
    held=some.none() | some.integers(0, 3),
    won=some.none() | some.integers(0, 3),
    declining=some.none() | some.integers(0, 3),
)
def test_some_offer_is_open(
    world: World,
    broadcast_id: UUID,
    truck: Truck,
    declined: list[bool],
    held: int | None,
    won: int | None,
    declining: int | None,
) -> None:
    with Session(world.engine) as session:
        broadcast = session.get_one(Broadcast, broadcast_id)
        slot = session.scalars(select(TruckRequest).where(TruckRequest.broadcast_id == broadcast_id)).one()
        now, fleets = broadcast.created_at, [uuid4() for _ in range(4)]
        for fleet, has_declined in zip(fleets, declined, strict=False):
            session.add(
                Offer(
                    broadcast_id=broadcast_id,
                    transporter_id=fleet,
                    step=1,
                    version=2,
                    offered_at=now,
                    declined_at=now if has_declined else None,
                )
            )
        for fleet in fleets[held : held + 1] if held is not None else ():
            session.add(
                Hold(
                    id=uuid4(),
                    broadcast_id=broadcast_id,
                    transporter_id=fleet,
                    status=HoldStatus.OPEN,
                    state_changed_at=now,
                    expires_at=now,
                    created_at=now,
                )
            )
        if won is not None:
            session.add(
                Assignment(
                    id=uuid4(),
                    trip_id=uuid4(),
                    broadcast_id=broadcast_id,
                    truck_request_id=slot.id,
                    transporter_id=fleets[won],
                    driver_id=truck.driver_id,
                    vehicle_id=truck.vehicle_id,
                    vehicle_number="KA 01 AA 1",
                    status=AssignmentStatus.PENDING,
                    state_changed_at=now,
                    created_at=now,
                )
            )
        session.flush()
        besides = None if declining is None else literal(fleets[declining], Uuid())
        found = session.scalar(select(open_offer_exists(literal(broadcast_id, Uuid()), besides=besides)))
        has_open_offer = [not each and n != declining for n, each in enumerate(declined)]
        assert found == (any(has_open_offer) or held not in (None, declining) or won is not None)


@EXAMPLES
@given(status=some.sampled_from(TruckRequestStatus), wanted=KEYS, own=KEYS)
def test_searching_and_fits(
    world: World, broadcast_id: UUID, status: TruckRequestStatus, wanted: str, own: str
) -> None:
    with Session(world.engine) as session:
        slot = session.scalars(select(TruckRequest).where(TruckRequest.broadcast_id == broadcast_id)).one()
        hold = Hold(
            id=uuid4(),
            broadcast_id=broadcast_id,
            transporter_id=uuid4(),
            status=HoldStatus.OPEN,
            state_changed_at=slot.state_changed_at,
            expires_at=slot.state_changed_at,
            created_at=slot.state_changed_at,
        )
        session.add(hold)
        session.flush()
        slot.status, slot.vehicle_key, slot.hold_id = status, wanted, hold.id
        vehicle = Vehicle(
            id=uuid4(),
            transporter_id=uuid4(),
            vehicle_number="KA 01 AA 1",
            plate=uuid4().hex,
            vehicle_type="open",
            vehicle_subtype="17ft",
            vehicle_key=own,
            created_at=slot.state_changed_at,
        )
        session.add(vehicle)
        session.flush()
        is_searching, fits, listed = session.execute(
            select(TruckRequest.is_searching, TruckRequest.fits(Vehicle), of_kinds(kinds_of([slot]))).where(
                TruckRequest.id == slot.id, Vehicle.id == vehicle.id
            )
        ).one()
        assert is_searching == slot.is_searching == bool(searching([slot]))
        assert fits == listed == slot.fits(vehicle)


@pytest.mark.parametrize("status", AssignmentStatus)
def test_busy(world: World, status: AssignmentStatus) -> None:
    fleet = world.fleet(km_north=1)
    broadcast_id = world.broadcast(1)
    world.accept(fleet, broadcast_id)
    with Session(world.engine) as session:
        assignment = session.scalars(select(Assignment)).one()
        assignment.status = status
        session.flush()
        vehicles, drivers = [assignment.vehicle_id], [assignment.driver_id]
        busy = busy_among(session, vehicles, drivers)
        assert bool(busy.vehicles) == bool(busy.drivers) == (status in LIVE)
        assert session.scalar(select(vehicle_busy).where(Vehicle.id.in_(vehicles))) == (status in LIVE)
        assert session.scalar(select(driver_busy).where(Driver.id.in_(drivers))) == (status in LIVE)
