"""Figures of the whole system, read from PostgreSQL and Redis at each scrape. Every API process shows the same."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import TypeVar

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from redis.exceptions import RedisError, ResponseError

from weelo_workers.clock import clock_skew
from weelo_workers.contracts.queues import Queue
from weelo_workers.doctor.checks.processes import idle_queues, late_sweep
from weelo_workers.messaging.worker_heartbeats import Consumption, consumption
from weelo_workers.metrics.gauges import CLOCK_SKEW, ReadGauge
from weelo_workers.models.engine import DATABASE_ERRORS, autocommit_engine
from weelo_workers.presence.overview import count_online
from weelo_workers.queries import backlog as mailbox, health
from weelo_workers.with_timeout import NoThread, WithTimeout

log = logging.getLogger(__name__)

Read = TypeVar("Read")

DATABASE_UP = ReadGauge("weelo_database_up", "1 if the database answered this scrape, else 0")
REDIS_UP = ReadGauge("weelo_redis_up", "1 if the Redis of REDIS_URL answered this scrape, else 0")
QUEUE_DEPTH = ReadGauge("weelo_queue_depth", "Number of due and unsettled rows of the mailbox", "queue")
QUEUE_OLDEST = ReadGauge(
    "weelo_queue_oldest_seconds",
    "How long the oldest due and unsettled row of the mailbox has been due",
    "queue",
)
TIMERS_PENDING = ReadGauge(
    "weelo_timers_pending", "Number of rows of the mailbox that are not due yet", "queue"
)
TIMER_OLDEST = ReadGauge(
    "weelo_timer_oldest_seconds",
    "How long the oldest due timer of each kind has been due; 0 if none is due",
    "name",
)
FAILING = ReadGauge("weelo_failing", "Number of rows that failed and will be tried again", "queue")
PARKED = ReadGauge("weelo_parked", "Number of rows that were given up after repeated errors", "queue")
UNSENT = ReadGauge(
    "weelo_events_unsent", "Number of events of an earlier version that are not in the logs yet"
)
UNSENT_AGE = ReadGauge(
    "weelo_events_unsent_age_seconds",
    "Age of the oldest event of an earlier version that is not in the logs yet",
)
CONSUMERS = ReadGauge("weelo_consumers", "Number of workers that consume the queue", "queue")
LAST_CONSUMED = ReadGauge(
    "weelo_queue_last_consumed_seconds",
    "Time since a worker last consumed a message of the queue; beat sends one to an idle queue every few seconds",
    "queue",
)
HELD = ReadGauge(
    "weelo_queue_held_seconds",
    "How long the oldest message in a worker has waited for one of its child processes",
    "queue",
)
LAST_SWEEP = ReadGauge("weelo_sweep_last_seconds", "Time since beat last swept")
ONLINE = ReadGauge(
    "weelo_transporters_online",
    "Number of transporters who have sent a heartbeat within PRESENCE_TTL_SECONDS",
)
CHECK_FAILING = ReadGauge(
    "weelo_check_failing",
    "1 if the check of `weelo doctor` has a finding, else 0; see docs/runbooks/checks.md",
    "check",
)
CHECKS_LAST_RUN = ReadGauge(
    "weelo_checks_last_run_timestamp_seconds",
    "When beat last ran the checks, in seconds since the epoch; 0: never",
)


@dataclass(frozen=True, slots=True)
class _Rows:
    """What one scrape reads from PostgreSQL. `sweep_seconds`: None if beat has never swept."""

    backlog: list[mailbox.Backlog]
    unsent: mailbox.Unsent
    timers: Mapping[str, float]
    sweep_seconds: float | None
    checks: health.CheckStates
    skew_seconds: float


@WithTimeout
def _rows() -> _Rows:
    with autocommit_engine().connect() as connection:
        return _Rows(
            mailbox.by_queue(connection),
            mailbox.unsent_events(connection),
            mailbox.oldest_timers(connection),
            health.seconds_since_sweep(connection),
            health.check_states(connection),
            clock_skew(connection),
        )


@dataclass(frozen=True, slots=True)
class _Keys:
    """What one scrape reads from Redis. `online`: how many transporters are online; None if Redis refuses the query."""

    consumption: Mapping[Queue, Consumption]
    online: int | None


@WithTimeout
def _keys() -> _Keys:
    seen = consumption()
    try:
        return _Keys(seen, count_online())
    except ResponseError as refusal:  # for example, Redis may permit this user no scripts
        log.warning("transporters online cannot be counted: %s", refusal)
        return _Keys(seen, None)


class SystemCollector(Collector):
    """Reads PostgreSQL and Redis at the same time, for about 2 s at most. Reads the primary, because a replica may lag."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        reading_rows, reading_keys = _begin(_rows), _begin(_keys)
        rows = _wait(reading_rows, "the database")
        keys = _wait(reading_keys, "Redis")
        yield DATABASE_UP.with_value(rows is not None)
        yield REDIS_UP.with_value(keys is not None)
        if rows is not None:
            yield from _from_rows(rows)
        if keys is not None:
            yield from _from_keys(keys)
        yield CHECK_FAILING.with_values(_checks(rows, keys))


