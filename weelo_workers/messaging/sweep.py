"""The sweep: whatever in the mailbox is due and unsettled is taken up again.

It is the second clock of every timer and the safety net under every lost message. It works on the
database alone, so it goes on while the broker is away.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from uuid import UUID

from sqlalchemy import Row, text
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

# So often a worker is rung for before beat, which must live on, executes a command itself: with the pauses between them
# for longer than a worker takes that it killed, to come back.
WAKE_UPS = 2

# Where beat has many commands to settle itself, what comes due meanwhile has its turn this often.
TIMERS_EVERY_SECONDS = 0.3

# By the index of what the sweep looks for, and most often by its first entry.
_NEXT_TIMER = text(f"""
    SELECT EXTRACT(EPOCH FROM min(wake_at) - clock_timestamp())::float
      FROM mailbox
     WHERE {as_sql(active())} AND queue = '{TIMERS}'
""")

# Between two sweeps, however many timers come due one after the other, or are held by somebody.
SHORTEST_PAUSE_SECONDS = 0.1

_Overdue = Row[tuple[UUID, str, Queue, int, int, int]]

# statement_timestamp(), since an index cannot be searched by what changes meanwhile (clock_timestamp()).
# SKIP LOCKED: a row that a worker is settling at this moment, or that another sweep has, is not overdue.
# Each time a row is taken up it waits longer for its next turn, so a flood is not rung over and over. A timer waits
# longer only for having failed: what held it up may be over at any moment, and it is late already.
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
    """Take up what is overdue, for at most about `seconds`. Returns how many rows were taken up.

    A timer is settled here and now: it has waited long enough. A command is rung again first, since a
    busy queue is no fault; if its bell is silent, or was rung again in vain, it is settled here too.
    So is the next try of a timer that has failed: many of those must not be what the sweep is busy with.
    """
    bus.unmark_crashes()
    taken, cut_off = 0, False
    give_way_at = time.monotonic() + seconds
    while time.monotonic() < give_way_at:
        try:
            overdue = _take_up(bus)
        except DBAPIError as error:
            if is_disconnect(error) and not cut_off:
                cut_off = True  # the others from before the same end are gone as well: this one is new
                continue
            log.warning("the sweep waits for the database: %s", str(error).splitlines()[0])
            return taken
        timers_at = time.monotonic() + TIMERS_EVERY_SECONDS
        # RETURNING has an order of its own; a timer is worth more than a command, since nobody else wakes it.
        for row in sorted(overdue, key=lambda row: not _is_fresh_timer(row)):
            if time.monotonic() >= give_way_at and not _is_fresh_timer(row):
                break  # its turn comes again
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


def next_sweep_in(bus: Bus, *, at_most: float) -> float:
    """Seconds until the sweep is worthwhile again: when it could take up the next timer, if nobody else does."""
    if at_most <= SHORTEST_PAUSE_SECONDS:
        return SHORTEST_PAUSE_SECONDS  # also when it took so long because the database is not there
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
    """Those that have come due while commands were settled here: they can wait, a deadline cannot."""
    try:
        due = _take_up(bus, fresh_timers_only=True)
    except DBAPIError:
        return 0  # whoever comes next says so
    for row in due:
        bus.execute(row.id, swept=True)
    return len(due)


def _is_fresh_timer(row: _Overdue) -> bool:
    return row.queue == TIMERS and not row.attempts and not row.crashes


def _wake_again(bus: Bus, row: _Overdue) -> bool:
    command = REGISTRY.get(row.name)
    # Whoever waits for somebody outside would hold up the sweep.
    in_background = command is not None and command.runs_in_background
    if not in_background and not _is_worth_a_wake_up(bus, row):
        return False
    wake_up = WakeUp(row.id, row.name, row.queue)
    if bus.after_commit_executor is not None:
        # if nobody hears it, the row's next turn is in a second
        bus.after_commit_executor(partial(bus.wake, wake_up))
        return True
    try:
        bus.waker.wake(wake_up)
    except BrokerUnavailable:
        return in_background
    return True


def _is_worth_a_wake_up(bus: Bus, row: _Overdue) -> bool:
    rung = row.sweep_count - 1 - bool(row.crashes)  # since somebody came, and was lost
    return not _is_fresh_timer(row) and rung < (1 if bus.waker.recently_failed else WAKE_UPS)
