"""The fault plan of a script: its steps prepare faults, each for the next message or commit of a command."""

from __future__ import annotations

from weelo_workers.messaging.wakeup import WakeUp

ANY = "any"
"""Stands for every command."""


class ScriptedFaults:
    """Holds the faults that the steps of a script have prepared. Each happens once."""

    any = True

    def __init__(self) -> None:
        self.happened = 0
        self.ended = False
        """Whether the script has ended: no further fault happens."""
        self._messages: list[tuple[str, list[float]]] = []
        self._crashes: list[str] = []
        self._no_sweep_until = 0

    def prepare_message(self, command: str, deliveries: list[float]) -> None:
        """Deliver the next wake-up of this command once per item of `deliveries`, late by so many seconds."""
        self._messages.append((command, deliveries))

    def prepare_crash(self, command: str) -> None:
        """End the process after the next commit of this command."""
        self._crashes.append(command)

    def stop_sweeps(self, until: int) -> None:
        """Let beat do nothing until this time in microseconds."""
        self.happened += 1
        self._no_sweep_until = until

    # --- the plan -----------------------------------------------------------------------------------

    def deliveries(self, wake_up: WakeUp) -> list[float]:
        found = next((each for each in self._messages if matches(each[0], wake_up.name)), None)
        if found is None or self.ended:
            return [0.0]
        self._messages.remove(found)
        self.happened += 1
        return found[1]

    def crashes(self, command: str) -> bool:
        found = next((each for each in self._crashes if matches(each, command)), None)
        if found is None or self.ended:
            return False
        self._crashes.remove(found)
        self.happened += 1
        return True

    def sweeps(self, micros: int) -> bool:
        return micros >= self._no_sweep_until

    def stale_seconds(self) -> float:
        """Return 0, because people of a script do not act on frames. A late step has the effect of a late frame."""
        return 0.0


def matches(wanted: str, command: str) -> bool:
    """Return whether a fault for the command `wanted` happens to this command."""
    return wanted in (ANY, command)
