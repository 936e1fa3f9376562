"""What a fault is: a sentence, how it breaks something for real, and how much that was. Each registers itself here."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from tests.faults.stage import Stage


class Effect(NamedTuple):
    much: int
    """How many processes, messages or attempts met it. 0: nothing was broken."""
    what: str


class NotHere(Exception):
    """This machine does not let it happen, and why."""


@dataclass(frozen=True, slots=True)
class Breaking:
    """What a fault has at hand. `long`: how many seconds something stays broken that can."""

    stage: Stage
    dice: random.Random
    long: float

    def one_of(self, those: list[int]) -> list[int]:
        return [self.dice.choice(those)] if those else []


Strike = Callable[[Breaking], Effect]
FAULTS: dict[str, Strike] = {}


def fault(sentence: str) -> Callable[[Strike], Strike]:
    def register(strike: Strike) -> Strike:
        assert sentence not in FAULTS
        FAULTS[sentence] = strike
        return strike

    return register
