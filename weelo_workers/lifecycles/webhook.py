"""When a failed delivery of a webhook is tried again, and when the webhook is disabled."""

from __future__ import annotations

from datetime import timedelta

RETRY_SECONDS = (5.0, 30.0, 120.0, 600.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0)
"""The pauses after the first, the second, … failed attempt. The last one is repeated."""

GIVE_UP_AFTER = timedelta(hours=24)
"""A webhook is disabled when an attempt fails this long after the first failure in a row."""


def retry_delay(failures: int, spread: float) -> timedelta:
    """Return the pause after this many failures in a row. `spread`: a factor around 1."""
    return timedelta(seconds=RETRY_SECONDS[min(max(failures, 1), len(RETRY_SECONDS)) - 1] * spread)
