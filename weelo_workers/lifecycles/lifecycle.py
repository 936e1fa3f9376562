"""Lifecycles as tables of transitions.

Each table is the source of the guards of SQL updates, of the rejection if an update matches no row, and of a diagram in
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
    """A transition called `name`, allowed in the states `when`, that leads to the state `to`.

    `by`: the actors who make this transition, for the diagram.
    """

    name: str
    when: frozenset[State]
    to: State
    by: tuple[str, ...] = ()


class Lifecycle(Generic[State]):
    """The table of transitions of one kind of row."""

    def __init__(
        self, name: str, initial: State, final: frozenset[State], created_by: tuple[str, ...] = ()
    ) -> None:
        self.name = name
        self.initial = initial
        self.final = final
        self.created_by = created_by
        self.transitions: list[Transition[State]] = []

    def transition(
        self, name: str, *, when: set[State], to: State, by: tuple[str, ...] = ()
    ) -> Transition[State]:
        if any(known.name == name for known in self.transitions):
            raise ValueError(f"{self.name} has two transitions called {name}")
        added = Transition(name, frozenset(when), to, by)
        self.transitions.append(added)
        return added

    def arrows(self) -> Iterator[tuple[State, State, str]]:
        """Yield (from, to, name) for each transition and each state in which it is allowed, in the table's order."""
        for start, transition in self._steps():
            yield start, transition.to, transition.name

    def mermaid(self) -> str:
        """Return the table as a Mermaid state diagram. Transitions between the same two states share one arrow."""
        created = f": {_actors(self.created_by)}" if self.created_by else ""
        lines = ["stateDiagram-v2", f"    [*] --> {self.initial}{created}"]
        labels: dict[tuple[State, State], list[str]] = {}
        for start, transition in self._steps():
            actors = f" ({_actors(transition.by)})" if transition.by else ""
            labels.setdefault((start, transition.to), []).append(transition.name + actors)
        lines += [f"    {start} --> {end}: {', '.join(names)}" for (start, end), names in labels.items()]
        lines += [f"    {state} --> [*]" for state in type(self.initial) if state in self.final]
        return "\n".join(lines)

    def _steps(self) -> Iterator[tuple[State, Transition[State]]]:
        for transition in self.transitions:
            for state in type(self.initial):
                if state in transition.when:
                    yield state, transition


def _actors(by: tuple[str, ...]) -> str:
    return " or ".join(by)
