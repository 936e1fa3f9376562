"""Where transporters are and who was heard lately: a Redis geo index per kind of vehicle. No database here.

Everything in it can be lost: heartbeats bring it back within one TTL. Whether somebody *wants* work is
availability, a row; presence only proposes, and matching asks the rows.

Keys of presence, below `weelo:presence:`: `geo:<kind>` (places of those with a free truck of the kind),
`kind:<kind>` (the same, also without a place), `kinds` (transporter → kinds, JSON), `at` (→ "longitude,latitude"),
`seen` (→ time last heard), `stamp` (→ as of when the rows said so), `since` (when this memory began).
Of open broadcasts that are told in rings, below `weelo:open:`: `geo:<kind>` (pickups), `about:<id>`, `told:<id>`,
`asked:<id>:<transporter>` (for a few seconds), `full:<transporter>` (the distance from which on they have no room),
`ends` (→ until when each is shown), `reach` (the widest radius).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any
from uuid import UUID

from redis.exceptions import RedisError

from weelo_workers.lifecycles.distance import distance_km
from weelo_workers.presence.scripts import (
    EVICT_CLOSED,
    EVICT_STALE,
    GO_OFFLINE,
    GO_ONLINE,
    HEARTBEAT,
    INDEX_BROADCAST,
    MARK_FULL,
    MARK_OFFERED,
    NEAREST,
    ONLINE_AT,
    SEARCH,
)
from weelo_workers.redis_client import redis
from weelo_workers.settings import settings

__all__ = [
    "Absent",
    "Point",
    "PresenceUnavailable",
    "SearchResult",
    "evict_closed",
    "evict_stale",
    "heartbeat",
    "index_broadcast",
    "is_warm",
    "last_position",
    "mark_full",
    "mark_offered",
    "nearest",
    "offline",
    "online",
    "online_within",
    "search",
    "snooze",
    "unmark_full",
]

# Redis measures on a sphere, at most 0.6 % longer than the Earth is between the same two points.
_SPHERE_EXCESS = 1.007
# No two places on Earth are farther apart.
_EVERYWHERE_KM = 20_100.0
# Where Redis's index ends; beyond, it has everybody on this parallel. `at` has where they are.
_INDEX_ENDS_AT = 85.05
_KM_PER_DEGREE = 111.7


class PresenceUnavailable(Exception):
    """Redis cannot say who is near: it is away."""


class Absent(Enum):
    """Why a heartbeat was not stored."""

    UNKNOWN = "not online here, or Redis forgot"
    UNPLACED = "online, at a place that is not known yet"


@dataclass(frozen=True, slots=True)
class Point:
    """WGS 84 degrees."""

    latitude: float
    longitude: float

    def km_to(self, other: Point) -> float:
        return distance_km(self.latitude, self.longitude, other.latitude, other.longitude)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """`near`: who is, with their distance in km (None: it is not known where they are). `stale`: who has such
    a truck nearby but was not heard within the TTL. `partial`: Redis was emptied less than one TTL ago, so there
    may be others online. `more`: others are online beyond the farthest of `near`."""

    near: dict[UUID, float | None]
    stale: frozenset[UUID] = frozenset()
    partial: bool = False
    more: bool = False


def online(transporter_id: UUID, free_kinds: Collection[str], *, stamp: float, heard: bool = True) -> bool:
    """They want work and have free trucks of these kinds, as the rows said at `stamp`.

    `heard`: their phone has just been heard of; otherwise nothing happens to one that is silent. False if
    nothing has happened.
    """
    arguments: list[str | int] = [
        str(transporter_id),
        json.dumps(sorted(free_kinds)),
        repr(stamp),
        int(heard),
    ]
    return bool(redis().register_script(GO_ONLINE)(args=arguments))


def offline(transporter_id: UUID, *, stamp: float) -> None:
    """Out of every index at once."""
    redis().register_script(GO_OFFLINE)(args=[str(transporter_id), repr(stamp)])


def heartbeat(transporter_id: UUID, point: Point, *, first: bool = False) -> list[UUID] | Absent:
    """Move the marker and extend presence. Return the open broadcasts within whose rings they are now, and that were
    not offered to them.

    If they are not online here, nothing is stored, and the reason is returned. The same if no place of theirs is known yet,
    unless `first` is set: that stores a first place.
    """
    place = [repr(point.longitude), repr(point.latitude)]
    arguments: list[str | int] = [str(transporter_id), *place, int(first)]
    missed: Any = redis().register_script(HEARTBEAT)(args=arguments)
    if missed is None:
        return Absent.UNKNOWN
    if not isinstance(missed, list):
        return Absent.UNPLACED
    return [UUID(broadcast_id) for broadcast_id in missed]


def is_warm() -> bool:
    """Whether this memory is older than one TTL, so that who is not in it was away."""
    since: Any = redis().get("weelo:presence:since")
    seconds, microseconds = redis().time()
    return since is not None and seconds + microseconds / 1e6 - float(since) > settings().presence_ttl_seconds


def last_position(transporter_id: UUID) -> Point | None:
    """Where they were last heard, if they are online and it is known."""
    try:
        at = redis().hget("weelo:presence:at", str(transporter_id))
    except RedisError:
        return None
    return _point(at) if isinstance(at, str) else None


def search(kinds: Collection[str], pickup: Point, radius_km: float | None) -> SearchResult:
    """Transporters heard within the TTL who have a free truck of these kinds, and how far they are.

    `radius_km` None: everyone online, also those whose place is unknown (distance None). Raises PresenceUnavailable.
    """
    try:
        complete, found, silent = redis().register_script(SEARCH)(
            args=[
                json.dumps(sorted(kinds)),
                repr(pickup.longitude),
                repr(pickup.latitude),
                -1 if radius_km is None else repr(_to_search(pickup, radius_km)),
                settings().presence_ttl_seconds,
            ]
        )
    except RedisError as error:
        raise PresenceUnavailable(f"Redis is away ({error})") from error
    near: dict[UUID, float | None] = {}
    for transporter_id, at in zip(found[::2], found[1::2], strict=True):
        km = pickup.km_to(_point(at)) if at else None
        if radius_km is None or (km is not None and km <= radius_km):
            near[UUID(transporter_id)] = km
    return SearchResult(near, frozenset(map(UUID, silent)), partial=not complete)


def nearest(kinds: Collection[str], pickup: Point, count: int, max_km: float | None) -> SearchResult:
    """Return at least the `count` nearest transporters online who have a free truck of these kinds, if there are so many.

    `max_km` None: no limit, and transporters whose place is unknown are added once no others are left.
    The cost depends on `count` and on how many are online within 150 km. Beyond 85 degrees of latitude, where the index of Redis
    ends, the order is that of the index. Raises PresenceUnavailable if Redis does not answer.
    """
    limit = _EVERYWHERE_KM if max_km is None else _to_search(pickup, max_km)
    arguments: list[str | int | float] = [
        json.dumps(sorted(kinds)),
        repr(pickup.longitude),
        repr(pickup.latitude),
        count,
        repr(limit),
        int(max_km is None),
        settings().presence_ttl_seconds,
    ]
    try:
        complete, found, silent, cutoff = redis().register_script(NEAREST)(args=arguments)
    except RedisError as error:
        raise PresenceUnavailable(f"Redis is away ({error})") from error
    more = bool(cutoff)
    # The script has searched so far beyond its cutoff that everybody within this true distance was found.
    within = float(cutoff) * _SPHERE_EXCESS if more else _EVERYWHERE_KM
    if abs(pickup.latitude) + within / _KM_PER_DEGREE > _INDEX_ENDS_AT:
        within = _EVERYWHERE_KM
    if max_km is not None:
        within = min(within, max_km)
    near: dict[UUID, float | None] = {}
    for transporter_id, at in zip(found[::2], found[1::2], strict=True):
        km = pickup.km_to(_point(at)) if at else None
        if (km is None and max_km is None) or (km is not None and km <= within):
            near[UUID(transporter_id)] = km
    return SearchResult(near, frozenset(map(UUID, silent)), partial=not complete, more=more)


def online_within(
    transporter_ids: Collection[UUID], pickup: Point, radius_km: float | None
) -> dict[UUID, float | None]:
    """Return which of these transporters sent a heartbeat within the TTL and are within the radius (None: anywhere), with
    their distance in km (None: not known).

    It does not matter whether their trucks are free. Raises PresenceUnavailable if Redis does not answer.
    """
    ids = [str(transporter_id) for transporter_id in transporter_ids]
    if not ids:
        return {}
    try:
        found = redis().register_script(ONLINE_AT)(args=[settings().presence_ttl_seconds, *ids])
    except RedisError as error:
        raise PresenceUnavailable(f"Redis is away ({error})") from error
    online: dict[UUID, float | None] = {}
    for transporter_id, at in zip(found[::2], found[1::2], strict=True):
        km = pickup.km_to(_point(at)) if at else None
        if radius_km is None or (km is not None and km <= radius_km):
            online[UUID(transporter_id)] = km
    return online


def evict_stale(at_most: int) -> int:
    """Take those out of the indexes who have not been heard for one TTL. Returns how many they were."""
    arguments = [settings().presence_ttl_seconds, at_most]
    return int(redis().register_script(EVICT_STALE)(args=arguments))


def evict_closed(at_most: int) -> int:
    """Take requests out of the index whose time is up. Returns how many they were."""
    return int(redis().register_script(EVICT_CLOSED)(args=[at_most]))


def index_broadcast(
    broadcast_id: UUID,
    as_of: float,
    kinds: Collection[str],
    pickup: Point,
    radius_km: float,
    seconds_left: float,
) -> None:
    """Let heartbeats find this broadcast within its radius; with no kinds, no longer. `as_of`: a time read under its
    lock, so that what was true later wins."""
    redis().register_script(INDEX_BROADCAST)(
        args=[
            str(broadcast_id),
            repr(as_of),
            json.dumps(sorted(kinds)) if kinds else "[]",
            repr(pickup.longitude),
            repr(pickup.latitude),
            radius_km,
            seconds_left,
        ]
    )


def mark_offered(broadcast_id: UUID, transporter_ids: Sequence[UUID], seconds_left: float) -> None:
    """These have heard of it."""
    arguments: list[str | float] = [str(broadcast_id), seconds_left, *map(str, transporter_ids)]
    redis().register_script(MARK_OFFERED)(args=arguments)


def snooze(broadcast_id: UUID, transporter_ids: Sequence[UUID], seconds: float) -> None:
    """Their heartbeats do not ask after it for so long."""
    for transporter_id in transporter_ids:
        redis().set(f"weelo:open:asked:{broadcast_id}:{transporter_id}", 1, ex=max(1, int(seconds)))


def mark_full(transporter_id: UUID, km: float, seconds: float) -> None:
    """For so many seconds, leave broadcasts farther than `km` out of the answers to this transporter's heartbeats."""
    redis().register_script(MARK_FULL)(args=[str(transporter_id), repr(km), max(1, int(seconds))])


def unmark_full(transporter_id: UUID) -> None:
    """Undo `mark_full`: the answers to their heartbeats contain broadcasts at every distance again."""
    redis().delete(f"weelo:open:full:{transporter_id}")


def _to_search(pickup: Point, radius_km: float) -> float:
    """A radius that holds everybody in question, whatever the index's idea of the Earth."""
    beyond = max(0.0, abs(pickup.latitude) - _INDEX_ENDS_AT)
    farthest = max(0.0, min(90.0, abs(pickup.latitude) + radius_km / _KM_PER_DEGREE) - _INDEX_ENDS_AT)
    return radius_km * _SPHERE_EXCESS + (beyond + farthest) * _KM_PER_DEGREE + 0.01


def _point(at: str) -> Point:
    longitude, latitude = at.split(",")
    return Point(float(latitude), float(longitude))
