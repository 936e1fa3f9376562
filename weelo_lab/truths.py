"""Invariants of the rows. Each is a sentence with a query for the rows that violate it.

The search for faults (`weelo_lab/seeds/`) checks them, and so do the tests of races, faults and the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, text

from weelo_workers.contracts.statuses import AssignmentStatus
from weelo_workers.lifecycles import assignment, broadcast, truck_request
from weelo_workers.lifecycles.assignment import LIVE
from weelo_workers.lifecycles.lifecycle import Transition
from weelo_workers.messaging.crashes import POSSIBLE_CRASH
from weelo_workers.models.base import quoted
from weelo_workers.settings import settings

_OPEN, _LIVE, _FILLED = quoted(broadcast.OPEN), quoted(LIVE), quoted(truck_request.FILLED)
_UNFILLED = quoted(truck_request.OPEN)


def _named(*transitions: Transition[AssignmentStatus]) -> str:
    return ", ".join(f"'{each.name}'" for each in transitions)


_TAKES_AWAY = _named(assignment.CANCEL, assignment.CANCEL_TRUCK, assignment.STALL, assignment.END_FAILED)
_GIVES_BACK = _named(assignment.GIVE_BACK, assignment.GIVE_BACK_UNANSWERED)


def _slots(statuses: str) -> str:
    return f"(SELECT count(*) FROM truck_requests t WHERE t.broadcast_id = b.id AND t.status IN ({statuses}))"


def _awaits(timer: str, key: str, of: str, condition: str = "true") -> str:
    return (
        f"EXISTS (SELECT 1 FROM mailbox m WHERE m.name = '{timer}' AND m.settled_at IS NULL"
        f" AND m.payload->>'{key}' = {of}.id::text AND {condition})"
    )


def _watched_by(timers: str, settled: str) -> str:
    """Return an SQL condition: one of these timers watches the assignment `a` in its present status.

    `timers`: their names, as a list in SQL. `settled`: a condition on the timer's row `m`.
    """
    return (
        f"EXISTS (SELECT 1 FROM mailbox m WHERE m.name IN ({timers}) AND {settled}"
        f" AND m.payload->>'assignment_id' = a.id::text"
        f" AND (m.payload->>'since')::timestamptz = a.state_changed_at)"
    )


_GAVE_BACK = "a.status = 'given_back'"

# One query checks all users and requests. With one query for each of them, the check would take minutes after a long
# test.
_HEARD = """
    SELECT l.user_id AS who, e.data->>'broadcastId' AS about, count(*) AS times,
           (array_agg(e.event ORDER BY l.seq DESC))[1] AS last
      FROM log_lines l JOIN events e ON e.id = l.event_id"""

TRUTHS = {
    "a request keeps as many slots as were asked for": """
        SELECT b.id FROM broadcasts b
         WHERE (SELECT count(*) FROM truck_requests t WHERE t.broadcast_id = b.id)
            IS DISTINCT FROM COALESCE((b.request->>'trucksNeeded')::int,
                        (SELECT sum((row->>'quantity')::int)
                           FROM jsonb_array_elements(b.request->'vehicleRequirements') row))""",
    "a filled slot has one truck, live or delivered, and no other slot has one": f"""
        SELECT t.id, t.status FROM truck_requests t
         WHERE (SELECT count(*) FROM assignments a
                 WHERE a.truck_request_id = t.id AND a.status IN ({_LIVE}, 'completed'))
            <> (t.status IN ({_FILLED}))::int""",
    "a driver is on at most one live assignment": f"""
        SELECT driver_id FROM assignments WHERE status IN ({_LIVE}) GROUP BY 1 HAVING count(*) > 1""",
    "a vehicle is on at most one live assignment": f"""
        SELECT vehicle_id FROM assignments WHERE status IN ({_LIVE}) GROUP BY 1 HAVING count(*) > 1""",
    "a truck is of the kind that its slot asks for": """
        SELECT a.id FROM assignments a JOIN truck_requests t ON t.id = a.truck_request_id
          JOIN vehicles v ON v.id = a.vehicle_id WHERE v.vehicle_key <> t.vehicle_key""",
    "a customer has at most one open request": f"""
        SELECT customer_id FROM broadcasts WHERE status IN ({_OPEN}) GROUP BY 1 HAVING count(*) > 1""",
    "an open request has an unsettled timer, due no later than its deadline": f"""
        SELECT b.id, b.status FROM broadcasts b
         WHERE b.status IN ({_OPEN})
           AND NOT {_awaits("broadcasts.expire", "broadcast_id", "b", "m.due_at <= b.expires_at")}""",
    "a pending assignment has an unsettled timer": f"""
        SELECT a.id FROM assignments a
         WHERE a.status = 'pending' AND NOT {_awaits("trips.expire_assignment", "assignment_id", "a")}""",
    "an open hold has an unsettled timer": f"""
        SELECT h.id FROM holds h
         WHERE h.status = 'open' AND NOT {_awaits("offers.expire_hold", "hold_id", "h")}""",
    "an open hold keeps slots, and a held slot has an open hold": """
        SELECT h.id, t.id AS slot FROM holds h
          FULL JOIN truck_requests t ON t.hold_id = h.id AND t.status = 'held'
         WHERE (h.status = 'open') IS DISTINCT FROM (t.status = 'held')
           AND (h.status = 'open' OR t.status = 'held')""",
    "an open request has an unfilled slot, and any other has none": f"""
        SELECT b.id, b.status FROM broadcasts b WHERE (b.status IN ({_OPEN})) <> ({_slots(_UNFILLED)} > 0)""",
    "a full request has all the trucks that it needs": f"""
        SELECT b.id, b.trucks_needed FROM broadcasts b
         WHERE b.status IN ('fully_filled', 'in_progress') AND {_slots(_FILLED)} <> b.trucks_needed""",
    "a partly filled request has a truck, and one that is active has none": f"""
        SELECT b.id, b.status FROM broadcasts b
         WHERE (b.status = 'partially_filled' AND {_slots(_FILLED)} = 0)
            OR (b.status IN ('created', 'broadcasting', 'active') AND {_slots(_FILLED)} > 0)""",
    "a request that is open, full or in progress needs as many trucks as it has filled and open slots": f"""
        SELECT b.id, b.status, b.trucks_needed FROM broadcasts b
         WHERE b.status IN ({_OPEN}, 'fully_filled', 'in_progress')
           AND b.trucks_needed <> {_slots(f"{_FILLED}, {_UNFILLED}")}""",
    "a truck that has not set out has an unsettled timer that watches it": f"""
        SELECT a.id FROM assignments a
         WHERE a.status = 'driver_accepted'
           AND NOT {_watched_by("'trips.remind_to_start', 'trips.give_back_stalled'", "m.settled_at IS NULL")}""",
    "a truck on its way to the pickup, or waiting there, has got a timer that watches it": f"""
        SELECT a.id, a.status FROM assignments a
         WHERE a.status IN ('en_route_pickup', 'at_pickup') AND NOT {_watched_by("'trips.report_stalled'", "true")}""",
    "the driver of a live assignment is in its fleet and has not been replaced": f"""
        SELECT a.id FROM assignments a JOIN drivers d ON d.id = a.driver_id
         WHERE a.status IN ({_LIVE})
           AND (d.transporter_id <> a.transporter_id OR a.replaced_drivers ? a.driver_id::text)""",
    "a fleet gets no slot again that it gave back": f"""
        SELECT a.id, again.id AS again FROM assignments a
          JOIN assignments again ON again.truck_request_id = a.truck_request_id
           AND again.transporter_id = a.transporter_id AND again.created_at > a.created_at
         WHERE {_GAVE_BACK}""",
    "a fleet holds no slot that it gave back": f"""
        SELECT a.id, h.id AS hold FROM assignments a
          JOIN truck_requests t ON t.id = a.truck_request_id AND t.status = 'held'
          JOIN holds h ON h.id = t.hold_id AND h.transporter_id = a.transporter_id
         WHERE {_GAVE_BACK}""",
    "no offer names a slot that its transporter gave back before": f"""
        SELECT l.user_id, l.seq, a.truck_request_id FROM assignments a
          JOIN log_lines lost ON lost.user_id = a.transporter_id
          JOIN events gone ON gone.id = lost.event_id AND gone.event = 'assignment_status_changed'
           AND gone.data->'assignment'->>'id' = a.id::text
           AND gone.data->'assignment'->>'status' = 'given_back'
          JOIN log_lines l ON l.user_id = a.transporter_id AND l.seq > lost.seq
          JOIN events e ON e.id = l.event_id AND e.event = 'new_broadcast'
         WHERE {_GAVE_BACK}
           AND (e.data || COALESCE(l.own, '{{}}'))->'truckRequestIds' ? a.truck_request_id::text""",
    "each new round of a search follows a truck that was given back": f"""
        SELECT b.id, b.reoffer_rounds FROM broadcasts b
         WHERE b.reoffer_rounds > (SELECT count(*) FROM assignments a WHERE a.broadcast_id = b.id AND {_GAVE_BACK})""",
    "a customer is told once of each truck that was given back": f"""
        SELECT a.id FROM assignments a JOIN broadcasts b ON b.id = a.broadcast_id
         WHERE {_GAVE_BACK}
           AND (SELECT count(*) FROM log_lines l JOIN events e ON e.id = l.event_id
                 WHERE l.user_id = b.customer_id AND e.event = 'truck_lost'
                   AND e.data->'assignment'->>'id' = a.id::text) <> 1""",
    "a cancelled or completed request has no live assignment": f"""
        SELECT a.id FROM assignments a JOIN broadcasts b ON b.id = a.broadcast_id
         WHERE a.status IN ({_LIVE}) AND b.status IN ('cancelled', 'completed')""",
    "the version grows by one with every transition": """
        SELECT b.id, b.version FROM broadcasts b JOIN transitions x ON x.subject_id = b.id
         GROUP BY b.id HAVING count(*) <> b.version OR count(DISTINCT x.version) <> b.version
                           OR max(x.version) <> b.version OR min(x.version) <> 1""",
    "each transition starts from the status in which the previous one ended": """
        SELECT * FROM (
            SELECT subject, subject_id, name, from_status,
                   lag(to_status) OVER (PARTITION BY subject_id ORDER BY id) AS before FROM transitions
             WHERE subject <> 'offer') x
         WHERE before <> from_status""",
    "the last transition ends in the current status": """
        SELECT * FROM (
            SELECT DISTINCT ON (subject_id) subject, subject_id, to_status FROM transitions
             ORDER BY subject_id, id DESC) x
          JOIN (SELECT id, status FROM broadcasts UNION ALL SELECT id, status FROM truck_requests
                UNION ALL SELECT id, status FROM holds UNION ALL SELECT id, status FROM assignments) thing
            ON thing.id = x.subject_id
         WHERE thing.status <> x.to_status""",
    "the newest status that customer, transporter and driver received is that of the assignment": """
        WITH received AS (
            SELECT DISTINCT ON (1, 2) l.user_id, e.data->'assignment'->>'id' AS assignment_id,
                   e.data->'assignment'->>'status' AS status
              FROM log_lines l JOIN events e ON e.id = l.event_id WHERE e.event = 'assignment_status_changed'
             ORDER BY 1, 2, l.seq DESC)
        SELECT a.id, a.status, concerned.user_id, received.status AS received
          FROM assignments a JOIN broadcasts b ON b.id = a.broadcast_id
         CROSS JOIN LATERAL (VALUES (b.customer_id), (a.transporter_id), (a.driver_id)) AS concerned (user_id)
          LEFT JOIN received ON received.user_id = concerned.user_id AND received.assignment_id = a.id::text
         WHERE received.status IS DISTINCT FROM a.status""",
    "a driver from whom a trip was taken away was told so": f"""
        WITH taken AS (
            SELECT a.id, a.driver_id, x.name FROM transitions x JOIN assignments a ON a.id = x.subject_id
             WHERE x.name IN ({_TAKES_AWAY})
                OR (x.name IN ({_GIVES_BACK}) AND x.actor_id = a.transporter_id)
             UNION ALL
            SELECT a.id, replaced.driver_id::uuid, 'replace_driver' FROM assignments a
             CROSS JOIN LATERAL jsonb_array_elements_text(a.replaced_drivers) AS replaced (driver_id))
        SELECT * FROM taken
         WHERE NOT EXISTS (SELECT 1 FROM log_lines l JOIN events e ON e.id = l.event_id
                            WHERE e.event = 'trip_cancelled' AND l.user_id = taken.driver_id
                              AND e.data->'assignment'->>'id' = taken.id::text)""",
    "a fleet that gave a slot back does not get it again": """
        SELECT a.id, again.id AS again FROM assignments a
          JOIN assignments again ON again.truck_request_id = a.truck_request_id AND again.id <> a.id
           AND again.transporter_id = a.transporter_id AND again.created_at > a.created_at
         WHERE a.status = 'given_back'""",
    "a fleet that gave a slot back is not offered it again": """
        WITH gave_back AS (
            SELECT l.user_id, l.seq, e.data->'assignment'->>'truckRequestId' AS slot
              FROM log_lines l JOIN events e ON e.id = l.event_id
             WHERE e.event = 'assignment_status_changed' AND e.data->'assignment'->>'status' = 'given_back'
               AND e.data->'assignment'->>'transporterId' = l.user_id::text)
        SELECT gave_back.* FROM gave_back
          JOIN log_lines l ON l.user_id = gave_back.user_id AND l.seq > gave_back.seq
          JOIN events e ON e.id = l.event_id
         WHERE e.event = 'new_broadcast' AND l.own->'truckRequestIds' @> to_jsonb(gave_back.slot)""",
    "no user's log has a gap": """
        SELECT l.user_id FROM log_lines l GROUP BY 1 HAVING min(seq) <> 1 OR max(seq) <> count(*)""",
    "no command has failed": f"SELECT name, last_error FROM mailbox WHERE last_error <> '{POSSIBLE_CRASH}'",
}

WHEN_AT_REST = {
    "every command is settled": "SELECT name, due_at FROM mailbox WHERE settled_at IS NULL",
    "no request, hold or assignment is open": f"""
        SELECT id, status FROM broadcasts WHERE status IN ({_OPEN})
         UNION ALL SELECT id, status FROM holds WHERE status = 'open'
         UNION ALL SELECT id, status FROM assignments WHERE status = 'pending'""",
    "the customer's log has every transition": f"""
        WITH heard AS ({_HEARD}
                        WHERE e.event = 'broadcast_state_changed' GROUP BY 1, 2)
        SELECT b.id, b.version, heard.times FROM broadcasts b
          LEFT JOIN heard ON heard.who = b.customer_id AND heard.about = b.id::text
         WHERE b.version <> COALESCE(heard.times, 0)""",
    "each time that a request ends or is filled, every transporter with an offer gets one withdrawal": f"""
        WITH heard AS ({_HEARD}
                        WHERE e.event IN ('booking_fully_filled', 'booking_cancelled', 'booking_expired') GROUP BY 1, 2),
             ended AS (SELECT o.broadcast_id, o.transporter_id, count(x.id) AS times
                         FROM offers o LEFT JOIN transitions x
                           ON x.subject_id = o.broadcast_id AND x.version >= o.version
                          AND x.name IN ('take_last', 'cancel', 'cancel_last_truck', 'expire', 'lapse')
                        WHERE o.withdrawn_at IS NULL
                        GROUP BY 1, 2)
        SELECT ended.*, heard.times AS heard FROM ended
          LEFT JOIN heard ON heard.who = ended.transporter_id AND heard.about = ended.broadcast_id::text
         WHERE ended.times <> COALESCE(heard.times, 0)""",
    "the last event about an ended request is its withdrawal": f"""
        WITH heard AS ({_HEARD}
                        WHERE e.event IN ('new_broadcast', 'booking_fully_filled', 'booking_cancelled', 'booking_expired')
                        GROUP BY 1, 2)
        SELECT heard.who, b.id, b.status FROM heard JOIN broadcasts b ON heard.about = b.id::text
         WHERE b.status NOT IN ({_OPEN}) AND heard.last = 'new_broadcast'
           AND NOT EXISTS (SELECT 1 FROM offers o
                            WHERE o.broadcast_id = b.id AND o.transporter_id = heard.who AND o.withdrawn_at IS NOT NULL)""",
    "a transporter of a pair that was blocked gets one event for each open offer that was withdrawn": """
        SELECT x.broadcast_id, x.subject_id FROM transitions x
         WHERE x.subject = 'offer' AND x.name = 'withdraw' AND x.from_status = 'offered'
           AND (SELECT count(*) FROM log_lines l JOIN events e ON e.id = l.event_id
                 WHERE l.user_id = x.subject_id AND e.event = 'offer_withdrawn'
                   AND e.data->>'broadcastId' = x.broadcast_id::text) <> 1""",
}

EFFECTS = {
    "a command that was refused or replays an earlier outcome has no effect": """
        SELECT DISTINCT m.id, m.name FROM mailbox m JOIN transitions x ON x.command_id = m.id
         WHERE m.status = 'rejected' OR m.replayed""",
    # A command may make the same transition in several steps: one `broadcasts.widen` makes further steps while rings
    # match no transporter.
    "no command takes effect twice": """
        SELECT cause, command_id, subject_id, name FROM transitions
         GROUP BY 1, 2, 3, 4, details->>'step' HAVING count(*) > 1""",
    "every settled command has one line with its outcome in its caller's log": """
        SELECT m.id, m.name, count(e.id) AS lines FROM mailbox m
          LEFT JOIN (log_lines l JOIN events e ON e.id = l.event_id AND e.event = 'command_settled')
            ON l.user_id = m.caller_id AND e.data->>'commandId' = m.id::text
         WHERE m.caller_id IS NOT NULL AND m.settled_at IS NOT NULL
         GROUP BY m.id, m.name HAVING count(e.id) <> 1""",
}
"""What commands may do, whatever happens to their messages."""

AT_MOST_ALL_ROUNDS = {
    "a search begins again at most REOFFER_ROUNDS times": f"""
        SELECT id, reoffer_rounds FROM broadcasts WHERE reoffer_rounds > {settings().reoffer_rounds}"""
}
"""A further truth, for tests that do not change REOFFER_ROUNDS."""


def violations(connection: Connection, truths: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    """Return the rows that violate these truths, by sentence.

    A first statement finds the violated truths, so one statement suffices if none is violated.
    """
    checks = [
        f"SELECT {number} AS number WHERE EXISTS ({query})" for number, query in enumerate(truths.values())
    ]
    violated = set(connection.execute(text(" UNION ALL ".join(checks))).scalars())
    return {
        sentence: [dict(row) for row in connection.execute(text(query)).mappings()]
        for number, (sentence, query) in enumerate(truths.items())
        if number in violated
    }
