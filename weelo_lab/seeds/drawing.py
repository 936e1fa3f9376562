"""Draws the script of a seed."""

from __future__ import annotations

from random import Random
from typing import Any

from weelo_lab.seeds import driver_steps, fault_steps, operator_steps, people_steps, values
from weelo_lab.seeds.script import KINDS, Kind, Step
from weelo_lab.seeds.scripted_faults import ANY

FEWEST_STEPS, MOST_STEPS = 8, 60
FAULT_SHARE = 0.25
MOST_KILLS = 3
"""A command that may have crashed more processes than this may be parked, which is no violation."""

# In seconds. Some are the default durations of timers, so that a step is taken at the moment at which a timer is due.
_PAUSES = (1, 15, 16, 30, 45, 46, 90, 91, 120, 121)
_LONG = (901, 1_801, 2_701, 3_601, 21_601)

# KINDS is sorted, because its order depends on which module was imported first.
_SORTED = [KINDS[name] for name in sorted(KINDS)]
_PEOPLE = [kind for kind in _SORTED if not kind.is_fault]
_FAULTS = [kind for kind in _SORTED if kind.is_fault]
_CREATE = {people_steps.book.__name__, people_steps.order.__name__}
_RIVALS = [
    tuple(act.__name__ for act in pair)
    for pair in (
        (people_steps.accept, people_steps.accept),
        (people_steps.accept, people_steps.accept),
        (people_steps.accept, people_steps.hold),
        (people_steps.accept, people_steps.cancel),
        (people_steps.accept, operator_steps.operate),
        (people_steps.hold, people_steps.hold),
        (people_steps.confirm_hold, people_steps.release_hold),
        (people_steps.confirm_hold, people_steps.accept),
        (driver_steps.driver_accepts, people_steps.cancel_truck),
        (driver_steps.driver_accepts, driver_steps.driver_declines),
        (driver_steps.driver_accepts, people_steps.cancel),
        (people_steps.give_back, people_steps.cancel_truck),
        (people_steps.give_back, people_steps.accept),
        (people_steps.replace, driver_steps.driver_accepts),
        (people_steps.replace, people_steps.give_back),
        (driver_steps.report, operator_steps.end_trip),
        (driver_steps.report, people_steps.cancel),
        (people_steps.continue_partial, people_steps.accept),
        (people_steps.book, people_steps.order),
    )
]
"""Pairs of steps whose commands compete for the same rows."""
_KILL, _INTERLEAVE = fault_steps.kill.__name__, fault_steps.interleave.__name__


def draw(seed: int) -> list[Step]:
    """Return the script of this seed."""
    return _Script(Random(f"script {seed}")).steps


class _Script:
    """Draws the steps of one script."""

    def __init__(self, dice: Random) -> None:
        self.steps: list[Step] = []
        self._dice = dice
        self._at = 0.0
        self._requests = 0
        self._kills = 0
        length = dice.randint(FEWEST_STEPS, MOST_STEPS)
        self._add(KINDS[people_steps.book.__name__])
        while len(self.steps) < length:
            self._at += _pause(dice)
            if dice.random() >= FAULT_SHARE:
                self._add(_pick(dice, _PEOPLE))
            else:
                self._add_fault(_pick(dice, _FAULTS))

    def _add_fault(self, kind: Kind) -> None:
        if kind.name == _KILL:
            self._kills += 1
            if self._kills > MOST_KILLS:
                return
        if kind.name != _INTERLEAVE:
            self._add(kind)
            return
        # Two commands about the same request follow at the same time. The one that is executed first is interrupted.
        self._add(kind, command=ANY)
        request = self._request()
        for name in self._dice.choice(_RIVALS):
            self._add(KINDS[name], request=request)

    def _add(self, kind: Kind, **given: Any) -> None:
        step: Step = {"at": round(self._at, 3), "do": kind.name}
        if kind.name in _CREATE:
            self._requests += 1
            given["request"] = self._requests
        for name, drawn in kind.values.items():
            if name in given:
                step[name] = given[name]
            else:
                step[name] = self._request() if drawn is values.newest else drawn(self._dice)
        self.steps.append(step)

    def _request(self) -> int:
        """Return the number of a request, usually the newest one."""
        return max(1, self._requests - self._dice.choice((0, 0, 0, 0, 0, 1, 2)))


def _pick(dice: Random, kinds: list[Kind]) -> Kind:
    return dice.choices(kinds, [kind.weight for kind in kinds])[0]


def _pause(dice: Random) -> float:
    """Return the seconds from one step to the next: often 0 or a few, seldom as long as a timer or hours."""
    chance = dice.random()
    if chance < 0.3:
        return 0.0
    if chance < 0.65:
        return round(dice.uniform(0.05, 3.0), 3)
    if chance < 0.9:
        return float(dice.choice(_PAUSES))
    return round(dice.uniform(3.0, 60.0), 3) if chance < 0.95 else float(dice.choice(_LONG))
