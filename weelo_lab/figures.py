"""The figures of one run, computed from the rows of its database and from its simulated customers and fleets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import text

from weelo_lab.engine import Engine
from weelo_lab.people import People
from weelo_workers.models.engine import autocommit_engine

_REQUESTS = text("""
    SELECT count(*) AS requests,
           count(first_won_at) AS with_first,
           count(filled_at) AS full_ones,
           count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
           COALESCE(sum(trucks_needed), 0) AS slots,
           COALESCE(sum(transporters_notified), 0) AS offers
      FROM broadcasts
""")
_TIMES = text("""
    SELECT EXTRACT(EPOCH FROM first_won_at - created_at)::float8 AS first,
           EXTRACT(EPOCH FROM filled_at - created_at)::float8 AS filled
      FROM broadcasts ORDER BY created_at, id
""")
# A slot counts as won if a truck was assigned to it and was not lost again before the goods were on board.
_WON = text("""
    SELECT count(*) AS won, avg(o.distance_km) AS pickup_km
      FROM assignments a
      LEFT JOIN offers o ON o.broadcast_id = a.broadcast_id AND o.transporter_id = a.transporter_id
     WHERE a.status NOT IN ('driver_declined', 'given_back', 'cancelled')
""")
_BY_RING = text("""
    SELECT CASE WHEN o.last_step THEN 'last' ELSE o.step::text END AS ring, count(*) AS won
      FROM assignments a
      JOIN offers o ON o.broadcast_id = a.broadcast_id AND o.transporter_id = a.transporter_id
     GROUP BY 1 ORDER BY 1
""")
_CANCELLED = text("""
    SELECT EXTRACT(EPOCH FROM state_changed_at - created_at)::float8 AS seconds
      FROM broadcasts WHERE status = 'cancelled' ORDER BY created_at, id
""")
_COMMANDS = text("SELECT count(*) AS commands FROM mailbox")
_LOST = text("SELECT count(*) FROM mailbox WHERE name = 'offers.accept' AND status = 'rejected'")


def measure(people: People, lab: Engine) -> tuple[dict[str, float | None], dict[str, Any]]:
    """Return the figures of the run by their names in `figures.json`, and the details that plots need."""
    with autocommit_engine().connect() as connection:
        requests = connection.execute(_REQUESTS).one()
        times = connection.execute(_TIMES).all()
        won = connection.execute(_WON).one()
        by_ring = {row.ring: row.won for row in connection.execute(_BY_RING)}
        cancelled = connection.execute(_CANCELLED).scalars().all()
        commands = connection.execute(_COMMANDS).scalar_one()
        lost = connection.execute(_LOST).scalar_one()
    first = sorted(row.first for row in times if row.first is not None)
    filled = sorted(row.filled for row in times if row.filled is not None)
    fleets = list(people.fleets.values())
    slots = int(requests.slots)
    found: dict[str, float | None] = {
        "requestsFilled": _share(requests.full_ones, requests.requests),
        "slotsFilled": _share(won.won, slots),
        "requestsCancelled": _share(requests.cancelled, requests.requests),
        "firstP50": quantile(first, 0.5),
        "firstP95": quantile(first, 0.95),
        "fullP50": quantile(filled, 0.5),
        "fullP95": quantile(filled, 0.95),
        "offersPerFilledSlot": _share(requests.offers, won.won),
        "acceptsLost": float(lost),
        "pickupKm": None if won.pickup_km is None else round(float(won.pickup_km), 6),
        "giniOfOffers": gini([each.offers for each in fleets]),
        "giniOfWins": gini([each.wins for each in fleets]),
        "messages": float(lab.frames),
        "commands": float(commands),
    }
    details = {
        "requests": requests.requests,
        "slots": slots,
        "won": won.won,
        "offers": int(requests.offers),
        "wonByRing": by_ring,
        "first": first,
        "full": filled,
        "cancelledAfter": list(cancelled),
        "sizes": dict(Counter(each.plan.trucks for each in people.customers.requests)),
    }
    return found, details


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """Return a quantile of sorted values, interpolated linearly between two of them; None if there are no values."""
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def gini(values: Sequence[float]) -> float | None:
    """Return the Gini coefficient: 0 if all values are equal, near 1 if one is almost the whole sum; None if the sum is 0."""
    total = sum(values)
    if not total:
        return None
    ordered = sorted(values)
    ranked = sum(rank * value for rank, value in enumerate(ordered, start=1))
    return 2 * ranked / (len(ordered) * total) - (len(ordered) + 1) / len(ordered)


def _share(part: float, whole: float) -> float | None:
    return float(part) / float(whole) if whole else None
