"""The registry of checks, and the evidence that they compare: API responses, received frames and rows after a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tests.faults.fault_system import FaultSystem
from tests.faults.ledger import LedgerEntry
from tests.faults.people import Person
from tests.faults.population import Population
from tests.support.waiting import eventually


@dataclass(slots=True)
class CheckResult:
    """The result of a check. `figure`: what was checked, and how much of it, such as "12 accepted".

    `wrong`: descriptions of violations, empty if there are none.
    """

    sentence: str
    figure: str
    wrong: list[str] = field(default_factory=list)


class Evidence:
    """The state after a run: API responses for each caller, received frames, and rows.

    Each part is read once, when it is first used.
    """

    def __init__(self, fault_system: FaultSystem, population: Population) -> None:
        self.fault_system, self.population, self.ledger = fault_system, population, population.ledger
        self.people: dict[str, Person] = {person.id: person for person in population.people}

    @cached_property
    def outcomes(self) -> dict[str, dict[str, Any] | None]:
        """Return, by command id, the answer of `GET /commands/{id}` to the command's caller; None for 404."""

        def ask(entry: LedgerEntry) -> Any:
            return self.population.read(self.people[entry.who], f"/commands/{entry.command_id}")

        by_id = {entry.command_id: entry for entry in self.ledger.entries}
        with ThreadPoolExecutor(8) as pool:
            return dict(zip(by_id, pool.map(ask, by_id.values()), strict=True))

    @cached_property
    def logs(self) -> dict[str, list[dict[str, Any]]]:
        """Return, by user id, all lines of `GET /events`."""

        def pages(person: Person) -> list[dict[str, Any]]:
            lines: list[dict[str, Any]] = []
            while page := self.population.read(person, f"/events?after={len(lines)}&limit=500")["items"]:
                lines += page
            return lines

        with ThreadPoolExecutor(8) as pool:
            return dict(zip(self.people, pool.map(pages, self.people.values()), strict=True))

    @cached_property
    def outcomes_in_logs(self) -> dict[str, list[dict[str, Any]]]:
        """Return, by command id, the outcomes in the callers' logs."""
        by_command: dict[str, list[dict[str, Any]]] = {}
        for lines in self.logs.values():
            for line in lines:
                if line["event"] == "command_settled":
                    by_command.setdefault(line["data"]["commandId"], []).append(line["data"])
        return by_command

    @cached_property
    def outcomes_on_sockets(self) -> dict[str, list[dict[str, Any]]]:
        """Return, by command id, the outcomes that were received over the callers' sockets."""
        by_command: dict[str, list[dict[str, Any]]] = {}
        for log in self.ledger.ears.values():
            for line in log.lines:
                if line.event == "command_settled":
                    outcome = json.loads(line.data)
                    by_command.setdefault(outcome["commandId"], []).append(outcome)
        return by_command

    def all_frames_received(self) -> bool:
        behind = {
            user_id: (self.ledger.heard_log(user_id).newest, len(lines))
            for user_id, lines in self.logs.items()
            if self.ledger.heard_log(user_id).newest < len(lines)
        }
        assert not behind, f"lines received, and lines in the log: {behind}"
        return True


Counting = Callable[[Evidence], tuple[str, list[str]]]
CHECKS: dict[str, Counting] = {}


def check(sentence: str) -> Callable[[Counting], Counting]:
    def register(counting: Counting) -> Counting:
        CHECKS[sentence] = counting
        return counting

    return register


def remaining_after(look: Callable[[], list[str]], within: float) -> list[str]:
    """Call `look` until it returns nothing or `within` seconds have passed. Return its last result."""
    found: list[str] = []

    def nothing() -> bool:
        found[:] = look()
        return not found

    with suppress(AssertionError):
        eventually(nothing, within=within, every=0.3)
    return found
