"""The sweep: finds rows of the mailbox that are due and unsettled, and wakes a worker for them or executes them.

It covers lost messages and late countdowns. It needs the database only, so it works while the broker is away.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from uuid import UUID

from sqlalchemy import Engine, Row, text
from sqlalchemy.exc import DBAPIError

from weelo_workers.contracts.command import REGISTRY
from weelo_workers.contracts.queues import TIMERS, Queue
from weelo_workers.messaging.bus import Bus
from weelo_workers.messaging.wakeup import BrokerUnavailable, WakeUp
from weelo_workers.metrics import counters
from weelo_workers.models.engine import DATABASE_ERRORS, is_disconnect
from weelo_workers.models.mailbox import active, as_sql, untroubled

log = logging.getLogger(__name__)

BATCH = 200

WAKE_UPS = 2
"""This many wake-ups are sent before beat executes a command itself.

A command may crash its process, and beat must stay alive: with the pauses between the wake-ups a crashed worker has
time to be replaced.
"""

TIMERS_EVERY_SECONDS = 0.3
"""While beat executes many commands itself, it looks for timers that have come due this often."""

# This query is answered from the index `mailbox_what_the_sweep_looks_for`, usually from its first entry.
_NEXT_TIMER = text(f"""
    SELECT EXTRACT(EPOCH FROM min(wake_at) - clock_timestamp())::float
      FROM mailbox
     WHERE {as_sql(active())} AND queue = '{TIMERS}'
""")

# Rows that are locked are being executed.
_WAKE_AGAIN = text(f"""
    UPDATE mailbox SET sweep_count = 0, wake_at = LEAST(wake_at, clock_timestamp())
     WHERE id IN (SELECT id FROM mailbox
                   WHERE {as_sql(active())} AND queue <> '{TIMERS}' AND sweep_count > 0 AND {as_sql(untroubled())}
                     FOR UPDATE SKIP LOCKED)
""")

SHORTEST_PAUSE_SECONDS = 0.1
"""The shortest pause between two sweeps, however many timers come due or are locked by another transaction."""

_Overdue = Row[tuple[UUID, str, Queue, int, int, int]]

# statement_timestamp(), because PostgreSQL cannot search an index for clock_timestamp(), which changes meanwhile. SKIP
# LOCKED, because a locked row is being settled by a worker or taken up by another sweep. Each time a command is taken
# up, its next sweep is later, so that a full queue does not get ever more wake-ups. For a timer that is so only if it
# has failed: waiting would make its deadline later, and a lock that blocks it may be released at any time.
_FRESH_TIMER = f"(queue = '{TIMERS}' AND {as_sql(untroubled())})"
_TAKE_UP = text(f"""
    UPDATE mailbox
       SET sweep_count = LEAST(sweep_count + 1, 1000),
           wake_at = clock_timestamp() + interval '1 second'
                     * LEAST(power(2, LEAST(CASE queue WHEN '{TIMERS}' THEN attempts + crashes ELSE sweep_count END, 10)), 30)
     WHERE id IN (SELECT id FROM mailbox
                   WHERE {as_sql(active())} AND wake_at <= statement_timestamp()
                     AND (NOT :fresh_timers_only OR {_FRESH_TIMER})
                   ORDER BY {_FRESH_TIMER} DESC, wake_at
                   LIMIT :batch
                     FOR UPDATE SKIP LOCKED)
    RETURNING id, name, queue, sweep_count, attempts, crashes
