"""Bells for tests that run commands in their own process."""

from __future__ import annotations

from weelo_workers.messaging.wakeup import BrokerUnavailable, WakeUp


class NullWaker:
    """As where there is no broker: the sweep finds everything."""

    recently_failed = True

    def wake(self, wake_up: WakeUp) -> None:
        raise BrokerUnavailable(wake_up.name)


class RecordingWaker:
    """Takes note of what it was asked to ring."""

    def __init__(self) -> None:
        self.wake_ups: list[WakeUp] = []
        self.recently_failed = False

    def wake(self, wake_up: WakeUp) -> None:
        self.wake_ups.append(wake_up)
