"""The market figures, from the rows: what became of the requests that were created in a window of time.

All figures are of these requests, even if their slots were won or lost after the window. So, for example, the number of
slots won is never greater than the number of slots requested. `market/counting.py` counts the same transitions when
they happen.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ARRAY, Row, Text, TextClause, bindparam, text
from sqlalchemy.orm import Session

from weelo_workers.contracts.market import (
    CancelledSlots,
    ExpiredSlots,
    LostAccepts,
    LostTrucks,
    MarketFigures,
    MarketGroup,
    MarketOfPolicy,
    MarketView,
    Spread,
    WonInRing,
)
from weelo_workers.contracts.offers import ACCEPTS
from weelo_workers.contracts.policies import PolicyRef
from weelo_workers.contracts.reasons import SystemReason
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import AssignmentStatus, EndedBecause
from weelo_workers.lifecycles import assignment, broadcast
from weelo_workers.lifecycles.ladder import CONTRACTED_RING, CONTRACTED_STEP, LAST_RING
from weelo_workers.lifecycles.policy import DEFAULT_SCOPE
from weelo_workers.market.areas import AREA_OF, ensure_known
from weelo_workers.market.definitions import LOST, OFFER_STAGE, SEVERAL, TRUCK_LOST
from weelo_workers.models.broadcasts import ENDS_A_SLOT
from weelo_workers.models.mailbox import REJECTED_OFFER
from weelo_workers.settings import settings

LIMIT_SECONDS = 8.0
"""The time limit of all statements together."""

MAX_WINDOW = timedelta(days=31)

_SEVERAL_STATEMENTS = {"isolation_level": "REPEATABLE READ"}
"""All statements see the rows as they are at the first one, so that their figures agree."""

# The requests of the window. The other statements begin with this part.
_REQUESTS = f"""
    WITH requests AS MATERIALIZED (
        SELECT b.id, {AREA_OF} AS area, COALESCE(b.policy_version, 0) AS policy_version, b.created_at, b.first_won_at, b.filled_at, b.end_reason,
               b.transporters_notified AS offers
          FROM broadcasts b
         WHERE b.created_at >= :start AND b.created_at < :end AND (CAST(:area AS text) IS NULL OR {AREA_OF} = :area)
    )
"""
# The vehicle type of a request is that of its slots if all slots have the same type, otherwise SEVERAL.
_TYPE = f"CASE WHEN min(s.vehicle_type) = max(s.vehicle_type) THEN min(s.vehicle_type) ELSE '{SEVERAL}' END"

_OF_REQUESTS = text(f"""
    {_REQUESTS},
    typed AS (
        SELECT r.area, r.policy_version, s.vehicle_type, r.offers, COALESCE(w.trucks, 0) AS won,
               EXTRACT(EPOCH FROM r.first_won_at - r.created_at)::float8 AS first,
               EXTRACT(EPOCH FROM r.filled_at - r.created_at)::float8 AS filled
          FROM requests r
          JOIN (SELECT s.broadcast_id, {_TYPE} AS vehicle_type
                  FROM requests r JOIN truck_requests s ON s.broadcast_id = r.id GROUP BY s.broadcast_id) s
            ON s.broadcast_id = r.id
          LEFT JOIN (SELECT a.broadcast_id, count(*) AS trucks
                       FROM requests r JOIN assignments a ON a.broadcast_id = r.id GROUP BY a.broadcast_id) w
            ON w.broadcast_id = r.id
    )
    SELECT area, policy_version, vehicle_type, count(*) AS requests, sum(offers) AS offers, sum(won) AS won,
           count(first) AS with_first, percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY first) AS first,
           count(filled) AS with_full, percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY filled) AS filled
      FROM typed
     GROUP BY GROUPING SETS ((), (area, vehicle_type), (area, policy_version))
