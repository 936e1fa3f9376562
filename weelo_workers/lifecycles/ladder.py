"""The radius ladder: how far a broadcast is heard at each step (MISSION, RADI-01)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ring:
    """One step. `step` counts from 1; `radius_km` None: every matching transporter online."""

    step: int
    radius_km: float | None


def ring(step: int, radii_km: Sequence[float]) -> Ring | None:
    """The ring of this step, or None when there is nobody further to tell."""
    if 1 <= step <= len(radii_km):
        return Ring(step, radii_km[step - 1])
    if step == len(radii_km) + 1:
        return Ring(step, None)
    return None
