"""Presence: positions of online transporters and the open broadcasts near them, in Redis.

A transporter is *online* here if their app has sent a heartbeat within the TTL. All data of presence may be lost:
heartbeats restore it within one TTL. Presence only proposes; matching checks availability and free trucks in the
database.

Keys of transporters, below `weelo:presence:`: `geo:<kind>` (positions of those with a free truck of the kind),
`kind:<kind>` (all transporters with a free truck of the kind, also without a position), `geo:busy:<kind>` and
`kind:busy:<kind>` (the same for transporters whose trucks of the kind are all on the road), `kinds` (transporter →
kinds, JSON), `at` (→ "longitude,latitude"), `seen` (→ time of the last heartbeat), `stamp` (→ time at which the rows
were read), `since` (when the data begins), `offline:<id>` (the app of a transporter who is offline has sent a heartbeat;
for one TTL).

Keys of open broadcasts that are offered in rings, below `weelo:open:`: `geo:<kind>` (pickups), `about:<id>` (a hash
with the state of the broadcast), `told:<id>` (transporters with an offer), `asked:<id>:<transporter>` (while it exists,
heartbeats of the transporter do not return the broadcast), `full:<transporter>` (the distance beyond which they have no
room for offers, and the position from which it is measured), `moved:<transporter>` (their new position was far from the
last one; for a few seconds), `ends` (→ end of the entry), `reach` (widest radius).
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from uuid import UUID

from redis.exceptions import RedisError

from weelo_workers import redis_clock
from weelo_workers.lifecycles.distance import distance_km
from weelo_workers.lifecycles.reach import Reach
from weelo_workers.presence.scripts import (
    EVICT_CLOSED,
    EVICT_STALE,
    FORGET,
    GO_OFFLINE,
    GO_ONLINE,
    HEARTBEAT,
    INDEX_BROADCAST,
    IS_WARM,
    MARK_FULL,
    MARK_OFFERED,
    NEAREST,
    ONLINE,
    ONLINE_AT,
    ONLINE_FLEETS,
    SEARCH,
    SNOOZE,
    STATES,
)
from weelo_workers.redis_client import redis
from weelo_workers.settings import settings

__all__ = [
    "Absent",
    "OnlineFleet",
    "Point",
    "PresenceUnavailable",
    "SearchResult",
    "TransporterState",
    "all_online",
    "evict_closed",
    "evict_stale",
    "forget",
    "heartbeat",
    "index_broadcast",
    "is_reachable",
    "is_warm",
    "kinds_as_stored",
    "last_position",
    "mark_full",
    "mark_offered",
    "mark_reachable",
    "nearest",
    "offline",
    "online",
    "online_fleets",
    "online_within",
    "position",
    "search",
    "snooze",
    "states",
    "unmark_full",
]

_BUSY = "busy:"
# The result of one search contains at most this many transporters per kind whose trucks are all on the road.
_MAX_BUSY = 250
# Redis computes distances on a sphere. They are at most 0.6 % longer than distances on the ellipsoid, so a search
# multiplies its radius by this.
_SPHERE_EXCESS = 1.007
# A radius in km that covers the whole Earth.
_EVERYWHERE_KM = 20_100.0
# The greatest latitude that the index can store. A position beyond it is indexed at this latitude; `at` has the true
# one.
_INDEX_ENDS_AT = 85.05
_KM_PER_DEGREE = 111.7


class PresenceUnavailable(Exception):
    """Raised if Redis does not answer a query of presence, or refuses writes, so that its positions are outdated."""


class Absent(Enum):
    """Why a heartbeat was not stored."""

    UNKNOWN = "not online here, or Redis was emptied"
    UNPLACED = "online, without a position yet"
    MOVED = "online, at a position far from this one"


@dataclass(frozen=True, slots=True)
class Point:
    """A position in degrees, WGS 84."""

    latitude: float
    longitude: float

    def km_to(self, other: Point) -> float:
        return distance_km(self.latitude, self.longitude, other.latitude, other.longitude)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found.

    `near`: transporters and their distances in km (None: unknown). `stale`: those in reach without a heartbeat within
    the TTL. `partial`: Redis was emptied less than one TTL ago, so others may be online. `more`: others are online
    beyond the farthest of `near`. `busy`: transporters whose trucks of these kinds are all on the road, with their
    distances; at most 250 for each kind.
    """

    near: dict[UUID, float | None]
    stale: frozenset[UUID] = frozenset()
    partial: bool = False
    more: bool = False
    busy: dict[UUID, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OnlineFleet:
    """A transporter who is online: their position (None: not known yet), and whether a truck of theirs is free."""

    id: UUID
    position: Point | None
    has_free_truck: bool


def online(
    transporter_id: UUID,
    free_kinds: Collection[str],
    *,
    busy_kinds: Collection[str] = (),
    stamp: float,
    heard: bool = True,
) -> bool:
    """Store that the transporter wants work and has free trucks of these kinds.

    `stamp`: the time at which the rows were read. `busy_kinds`: the kinds whose trucks are all on the road.
    `heard`: whether their app has just sent something. If False, a transporter who is offline stays offline.

    Return False if nothing was stored, because the transporter stays offline or a newer `stamp` is stored already.
    """
    arguments: list[str | int] = [
        str(transporter_id),
        kinds_as_stored(free_kinds, busy_kinds),
        repr(stamp),
        int(heard),
    ]
    return bool(_run(GO_ONLINE, arguments))


def kinds_as_stored(free_kinds: Collection[str], busy_kinds: Collection[str]) -> str:
    """Return the JSON with the kinds of a transporter's trucks that `online` stores."""
    return json.dumps(sorted({*free_kinds, *(f"{_BUSY}{kind}" for kind in busy_kinds)}))


def offline(transporter_id: UUID, *, stamp: float) -> None:
    """Remove the transporter from every index, unless a newer `stamp` is stored."""
    _run(GO_OFFLINE, [str(transporter_id), repr(stamp), settings().presence_ttl_seconds])


def forget(transporter_id: UUID) -> None:
    """Remove everything that is stored about the transporter, until they go online again. Raises RedisError."""
    _run(FORGET, [str(transporter_id)])


def heartbeat(transporter_id: UUID, point: Point, *, any_distance: bool = False) -> list[UUID] | Absent:
    """Store the position and extend presence. Return the open broadcasts in reach that they were not offered.

    If the transporter is not online here, nothing is stored, and the reason is returned. The same applies if the last
    position is unknown or more than 50 km away, unless `any_distance` is set.
    """
    return _heartbeat_result(_run(HEARTBEAT, _heartbeat_arguments(transporter_id, point, any_distance)))


def heartbeats(places: Mapping[UUID, Point]) -> dict[UUID, list[UUID] | Absent]:
    """Do what `heartbeat` does for each of these transporters, in one round trip for all."""
    script = redis().register_script(redis_clock.lua(HEARTBEAT))
    with redis().pipeline(transaction=False) as pipe:
        for transporter_id, point in places.items():
            script(args=_heartbeat_arguments(transporter_id, point, False), client=pipe)
        return dict(zip(places, map(_heartbeat_result, pipe.execute()), strict=True))


def _heartbeat_arguments(transporter_id: UUID, point: Point, any_distance: bool) -> list[str | int]:
    return [str(transporter_id), repr(point.longitude), repr(point.latitude), int(any_distance)]


def _heartbeat_result(missed: Any) -> list[UUID] | Absent:
    if missed is None:
        return Absent.UNKNOWN
    if not isinstance(missed, list):
        return Absent.MOVED if missed == "moved" else Absent.UNPLACED
    return [UUID(broadcast_id) for broadcast_id in missed]


def mark_reachable(transporter_id: UUID) -> None:
    """Store for one TTL that the app of a transporter who is offline has sent a heartbeat."""
    redis().set(
        f"weelo:presence:offline:{transporter_id}", 1, px=math.ceil(settings().presence_ttl_seconds * 1000)
    )


def is_reachable(transporter_id: UUID) -> bool:
    """Return whether the app has sent something within the TTL, also while the transporter is offline.

    Raises PresenceUnavailable.
    """
    try:
        if redis().exists(f"weelo:presence:offline:{transporter_id}"):
            return True
    except RedisError as error:
        raise PresenceUnavailable(f"Redis is away ({error})") from error
    return states([transporter_id])[transporter_id].is_online


def is_warm() -> bool:
    """Return whether presence has existed for one TTL. If so, transporters who are missing in it are offline.

    Raises PresenceUnavailable.
    """
    try:
        return bool(_run(IS_WARM, [settings().presence_ttl_seconds]))
    except RedisError as error:
        raise PresenceUnavailable(f"Redis is away ({error})") from error


def last_position(transporter_id: UUID) -> Point | None:
    """Return the position as `position` does; None also if Redis does not answer."""
    try:
        return position(transporter_id)
    except PresenceUnavailable:
        return None


def position(transporter_id: UUID) -> Point | None:
    """Return the position of the last heartbeat; None if the transporter is offline or the position is unknown.

    Raises PresenceUnavailable.
    """
    try:
        with redis().pipeline(transaction=False) as pipe:
            # This write changes nothing, but tests whether Redis accepts writes. If Redis refuses it, heartbeats are
            # not stored either, and the position may be old.
            pipe.set("weelo:presence:writable", "", xx=True)
            pipe.hget("weelo:presence:at", str(transporter_id))
            _, at = pipe.execute()
    except RedisError as error:
        raise PresenceUnavailable(f"Redis is away ({error})") from error
    return _point(at) if isinstance(at, str) else None


@dataclass(frozen=True, slots=True)
class TransporterState:
    """The data of presence about one transporter.

    `last_heartbeat_at`: None if the transporter is offline. `is_online`: whether the last heartbeat is within the TTL.
    `position`: the position of the last heartbeat; None if it is not known.
    """

    last_heartbeat_at: datetime | None
    is_online: bool
    position: Point | None


def states(transporter_ids: Sequence[UUID]) -> dict[UUID, TransporterState]:
    """Return the state of each of these transporters. Raises PresenceUnavailable."""
    if not transporter_ids:
        return {}
    try:
        found = _run(STATES, [settings().presence_ttl_seconds, *map(str, transporter_ids)])
    except RedisError as error:
        raise PresenceUnavailable(f"Redis is away ({error})") from error
    return {
        each: TransporterState(
            datetime.fromtimestamp(float(seen), UTC) if seen else None,
            bool(alive),
            _point(at) if at else None,
        )
        for each, seen, alive, at in zip(transporter_ids, found[::3], found[1::3], found[2::3], strict=True)
    }


def all_online() -> list[UUID]:
    """Return all transporters who are online. Raises PresenceUnavailable."""
    try:
        return [UUID(each) for each in _run(ONLINE, [settings().presence_ttl_seconds])]
    except RedisError as error:
        raise PresenceUnavailable(f"Redis is away ({error})") from error


def search(kinds: Collection[str], pickup: Point, reach: Reach) -> SearchResult:
    """Return the transporters online within the radius who have a free truck of these kinds, with their distances.

    `busy` of the result has the nearest transporters whose trucks are all on the road. Raises PresenceUnavailable.
    """
    try:
        complete, found, stale_ids, busy = _run(
            SEARCH,
            [
                json.dumps(sorted(kinds)),
                repr(pickup.longitude),
                repr(pickup.latitude),
                -1 if reach.limit_km is None else repr(_to_search(pickup, reach.limit_km)),
                settings().presence_ttl_seconds,
                _MAX_BUSY,
            ],
        )
    except RedisError as error:
        raise PresenceUnavailable(f"Redis is away ({error})") from error
    near = _covered(found, pickup, reach)
    return SearchResult(
        near,
        frozenset(map(UUID, stale_ids)),
        partial=not complete,
        busy=_covered(busy, pickup, reach, except_for=near),
    )


def nearest(kinds: Collection[str], pickup: Point, count: int, reach: Reach) -> SearchResult:
    """Return the transporters nearest to the pickup who are within reach and have a free truck of these kinds.

    At least `count` are returned, if so many exist. Transporters at an unknown distance are added only if all others
    are returned. The cost depends on `count` and on how many transporters are online within 150 km. Beyond 85 degrees
    of latitude, where the index of Redis ends, the order is that of the index. Raises PresenceUnavailable.
    """
    limit = _EVERYWHERE_KM if reach.limit_km is None else _to_search(pickup, reach.limit_km)
    arguments: list[str | int | float] = [
        json.dumps(sorted(kinds)),
        repr(pickup.longitude),
        repr(pickup.latitude),
        count,
        repr(limit),
        int(reach.is_everyone),
        settings().presence_ttl_seconds,
        _MAX_BUSY,
    ]
    try:
        complete, found, stale_ids, cutoff, busy = _run(NEAREST, arguments)
    except RedisError as error:
        raise PresenceUnavailable(f"Redis is away ({error})") from error
    more = bool(cutoff)
    # The cutoff is a distance on Redis's sphere. The script searches somewhat farther, so it finds every transporter
    # whose distance on the ellipsoid is at most `within`.
    within = float(cutoff) * _SPHERE_EXCESS if more else _EVERYWHERE_KM
    if abs(pickup.latitude) + within / _KM_PER_DEGREE > _INDEX_ENDS_AT:
        within = _EVERYWHERE_KM
    near = {each: km for each, km in _covered(found, pickup, reach).items() if km is None or km <= within}
    return SearchResult(
        near,
        frozenset(map(UUID, stale_ids)),
        partial=not complete,
        more=more,
        busy=_covered(busy, pickup, reach, except_for=near),
    )


def online_within(transporter_ids: Collection[UUID], pickup: Point, reach: Reach) -> dict[UUID, float | None]:
    """Return which of these transporters are online within reach, with their distances in km (None: unknown).

    Their trucks need not be free. Raises PresenceUnavailable.
    """
    ids = [str(transporter_id) for transporter_id in transporter_ids]
    if not ids:
        return {}
    try:
        found = _run(ONLINE_AT, [settings().presence_ttl_seconds, *ids])
    except RedisError as error:
        raise PresenceUnavailable(f"Redis is away ({error})") from error
    return _covered(found, pickup, reach)


def online_fleets(at_most: int) -> list[OnlineFleet]:
    """Return the transporters who are online, those with the newest heartbeats first. Raises PresenceUnavailable."""
    try:
        found = _run(ONLINE_FLEETS, [settings().presence_ttl_seconds, at_most])
    except RedisError as error:
        raise PresenceUnavailable(f"Redis is away ({error})") from error
    return [
        OnlineFleet(
            UUID(each),
            _point(at) if at else None,
            any(not kind.startswith(_BUSY) for kind in json.loads(kinds or "[]")),
        )
        for each, at, kinds in zip(found[::3], found[1::3], found[2::3], strict=True)
    ]


def _covered(
    found: Sequence[str], pickup: Point, reach: Reach, *, except_for: Collection[UUID] = ()
) -> dict[UUID, float | None]:
    """Return the distance of each transporter within reach. `found`: ids, each followed by "longitude,latitude"."""
    distances: dict[UUID, float | None] = {}
    for each, at in zip(found[::2], found[1::2], strict=True):
        transporter_id = UUID(each)
        km = pickup.km_to(_point(at)) if at else None
        if reach.covers(km) and transporter_id not in except_for:
            distances[transporter_id] = km
    return distances


def evict_stale(at_most: int) -> int:
    """Remove transporters without a heartbeat for one TTL from the indexes. Return their number."""
    arguments = [settings().presence_ttl_seconds, at_most]
    return int(_run(EVICT_STALE, arguments))


def evict_closed(at_most: int) -> int:
    """Remove index entries of broadcasts that have ended. Return the number of entries."""
    return int(_run(EVICT_CLOSED, [at_most]))


def index_broadcast(
    broadcast_id: UUID,
    as_of: float,
    kinds: Collection[str],
    pickup: Point,
    radius_km: float,
    seconds_left: float,
) -> None:
    """Add the broadcast to the index that heartbeats search. If no kinds are given, remove it from the index.

    `as_of`: a time read under the broadcast's lock. An entry with a later time is not overwritten.
    """
    _run(
        INDEX_BROADCAST,
        [
            str(broadcast_id),
            repr(as_of),
            json.dumps(sorted(kinds)) if kinds else "[]",
            repr(pickup.longitude),
            repr(pickup.latitude),
            radius_km,
            seconds_left,
        ],
    )


def mark_offered(broadcast_id: UUID, transporter_ids: Sequence[UUID], seconds_left: float) -> None:
    """Leave the broadcast out of the answers to these transporters' heartbeats until the broadcast ends."""
    arguments: list[str | float] = [str(broadcast_id), seconds_left, *map(str, transporter_ids)]
    _run(MARK_OFFERED, arguments)


def snooze(broadcast_id: UUID, transporter_ids: Sequence[UUID], seconds: float) -> None:
    """Leave the broadcast out of the answers to these transporters' heartbeats for this many seconds."""
    if transporter_ids:
        _run(SNOOZE, [str(broadcast_id), max(1, int(seconds)), *map(str, transporter_ids)])


def mark_full(transporter_id: UUID, km: float, seconds: float) -> None:
    """Leave broadcasts farther than `km` out of the answers to this transporter's heartbeats for this many seconds."""
    _run(MARK_FULL, [str(transporter_id), repr(km), max(1, int(seconds))])


def unmark_full(transporter_id: UUID) -> None:
    """Remove the distance limit that `mark_full` has set."""
    redis().delete(f"weelo:open:full:{transporter_id}")


def _run(script: str, arguments: Sequence[str | int | float]) -> Any:
    return redis().register_script(redis_clock.lua(script))(args=arguments)


def _to_search(pickup: Point, radius_km: float) -> float:
    """Return a radius for the index that covers `radius_km` on the ellipsoid, also near the poles."""
    beyond = max(0.0, abs(pickup.latitude) - _INDEX_ENDS_AT)
    farthest = max(0.0, min(90.0, abs(pickup.latitude) + radius_km / _KM_PER_DEGREE) - _INDEX_ENDS_AT)
    return radius_km * _SPHERE_EXCESS + (beyond + farthest) * _KM_PER_DEGREE + 0.01


def _point(at: str) -> Point:
    longitude, latitude = at.split(",")
    return Point(float(latitude), float(longitude))
