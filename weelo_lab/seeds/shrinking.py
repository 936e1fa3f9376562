"""Shrinks a script that violates an invariant to a short one that violates the same invariant.

Delta debugging (Zeller and Hildebrandt, 2002): parts of the script are left out, large ones first, as long as the rest
still fails. Afterwards the pauses are shortened.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from weelo_lab.seeds.script import Step

Fails = Callable[[Sequence[Step]], bool]


def shrink(steps: Sequence[Step], fails: Fails) -> list[Step]:
    """Return the shortest script found. `steps`: a script that fails. `fails`: returns whether a script fails."""
    return _shorten_pauses(_leave_out(list(steps), fails), fails)


def _leave_out(steps: list[Step], fails: Fails) -> list[Step]:
    size = max(1, len(steps) // 2)
    while True:
        found = _without_one_part(steps, size, fails)
        if found is not None:
            steps = found
            size = min(size, max(1, len(steps) // 2))
        elif size == 1:
            return steps
        else:
            size = max(1, size // 2)


def _without_one_part(steps: list[Step], size: int, fails: Fails) -> list[Step] | None:
    """Return the script without as many parts of this size as possible; None if each part is needed.

    The last parts are tried first, because they are needed least often.
    """
    shorter = False
    end = len(steps)
    while end > 0:
        begin = max(0, end - size)
        rest = steps[:begin] + steps[end:]
        if rest and fails(rest):
            steps, shorter = rest, True
        end = begin
    return steps if shorter else None


def _shorten_pauses(steps: list[Step], fails: Fails) -> list[Step]:
    """Return the script with each pause set to 0 s, to 1 s, or to whole seconds, if the script then still fails."""
    for number in range(1, len(steps)):
        pause = round(steps[number]["at"] - steps[number - 1]["at"], 3)
        for shorter in dict.fromkeys((0.0, 1.0, float(round(pause)))):
            if shorter == pause or (shorter > pause and shorter > 1.0):
                break
            earlier = round(pause - shorter, 3)
            moved = [{**step, "at": round(step["at"] - earlier, 3)} for step in steps[number:]]
            if fails(steps[:number] + moved):
                steps = steps[:number] + moved
                break
    if steps and steps[0]["at"] > 0:
        moved = [{**step, "at": round(step["at"] - steps[0]["at"], 3)} for step in steps]
        steps = moved if fails(moved) else steps
    return steps