def _from_rows(rows: _Rows) -> Iterator[GaugeMetricFamily]:
    yield QUEUE_DEPTH.with_values({line.queue: line.due for line in rows.backlog})
    yield QUEUE_OLDEST.with_values({line.queue: line.oldest_seconds for line in rows.backlog})
    yield TIMERS_PENDING.with_values({line.queue: line.later for line in rows.backlog})
    yield TIMER_OLDEST.with_values(rows.timers)
    yield FAILING.with_values({line.queue: line.failing for line in rows.backlog})
    yield PARKED.with_values({line.queue: line.parked for line in rows.backlog})
    yield UNSENT.with_value(rows.unsent.count)
    yield UNSENT_AGE.with_value(rows.unsent.oldest_seconds)
    yield LAST_SWEEP.with_value(inf if rows.sweep_seconds is None else rows.sweep_seconds)
    yield CLOCK_SKEW.with_value(rows.skew_seconds)
    yield CHECKS_LAST_RUN.with_value(rows.checks.ended_at or 0)


def _from_keys(keys: _Keys) -> Iterator[GaugeMetricFamily]:
    yield CONSUMERS.with_values({queue: seen.workers for queue, seen in keys.consumption.items()})
    yield LAST_CONSUMED.with_values(
        {queue: seen.consumed_seconds for queue, seen in keys.consumption.items()}
    )
    yield HELD.with_values({queue: seen.held_seconds for queue, seen in keys.consumption.items()})
    if keys.online is not None:
        yield ONLINE.with_value(keys.online)


def _checks(rows: _Rows | None, keys: _Keys | None) -> dict[str, float]:
    """Return 1 for each check with a finding, and 0 for the others.

    Most results are those that beat has stored. Some checks are made again here, because their results change within
    seconds, or because the stored result is wrong while beat is stopped.
    """
    found: dict[str, float] = (
        {name: float(failing) for name, failing in rows.checks.failing.items()} if rows else {}
    )
    found["database"] = float(rows is None)
    sweeps = False
    if rows is not None:
        sweeps = late_sweep(rows.sweep_seconds) is None
        found["beat-not-sweeping"] = float(not sweeps)
    if keys is None:
        found["redis"] = 1.0
    else:
        found.setdefault("redis", 0.0)
        found["worker-not-consuming"] = float(any(idle_queues(keys.consumption, is_probed=sweeps)))
    return found


def _begin(read: WithTimeout[Read]) -> Callable[[], Read] | None:
    try:
        return read.begin()
    except NoThread as refusal:
        log.warning("the metrics of the system cannot be read: %s", refusal)
        return None


def _wait(result: Callable[[], Read] | None, server: str) -> Read | None:
    """Wait for a read that has begun, and return its result. Return None if the server did not answer."""
    if result is None:
        return None
    try:
        return result()
    except (TimeoutError, RedisError, *DATABASE_ERRORS) as error:
        log.warning(
            "the metrics from %s cannot be read: %s",
            server,
            str(error).partition("\n")[0] or "it does not answer",
        )
        return None
