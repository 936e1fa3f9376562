"""Computes durations from times of the server's clock."""

from __future__ import annotations

from datetime import datetime

from weelo_client.shapes import Broadcast

GRACE_SECONDS = 15.0  # the scenario fails if the event of a deadline is received later than this


def seconds_left(broadcast: Broadcast) -> float:
    """Return the seconds from the response to the deadline. Only the server's clock is used, as ours may differ."""
    return seconds_between(broadcast["serverTime"], broadcast["expiresAt"])


def seconds_between(earlier: str, later: str) -> float:
    """Return the seconds from `earlier` to `later`, which are times in the server's responses."""
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()
