"""The metrics that processes count themselves. Figures that the database can provide are queried when /metrics is read."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from weelo_workers.contracts.queues import QUEUES

IN_THIS_PROCESS = CollectorRegistry()
"""The registry of the metrics below. It is read directly only in a process without a multiprocess directory."""

_FAST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

COMMANDS = Counter(
    "weelo_commands",
    "Commands, timers and pushes by outcome; failed: an attempt that raised an unexpected error",
    ["name", "outcome"],
    registry=IN_THIS_PROCESS,
)
COMMAND_SECONDS = Histogram(
    "weelo_command_seconds",
    "Seconds from accepted to settled, of commands from callers",
    ["queue"],
    buckets=_FAST,
    registry=IN_THIS_PROCESS,
)
TIMER_LATE_SECONDS = Histogram(
    "weelo_timer_late_seconds",
    "Seconds from due to fired, by the database's clock",
    buckets=_FAST,
    registry=IN_THIS_PROCESS,
)
TIMERS_FIRED = Counter(
    "weelo_timers_fired",
    "Timers by what fired them: countdown, or sweep, which rises when the broker loses messages",
    ["by"],
    registry=IN_THIS_PROCESS,
)
SERIALIZATION_RETRIES = Counter(
    "weelo_serialization_retries",
    "Transactions retried after a serialization failure or a deadlock (40001, 40P01)",
    registry=IN_THIS_PROCESS,
)
PUSHES = Counter(
    "weelo_pushes",
    "Pushes by FCM's response: sent, later (retried), gone, refused; unsent: no credentials",
    ["result"],
    registry=IN_THIS_PROCESS,
)
WEBHOOK_ATTEMPTS = Counter(
    "weelo_webhook_attempts",
    "Posts to webhooks by result: delivered; refused, gone (statuses); timeout, unreachable, forbidden (addresses)",
    ["result"],
    registry=IN_THIS_PROCESS,
)
WEBHOOK_SECONDS = Histogram(
    "weelo_webhook_attempt_seconds",
    "Seconds of a post to a webhook, from the look-up of its host to the answer",
    buckets=_FAST,
    registry=IN_THIS_PROCESS,
)
SLO_EVENTS = Counter(
    "weelo_slo_events",
    "Events that a service level objective counts: accept_to_frame (as weelo_accept_frame_seconds), timer_lateness",
    ["slo"],
    registry=IN_THIS_PROCESS,
)
SLO_GOOD_EVENTS = Counter(
    "weelo_slo_good_events",
    "Events of weelo_slo_events_total that took at most 1 s",
    ["slo"],
    registry=IN_THIS_PROCESS,
)
SWEPT = Counter("weelo_swept", "Overdue rows that the sweep took up", ["queue"], registry=IN_THIS_PROCESS)
PROCESSES = Gauge(
    "weelo_processes",
    "Number of running processes by kind: api, worker, child (of a worker), beat",
    ["kind"],
    multiprocess_mode="livesum",
    registry=IN_THIS_PROCESS,
)
PROCESS_START = Gauge(
    "weelo_process_start_timestamp_seconds",
    "When the newest running process of the kind started, in seconds since the epoch",
    ["kind"],
    multiprocess_mode="livemax",
    registry=IN_THIS_PROCESS,
)
PROCESS_STARTS = Counter(
    "weelo_process_starts",
    "Starts of processes by kind. An increase without a deployment means restarts",
    ["kind"],
    registry=IN_THIS_PROCESS,
)


def count_start(kind: str) -> None:
    """Count the start of this process. `kind`: api, worker, child or beat."""
    PROCESSES.labels(kind).set(1)
    PROCESS_START.labels(kind).set(time.time())
    PROCESS_STARTS.labels(kind).inc()


ACCEPT_TO_FRAME = "accept_to_frame"
"""The objective that the outcome of an accept is sent to the transporter's socket within a second; 99 %."""

TIMER_LATENESS = "timer_lateness"
"""The objective that a timer is executed within a second after it is due; 99.9 %."""

IN_TIME_SECONDS = 1.0
"""The limit of both objectives. It is a bucket of both histograms."""


def count_for_slo(slo: str, seconds: float) -> None:
    """Count one event of this service level objective. `seconds`: how long it took."""
    SLO_EVENTS.labels(slo).inc()
    if seconds <= IN_TIME_SECONDS:
        SLO_GOOD_EVENTS.labels(slo).inc()


def initialize() -> None:
    """Create the series of several counters with the value zero. Called when a process that executes commands starts.

    Otherwise /metrics would not contain a series before its first event, perhaps days later.
    """
    for by in ("countdown", "sweep"):
        TIMERS_FIRED.labels(by)
    SLO_EVENTS.labels(TIMER_LATENESS)
    SLO_GOOD_EVENTS.labels(TIMER_LATENESS)
    for queue in QUEUES:
        SWEPT.labels(queue)
    for result in ("sent", "later", "gone", "refused", "unsent"):
        PUSHES.labels(result)
    for result in ("delivered", "refused", "gone", "timeout", "unreachable", "forbidden"):
        WEBHOOK_ATTEMPTS.labels(result)


def open_files() -> None:
    """Open this process's files of the multiprocess directory now. Call this after a fork.

    Otherwise prometheus_client opens them at the first count, and raises if the directory was deleted meanwhile.
    """
    SERIALIZATION_RETRIES.inc(0)
