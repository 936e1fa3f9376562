"""Compares policies on the same seeds: the difference of each figure per seed, its mean and its interval."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from weelo_lab.run import Run

# The 97.5 % quantiles of Student's t for 1 to 30 degrees of freedom.
_T = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
NORMAL = 1.960


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of a run. `better`: 1 if more is better, -1 if less is better, 0 if neither."""

    name: str
    label: str
    unit: str = ""
    better: int = 0
    is_share: bool = False


FIGURES = (
    Figure("requestsFilled", "Requests filled", "%", 1, is_share=True),
    Figure("slotsFilled", "Slots filled", "%", 1, is_share=True),
    Figure("requestsCancelled", "Requests cancelled by customers", "%", -1, is_share=True),
    Figure("firstP50", "Time to the first truck, median", "s", -1),
    Figure("firstP95", "Time to the first truck, 95 %", "s", -1),
    Figure("fullP50", "Time to all trucks, median", "s", -1),
    Figure("fullP95", "Time to all trucks, 95 %", "s", -1),
    Figure("offersPerFilledSlot", "Offers per filled slot", "", -1),
    Figure("acceptsLost", "Accepts that lost", "", -1),
    Figure("pickupKm", "Kilometres to the pickup", "km", -1),
    Figure("giniOfOffers", "Gini of offers", "", -1),
    Figure("giniOfWins", "Gini of wins", "", -1),
    Figure("messages", "Messages to phones", "", -1),
    Figure("commands", "Commands executed", "", 0),
    Figure("processorSeconds", "Processor time", "s", -1),
)
"""In the order of the report. `figures.py` measures them, except the processor time, which differs from time to time."""
PROCESSOR = "processorSeconds"


@dataclass(frozen=True, slots=True)
class Estimate:
    """The mean of values, with the ends of its 95 % interval (Student's t). Without values all three are None."""

    values: tuple[float, ...]
    mean: float | None
    low: float | None
    high: float | None


def estimate(values: Sequence[float]) -> Estimate:
    """Return the mean and its interval. One value has an interval without ends, so `low` and `high` are None."""
    if not values:
        return Estimate((), None, None, None)
    mean = statistics.fmean(values)
    if len(values) == 1:
        return Estimate(tuple(values), mean, None, None)
    half = _quantile(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return Estimate(tuple(values), mean, mean - half, mean + half)


def _quantile(freedom: int) -> float:
    return _T[freedom - 1] if freedom <= len(_T) else NORMAL + 2.4 / freedom


@dataclass(frozen=True, slots=True)
class Comparison:
    """All runs of a comparison, by the name of the policy and then by the seed."""

    runs: Mapping[str, Mapping[int, Run]]

    @property
    def policies(self) -> list[str]:
        """The names of the policies. The first is the one with which the others are compared."""
        return list(self.runs)

    @property
    def seeds(self) -> list[int]:
        return sorted(next(iter(self.runs.values()))) if self.runs else []

    def value(self, policy: str, seed: int, figure: str) -> float | None:
        """Return a figure of one run."""
        run = self.runs[policy][seed]
        return run.processor_seconds if figure == PROCESSOR else run.figures[figure]

    def of(self, policy: str, figure: str) -> Estimate:
        """Return the mean of a figure under a policy. Seeds for which the figure has no value are left out."""
        return estimate([value for value in self._values(policy, figure) if value is not None])

    def difference(self, policy: str, figure: str) -> Estimate:
        """Return the mean of the differences to the first policy, seed by seed; positive if this figure is larger."""
        pairs = zip(self._values(self.policies[0], figure), self._values(policy, figure), strict=True)
        return estimate(
            [after - before for before, after in pairs if before is not None and after is not None]
        )

    def json(self) -> dict[str, Any]:
        """Return the content of `figures.json`."""
        return {
            "policies": self.policies,
            "seeds": self.seeds,
            "figures": [
                {
                    "name": figure.name,
                    "label": figure.label,
                    "unit": figure.unit,
                    "byPolicy": {
                        each: _json(self.of(each, figure.name), self._values(each, figure.name))
                        for each in self.policies
                    },
                    "differences": {
                        each: _json(self.difference(each, figure.name)) for each in self.policies[1:]
                    },
                }
                for figure in FIGURES
            ],
            "runs": {
                policy: {
                    str(seed): {
                        "hash": run.hash,
                        "figures": run.figures,
                        "details": run.details,
                        "processorSeconds": round(run.processor_seconds, 3),
                    }
                    for seed, run in sorted(runs.items())
                }
                for policy, runs in self.runs.items()
            },
        }

    def _values(self, policy: str, figure: str) -> list[float | None]:
        return [self.value(policy, seed, figure) for seed in self.seeds]


def _json(found: Estimate, values: list[float | None] | None = None) -> dict[str, Any]:
    return {
        "mean": found.mean,
        "low": found.low,
        "high": found.high,
        "values": list(found.values) if values is None else values,
    }
