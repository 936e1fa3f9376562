"""What the map of the console shows: open broadcasts, and trucks on the road."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Double, Text, case, cast, func, select
from sqlalchemy.orm import Session

from weelo_workers.contracts.statuses import AssignmentStatus
from weelo_workers.lifecycles.assignment import LIVE
from weelo_workers.lifecycles.broadcast import OPEN
from weelo_workers.lifecycles.truck_request import FILLED
from weelo_workers.models import Assignment, Broadcast, TruckRequest
from weelo_workers.models.broadcasts import reach_limit_km

MAX_SHOWN = 5_000
"""The limit on broadcasts and on trucks. Beyond it the newest are shown."""

ON_THE_ROAD = frozenset(LIVE) - {AssignmentStatus.PENDING, AssignmentStatus.DRIVER_ACCEPTED}
_BEFORE_LOADING = (AssignmentStatus.EN_ROUTE_PICKUP, AssignmentStatus.AT_PICKUP)


class TruckOnTheRoad(NamedTuple):
    """A truck that has set out. The place is the next one on its way: the pickup, or the drop after loading."""

    trip_id: UUID
    broadcast_id: UUID
    transporter_id: UUID
    vehicle_number: str
    status: str
    latitude: float
    longitude: float


def open_broadcasts(session: Session, only: Collection[UUID] | None = None) -> str:
    """Return the newest open broadcasts, at most MAX_SHOWN, as a JSON array. `only`: the ids of those to return; None: all.

    Each is `[id, status, latitude, longitude, step, radius in km, trucks needed, trucks filled, kind of truck,
    deadline, creation, address]`, with times in seconds since 1970. The radius is null before the first step, and if
    the newest step has no limit of distance. PostgreSQL makes the text, because making thousands of rows in Python
    takes a multiple of the time.
    """
    newest = _OPEN if only is None else _OPEN.where(Broadcast.id.in_(only))
    rows = newest.subquery()
    every = func.json_agg(func.json_build_array(*rows.c))
    found: str = session.scalars(select(func.coalesce(cast(every, Text), "[]"))).one()
    return found


def trucks_on_the_road(session: Session) -> list[TruckOnTheRoad]:
    """Return the trucks that have set out and not delivered, at most MAX_SHOWN."""
    return [TruckOnTheRoad(*row) for row in session.execute(_TRUCKS)]


def _degrees(place: Any, name: str) -> Any:
    return cast(place[name].astext, Double())


_slots = (
    select(
        TruckRequest.broadcast_id,
        func.count().filter(TruckRequest.status.in_(FILLED)).label("filled"),
        func.min(TruckRequest.vehicle_type + " " + TruckRequest.vehicle_subtype).label("vehicle"),
    )
    .join(Broadcast, Broadcast.id == TruckRequest.broadcast_id)
    .where(Broadcast.status.in_(OPEN))
    .group_by(TruckRequest.broadcast_id)
    .subquery()
)
_OPEN = (
    select(
        Broadcast.id,
        Broadcast.status,
        _degrees(Broadcast.pickup, "latitude").label("latitude"),
        _degrees(Broadcast.pickup, "longitude").label("longitude"),
        Broadcast.radius_step,
        reach_limit_km().label("reach"),
        Broadcast.trucks_needed,
        _slots.c.filled,
        _slots.c.vehicle,
        func.round(func.extract("epoch", Broadcast.expires_at), 3).label("expires"),
        func.round(func.extract("epoch", Broadcast.created_at), 3).label("created"),
        Broadcast.pickup["address"].astext.label("address"),
    )
    .join(_slots, _slots.c.broadcast_id == Broadcast.id)
    .where(Broadcast.status.in_(OPEN))
    .order_by(Broadcast.created_at.desc())
    .limit(MAX_SHOWN)
)


def _next_place(name: str) -> Any:
    return case(
        (Assignment.status.in_(_BEFORE_LOADING), _degrees(Broadcast.pickup, name)),
        else_=_degrees(Broadcast.drop, name),
    )


_TRUCKS = (
    select(
        Assignment.trip_id,
        Assignment.broadcast_id,
        Assignment.transporter_id,
        Assignment.vehicle_number,
        Assignment.status,
        _next_place("latitude"),
        _next_place("longitude"),
    )
    .join(Broadcast, Broadcast.id == Assignment.broadcast_id)
    .where(Assignment.status.in_(ON_THE_ROAD))
    .order_by(Assignment.state_changed_at.desc())
    .limit(MAX_SHOWN)
)
