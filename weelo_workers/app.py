"""The Celery application: loads the handlers, registers a task per command, and runs the sweep in beat."""

from __future__ import annotations

import gc
import logging
import sys
import threading
import time
import warnings
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache, partial
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any
from uuid import UUID

from celery import Celery, signals
from celery.beat import Scheduler
from celery.exceptions import CPendingDeprecationWarning
from celery.worker import state
from celery.worker.consumer import Consumer, consumer
from celery.worker.state import maybe_shutdown
from kombu.transport import redis as redis_transport
from redis.exceptions import ExecAbortError, OutOfMemoryError, RedisError

from weelo_workers import tracing
from weelo_workers.backoff import backoff
from weelo_workers.contracts.command import REGISTRY
from weelo_workers.contracts.queues import QUEUES, TIMERS
from weelo_workers.doctor import stopped_beat
from weelo_workers.doctor.idle_queues import IdleQueueLog
from weelo_workers.doctor.recording import run_checks
from weelo_workers.logs.outages import Outage
from weelo_workers.market import counters as market_counters
from weelo_workers.messaging.batches import execute_batches
from weelo_workers.messaging.beat_heartbeats import BeatHeartbeats
from weelo_workers.messaging.bus import Bus
from weelo_workers.messaging.celery_settings import celery_settings
from weelo_workers.messaging.celery_waker import CeleryWaker
from weelo_workers.messaging.consumer_monitor import ConsumerMonitor
from weelo_workers.messaging.program_health import ProgramHealth
from weelo_workers.messaging.retention import run_purger
from weelo_workers.messaging.sweep import next_sweep_in, sweep, wake_again_after_outage
from weelo_workers.messaging.unacked import delete_settled_unacked
from weelo_workers.messaging.wakeup import BrokerUnavailable, WakeUp
from weelo_workers.messaging.worker_heartbeats import (
    NO_COMMAND,
    REPORT_EVERY_SECONDS,
    consumption,
    record_consumption,
    report,
)
from weelo_workers.metrics import counters, multiprocess_dir
from weelo_workers.metrics.server import MetricsServer
from weelo_workers.models.engine import DATABASE_ERRORS, connect, drop_inherited_connections, engine
from weelo_workers.notifications import live_stream
from weelo_workers.presence import evict_closed, evict_stale
from weelo_workers.settings import settings

log = logging.getLogger(__name__)

BACKGROUND_THREADS = 4
DELETE_UNACKED_EVERY_SECONDS = 10.0
PROBE_AFTER_SECONDS = 5.0
PROBE_AGAIN_SECONDS = 5.0
LONGEST_PROBE_PAUSE_SECONDS = 20.0
SWEPT_LATELY_SECONDS = 5.0

DOMAINS = (
    "broadcasts",
    "offers",
    "trips",
    "fleet",
    "notifications",
    "webhooks",
    "person",
    "relations",
    "policies",
)

app = Celery("weelo", config_source=celery_settings())


_consumers_broker = Outage("the broker that this worker consumes")


class DisconnectTolerantQoS(redis_transport.QoS):
    """kombu's record of unacknowledged messages, without the errors that end a worker when it loses Redis.

    After such a loss a worker returns or acknowledges its messages over the lost connection, and kombu (5.7.0) raises
    AttributeError. The messages then stay in Redis as unacknowledged. This does no harm: the sweep settles their
    commands, and beat deletes the messages.
    """

    def restore_unacked(self, client: Any = None) -> None:
        try:
            super().restore_unacked(client)  # type: ignore[no-untyped-call]
        except (RedisError, AttributeError) as lost:
            log.warning("%d messages could not be returned to their queues: %s", len(self._delivered), lost)
            self._delivered.clear()

    def ack(self, delivery_tag: Any) -> None:
        try:
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]
        except AttributeError as lost:
            log.warning("a message could not be acknowledged: %s", lost)

    def append(self, message: Any, delivery_tag: Any) -> None:
        try:
            super().append(message, delivery_tag)  # type: ignore[no-untyped-call]
        except (OutOfMemoryError, ExecAbortError) as full:
            # The worker has taken the message from its queue already, so it executes the command. If the worker dies
            # before the command is settled, Redis cannot redeliver the unrecorded message, and the sweep executes the
            # command.
            log.warning("a message could not be recorded as unacknowledged: %s", full)
            super(redis_transport.QoS, self).append(message, delivery_tag)  # type: ignore[no-untyped-call]


