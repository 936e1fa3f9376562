"""The API's metrics for Prometheus: figures of the whole system, and the counters of all processes of this API."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.registry import Collector

from weelo_api.metrics.system import SystemCollector
from weelo_api.websocket.hub import hub
from weelo_workers.metrics import counters, merging, multiprocess_dir
from weelo_workers.metrics.counters import IN_THIS_PROCESS

PUBLISH_EVERY_SECONDS = 0.5

SOCKETS_OPEN = Gauge(
    "weelo_sockets_open", "Number of open WebSockets", multiprocess_mode="livesum", registry=IN_THIS_PROCESS
)
FRAMES_SENT = Counter("weelo_frames_sent", "Frames sent to sockets", registry=IN_THIS_PROCESS)
FRAMES_FAILED = Counter(
    "weelo_frames_failed", "Frames not sent because the client was gone or too slow", registry=IN_THIS_PROCESS
)
ACCEPT_FRAME_SECONDS = Histogram(
    "weelo_accept_frame_seconds",
    "Seconds from storing an accept to writing the frame with its outcome, on sockets that were open all the time",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
    registry=IN_THIS_PROCESS,
)


class ProcessCounters(Collector):
    """Collects the sums over all processes of this API, whichever of them is scraped.

    Under `weelo up` the sums include the workers, whose files are below the same METRICS_DIR.
    """

    def collect(self) -> Iterable[Any]:
        own = multiprocess_dir.current_dir()
        if own is None:
            return IN_THIS_PROCESS.collect()
        multiprocess_dir.make_again_if_deleted()
        return merging.merged(path for path in own.parent.glob("*") if path.is_dir())


class _HubPublisher:
    """Copies the hub's counts to this process's shared metrics."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent = 0
        self._failed = 0

    def publish(self) -> None:
        with self._lock:
            SOCKETS_OPEN.set(hub().sockets)
            sent, failed = hub().frames.sent, hub().frames.failed
            FRAMES_SENT.inc(sent - self._sent)
            FRAMES_FAILED.inc(failed - self._failed)
            self._sent, self._failed = sent, failed
            waited = hub().frames.accept_seconds
            for _ in range(len(waited)):
                seconds = waited.popleft()
                ACCEPT_FRAME_SECONDS.observe(seconds)
                counters.count_for_slo(counters.ACCEPT_TO_FRAME, seconds)


def start_publisher() -> None:
    """Start a thread that publishes the hub's counts: the hub updates no metric itself. Call this after the fork."""
    publisher = _HubPublisher()
    counters.SLO_EVENTS.labels(counters.ACCEPT_TO_FRAME)
    counters.SLO_GOOD_EVENTS.labels(counters.ACCEPT_TO_FRAME)

    def publish_forever() -> None:
        while True:
            publisher.publish()
            threading.Event().wait(PUBLISH_EVERY_SECONDS)

    threading.Thread(target=publish_forever, name="metrics", daemon=True).start()


REGISTRY = CollectorRegistry()
REGISTRY.register(SystemCollector())
REGISTRY.register(ProcessCounters())


def exposition() -> bytes:
    return generate_latest(REGISTRY)