""")

_OF_SLOTS = text(f"""
    {_REQUESTS}
    SELECT r.area, r.policy_version, s.vehicle_type, count(*) AS asked, count(*) FILTER (WHERE w.slot_id IS NOT NULL) AS filled
      FROM requests r
      JOIN truck_requests s ON s.broadcast_id = r.id
      LEFT JOIN (SELECT DISTINCT a.truck_request_id AS slot_id FROM requests r JOIN assignments a ON a.broadcast_id = r.id) w
        ON w.slot_id = s.id
     GROUP BY r.area, r.policy_version, s.vehicle_type
""")

_OF_TRUCKS = text(f"""
    {_REQUESTS}
    SELECT r.area, r.policy_version, s.vehicle_type, a.status, a.reason_code,
           COALESCE(a.ring, (SELECT CASE WHEN o.last_step THEN '{LAST_RING}' WHEN o.step = {CONTRACTED_STEP} THEN '{CONTRACTED_RING}'
                                     ELSE o.step::text END
                                FROM offers o
                              WHERE o.broadcast_id = a.broadcast_id AND o.transporter_id = a.transporter_id)) AS ring,
           count(*) AS trucks
      FROM requests r
      JOIN assignments a ON a.broadcast_id = r.id
      JOIN truck_requests s ON s.id = a.truck_request_id
     GROUP BY 1, 2, 3, 4, 5, 6
""")

# The transition by which a slot ended does not show why it ended. The reason is in another transition that the same
# command has made: that of the slot's assignment, or of the whole broadcast.
_OF_ENDS = text(f"""
    {_REQUESTS},
    ends AS MATERIALIZED (
        SELECT t.broadcast_id, t.command_id, t.subject, t.subject_id, t.name, t.from_status, t.details,
               r.area, r.policy_version, r.end_reason
          FROM requests r JOIN transitions t ON t.broadcast_id = r.id
         WHERE {ENDS_A_SLOT}
    )
    SELECT e.area, e.policy_version, s.vehicle_type, e.name = 'expire' AS expired,
           CASE WHEN e.name = 'expire' THEN CASE WHEN w.name IS NULL THEN '{TRUCK_LOST}' ELSE w.details->>'reason' END
                WHEN w.name IS NOT NULL THEN COALESCE(w.end_reason, '{EndedBecause.CUSTOMER_CANCELLED}')
                WHEN a.name = '{assignment.REPORT_NO_SHOW.name}' THEN '{EndedBecause.CUSTOMER_NO_SHOW}'
                WHEN a.name = '{assignment.END_FAILED.name}' THEN '{EndedBecause.ENDED_BY_OPERATOR}'
                ELSE '{EndedBecause.CUSTOMER_CANCELLED}' END AS reason,
           CASE WHEN e.name = 'expire' THEN NULL ELSE COALESCE(a.from_status, '{OFFER_STAGE}') END AS stage,
           CASE WHEN e.name = 'expire' THEN NULL
                WHEN w.name IS NULL THEN e.details->>'reasonCode' ELSE w.details->>'reasonCode' END AS code,
           count(*) AS slots
      FROM ends e
      JOIN truck_requests s ON s.id = e.subject_id
      LEFT JOIN ends w ON w.broadcast_id = e.broadcast_id AND w.command_id = e.command_id AND w.subject = 'broadcast'
                      AND w.name = e.name AND w.name IN ('{broadcast.EXPIRE.name}', '{broadcast.CANCEL.name}')
      LEFT JOIN (SELECT t.command_id, t.name, t.from_status, a.truck_request_id
                   FROM ends t JOIN assignments a ON a.id = t.subject_id WHERE t.subject = 'assignment') a
        ON a.command_id = e.command_id AND a.truck_request_id = e.subject_id
     WHERE e.subject = 'truck_request'
     GROUP BY 1, 2, 3, 4, 5, 6, 7
""")

_OF_ACCEPTS = text(f"""
    {_REQUESTS},
    rejected AS MATERIALIZED (
        SELECT payload, error->>'code' AS code FROM mailbox
         WHERE {REJECTED_OFFER} AND received_at >= :start AND name = ANY(:accepts) AND error->>'code' = ANY(:codes)
    ),
    lost AS (
        SELECT CAST(payload->>'broadcast_id' AS uuid) AS broadcast_id, code FROM rejected WHERE payload ? 'broadcast_id'
        UNION ALL
        SELECT h.broadcast_id, code FROM rejected JOIN holds h ON h.id = CAST(payload->>'hold_id' AS uuid)
    )
    SELECT r.area, r.policy_version, s.vehicle_type, l.code, count(*) AS accepts
      FROM lost l
      JOIN requests r ON r.id = l.broadcast_id
     CROSS JOIN LATERAL (SELECT {_TYPE} AS vehicle_type FROM truck_requests s WHERE s.broadcast_id = r.id) s
     GROUP BY 1, 2, 3, 4
