"""How the values of steps are drawn."""

from __future__ import annotations

from random import Random
from typing import Any

from weelo_lab.seeds.script import Draw
from weelo_lab.seeds.stage import CUSTOMERS, FLEETS

WHY = "a step of a script"


def one_of(*values: Any) -> Draw:
    """Return a function that draws one of these values."""
    return lambda dice: dice.choice(values)


def a_fleet(dice: Random) -> int:
    return dice.randrange(len(FLEETS))


def a_customer(dice: Random) -> int:
    return dice.randrange(CUSTOMERS)


def newest(_: Random) -> int:
    """Mark a value as the number of a request. `drawing` recognises this function and draws the number itself."""
    raise NotImplementedError


which = one_of(0, 0, 0, 0, 1, 2)
yes_or_no = one_of(True, False)
