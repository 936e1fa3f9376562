"""Copies a fleet's availability and its kinds of free and busy trucks from the database to presence."""

from __future__ import annotations

import logging
from functools import partial
from uuid import UUID

from redis.exceptions import RedisError
from sqlalchemy.orm import Session

from weelo_workers import presence
from weelo_workers.contracts.fleet import SyncPresence
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models.engine import DATABASE_ERRORS, autocommit_engine
from weelo_workers.queries.fleets import FleetAvailability, fleet_availability

log = logging.getLogger(__name__)


def sync_soon(uow: UnitOfWork, transporter_id: UUID, *, heard: bool = False) -> None:
    """Update presence within about a second, in a batch with other fleets."""
    uow.send(SyncPresence(transporter_id=transporter_id, heard=heard))


def sync_after_commit(uow: UnitOfWork, transporter_id: UUID, *, heard: bool = False) -> None:
    """Update presence right after the commit, and once more within about a second by a command (`sync_soon`).

    The second update is needed because a crash after the commit may lose the first one. `heard`: whether the
    transporter's app has just sent something.
    """
    sync_soon(uow, transporter_id, heard=heard)
    uow.after_commit(partial(_sync_now, transporter_id, heard))


def _sync_now(transporter_id: UUID, heard: bool) -> None:
    try:
        write_presence(transporter_id, read_availability(transporter_id), heard=heard)
    except (presence.PresenceUnavailable, *DATABASE_ERRORS) as away:
        log.info("the availability of transporter %s is written to Redis later: %s", transporter_id, away)


def read_availability(transporter_id: UUID) -> FleetAvailability:
    """Return the fleet's availability, read outside of the caller's transaction and stamped with the time of reading."""
    with Session(autocommit_engine()) as session:
        return fleet_availability(session, [transporter_id])[transporter_id]


def write_presence(transporter_id: UUID, rows: FleetAvailability, *, heard: bool) -> None:
    """Store the availability unless presence has a newer one.

    `heard`: the transporter's app has just sent something. Otherwise a transporter who is offline stays offline.

    Raises PresenceUnavailable if Redis cannot be reached.
    """
    try:
        if rows.free_kinds is None:
            presence.offline(transporter_id, stamp=rows.at)
        else:
            presence.online(
                transporter_id, rows.free_kinds, busy_kinds=rows.busy_kinds, stamp=rows.at, heard=heard
            )
    except RedisError as away:
        raise presence.PresenceUnavailable(f"Redis is away ({away})") from away
