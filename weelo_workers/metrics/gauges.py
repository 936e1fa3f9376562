"""Gauges whose values are read at each scrape of /metrics, and the list of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily

DECLARED: list[ReadGauge] = []
"""All gauges that are read at a scrape."""


@dataclass(frozen=True, slots=True)
class ReadGauge:
    """A gauge. `label`: the name of its only label; None if it has none."""

    name: str
    help: str
    label: str | None = None

    def __post_init__(self) -> None:
        DECLARED.append(self)

    def with_value(self, value: float) -> GaugeMetricFamily:
        """Return the gauge, without a label, with this value."""
        return GaugeMetricFamily(self.name, self.help, value=value)

    def with_values(self, values: Mapping[str, float]) -> GaugeMetricFamily:
        """Return the gauge with one value for each value of its label."""
        family = GaugeMetricFamily(self.name, self.help, labels=[self.label or ""])
        for label, value in values.items():
            family.add_metric([label], value)
        return family


CLOCK_SKEW = ReadGauge(
    "weelo_clock_skew_seconds",
    "How far the clock of the process's machine is ahead of PostgreSQL's; negative: behind",
)
