"""Durations in rules, which tests shorten."""

from __future__ import annotations

from dataclasses import dataclass

_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))


@dataclass(frozen=True, slots=True)
class Pace:
    """Factors for the durations and counts in rules.

    Tests use smaller ones than the defaults, so that alerts fire within seconds.
    """

    scale: float = 1.0
    """The factor for the windows and the waiting times of all rules."""
    floor: float = 1.0
    """The factor for minimum numbers of events. With fewer events a rate proves nothing."""
    interval: float = 15.0
    """Seconds between two scrapes, and between two evaluations."""

    def duration(self, seconds: float) -> str:
        """Return the scaled length of a window in Prometheus' notation. It is the time of four scrapes or longer.

        With four scrapes `rate` finds the two samples that it needs, even if one scrape fails.
        """
        left = round(max(seconds * self.scale, 4 * self.interval) * 1_000)
        return _text(left)

    def wait(self, seconds: float) -> str:
        """Return the scaled time for which a condition must hold."""
        return _text(round(seconds * self.scale * 1_000))

    def at_least(self, events: float) -> str:
        """Return the scaled number of events."""
        return f"{events * self.floor:g}"


def _text(milliseconds: int) -> str:
    parts = []
    for unit, size in _UNITS:
        count, milliseconds = divmod(milliseconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
