"""Checks of invariants: each is a query for the ids of rows that must not exist."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, select, text

from weelo_workers.contracts.broadcasts import ReofferBroadcast
from weelo_workers.contracts.statuses import AssignmentStatus, BroadcastStatus, HoldStatus, TruckRequestStatus
from weelo_workers.doctor.check import EVERY_SECONDS, HOURLY, IN_SCHEMA, OVERDUE, Examination, check
from weelo_workers.lifecycles.assignment import LIVE
from weelo_workers.lifecycles.broadcast import OPEN
from weelo_workers.lifecycles.truck_request import FILLED
from weelo_workers.models import Assignment, Broadcast, Webhook
from weelo_workers.models.base import quoted
from weelo_workers.models.mailbox import as_sql, unsettled
from weelo_workers.queries import not_moving

REPORT = "nothing repairs this by itself: keep the rows, and report it with the timelines of the broadcasts"
REPAIR = "`weelo doctor --repair` sends the command that is missing"


@dataclass(frozen=True, slots=True)
class Invariant:
    """An invariant.

    `finding`: the text of its finding, in which `{n}` is the number of rows that break the invariant. `query`: the SQL
    query that returns the ids of these rows.
    """

    name: str
    finding: str
    remedy: str
    query: str
    every_seconds: float = EVERY_SECONDS

    def count(self, connection: Connection) -> int:
        """Return how many rows break the invariant."""
        number: int = connection.execute(text(f"SELECT count(*) FROM ({self.query}) AS found")).scalar_one()
        return number

    def find(self, examination: Examination) -> Iterator[str]:
        """Yield one line if any row breaks the invariant."""
        with examination.database() as connection:
            if count := self.count(connection):
                yield "invariant: " + self.finding.format(n=count)


INVARIANTS = (
    Invariant(
        "log-has-a-gap",
        "{n} users whose kept log has a gap",
        REPORT,
        """
        SELECT user_id FROM log_lines GROUP BY user_id HAVING max(seq) - min(seq) + 1 <> count(*)""",
        every_seconds=HOURLY,
    ),
    Invariant(
        "log-counter-differs",
        "{n} users whose log does not end where its counter stands",
        REPORT,
        """
        SELECT h.user_id FROM log_heads h
         WHERE EXISTS (SELECT 1 FROM log_lines l WHERE l.user_id = h.user_id)
           AND h.seq <> (SELECT max(seq) FROM log_lines l WHERE l.user_id = h.user_id)""",
        every_seconds=HOURLY,
    ),
    Invariant(
        "slots-differ-from-assignments",
        "{n} broadcasts whose filled slots are not their live or completed assignments",
        REPORT,
        f"""
        SELECT broadcast_id
          FROM (SELECT broadcast_id, count(*) AS slots FROM truck_requests
                 WHERE status IN ({quoted(FILLED)}) GROUP BY broadcast_id) AS filled
          FULL JOIN (SELECT broadcast_id, count(*) AS trucks FROM assignments
                      WHERE status IN ({quoted(LIVE)}, 'completed') GROUP BY broadcast_id) AS won USING (broadcast_id)
         WHERE slots IS DISTINCT FROM trucks""",
        every_seconds=HOURLY,
    ),
    Invariant(
        "assignment-of-cancelled-broadcast",
        "{n} live assignments on cancelled broadcasts",
        "end the trip: `POST /api/v1/assignments/{id}/end` as an admin; then report it",
        f"""
        SELECT a.id FROM assignments a JOIN broadcasts b ON b.id = a.broadcast_id
         WHERE a.status IN ({quoted(LIVE)}) AND b.status = '{BroadcastStatus.CANCELLED}'""",
    ),
    Invariant(
        "broadcast-without-timer",
        "{n} open broadcasts without a pending expiry",
        REPAIR,
        as_sql(select(Broadcast.id).where(not_moving.without_expiry())),
    ),
    Invariant(
        "slot-of-ended-hold",
        "{n} slots held by a hold that is over",
        REPORT,
        f"""
        SELECT t.id FROM truck_requests t JOIN holds h ON h.id = t.hold_id
         WHERE t.status = '{TruckRequestStatus.HELD}' AND h.status <> '{HoldStatus.OPEN}'""",
    ),
    Invariant(
        "hold-past-its-end",
        "{n} holds open past their end",
        REPAIR,
        f"""
        SELECT id FROM holds
         WHERE status = '{HoldStatus.OPEN}' AND expires_at < {OVERDUE}""",
    ),
    Invariant(
        "broadcast-past-its-deadline",
        "{n} broadcasts open past their deadline",
        REPAIR,
        as_sql(select(Broadcast.id).where(not_moving.past_deadline())),
    ),
    Invariant(
        "assignment-past-its-end",
        "{n} assignments unanswered past their end",
        REPAIR,
        f"""
        SELECT id FROM assignments
         WHERE status = '{AssignmentStatus.PENDING}'
           AND expires_at < {OVERDUE}""",
    ),
    Invariant(
        "assignment-without-timer",
        "{n} live assignments without a timer whose driver has not answered or has left the fleet",
        f"{REPAIR}; a truck with goods on board has no timer: end the trip as an admin",
        as_sql(select(Assignment.id).where(not_moving.without_timer())),
    ),
    Invariant(
        "search-not-begun",
        "{n} reopened slots whose search has not begun",
        REPAIR,
        f"""
        SELECT t.id FROM truck_requests t JOIN broadcasts b ON b.id = t.broadcast_id
         WHERE t.status = '{TruckRequestStatus.SEARCHING}' AND b.status IN ({quoted(OPEN)})
           AND t.state_changed_at < {OVERDUE}
           AND (b.reoffer_rounds > 0 AND b.radius_step = 0 AND b.contracted_until IS NULL AND b.state_changed_at < {OVERDUE}
                OR EXISTS (SELECT 1 FROM mailbox WHERE name = '{ReofferBroadcast.name}' AND {as_sql(unsettled())}
                              AND payload->>'truck_request_id' = t.id::text))""",
    ),
    Invariant(
        "webhook-not-delivered",
        "{n} webhooks whose lines wait and that no command delivers",
        REPAIR,
        as_sql(select(Webhook.id).where(not_moving.not_delivered())),
    ),
)

for _invariant in INVARIANTS:
    check(
        _invariant.name,
        needs=IN_SCHEMA,
        remedy=_invariant.remedy,
        every_seconds=_invariant.every_seconds,
    )(_invariant.find)
