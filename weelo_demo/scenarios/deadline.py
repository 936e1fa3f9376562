"""How long a broadcast will live, by the server's own clock."""

from __future__ import annotations

from datetime import datetime

from weelo_client.shapes import Broadcast


def seconds_left(broadcast: Broadcast) -> float:
    """From the moment of the answer. The two clocks need not agree, so only the server's is used."""
    ends, now = (datetime.fromisoformat(broadcast[name]) for name in ("expiresAt", "serverTime"))
    return (ends - now).total_seconds()
