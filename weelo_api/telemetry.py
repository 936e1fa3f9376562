"""Telemetry: frequent, short-lived positions, which pass through neither Celery nor a table."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from uuid import UUID

from redis.exceptions import RedisError
from sqlalchemy.orm import Session

from weelo_api.commands.internal import enqueue
from weelo_workers import clock, presence
from weelo_workers.contracts.broadcasts import CatchUp, OfferLate
from weelo_workers.contracts.trips import LocationUpdated, TripLocation
from weelo_workers.models.engine import autocommit_engine
from weelo_workers.notifications import live_stream
from weelo_workers.presence_sync import read_availability, write_presence
from weelo_workers.queries.trips import customer_of_trip

log = logging.getLogger(__name__)


def transporter_heartbeat(transporter_id: UUID, latitude: float, longitude: float) -> None:
    """Extend the presence of an available transporter by one TTL, at this position.

    If Redis does not know the transporter (the presence has expired, Redis was emptied, or the transporter has just
    gone online and this is not in Redis yet), presence is restored from PostgreSQL. The first position after going
    online starts a search for missed broadcasts, because the search on going online had no position to measure
    distances from. A position far from the last one starts a search as well, because a phone may send an old position
    first. After every other position, broadcasts whose rings now reach the transporter are offered. Without Redis the
    heartbeat is lost.
    """
    here = presence.Point(latitude, longitude)
    try:
        _after_heartbeat(transporter_id, here, presence.heartbeat(transporter_id, here))
    except (RedisError, presence.PresenceUnavailable) as error:
        log.warning("a heartbeat could not be stored: %s", error)


def transporter_heartbeats(places: Mapping[UUID, presence.Point]) -> None:
    """Do what `transporter_heartbeat` does for each of these transporters, with one round trip to Redis for most of them."""
    try:
        for transporter_id, missed in presence.heartbeats(places).items():
            _after_heartbeat(transporter_id, places[transporter_id], missed)
    except (RedisError, presence.PresenceUnavailable) as error:
        log.warning("heartbeats could not be stored: %s", error)


def _after_heartbeat(
    transporter_id: UUID, here: presence.Point, missed: list[UUID] | presence.Absent
) -> None:
    if isinstance(missed, presence.Absent):
        _first_heartbeat(transporter_id, here, missed)
        return
    for broadcast_id in missed:
        enqueue(OfferLate(broadcast_id=broadcast_id, transporter_id=transporter_id))


def _first_heartbeat(transporter_id: UUID, here: presence.Point, absent: presence.Absent) -> None:
    """Send CatchUp, which looks for broadcasts that the transporter has missed, and store the transporter's position.

    The position is stored last. If the process crashes before that, the next heartbeat sends CatchUp again. The command
    contains the position, because the command may be executed before the position is stored.
    """
    catch_up = CatchUp(transporter_id=transporter_id, latitude=here.latitude, longitude=here.longitude)
    if absent is not presence.Absent.UNKNOWN:
        enqueue(catch_up)
    else:
        rows = read_availability(transporter_id)
        # A transporter who is missing in presence was usually offline and may have missed broadcasts. After Redis was
        # emptied, presence lacks all transporters, and hardly any of them was offline. So CatchUp is sent only if
        # presence has existed for one TTL.
        if rows.free_kinds is not None and presence.is_warm():
            enqueue(catch_up)
        if rows.free_kinds is None:
            presence.mark_reachable(transporter_id)
        write_presence(transporter_id, rows, heard=True)
    presence.heartbeat(transporter_id, here, any_distance=True)


def trip_location(driver_id: UUID, trip_id: UUID, where: TripLocation) -> None:
    """Publish the truck's position to the trip's customer. Without Redis the position is lost.

    The trip is read from PostgreSQL each time. With a cached row, positions would be published after the end of the
    trip, too. Raises Rejected as `customer_of_trip` does.
    """
    with Session(autocommit_engine()) as session:
        customer_id = customer_of_trip(session, trip_id, driver_id)
    seen = LocationUpdated(
        trip_id=trip_id,
        latitude=where.latitude,
        longitude=where.longitude,
        speed=where.speed,
        bearing=where.bearing,
        recorded_at=where.recorded_at or clock.now(),
    )
    try:
        live_stream.publish_ephemeral(customer_id, "location_updated", seen.json_dict())
    except RedisError as error:
        log.warning("a position could not be published: %s", error)