class _OneLinePerOutage(logging.Filter):
    """Drops Celery's log lines about attempts to reach the broker. `_consumers_broker` logs the outage once instead."""

    def filter(self, record: logging.LogRecord) -> bool:
        arguments = record.args if isinstance(record.args, tuple) else ()
        if record.msg == consumer.CONNECTION_ERROR:
            _consumers_broker.failed(arguments[1])
            return False
        if consumer.CONNECTION_RETRY in arguments:
            _consumers_broker.failed(str(arguments[-1]) or "the connection was lost")
            return False
        return True


class BackoffConsumer(Consumer):
    """Celery's consumer, limited to one retry per second while Redis accepts connections but refuses commands.

    Redis refuses commands if it is a replica, is loading, is full, or denies this user a command. Celery's own consumer
    would reconnect several times a second and log each attempt.
    """

    RETRY_SECONDS = 1.0

    _tried_at = -RETRY_SECONDS

    def connect(self) -> Any:
        self._pause_until(self._tried_at + self.RETRY_SECONDS)
        try:
            return super().connect()
        finally:
            self._tried_at = time.monotonic()

    def ensure_connected(self, conn: Any) -> Any:
        """Return the connection once its Redis accepts writes. Log when Redis first refuses, and when it accepts again."""
        refused = False
        while True:
            conn = super().ensure_connected(conn)
            if conn.transport.driver_type != "redis":
                return conn
            try:
                # This write changes nothing, but a full Redis refuses it. kombu would otherwise fail at its own next
                # write, a lock.
                conn.default_channel.client.set("no such key", "", xx=True)
            except self.connection_errors + self.channel_errors as refusal:
                conn.close()
                if not refused:
                    log.warning("waiting for Redis, which refuses commands: %s", refusal)
                refused = True
                self._pause_until(time.monotonic() + self.RETRY_SECONDS)
            else:
                if refused:
                    log.warning("Redis accepts commands again")
                _consumers_broker.answered()
                return conn

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        with warnings.catch_warnings():
            # Without this filter Celery prints seven lines of warning about a setting that celeryconfig.py already
            # sets.
            warnings.simplefilter("ignore", CPendingDeprecationWarning)
            super().on_connection_error_after_connected(exc)

    @staticmethod
    def _pause_until(moment: float) -> None:
        while (left := moment - time.monotonic()) > 0:
            maybe_shutdown()
            time.sleep(min(left, 0.1))


def load_handlers() -> None:
    """Import the modules that register functions when they are imported: all handlers, and the counter of outcomes."""
    import_module("weelo_workers.market.counting")
    for domain in DOMAINS:
        for module in iter_modules([str(Path(__file__).parent / domain)]):
            import_module(f"weelo_workers.{domain}.{module.name}")


_waker = CeleryWaker()
_health = ProgramHealth()


@lru_cache(maxsize=1)
def bus() -> Bus:
    """Return this process's bus."""
    return Bus(engine(), _waker)


