"""Where transporters are and who was heard lately: a Redis geo index per kind of vehicle. No database here.

Everything in it can be lost: heartbeats bring it back within one TTL. Whether somebody *wants* work is
availability, a row; presence only proposes, and matching asks the rows.

Keys: `weelo:presence:geo:<kind>` and `:geo` (positions, of all), `:kind:<kind>` (who has such a truck),
`:kinds` (transporter → kinds, JSON), `:seen` (transporter → time last heard), `:since` (when this memory began).
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from redis.exceptions import RedisError

from weelo_workers.presence.scripts import GO_OFFLINE, GO_ONLINE, HEARTBEAT, REACHED
from weelo_workers.redis_client import redis
from weelo_workers.settings import settings

__all__ = ["Point", "PresenceUnknown", "heartbeat", "offline", "online", "reached_by"]

# Redis projects positions as EPSG:3857 does, which ends short of the poles.
MAX_GEO_LATITUDE = 85.05112878


class PresenceUnknown(Exception):
    """Redis cannot say who is near: it is away, or was emptied less than one presence TTL ago."""


@dataclass(frozen=True, slots=True)
class Point:
    """WGS 84 degrees."""

    latitude: float
    longitude: float

    def lon_lat(self) -> tuple[float, float]:
        """In Redis's order, clamped to what its projection can hold."""
        return self.longitude, max(-MAX_GEO_LATITUDE, min(MAX_GEO_LATITUDE, self.latitude))


def online(transporter_id: UUID, kinds: Collection[str]) -> None:
    """They want work and have such trucks. Counts as being heard."""
    redis().register_script(GO_ONLINE)(args=[str(transporter_id), json.dumps(sorted(kinds))])


def offline(transporter_id: UUID) -> None:
    """Out of every index at once."""
    redis().register_script(GO_OFFLINE)(args=[str(transporter_id)])


def heartbeat(transporter_id: UUID, point: Point) -> bool:
    """Move the marker and extend presence. False: nobody of that name is online here (or Redis forgot)."""
    longitude, latitude = point.lon_lat()
    return bool(redis().register_script(HEARTBEAT)(args=[str(transporter_id), longitude, latitude]))


def reached_by(kinds: Collection[str], pickup: Point, radius_km: float | None) -> dict[UUID, float | None]:
    """Transporters heard within the TTL who have such a truck, and their distance from the pickup in km.

    `radius_km` None: everyone online, also those whose place is unknown (distance None).
    Raises PresenceUnknown where an empty answer would be a guess.
    """
    longitude, latitude = pickup.lon_lat()
    try:
        complete, found = redis().register_script(REACHED)(
            args=[
                json.dumps(sorted(kinds)),
                longitude,
                latitude,
                -1 if radius_km is None else radius_km,
                settings().presence_ttl_seconds,
            ]
        )
    except RedisError as error:
        raise PresenceUnknown(f"Redis is away ({error})") from error
    if radius_km is None and not complete:
        # The rings may wait for the heartbeats; this is the last step and nobody asks again.
        raise PresenceUnknown("Redis has remembered for less than one presence TTL")
    return {
        UUID(transporter_id): float(km) if km else None
        for transporter_id, km in zip(found[::2], found[1::2], strict=True)
    }
