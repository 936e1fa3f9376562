"""Presence as the rows would have it: who wants work, and with free trucks of which kinds."""

from __future__ import annotations

from uuid import UUID

from redis.exceptions import RedisError
from sqlalchemy.orm import Session

from weelo_workers import presence
from weelo_workers.models.engine import autocommitting
from weelo_workers.queries.fleets import standing


def sign_on(transporter_id: UUID) -> bool:
    """Read the rows and tell presence. True if there is more to offer them than presence knew of.

    The rows are read afresh: of several who do this at once, the one that read last is believed.
    Raises PresenceUnknown if Redis is away.
    """
    with Session(autocommitting()) as session:
        rows = standing(session, transporter_id)
    try:
        if rows.free_kinds is not None:
            return presence.online(transporter_id, rows.free_kinds, stamp=rows.at)
        presence.offline(transporter_id, stamp=rows.at)
    except RedisError as away:
        raise presence.PresenceUnknown(f"Redis is away ({away})") from away
    return False
