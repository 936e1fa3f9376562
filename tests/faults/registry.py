"""The registry of faults. A fault has a sentence as its name, and a function that injects it and returns its effect."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from tests.faults.fault_system import FaultSystem


class Effect(NamedTuple):
    much: int
    """How many processes, messages or attempts were affected. 0: the fault had no effect."""
    what: str


class NotPossibleHere(Exception):
    """The fault cannot be injected on this machine; the message is the reason."""


@dataclass(frozen=True, slots=True)
class FaultContext:
    """The arguments of a fault. `long`: the duration of lasting faults in seconds."""

    fault_system: FaultSystem
    dice: random.Random
    long: float

    def one_of(self, those: list[int]) -> list[int]:
        return [self.dice.choice(those)] if those else []


Injection = Callable[[FaultContext], Effect]
FAULTS: dict[str, Injection] = {}


def fault(sentence: str) -> Callable[[Injection], Injection]:
    def register(strike: Injection) -> Injection:
        assert sentence not in FAULTS
        FAULTS[sentence] = strike
        return strike

    return register
