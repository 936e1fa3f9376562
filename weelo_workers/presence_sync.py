"""Presence as the rows would have it: who wants work, and with free trucks of which kinds."""

from __future__ import annotations

from uuid import UUID

from redis.exceptions import RedisError
from sqlalchemy.orm import Session

from weelo_workers import presence
from weelo_workers.models.engine import autocommit_engine
from weelo_workers.queries.fleets import FleetAvailability, fleet_availability


def read_availability(transporter_id: UUID) -> FleetAvailability:
    """The rows, afresh: of several who do this at once, the one that looks last is believed."""
    with Session(autocommit_engine()) as session:
        return fleet_availability(session, transporter_id)


def write_presence(transporter_id: UUID, rows: FleetAvailability, *, heard: bool) -> None:
    """`heard`: they have just been heard of. A phone that is silent does not come back by a timer.

    Raises PresenceUnavailable if Redis is away.
    """
    try:
        if rows.free_kinds is None:
            presence.offline(transporter_id, stamp=rows.at)
        else:
            presence.online(transporter_id, rows.free_kinds, stamp=rows.at, heard=heard)
    except RedisError as away:
        raise presence.PresenceUnavailable(f"Redis is away ({away})") from away
