"""Lists all metrics that exist, for docs/metrics.md and for the tests of dashboards and rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.metrics import MetricWrapperBase

from weelo_workers.metrics.counters import IN_THIS_PROCESS
from weelo_workers.metrics.gauges import DECLARED

LABELS = {
    "area": "an area of the market; the scope of the policy with which the broadcast began",
    "because": "why a slot was cancelled: `customer_cancelled`, `customer_no_show` or `ended_by_operator`",
    "by": "what fired a timer: `countdown` or `sweep`",
    "cause": "why a request was answered 503: `shed`, `database`, `paused` or `other`",
    "check": "the name of a check of `weelo doctor` ([list](runbooks/checks.md))",
    "code": "an error code or a reason code of the contract, such as `BROADCAST_FILLED` or `breakdown`; `none` without one",
    "kind": "the kind of process: `api`, `worker`, `child` (of a worker), `beat`",
    "method": "an HTTP method, or `other`",
    "name": "the name of a command, such as `offers.accept`",
    "outcome": "how an attempt at a command ended",
    "queue": "one of the queues",
    "reason": "why a slot expired: a reason of `booking_expired`, or `truck_lost`",
    "result": "the result of a push, or of a post to a webhook",
    "ring": "the number of a step of the radius, `contracted` or `last`",
    "route": "the pattern of a route, such as `/api/v1/bookings/{id}`; `unknown` for every other path",
    "slo": "the name of a service level objective",
    "stage": "when a slot was cancelled: `offer`, or the status of its truck before",
    "status": "an HTTP status",
    "vehicle_type": "a type of vehicle of the catalogue",
}
"""The labels that a metric may have, and where their values come from. Each has a bounded number of values."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A metric. `name`: its name in Prometheus; for a histogram, without the suffixes `_bucket`, `_sum` and `_count`."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str

    @property
    def series(self) -> tuple[str, ...]:
        """The names of the metric's series."""
        if self.kind != "histogram":
            return (self.name,)
        return tuple(f"{self.name}_{part}" for part in ("bucket", "sum", "count"))


def metrics() -> list[Listed]:
    """Return all metrics that the imported modules define, by name. Import the API and `weelo_workers.app` before."""
    return sorted(_metrics(), key=lambda each: each.name)


def _metrics() -> Iterator[Listed]:
    for gauge in DECLARED:
        yield Listed(gauge.name, "gauge", (gauge.label,) if gauge.label else (), gauge.help)
    # The private attribute is used, because the registry has no public list of its collectors.
    for metric in IN_THIS_PROCESS._collector_to_names:  # noqa: SLF001
        if isinstance(metric, MetricWrapperBase):
            [described] = metric.describe()
            suffix = "_total" if described.type == "counter" else ""
            labels = tuple(metric._labelnames)  # noqa: SLF001
            yield Listed(f"{described.name}{suffix}", described.type, labels, described.documentation)
