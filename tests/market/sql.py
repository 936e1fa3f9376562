"""Computes the market figures by SQL that shares nothing with `weelo_workers/queries/market.py`.

This SQL mostly reads the history, while the queries of that module read the present states. Each function returns the
values of one figure by its labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tests.support.world import World

Window = tuple[datetime, datetime]


class ByHand:
    """The figures of the requests created in a window, of one vehicle type or of all."""

    def __init__(self, world: World, window: Window, vehicle_type: str | None = None) -> None:
        self._world, self._window, self._type = world, window, vehicle_type

    def _rows(self, query: str) -> list[Any]:
        start, end = self._window
        return self._world.rows(query, start=start, end=end, type=self._type)

    # The type of a request is that of its slots, or "several" if they have different ones.
    _REQUESTS = """
        SELECT b.* FROM broadcasts b WHERE b.created_at >= :start AND b.created_at < :end AND (CAST(:type AS text) IS NULL OR
               (SELECT CASE count(DISTINCT vehicle_type) WHEN 1 THEN max(vehicle_type) ELSE 'several' END
                  FROM truck_requests s WHERE s.broadcast_id = b.id) = :type)
    """
    _SLOTS = """
        SELECT s.* FROM truck_requests s, broadcasts b WHERE b.id = s.broadcast_id
           AND b.created_at >= :start AND b.created_at < :end AND (CAST(:type AS text) IS NULL OR s.vehicle_type = :type)
    """
    _TRUCKS = f"SELECT a.* FROM assignments a WHERE a.truck_request_id IN (SELECT id FROM ({_SLOTS}) s)"

    def requests(self) -> int:
        return len(self._rows(self._REQUESTS))

    def offers(self) -> Counter[str]:
        """Return the number of offers by ring."""
        rows = self._rows(
            f"SELECT step, last_step FROM offers WHERE broadcast_id IN (SELECT id FROM ({self._REQUESTS}) b)"
        )
        return Counter("last" if row.last_step else str(row.step) for row in rows)

    def trucks_of_requests(self) -> int:
        return len(
            self._rows(
                f"SELECT 1 FROM assignments WHERE broadcast_id IN (SELECT id FROM ({self._REQUESTS}) b)"
            )
        )

    def seconds(self, names: Sequence[str]) -> list[float]:
        """Return the seconds from each request to its first transition with one of these names, sorted."""
        listed = ", ".join(f"'{name}'" for name in names)
        rows = self._rows(f"""
            SELECT EXTRACT(EPOCH FROM min(t.at) - b.created_at)::float8 AS seconds
              FROM ({self._REQUESTS}) b JOIN transitions t ON t.broadcast_id = b.id
             WHERE t.subject = 'broadcast' AND t.name IN ({listed}) GROUP BY b.id, b.created_at
        """)
        return sorted(row.seconds for row in rows)

    def accepts_lost(self) -> Counter[str]:
        """Return the number of accepts that came too late, by code."""
        rows = self._rows(f"""
            SELECT m.error->>'code' AS code FROM mailbox m
             WHERE m.name IN ('offers.accept', 'offers.confirm_hold') AND m.status = 'rejected'
               AND (m.payload->>'broadcast_id' IN (SELECT id::text FROM ({self._REQUESTS}) b)
                    OR m.payload->>'hold_id' IN
                       (SELECT h.id::text FROM holds h WHERE h.broadcast_id IN (SELECT id FROM ({self._REQUESTS}) b)))
        """)
        late = {"REQUEST_ALREADY_TAKEN", "NOT_ENOUGH_AVAILABLE", "HOLD_EXPIRED"}
        late |= {"BROADCAST_FILLED", "BROADCAST_CANCELLED", "BROADCAST_EXPIRED"}
        return Counter(row.code for row in rows if row.code in late)

    def slots(self) -> int:
        return len(self._rows(self._SLOTS))

    def filled(self) -> int:
        return len(self._rows(f"SELECT DISTINCT truck_request_id FROM ({self._TRUCKS}) a"))

    def won(self) -> Counter[str]:
        """Return the number of won trucks by ring, from the history of assignments."""
        rows = self._rows(f"""
            SELECT o.step, o.last_step FROM transitions t
              JOIN ({self._TRUCKS}) a ON a.id = t.subject_id
              JOIN offers o ON o.broadcast_id = a.broadcast_id AND o.transporter_id = a.transporter_id
             WHERE t.subject = 'assignment' AND t.name = 'win'
        """)
        return Counter("last" if row.last_step else str(row.step) for row in rows)

    def expired(self) -> Counter[str]:
        """Return the number of expired slots by reason.

        If the broadcast's deadline ended the slot, the reason is that of the broadcast; otherwise it is `truck_lost`.
        """
        rows = self._rows(f"""
            SELECT t.cause, (SELECT b.details->>'reason' FROM transitions b
                              WHERE b.command_id = t.command_id AND b.subject = 'broadcast') AS reason
              FROM transitions t WHERE t.to_status = 'expired' AND t.subject_id IN (SELECT id FROM ({self._SLOTS}) s)
        """)
        return Counter(row.reason if row.cause == "broadcasts.expire" else "truck_lost" for row in rows)

    def cancels(self) -> Counter[tuple[str, str, str]]:
        """Return the number of cancelled slots by cause, stage, and the reason code in the command."""
        because = {
            "broadcasts.cancel": "customer_cancelled",
            "trips.cancel_truck": "customer_cancelled",
            "trips.report_no_show": "customer_no_show",
            "trips.end": "ended_by_operator",
        }
        rows = self._rows(f"""
            SELECT t.cause, COALESCE(m.payload->>'reason_code', 'none') AS code,
                   COALESCE((SELECT e.from_status FROM transitions e JOIN assignments a ON a.id = e.subject_id
                              WHERE e.command_id = t.command_id AND a.truck_request_id = t.subject_id), 'offer') AS stage
              FROM transitions t JOIN mailbox m ON m.id = t.command_id
             WHERE t.to_status = 'cancelled' AND t.subject_id IN (SELECT id FROM ({self._SLOTS}) s)
        """)
        return Counter((because[row.cause], row.stage, row.code) for row in rows)

    def lost(self, to_status: str) -> Counter[str]:
        """Return the number of trucks that reached this status, by the reason code of the transition."""
        rows = self._rows(f"""
            SELECT t.details->>'reasonCode' AS code FROM transitions t
             WHERE t.to_status = '{to_status}' AND t.subject_id IN (SELECT id FROM ({self._TRUCKS}) a)
        """)
        return Counter(row.code or "none" for row in rows)

    def timeouts(self) -> int:
        return len(
            self._rows(f"""
                SELECT 1 FROM transitions t WHERE t.cause = 'trips.expire_assignment'
                   AND t.subject_id IN (SELECT id FROM ({self._TRUCKS}) a)
            """)
        )


def percentile(values: Sequence[float], part: float) -> float | None:
    """Return an interpolated percentile of sorted values; None without values. `part`: 0 to 1; 0.5 is the median."""
    if not values:
        return None
    place = part * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)
