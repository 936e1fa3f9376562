"""Records one run as data for the map of the report, which is played like a film."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import text

from weelo_lab.customers import Asked
from weelo_lab.demand import Demand
from weelo_lab.people import People
from weelo_lab.virtual_clock import BEGIN, SECOND
from weelo_workers.models.engine import autocommit_engine

MOST_OFFERS = 40_000
"""A page with more would be slow to load. The requests after that many offers are left out."""
TOWNS = 14

_BROADCASTS = text("""
    SELECT id, status, created_at, filled_at, expires_at, state_changed_at, transporters_notified AS offers
      FROM broadcasts ORDER BY created_at, id
""")
_OFFERS = text("""
    SELECT broadcast_id, transporter_id, COALESCE(first_offered_at, offered_at) AS at FROM offers ORDER BY 3, 1, 2
""")
_RINGS = text("""
    SELECT broadcast_id, at, (details->>'radiusKm')::float8 AS km
      FROM transitions WHERE subject = 'broadcast' AND details ? 'step' ORDER BY id
""")
_TRIPS = text("""
    SELECT a.broadcast_id, a.transporter_id, a.created_at,
           (SELECT jsonb_object_agg(t.to_status, t.at) FROM transitions t
             WHERE t.broadcast_id = a.broadcast_id AND t.subject_id = a.id) AS times
      FROM assignments a ORDER BY a.created_at, a.id
""")
_STOPS = ("en_route_pickup", "at_pickup", "in_transit", "arrived_at_drop")
_ENDS = ("completed", "driver_declined", "given_back", "customer_no_show", "failed", "cancelled")


def record(demand: Demand, people: People, begin_micros: int, end_micros: int) -> dict[str, Any]:
    """Return the film of the run in this process's database. Times are seconds after the first hour began.

    `fleets`: `[latitude, longitude, trucks]`. `requests`: with `rings` (`[time, km or null]`), `offers` (`[time, fleet]`),
    and `end` (time, status). `trips`: `[fleet, request, won, sets out, at the pickup, leaves, at the drop, over]`; null for
    what did not happen.
    """
    with autocommit_engine().connect() as connection:
        broadcasts = connection.execute(_BROADCASTS).all()
        offers, rings = connection.execute(_OFFERS).all(), connection.execute(_RINGS).all()
        trips = connection.execute(_TRIPS).all()
    fleets = {fleet_id: place for place, fleet_id in enumerate(people.fleets)}
    seconds = partial(_seconds, begin_micros / SECOND)
    by_broadcast = _by_broadcast(offers, lambda row: [seconds(row.at), fleets[row.transporter_id]])
    rings_of = _by_broadcast(rings, lambda row: [seconds(row.at), row.km])
    asked = {each.broadcast_id: each for each in people.customers.requests if each.broadcast_id is not None}
    requests: list[dict[str, Any]] = []
    places: dict[UUID, int] = {}
    count = 0
    for row in broadcasts:
        if row.id not in asked:
            continue
        count += len(by_broadcast[row.id])
        if count > MOST_OFFERS:
            break
        places[row.id] = len(requests)
        ended_at = row.filled_at or (
            row.state_changed_at if row.status in ("cancelled", "expired") else row.expires_at
        )
        status = "filled" if row.filled_at else row.status
        requests.append(
            _request(asked[row.id], seconds(row.created_at))
            | {
                "rings": rings_of[row.id],
                "offers": by_broadcast[row.id],
                "end": [seconds(ended_at), status],
            }
        )
    whole = (end_micros - begin_micros) / SECOND
    return {
        "hour": demand.begins_at_hour,
        "seconds": whole if len(requests) == len(asked) else requests[-1]["end"][0] + 60 if requests else whole,
        "left_out": len(asked) - len(requests),
        "towns": [
            [town.name, round(town.latitude, 4), round(town.longitude, 4)]
            for town in sorted(demand.all_towns(), key=lambda each: -each.weight)[:TOWNS]
        ],
        "fleets": [
            [round(each.plan.at.latitude, 4), round(each.plan.at.longitude, 4), each.plan.trucks]
            for each in people.fleets.values()
        ],
        "requests": requests,
        "trips": [
            [fleets[row.transporter_id], places[row.broadcast_id], seconds(row.created_at), *_stops(row.times, seconds)]
            for row in trips
            if row.broadcast_id in places
        ],
    }  # fmt: skip


def _seconds(begin: float, at: datetime) -> float:
    return round((at - BEGIN).total_seconds() - begin, 1)


def _by_broadcast(rows: Any, entry: Callable[[Any], list[Any]]) -> Mapping[UUID, list[Any]]:
    found: Mapping[UUID, list[Any]] = defaultdict(list)
    for row in rows:
        found[row.broadcast_id].append(entry(row))
    return found


def _request(asked: Asked, at: float) -> dict[str, Any]:
    plan = asked.plan
    return {
        "at": at,
        "town": plan.town,
        "trucks": plan.trucks,
        "from": [round(plan.pickup.latitude, 4), round(plan.pickup.longitude, 4)],
        "to": [round(plan.drop.latitude, 4), round(plan.drop.longitude, 4)],
    }


def _stops(times: Mapping[str, str] | None, seconds: Callable[[datetime], float]) -> list[float | None]:
    known = {name: seconds(datetime.fromisoformat(at)) for name, at in (times or {}).items()}
    over = [known[name] for name in _ENDS if name in known]
    return [*(known.get(name) for name in _STOPS), min(over) if over else None]
