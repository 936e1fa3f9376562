"""What a fault is: a sentence, how it breaks something for real, and how much that was. Each registers itself here."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from tests.faults.fault_system import FaultSystem


class Effect(NamedTuple):
    much: int
    """How many processes, messages or attempts met it. 0: nothing was broken."""
    what: str


class NotPossibleHere(Exception):
    """This machine does not let it happen, and why."""


@dataclass(frozen=True, slots=True)
class FaultContext:
    """What a fault has at hand. `long`: how many seconds something stays broken that can."""

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