""").bindparams(bindparam("accepts", type_=ARRAY(Text)), bindparam("codes", type_=ARRAY(Text)))

Group = tuple[str, str]
"""Area and vehicle type."""

OfPolicy = tuple[str, int]
"""Scope and version of a policy. The scope is the area."""


@dataclass(slots=True)
class _Sums:
    """The counts of one group or policy, or of all requests."""

    asked: int = 0
    filled: int = 0
    won: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    expired: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    cancelled: dict[tuple[str, str, str | None], int] = field(default_factory=lambda: defaultdict(int))
    lost_accepts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    timeouts: int = 0
    declines: dict[str | None, int] = field(default_factory=lambda: defaultdict(int))
    given_back: dict[str | None, int] = field(default_factory=lambda: defaultdict(int))
    of_requests: Row[Any] | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """Which requests to count: those created from `start` until before `end`. `area`: None for all areas."""

    start: datetime
    end: datetime
    area: str | None


def window(
    start: datetime | None,
    end: datetime | None,
    area: str | None,
    now: datetime,
    areas: Collection[str] = (DEFAULT_SCOPE,),
) -> Window:
    """Return the window. It ends now by default, and is 24 h long. `areas`: the names of all areas.

    Raises Rejected(VALIDATION_ERROR) if it is empty or longer than 31 days, or if there is no such area.
    """
    end = now if end is None else end
    start = end - timedelta(days=1) if start is None else start
    if start >= end:
        raise _not_valid("from", "must be before `to`, which is now if it is left out")
    if end - start > MAX_WINDOW:
        raise _not_valid("from", f"must be at most {MAX_WINDOW.days} days before `to`")
    ensure_known(area, areas)
    return Window(start, end, area)


def _not_valid(name: str, message: str) -> Rejected:
    errors = {"errors": [{"field": name, "message": message}]}
    return Rejected(Code.VALIDATION_ERROR, f"{name}: {message}", errors)


def figures(session: Session, of: Window, now: datetime) -> MarketView:
    """Return the figures of the requests of this window. `now`: the present time.

    Raises a database error if the statements take longer than LIMIT_SECONDS.
    """
    connection = session.connection(execution_options=_SEVERAL_STATEMENTS)
    stop_at = time.monotonic() + LIMIT_SECONDS
    where = {"start": of.start, "end": of.end, "area": of.area}

    def rows(statement: TextClause, **more: Any) -> Sequence[Row[Any]]:
        left = max(1, int((stop_at - time.monotonic()) * 1000))
        connection.execute(text(f"SET LOCAL statement_timeout = {left}"))
        return connection.execute(statement, {**where, **more}).all()

    total, groups, policies = _Sums(), defaultdict[Group, _Sums](_Sums), defaultdict[OfPolicy, _Sums](_Sums)
    for row in rows(_OF_REQUESTS):
        if row.area is None:
            total.of_requests = row
        elif row.policy_version is None:
            groups[row.area, row.vehicle_type].of_requests = row
        else:
            policies[row.area, row.policy_version].of_requests = row
    accepts = {"accepts": list(ACCEPTS), "codes": [code.name for code in LOST]}
    for add, found in (
        (_add_slots, rows(_OF_SLOTS)),
        (_add_trucks, rows(_OF_TRUCKS)),
        (_add_ends, rows(_OF_ENDS)),
        (_add_accepts, rows(_OF_ACCEPTS, **accepts)),
    ):
        for row in found:
            add(total, row)
            add(groups[row.area, row.vehicle_type], row)
            add(policies[row.area, row.policy_version], row)
    days = settings().history_retention_days
    return MarketView(
        from_=of.start,
        to=of.end,
        area=of.area,
        complete_from=now - timedelta(days=days) if days else None,
        accepts_complete_from=now - timedelta(days=settings().event_retention_days),
        total=MarketFigures(**_values(total)),
        groups=[
            MarketGroup(area=area, vehicle_type=vehicle_type, **_values(sums))
            for (area, vehicle_type), sums in sorted(groups.items())
        ],
        policies=[
            MarketOfPolicy(policy=PolicyRef(scope=scope, version=version), **_values(sums))
            for (scope, version), sums in sorted(policies.items())
        ],
    )


def _add_slots(sums: _Sums, row: Row[Any]) -> None:
    sums.asked += row.asked
    sums.filled += row.filled


def _add_trucks(sums: _Sums, row: Row[Any]) -> None:
    sums.won[row.ring] += row.trucks
    given_back = row.status == AssignmentStatus.GIVEN_BACK
    if given_back:
        sums.given_back[row.reason_code] += row.trucks
    if row.reason_code == SystemReason.DRIVER_TIMEOUT:
        sums.timeouts += row.trucks
    elif row.status == AssignmentStatus.DRIVER_DECLINED:
        sums.declines[row.reason_code] += row.trucks


def _add_ends(sums: _Sums, row: Row[Any]) -> None:
    if row.expired:
        sums.expired[row.reason] += row.slots
    else:
        sums.cancelled[row.reason, row.stage, row.code] += row.slots


def _add_accepts(sums: _Sums, row: Row[Any]) -> None:
    sums.lost_accepts[row.code] += row.accepts


def _values(sums: _Sums) -> dict[str, Any]:
    """Return the fields of `MarketFigures`."""
    of_requests = sums.of_requests
    offers = int(of_requests.offers or 0) if of_requests else 0
    won_by_requests = int(of_requests.won or 0) if of_requests else 0
    won = sum(sums.won.values())
    return {
        "requests": of_requests.requests if of_requests else 0,
        "offers": offers,
        "offers_per_won_slot": round(offers / won_by_requests, 3) if won_by_requests else None,
        "seconds_to_first": _spread(of_requests and (of_requests.with_first, of_requests.first)),
        "seconds_to_full": _spread(of_requests and (of_requests.with_full, of_requests.filled)),
        "accepts_lost": [LostAccepts(code=code, accepts=n) for code, n in sorted(sums.lost_accepts.items())],
        "slots_asked": sums.asked,
        "slots_won": won,
        "slots_filled": sums.filled,
        "fill_rate": round(sums.filled / sums.asked, 4) if sums.asked else None,
        "won_by_ring": [
            WonInRing(ring=ring, trucks=n, share=round(n / won, 4))
            for ring, n in sorted(sums.won.items(), key=lambda each: _order(each[0]))
        ],
        "slots_expired": [ExpiredSlots(reason=reason, slots=n) for reason, n in sorted(sums.expired.items())],
        "cancels": [
            CancelledSlots(because=because, stage=stage, code=code, slots=n)
            for (because, stage, code), n in sorted(sums.cancelled.items(), key=str)
        ],
        "driver_timeouts": sums.timeouts,
        "driver_declines": _lost(sums.declines),
        "given_back": _lost(sums.given_back),
    }


def _spread(found: tuple[int, list[float] | None] | None) -> Spread:
    requests, percentiles = found or (0, None)
    if not requests or percentiles is None:
        return Spread(requests=0, p50=None, p95=None)
    return Spread(requests=requests, p50=round(percentiles[0], 3), p95=round(percentiles[1], 3))


def _lost(by_code: Mapping[str | None, int]) -> list[LostTrucks]:
    return [LostTrucks(code=code, trucks=n) for code, n in sorted(by_code.items(), key=str)]


def _order(ring: str) -> tuple[bool, int]:
    """Return the key that sorts rings: first that of the contracted transporters, then by number, the last one last."""
    if ring == CONTRACTED_RING:
        return (False, CONTRACTED_STEP)
    return (True, 0) if ring == LAST_RING else (False, int(ring))
