"""What Prometheus scrapes from the API: the mailbox's backlog by queue, and this process's sockets."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from sqlalchemy.exc import DBAPIError

from weelo_api.hub import hub
from weelo_workers.contracts.queues import NOTIFICATIONS
from weelo_workers.models.engine import read_engine
from weelo_workers.queries.backlog import by_queue

log = logging.getLogger(__name__)


class BacklogCollector:
    """Asked anew at each scrape, so every API process says the same."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        up = GaugeMetricFamily("weelo_database_up", "1 if the database answered this scrape")
        try:
            with read_engine().connect() as connection:
                backlog = by_queue(connection)
        except DBAPIError as error:
            log.warning("no metrics from the database: %s", error)
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        depth = GaugeMetricFamily(
            "weelo_queue_depth", "Due and unsettled rows of the mailbox", labels=["queue"]
        )
        oldest = GaugeMetricFamily(
            "weelo_queue_oldest_seconds", "How long the oldest of them is due", labels=["queue"]
        )
        later = GaugeMetricFamily("weelo_timers_pending", "Rows that are not due yet", labels=["queue"])
        parked = GaugeMetricFamily("weelo_parked", "Rows given up on after repeated errors", labels=["queue"])
        for line in backlog:
            depth.add_metric([line.queue], line.due)
            oldest.add_metric([line.queue], line.oldest_seconds)
            later.add_metric([line.queue], line.later)
            parked.add_metric([line.queue], line.parked)
        yield from (depth, oldest, later, parked)
        unsent = next(line for line in backlog if line.queue == NOTIFICATIONS)
        yield GaugeMetricFamily(
            "weelo_deliveries_unsent", "Transitions that nobody was told of yet", value=unsent.due
        )
        yield GaugeMetricFamily(
            "weelo_deliveries_unsent_age_seconds", "Age of the oldest of them", value=unsent.oldest_seconds
        )


class SocketCollector:
    """What this process holds open; each API process answers for itself."""

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        yield GaugeMetricFamily("weelo_sockets_open", "WebSockets of this process", value=hub().sockets)
        yield CounterMetricFamily("weelo_frames_sent", "Frames sent by this process", value=hub().frames_sent)


REGISTRY = CollectorRegistry()
REGISTRY.register(BacklogCollector())
REGISTRY.register(SocketCollector())


def exposition() -> bytes:
    return generate_latest(REGISTRY)
