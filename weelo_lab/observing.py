"""Reads offers and their answers from the database of a real system, or of a run, to fit the model of answers to them.

It only reads: offers, broadcasts, slots, assignments, their history, and accepts that the mailbox still keeps.
"""

from __future__ import annotations

import bisect
import math
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import psycopg2
from psycopg2.extras import NamedTupleCursor

from weelo_lab.fitting import ACCEPT, DECLINE, NOTHING, Observed
from weelo_lab.habits import Answers, Price
from weelo_workers.contracts.statuses import AssignmentStatus
from weelo_workers.lifecycles.assignment import LIVE

MOST_OFFERS = 6_000
"""More offers make the fit slower, not better: their differences are then smaller than those between a model and people."""

# An offer is shown until all slots have a truck, or until the broadcast ends. Offers that a block withdrew are left
# out, because the fleet could not answer them.
_OFFERS = """
    SELECT o.broadcast_id, o.transporter_id, o.distance_km AS km,
           COALESCE(o.first_offered_at, o.offered_at) AS at,
           CASE WHEN NOT o.may_be_offered_again THEN o.declined_at END AS declined_at,
           LEAST(b.filled_at, b.expires_at, CASE WHEN b.status = 'cancelled' THEN b.state_changed_at END) AS until,
           b.distance_km AS trip_km,
           (SELECT max(price_per_truck) FROM truck_requests WHERE broadcast_id = b.id) AS price,
           (SELECT count(*) FROM vehicles WHERE transporter_id = o.transporter_id) AS trucks,
           won.at AS won_at, lost.at AS lost_at
      FROM offers o
      JOIN broadcasts b ON b.id = o.broadcast_id
      LEFT JOIN LATERAL (SELECT min(created_at) AS at FROM assignments
                          WHERE broadcast_id = o.broadcast_id AND transporter_id = o.transporter_id) AS won ON true
      LEFT JOIN (SELECT payload->>'broadcast_id' AS broadcast_id, payload->>'transporter_id' AS transporter_id,
                        min(due_at) AS at
                   FROM mailbox WHERE name = 'offers.accept' GROUP BY 1, 2) AS lost
             ON lost.broadcast_id = o.broadcast_id::text AND lost.transporter_id = o.transporter_id::text
     WHERE o.distance_km IS NOT NULL AND o.withdrawn_at IS NULL
       AND b.created_at >= %(since)s
       AND COALESCE(o.first_offered_at, o.offered_at) < LEAST(b.filled_at, b.expires_at)
     ORDER BY md5(o.broadcast_id::text || o.transporter_id::text)
     LIMIT %(most)s
"""
_ASSIGNMENTS = """
    SELECT a.transporter_id, a.status, a.created_at, a.state_changed_at,
           (SELECT min(at) FROM transitions
             WHERE broadcast_id = a.broadcast_id AND subject_id = a.id AND to_status = 'driver_accepted') AS accepted_at
      FROM assignments a WHERE a.created_at >= %(since)s
"""
_PRICES = """
    SELECT b.distance_km AS km, max(r.price_per_truck) AS price
      FROM broadcasts b JOIN truck_requests r ON r.broadcast_id = b.id
     WHERE b.created_at >= %(since)s AND b.distance_km > 0 GROUP BY b.id ORDER BY b.id
"""
BEGIN_OF_TIME = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


@dataclass(frozen=True, slots=True)
class Observations:
    """What was observed in a database. `price`: fitted to the requests with a price; None if there are too few."""

    offers: tuple[Observed, ...]
    price: Price | None
    drivers: Answers
    """Answers with the values of drivers."""
    trips: int


def observe(database_url: str, zone: ZoneInfo, since: datetime = BEGIN_OF_TIME) -> Observations:
    """Return the offers since this time. `zone`: the time zone of the hours of the day. Raises psycopg2.Error."""
    connection = psycopg2.connect(database_url, connect_timeout=10, cursor_factory=NamedTupleCursor)
    try:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with connection.cursor() as cursor:
            given = {"since": since, "most": MOST_OFFERS}

            def rows(statement: str) -> list[Any]:
                cursor.execute(statement, given)
                return list(cursor.fetchall())

            prices, assignments = rows(_PRICES), rows(_ASSIGNMENTS)
            price = fit_price([(row.km, row.price) for row in prices])
            offers = tuple(_observed(rows(_OFFERS), _Loads(assignments), price, zone))
    finally:
        connection.close()
    return Observations(offers, price, _drivers(assignments), len(assignments))


