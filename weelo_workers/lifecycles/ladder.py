"""The radius ladder: how far a broadcast is heard at each step, and when the next one comes (MISSION, RADI-01)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ring:
    """One step. `step` counts from 1; `radius_km` None: every matching transporter online."""

    step: int
    radius_km: float | None


def ring(step: int, radii_km: Sequence[float]) -> Ring:
    """The ring of this step. After the last radius everyone is asked, as often as there is somebody left to ask."""
    return Ring(step, radii_km[step - 1] if 1 <= step <= len(radii_km) else None)


def next_step_in(
    this: Ring, *, told: int, left_over: bool, at_least: int, step_seconds: float
) -> float | None:
    """Seconds until the next step; None: nobody further to tell.

    `told`: how many new ones this step reached; with fewer than `at_least` it waits for nobody's answer.
    `left_over`: more were found than one step may tell; they have their turn in the next, wherever they are.
    """
    if left_over:
        return step_seconds
    if this.radius_km is None:
        return None
    return step_seconds if told >= at_least else 0.0
