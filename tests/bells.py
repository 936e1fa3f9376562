"""Bells for tests that run commands in their own process."""

from __future__ import annotations

from weelo_workers.messaging.bell import BellSilent, Ring


class NoBell:
    """As where there is no broker: the sweep finds everything."""

    was_silent = True

    def ring(self, ring: Ring) -> None:
        raise BellSilent(ring.name)


class Recorded:
    """Takes note of what it was asked to ring."""

    def __init__(self) -> None:
        self.rings: list[Ring] = []
        self.was_silent = False

    def ring(self, ring: Ring) -> None:
        self.rings.append(ring)