class _Loads:
    """How many trucks of a fleet are on the road at a time."""

    def __init__(self, assignments: Sequence[Any]) -> None:
        self._begins: Mapping[Any, list[datetime]] = defaultdict(list)
        self._ends: Mapping[Any, list[datetime]] = defaultdict(list)
        for row in assignments:
            self._begins[row.transporter_id].append(row.created_at)
            if AssignmentStatus(row.status) not in LIVE:
                self._ends[row.transporter_id].append(row.state_changed_at)
        for times in (*self._begins.values(), *self._ends.values()):
            times.sort()

    def at(self, transporter_id: Any, at: datetime) -> int:
        return bisect.bisect_left(self._begins[transporter_id], at) - bisect.bisect_right(
            self._ends[transporter_id], at
        )


def _observed(rows: Sequence[Any], loads: _Loads, price: Price | None, zone: ZoneInfo) -> Iterator[Observed]:
    tap = Answers().tap_seconds
    for row in rows:
        answers = [
            (at, answer)
            for at, answer in ((row.won_at, ACCEPT), (row.lost_at, ACCEPT), (row.declined_at, DECLINE))
            if at is not None and at > row.at
        ]
        # An answer arrives `tap` seconds after its decision, so it may arrive after the end of the broadcast.
        shown = (row.until - row.at).total_seconds() + tap
        at, answer = min(answers, default=(row.until, NOTHING))
        seconds = (at - row.at).total_seconds()
        if answer == NOTHING or seconds > shown:
            answer, seconds = NOTHING, shown
        busy = min(1.0, max(0, loads.at(row.transporter_id, at)) / row.trucks) if row.trucks else 0.0
        if busy >= 1 and answer != ACCEPT:
            continue  # A fleet without a free truck cannot accept, so this offer does not show what it wanted.
        usual = price.usual(row.trip_km) if price and row.price and row.trip_km else 0.0
        ratio = row.price / usual if usual > 0 else 1.0
        yield Observed(row.km, busy, ratio, at.astimezone(zone).hour, answer, seconds, shown)


def fit_price(trips: Sequence[tuple[float, int | None]]) -> Price | None:
    """Return the usual price of these (kilometres, rupees) and the spread around it; None with fewer than 20 prices."""
    priced = [(km, rupees) for km, rupees in trips if rupees]
    if len(priced) < 20:
        return None
    # Least squares of the relative errors: base / price + per_km × km / price = 1.
    one = [(1 / rupees, km / rupees) for km, rupees in priced]
    aa, ab = math.fsum(a * a for a, _ in one), math.fsum(a * b for a, b in one)
    bb, a1, b1 = math.fsum(b * b for _, b in one), math.fsum(a for a, _ in one), math.fsum(b for _, b in one)
    regular = aa * bb - ab * ab
    base, per_km = (
        ((a1 * bb - b1 * ab) / regular, (b1 * aa - a1 * ab) / regular) if regular else (0.0, b1 / bb)
    )
    if base < 0:
        base, per_km = 0.0, b1 / bb
    if per_km < 0:
        base, per_km = a1 / aa, 0.0
    logs = [math.log(rupees / (base + per_km * km)) for km, rupees in priced]
    middle = math.exp(statistics.median(logs))
    return Price(
        base=round(base * middle, 1),
        per_km=round(per_km * middle, 2),
        spread=min(2.0, round(statistics.stdev(logs), 3)),
        share=len(priced) / len(trips),
    )


def _drivers(assignments: Sequence[Any]) -> Answers:
    """Return answers with the shares and times of the drivers, if there are at least 20 trips."""
    answered = [row for row in assignments if row.status != "pending"]
    if len(answered) < 20:
        return Answers()
    times = [(row.accepted_at - row.created_at).total_seconds() for row in answered if row.accepted_at]
    given_back = sum(row.status == "given_back" for row in answered)
    values = {
        "driver_accepts": len(times) / len(answered),
        "driver_seconds": statistics.median(times) if times else Answers().driver_seconds,
        "gives_back": given_back / len(times) if times else Answers().gives_back,
    }
    rounded = {name: round(value, 4) for name, value in values.items()}
    return Answers.model_validate(Answers().model_dump() | rounded)