""")


def sweep(bus: Bus, *, seconds: float) -> int:
    """Take up overdue rows, for at most about `seconds`. Return how many were taken up.

    A timer is executed here at once, because it is late already. For a command a worker is woken first, because it may
    only be waiting in a busy queue. It is executed here if the broker is unavailable or the wake-ups led to nothing. The
    same holds for timers that have failed before, so that many of them do not keep the sweep from the others.
    """
    bus.unmark_crashes()
    taken, cut_off = 0, False
    stop_at = time.monotonic() + seconds
    while time.monotonic() < stop_at:
        try:
            overdue = _take_up(bus)
        except DBAPIError as error:
            if is_disconnect(error) and not cut_off:
                cut_off = True  # the pool has dropped its other old connections too, so the next one is new
                continue
            log.warning("the sweep waits for the database: %s", str(error).splitlines()[0])
            return taken
        timers_at = time.monotonic() + TIMERS_EVERY_SECONDS
        # RETURNING keeps no order. Timers come first, because they are executed here only.
        for row in sorted(overdue, key=lambda row: not _is_fresh_timer(row)):
            if time.monotonic() >= stop_at and not _is_fresh_timer(row):
                break  # a later sweep takes it up again
            if time.monotonic() >= timers_at and not _is_fresh_timer(row):
                taken += _settle_fresh_timers(bus)
                timers_at = time.monotonic() + TIMERS_EVERY_SECONDS
            if not _wake_again(bus, row):
                bus.execute(row.id, swept=True)
        taken += len(overdue)
        if len(overdue) < BATCH:
            break
    if taken:
        log.info("took up %d overdue", taken)
    return taken


def wake_again_after_outage(engine: Engine) -> int:
    """Make the next sweeps wake workers for every overdue command, after an outage of the broker. Return how many there are.

    The wake-ups sent during the outage were lost, so they do not show whether workers respond. Without this, beat would
    execute the whole backlog by itself.
    """
    with engine.begin() as connection:
        return connection.execute(_WAKE_AGAIN).rowcount


def next_sweep_in(bus: Bus, *, at_most: float) -> float:
    """Return the seconds until the next sweep: until it can take up the next timer, at most `at_most`."""
    if at_most <= SHORTEST_PAUSE_SECONDS:
        return SHORTEST_PAUSE_SECONDS  # also if the last sweep took long because the database is unavailable
    until_timer = None
    with suppress(*DATABASE_ERRORS), bus.engine.connect() as connection:
        until_timer = connection.execute(_NEXT_TIMER).scalar()
    return max(SHORTEST_PAUSE_SECONDS, at_most if until_timer is None else min(at_most, until_timer))


def _take_up(bus: Bus, *, fresh_timers_only: bool = False) -> Sequence[_Overdue]:
    with bus.engine.begin() as connection:
        overdue = connection.execute(_TAKE_UP, {"batch": BATCH, "fresh_timers_only": fresh_timers_only}).all()
    for row in overdue:
        counters.SWEPT.labels(row.queue).inc()
    return overdue


def _settle_fresh_timers(bus: Bus) -> int:
    """Execute timers that have come due while commands were executed here. Return how many."""
    try:
        due = _take_up(bus, fresh_timers_only=True)
    except DBAPIError:
        return 0  # the next statement of the sweep fails as well, and is logged
    for row in due:
        bus.execute(row.id, swept=True)
    return len(due)


def _is_fresh_timer(row: _Overdue) -> bool:
    return row.queue == TIMERS and not row.attempts and not row.crashes


def _wake_again(bus: Bus, row: _Overdue) -> bool:
    """Wake a worker for the row, unless it should be executed here. Return whether that was done."""
    command = REGISTRY.get(row.name)
    # A command that waits for another system is never executed here: it would delay the sweep.
    in_background = command is not None and command.runs_in_background
    if not in_background and not _is_worth_a_wake_up(bus, row):
        return False
    wake_up = WakeUp(row.id, row.name, row.queue)
    if bus.after_commit_executor is not None:
        # If the wake-up cannot be sent, the row is taken up again after a second.
        bus.after_commit_executor(partial(bus.wake, wake_up))
        return True
    try:
        bus.waker.wake(wake_up)
    except BrokerUnavailable:
        return in_background
    return True


def _is_worth_a_wake_up(bus: Bus, row: _Overdue) -> bool:
    # A sweep before a possible crash is not counted: its wake-up did reach a worker.
    in_vain = row.sweep_count - 1 - bool(row.crashes)
    return not _is_fresh_timer(row) and in_vain < (1 if bus.waker.recently_failed else WAKE_UPS)
