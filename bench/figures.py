"""Measured figures and percentiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    what: str
    measured: str
    goal: str = ""


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` (0 to 1) of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def milliseconds(seconds: Sequence[float], *shares: float) -> str:
    return ", ".join(f"p{share * 100:.0f} {percentile(seconds, share) * 1000:.0f} ms" for share in shares)
