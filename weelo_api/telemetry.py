"""Telemetry: frequent, short-lived, never through Celery, never into a table (one is read when Redis forgot)."""

from __future__ import annotations

import logging
from uuid import UUID

from redis.exceptions import RedisError
from sqlalchemy.orm import Session

from weelo_workers import presence
from weelo_workers.models.engine import read_engine
from weelo_workers.queries.fleets import kinds_if_available

log = logging.getLogger(__name__)


def transporter_heartbeat(transporter_id: UUID, latitude: float, longitude: float) -> None:
    """Presence for one more TTL, at this place. Without effect for who does not want work.

    If Redis does not know them (it was emptied, or the news of going online was lost) the rows are asked,
    so that presence heals by itself. With Redis away a heartbeat is simply lost, as the next will not be.
    """
    here = presence.Point(latitude, longitude)
    try:
        if presence.heartbeat(transporter_id, here):
            return
        with Session(read_engine()) as session:
            kinds = kinds_if_available(session, transporter_id)
        if kinds is not None:
            presence.online(transporter_id, kinds)
            presence.heartbeat(transporter_id, here)
    except RedisError as error:
        log.warning("a heartbeat was lost: %s", error)
