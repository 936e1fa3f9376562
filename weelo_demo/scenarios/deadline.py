"""How long something will last, by the server's own clock."""

from __future__ import annotations

from datetime import datetime

from weelo_client.shapes import Broadcast

GRACE_SECONDS = 15.0  # how late the end of a time may be noticed before we call it missed


def seconds_left(broadcast: Broadcast) -> float:
    """From the moment of the answer. The two clocks need not agree, so only the server's is used."""
    return seconds_between(broadcast["serverTime"], broadcast["expiresAt"])


def seconds_between(earlier: str, later: str) -> float:
    """Two of the server's times."""
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()
