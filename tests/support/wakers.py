"""Wakers for tests that run commands in their own process."""

from __future__ import annotations

from weelo_workers.messaging.wakeup import BrokerUnavailable, WakeUp


class NullWaker:
    """A waker without a broker: it always raises BrokerUnavailable, so only the sweep finds commands."""

    recently_failed = True

    def wake(self, wake_up: WakeUp) -> None:
        raise BrokerUnavailable(wake_up.name)


class RecordingWaker:
    """Records the wake-ups that it is asked to send."""

    def __init__(self) -> None:
        self.wake_ups: list[WakeUp] = []
        self.recently_failed = False

    def wake(self, wake_up: WakeUp) -> None:
        self.wake_ups.append(wake_up)
