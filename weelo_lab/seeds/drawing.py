"""Draws the script of a seed."""

from __future__ import annotations

from random import Random

from weelo_lab.seeds import fault_steps, people_steps
from weelo_lab.seeds.script import KINDS, Kind, Step

FEWEST_STEPS, MOST_STEPS = 8, 60
FAULT_SHARE = 0.25
MOST_KILLS = 3
"""A command that may have crashed more processes than this may be parked, which is no violation."""

# Times of the defaults of policies among them, so that steps and timers meet.
_PAUSES = (1, 15, 16, 30, 45, 46, 90, 91, 120, 121)
_LONG = (901, 1_801, 2_701, 3_601, 21_601)

_PEOPLE = [kind for kind in KINDS.values() if not kind.is_fault]
_FAULTS = [kind for kind in KINDS.values() if kind.is_fault]
_CREATE = {people_steps.book.__name__, people_steps.order.__name__}
_KILL, _INTERLEAVE = fault_steps.kill.__name__, fault_steps.interleave.__name__


def draw(seed: int) -> list[Step]:
    """Return the script of this seed."""
    dice = Random(f"script {seed}")
    steps: list[Step] = []
    at, requests, kills = 0.0, 0, 0
    at_once = 0
    for number in range(dice.randint(FEWEST_STEPS, MOST_STEPS)):
        if number == 0:
            kind = KINDS[people_steps.book.__name__]
        else:
            is_fault = not at_once and dice.random() < FAULT_SHARE
            kind = _pick(dice, _FAULTS if is_fault else _PEOPLE)
            at += 0.0 if at_once else _pause(dice)
        if kind.name == _KILL:
            kills += 1
            if kills > MOST_KILLS:
                continue
        at_once = 2 if kind.name == _INTERLEAVE else max(0, at_once - 1)
        step: Step = {"at": round(at, 3), "do": kind.name}
        for name, drawn in kind.values.items():
            if drawn is not people_steps.newest:
                step[name] = drawn(dice)
            elif kind.name in _CREATE:
                requests += 1
                step[name] = requests
            else:
                step[name] = max(1, requests - dice.choice((0, 0, 0, 0, 0, 1, 2)))
        steps.append(step)
    return steps


def _pick(dice: Random, kinds: list[Kind]) -> Kind:
    return dice.choices(kinds, [kind.weight for kind in kinds])[0]


def _pause(dice: Random) -> float:
    """Return the seconds between two steps."""
    chance = dice.random()
    if chance < 0.3:
        return 0.0
    if chance < 0.65:
        return round(dice.uniform(0.05, 3.0), 3)
    if chance < 0.9:
        return float(dice.choice(_PAUSES))
    return round(dice.uniform(3.0, 60.0), 3) if chance < 0.95 else float(dice.choice(_LONG))
