"""Scripts: lists of steps, as JSON and as readable lines. When a script is played, nothing is drawn at random.

A step is a JSON object: `at`, the time in seconds after the beginning; `do`, its kind; and the values of its kind, such as
`{"at": 2.5, "do": "accept", "fleet": 0, "request": 1, "trucks": 1, "partial": true}`. Its values are numbers that do
not change when other steps are left out. Fleets and customers are counted from 0. A request has the number `request` of
the step that creates it. The trucks of a request are counted from 0, live and new ones first. A step about an object
that does not exist does nothing. So any part of a script is a valid script.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from weelo_lab.demand import FileError

if TYPE_CHECKING:
    from weelo_lab.seeds.stage import Stage

Step = dict[str, Any]
Draw = Callable[[Random], Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of step.

    `says`: the format string of the readable line, for the step's values. `weight`: how often this kind is drawn.
    `values`: how each value is drawn. `commands`: the names of the commands that a step of this kind posts.
    """

    name: str
    says: str
    weight: int
    values: dict[str, Draw]
    act: Callable[..., None]
    is_fault: bool = False
    commands: tuple[str, ...] = ()


KINDS: dict[str, Kind] = {}
"""All kinds of steps, by name."""


def step_kind(
    says: str, weight: int, *, commands: tuple[str, ...] = (), is_fault: bool = False, **values: Draw
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that makes a function a kind of step. The function takes the stage and the values."""

    def register(act: Callable[..., None]) -> Callable[..., None]:
        KINDS[act.__name__] = Kind(act.__name__, says, weight, values, act, is_fault, commands)
        return act

    return register


def take(stage: Stage, step: Step) -> None:
    """Perform one step of a script on this stage."""
    values = {name: value for name, value in step.items() if name not in ("at", "do")}
    KINDS[step["do"]].act(stage, **values)


def line(step: Step) -> str:
    """Return a step as a readable line."""
    kind = KINDS[step["do"]]
    return f"{step['at']:10.3f} s  {'fault: ' if kind.is_fault else ''}{kind.says.format(**step)}"


def text(steps: Iterable[Step]) -> str:
    """Return a script as JSON, a line for each step."""
    return "[\n" + ",\n".join(json.dumps(step) for step in steps) + "\n]\n"


def read(path: Path) -> list[Step]:
    """Return the script in a file. Raises FileError."""
    try:
        steps = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise FileError(f"{path}: {problem}") from None
    if not isinstance(steps, list):
        raise FileError(f"{path}: has to be a list of steps")
    for number, step in enumerate(steps, 1):
        kind = KINDS.get(str(step.get("do"))) if isinstance(step, dict) else None
        if kind is None or set(step) != {"at", "do", *kind.values} or not isinstance(step["at"], int | float):
            raise FileError(f"{path}: step {number} is no step of a script: {json.dumps(step)}")
    return steps
