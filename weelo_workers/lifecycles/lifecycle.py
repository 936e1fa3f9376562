"""Lifecycles as tables.

From one line of a table come the guard of the SQL update, the reason when it moved no row, and the
diagram in the documentation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

State = TypeVar("State", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Transition(Generic[State]):
    """`name` moves a thing that is in one of `when` to `to`. `by`: what makes the move, if the table names it."""

    name: str
    when: frozenset[State]
    to: State
    by: tuple[str, ...] = ()


class Lifecycle(Generic[State]):
    """The table of one kind of thing. Every transition that exists is added here and nowhere else."""

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
        """(from, to, name) of every single step, in table order."""
        for start, transition in self._steps():
            yield start, transition.to, transition.name

    def mermaid(self) -> str:
        """The table as a Mermaid state diagram; steps that share both ends share one arrow."""
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
