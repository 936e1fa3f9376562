"""The sweep: finds rows of the mailbox that are due and unsettled, and wakes a worker for them or executes them.

It covers lost messages and late countdowns. It needs the database only, so it works while the broker is away.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

from sqlalchemy import Engine, Row, text
from sqlalchemy.exc import DBAPIError

from weelo_workers.contracts.command import REGISTRY
from weelo_workers.contracts.queues import TIMERS, Queue
from weelo_workers.log_rate_limit import RateLimitFilter
from weelo_workers.messaging.bus import Bus
from weelo_workers.messaging.wakeup import BrokerUnavailable, WakeUp
from weelo_workers.metrics import counters
from weelo_workers.models.engine import DATABASE_ERRORS, is_disconnect
from weelo_workers.models.mailbox import active, as_sql, untroubled

log = logging.getLogger(__name__)
log.addFilter(RateLimitFilter())

BATCH = 200

WAKE_UPS = 2
"""This many wake-ups are sent before beat executes a command itself.

A command may crash its process, and beat must not crash. During the pauses between the wake-ups, a crashed worker can
be restarted.
"""

WAKE_UPS_AFTER_A_CRASH = 5
"""The same for a command that may have crashed a process before. The pauses between these wake-ups add up to more than a
minute, because a worker on a busy machine may need that long to start again."""

TIMERS_EVERY_SECONDS = 0.3
"""While beat executes many commands itself, it looks for timers that have come due this often."""

# This query is answered from the index `mailbox_what_the_sweep_looks_for`, usually from its first entry.
_NEXT_TIMER = text(f"""
    SELECT EXTRACT(EPOCH FROM min(wake_at) - clock_timestamp())::float
      FROM mailbox
     WHERE {as_sql(active())} AND queue = '{TIMERS}'
""")

# SKIP LOCKED: a locked row is being executed, so it needs no wake-up.
_WAKE_AGAIN = text(f"""
    UPDATE mailbox SET sweep_count = 0, wake_at = LEAST(wake_at, clock_timestamp())
     WHERE id IN (SELECT id FROM mailbox
                   WHERE {as_sql(active())} AND queue <> '{TIMERS}' AND sweep_count > 0 AND {as_sql(untroubled())}
                     FOR UPDATE SKIP LOCKED)
""")

SHORTEST_PAUSE_SECONDS = 0.1
"""The shortest pause between two sweeps, however many timers come due or are locked by another transaction."""

_Overdue = Row[tuple[UUID, str, Queue, int, int, int]]

# The comparison uses statement_timestamp(), because PostgreSQL cannot search an index for clock_timestamp(), whose
# value changes during the statement. SKIP LOCKED is used, because a locked row is being settled by a worker or handled
# by another sweep. Each time this statement returns a command, the pause before it may return the command again grows,
# so that a full queue does not get ever more wake-ups. The pause of a timer grows only after failures. A timer that
# only waits for a locked row is tried again soon, because the lock may be released at any time.
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
    """Execute overdue rows or wake workers for them, for at most about `seconds`. Return the number of these rows.

    A timer is executed here at once, because it is late already. For any other command a worker is woken first, because
    the command may only be waiting in a busy queue; it is executed here if the broker is unavailable or no worker has
    responded to the wake-ups. A timer that has failed before is treated like a command, so that many failing timers do
    not delay the others.
    """
    bus.unmark_crashes()
    taken, cut_off = 0, False
    stop_at = time.monotonic() + seconds
    while time.monotonic() < stop_at:
        try:
            overdue = _take_up(bus)
        except DBAPIError as error:
            if is_disconnect(error) and not cut_off:
                # The pool has dropped all its old connections, so one retry with a new connection may succeed.
                cut_off = True
                continue
            log.warning("the sweep waits for the database: %s", str(error).splitlines()[0])
            return taken
        timers_at = time.monotonic() + TIMERS_EVERY_SECONDS
        # RETURNING does not keep the order of the subquery, so the rows are sorted again. Timers that have not failed
        # come first, because the sweep executes them itself and wakes no worker for them.
        for row in sorted(overdue, key=lambda row: not _is_fresh_timer(row)):
            if time.monotonic() >= stop_at and not _is_fresh_timer(row):
                break  # a later sweep handles the remaining rows
            if time.monotonic() >= timers_at and not _is_fresh_timer(row):
                taken += _settle_fresh_timers(bus)
                timers_at = time.monotonic() + TIMERS_EVERY_SECONDS
            if not _wake_again(bus, row):
                bus.execute(row.id, swept=True)
        taken += len(overdue)
        if len(overdue) < BATCH:
            break
    if taken:
        log.info("the sweep took up %d overdue commands", taken)
    return taken


def wake_again_after_outage(engine: Engine) -> int:
    """Make the next sweeps wake workers for all overdue commands. Return the number of these commands.

    Called after an outage of the broker. The wake-ups sent during the outage were lost, so a command's `sweep_count`
    does not show whether workers respond, and is reset. Otherwise beat would execute all these commands itself.
    """
    with engine.begin() as connection:
        return connection.execute(_WAKE_AGAIN).rowcount


def next_sweep_in(bus: Bus, *, at_most: float) -> float:
    """Return the seconds until the sweep may execute the next timer, but at most `at_most`."""
    if at_most <= SHORTEST_PAUSE_SECONDS:
        # The last sweep took long. The database may be unavailable, so it is not queried for the next timer.
        return SHORTEST_PAUSE_SECONDS
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
    """Execute timers that have come due since the sweep read its rows. Return how many."""
    try:
        due = _take_up(bus, fresh_timers_only=True)
    except DBAPIError:
        return 0  # Not logged here: the sweep's next statement raises the same error, and `sweep` logs it.
    for row in due:
        bus.execute(row.id, swept=True)
    return len(due)


def _is_fresh_timer(row: _Overdue) -> bool:
    return row.queue == TIMERS and not row.attempts and not row.crashes


def _wake_again(bus: Bus, row: _Overdue) -> bool:
    """Return whether a worker was woken for the row. If not, the caller executes it."""
    command = REGISTRY.get(row.name)
    if command is None:
        # During a deploy there may be workers of a newer version, which know the command. The caller executes the row
        # all the same, which records that this version does not know the command.
        bus.wake_soon(WakeUp(row.id, row.name, row.queue))
        return False
    # A command that waits for another system is never executed here: it would delay the sweep.
    in_background = command.runs_in_background
    if not in_background and not _is_worth_a_wake_up(bus, row):
        return False
    wake_up = WakeUp(row.id, row.name, row.queue)
    if bus.after_commit_executor is not None:
        # If the wake-up cannot be sent, the row is swept again a second later.
        bus.wake_soon(wake_up)
        return True
    try:
        bus.waker.wake(wake_up)
    except BrokerUnavailable:
        return in_background
    return True


def _is_worth_a_wake_up(bus: Bus, row: _Overdue) -> bool:
    # `in_vain` counts wake-ups to which no worker responded. If a possible crash is counted, one wake-up did reach a
    # worker, which then crashed, so that wake-up is subtracted.
    in_vain = row.sweep_count - 1 - bool(row.crashes)
    enough = WAKE_UPS_AFTER_A_CRASH if row.crashes else WAKE_UPS
    return not _is_fresh_timer(row) and in_vain < (1 if bus.waker.recently_failed else enough)
