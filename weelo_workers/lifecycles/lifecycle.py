"""Lifecycles as tables of transitions.

One line of a table gives the guard of the SQL update, the rejection when it matches no row, and a row of
docs/lifecycles.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

State = TypeVar("State", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Transition(Generic[State]):
    """A transition called `name`, allowed in the states `when`, that leads to the state `to`."""

    name: str
    when: frozenset[State]
    to: State


class Lifecycle(Generic[State]):
    """The table of transitions of one kind of row."""

    def __init__(self, name: str, initial: State, final: frozenset[State]) -> None:
        self.name = name
        self.initial = initial
        self.final = final
        self.transitions: list[Transition[State]] = []

    def transition(self, name: str, *, when: set[State], to: State) -> Transition[State]:
        if any(known.name == name for known in self.transitions):
            raise ValueError(f"{self.name} has two transitions called {name}")
        added = Transition(name, frozenset(when), to)
        self.transitions.append(added)
        return added

    def arrows(self) -> Iterator[tuple[State, State, str]]:
        """Yield (from, to, name) for each transition and each of its states, in the table's order."""
        for transition in self.transitions:
            for state in type(self.initial):
                if state in transition.when:
                    yield state, transition.to, transition.name

    def mermaid(self) -> str:
        """Return the table as a Mermaid state diagram. Transitions between the same two states share one arrow."""
        lines = ["stateDiagram-v2", f"    [*] --> {self.initial}"]
        names: dict[tuple[State, State], list[str]] = {}
        for start, end, name in self.arrows():
            names.setdefault((start, end), []).append(name)
        lines += [f"    {start} --> {end}: {', '.join(labels)}" for (start, end), labels in names.items()]
        lines += [f"    {state} --> [*]" for state in type(self.initial) if state in self.final]
        return "\n".join(lines)