class SweepingScheduler(Scheduler):
    """Replaces beat's scheduler: its `tick` runs the sweep, in beat's own process.

    The sweep executes commands whose messages the broker has lost, so it must not depend on a message itself.
    """

    def setup_schedule(self) -> None:
        # Beat's own thread executes overdue rows one after another. It waits only briefly for a locked row, because the
        # rows after it must not be delayed. A background thread writes to Redis, because otherwise a Redis that hangs
        # would delay the sweep by one time-out per call.
        self._background = ThreadPoolExecutor(1, thread_name_prefix="background")
        self._bus = Bus(
            connect(settings().database_url, lock_timeout="300ms", sandbox=settings().is_sandbox),
            _waker,
            after_commit_executor=self._background.submit,
        )
        self._heartbeats = _health.beat = BeatHeartbeats(self._bus.engine)
        # The checks have a thread and connections of their own, because their queries may be slow.
        checked = connect(settings().database_url, pool_size=1, sandbox=settings().is_sandbox)
        threading.Thread(target=run_checks, args=(checked,), name="checks", daemon=True).start()
        # The purger has a thread of its own, because a long batch must not delay a timer.
        ages = (settings().event_retention_days, settings().history_retention_days)
        threading.Thread(target=run_purger, args=(engine(), *ages), name="purger", daemon=True).start()
        self._tidying: Future[None] | None = None
        # Batches are executed in a thread of their own, because they wait for Redis.
        self._batches = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._batching: Future[int] | None = None
        self._tidy_next = self._delete_unacked_next = self._probe_next = 0.0
        self._outages_ended = 0
        self._idle_queues = IdleQueueLog()
        self._probes = dict.fromkeys(QUEUES, 0)
        self._probe_again = dict.fromkeys(QUEUES, 0.0)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Sweep once.

        Return the seconds until the next sweep: SWEEP_SECONDS, or less if a timer is due earlier. Beat waits for this
        time.
        """
        began = time.monotonic()
        if self._batching is None or self._batching.done():
            self._batching = self._batches.submit(execute_batches, engine())
        self._look_for_the_broker()
        sweep(self._bus, seconds=settings().sweep_seconds * 5)
        self._heartbeats.record_sweep()
        if time.monotonic() >= self._tidy_next and (self._tidying is None or self._tidying.done()):
            self._tidy_next = time.monotonic() + settings().sweep_seconds
            self._tidying = self._background.submit(self._purge_redis)
        took = time.monotonic() - began
        if took > 2 * settings().sweep_seconds:
            log.warning("a sweep took %.1f s", took)
        return next_sweep_in(self._bus, at_most=settings().sweep_seconds - took)

    def _look_for_the_broker(self) -> None:
        """Find out whether an outage of the broker has ended. If so, let workers execute the overdue commands."""
        if _waker.recently_failed:
            # Beat notices the end of an outage when a message can be sent again. It sends this message only to find
            # that out, because the next overdue command may come much later.
            name = next(name for name, command in REGISTRY.items() if not command.runs_in_background)
            self._background.submit(self._bus.wake, WakeUp(NO_COMMAND, name, REGISTRY[name].queue))
        if _waker.outages_ended != self._outages_ended:
            ended = _waker.outages_ended
            # If the database fails here, the next tick makes this call again.
            with suppress(*DATABASE_ERRORS):
                overdue = wake_again_after_outage(self._bus.engine)
                self._outages_ended = ended
                log.info(
                    "after the outage of the broker, workers are woken again for %d overdue commands", overdue
                )

    def _purge_redis(self) -> None:
        with suppress(RedisError):
            evict_stale(at_most=1_000)
            evict_closed(at_most=1_000)
        if time.monotonic() >= self._delete_unacked_next:
            self._delete_unacked_next = time.monotonic() + DELETE_UNACKED_EVERY_SECONDS
            delete_settled_unacked(self._bus.engine)
            with suppress(RedisError):
                live_stream.trim()
        if time.monotonic() >= self._probe_next:
            self._probe_queues()

    def _probe_queues(self) -> None:
        """Send a message without a command to each queue from which no message was consumed for some seconds.

        The consumption of this message proves that workers and database respond, even while there are no commands. The
        message stays in its queue until a worker consumes it. Further messages follow at growing intervals, in case one
        was lost.
        """
        now = time.monotonic()
        self._probe_next = now + 1.0
        with suppress(RedisError, BrokerUnavailable):
            of_queues = consumption()
            if self._has_swept_lately():
                self._idle_queues.note(of_queues)
            else:
                self._idle_queues.forget()
            for queue, seen in of_queues.items():
                if seen.consumed_seconds < PROBE_AFTER_SECONDS:
                    self._probes[queue], self._probe_again[queue] = 0, 0.0
                elif now >= self._probe_again[queue]:
                    self._probes[queue] += 1
                    self._probe_again[queue] = now + backoff(
                        self._probes[queue], first=PROBE_AGAIN_SECONDS, longest=LONGEST_PROBE_PAUSE_SECONDS
                    )
                    _waker.wake(WakeUp(NO_COMMAND, _PROBE_NAMES[queue], queue))

    def _has_swept_lately(self) -> bool:
        """Return whether a sweep ended a moment ago, which means that the database answered."""
        swept_at = self._heartbeats.swept_at
        return swept_at is not None and time.monotonic() - swept_at < SWEPT_LATELY_SECONDS


def _task_for(name: str) -> None:
    @app.task(name=name, bind=True)
    def settle(self: Any, command_id: str) -> None:
        redelivered = bool((self.request.delivery_info or {}).get("redelivered"))
        execute = partial(bus().execute, UUID(command_id), redelivered=redelivered)
        if REGISTRY[name].runs_in_background:
            # The message may be acknowledged before the command ends. If this process dies in between, the sweep
            # executes the command.
            _background_pool().submit(execute)
        elif execute() and UUID(command_id) == NO_COMMAND:
            record_consumption(REGISTRY[name].queue)


@lru_cache(maxsize=1)
def _background_pool() -> ThreadPoolExecutor:
    """Return the threads for commands that wait for an external service, so that the worker need not wait."""
    return ThreadPoolExecutor(BACKGROUND_THREADS, thread_name_prefix="background")


@lru_cache(maxsize=1)
def _own_metrics() -> MetricsServer | None:
    """Return the metrics server of this worker and its children, or of beat; None without METRICS_PORT."""
    port = settings().metrics_port
    if not port:
        return None
    return MetricsServer(settings().metrics_host, port, _health.why_not_ready, _health.clock_skew)


@signals.setup_logging.connect
def _keep_our_logging(**_: Any) -> None:
    """Do nothing. Celery configures logging (in workers, beat and after a fork) unless this signal has a receiver."""


@signals.worker_init.connect
def _tolerate_disconnects(**_: Any) -> None:
    redis_transport.Channel.QoS = DisconnectTolerantQoS
    consumer.logger.addFilter(_OneLinePerOutage())


@signals.worker_init.connect
def _restart_by_the_same_command(**_: Any) -> None:
    # On SIGHUP Celery restarts the worker as `python` with the arguments in sys.argv. Python has replaced `-P` and `-m`
    # there by the path of `__main__.py`. With that path, the new process would import modules from the directory
    # `weelo_workers` first. So sys.argv is set to the original arguments.
    sys.argv[:] = sys.orig_argv[1:]


@signals.worker_init.connect
def _count_worker(**_: Any) -> None:
    counters.count_start("worker")


@signals.beat_init.connect
def _count_beat(**_: Any) -> None:
    counters.count_start("beat")


@signals.worker_init.connect
@signals.beat_init.connect
def _serve_metrics(**_: Any) -> None:
    counters.initialize()
    market_counters.initialize()
    if server := _own_metrics():
        server.start()


@signals.worker_init.connect
def _before_fork(**_: Any) -> None:
    # The garbage collector writes into each object that it visits, so forked processes would get copies of the memory
    # of imported objects. These objects are never freed, so the collector need not visit them.
    gc.collect()
    gc.freeze()


@signals.worker_process_init.connect
def _after_fork(**_: Any) -> None:
    if server := _own_metrics():
        server.drop_inherited()
    multiprocess_dir.make_again_if_deleted()
    counters.open_files()
    counters.count_start("child")
    drop_inherited_connections()
    bus.cache_clear()
    # No command has this id, so nothing is executed. The search for the id opens the connection and prepares the
    # statements before the first real command arrives. If the database cannot be reached, the bus logs this and
    # returns.
    bus().execute(NO_COMMAND)


@signals.worker_process_shutdown.connect
def _before_exit(**_: Any) -> None:
    tracing.flush()


@signals.worker_ready.connect
def _start_heartbeat(sender: Any, **_: Any) -> None:
    """Report which queues this worker consumes, now and every few seconds, from its own event loop."""
    queues = [queue.name for queue in sender.task_consumer.queues]
    monitor = _health.consumers = ConsumerMonitor(queues)

    def observe() -> None:
        # Other threads change the sets `reserved_requests` and `active_requests`. If a set changes while it is read,
        # Python raises RuntimeError. The sets are then read again for the next report.
        with suppress(RuntimeError):
            waiting = {each.id: each.name for each in state.reserved_requests - state.active_requests}
            monitor.tick(waiting, state.total_count)
        report(sender.hostname, queues, monitor.held(), monitor.accepted())

    observe()
    sender.timer.call_repeatedly(REPORT_EVERY_SECONDS, observe)
    if TIMERS in queues:
        stopped_beat.start_watching()


load_handlers()
_PROBE_NAMES = {command.queue: name for name, command in REGISTRY.items() if not command.runs_in_background}
for _name in REGISTRY:
    _task_for(_name)
