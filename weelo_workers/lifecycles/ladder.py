"""The radius ladder: how far a broadcast is offered at each step, and when the next step comes (RADI-01).

If the policy gives contracted transporters a head start (`contractedFirstSeconds`), step 0 comes first. It offers only to
the transporters who have a contract with the customer, at any distance. Each radius is one step, counted from 1. After all radii comes the last step, which has no radius or `LAST_STEP_MAX_KM`. In it the
broadcast is offered to every matching transporter online, nearest first, in portions. Each portion has its own step
number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from weelo_workers.lifecycles.reach import Reach

# After this many doublings a portion covers every transporter that one Redis can index, so it is not doubled again.
_MOST_DOUBLINGS = 12


@dataclass(frozen=True, slots=True)
class Ring:
    """One step of the ladder. `step` counts from 1; 0 is the step of the contracted transporters."""

    step: int
    reach: Reach
    last: bool = False
    """Whether this is the last step or a portion of it."""

    @property
    def is_for_contracted(self) -> bool:
        """Whether only contracted transporters get an offer in this step."""
        return self.step == CONTRACTED_STEP


CONTRACTED_STEP = 0
CONTRACTED_RING = "contracted"
LAST_RING = "last"


def ring_name(step: int, *, last_step: bool) -> str:
    """Return the name of the ring of an offer.

    It is the number of its step, `contracted` for step 0, or `last` for all portions of the last step.
    """
    if last_step:
        return LAST_RING
    return CONTRACTED_RING if step == CONTRACTED_STEP else str(step)


def step_after(newest: int, *, contracted_step_made: bool, contracted_first_seconds: float) -> int:
    """Return the number of the next step.

    `newest`: the newest step of this round, counted from 1; 0 if there was none, or only step 0.
    """
    if newest == 0 and not contracted_step_made and contracted_first_seconds > 0:
        return CONTRACTED_STEP
    return newest + 1


def ring(step: int, radii_km: Sequence[float], last_step_max_km: float = 0.0) -> Ring:
    """Return the ring of this step. `last_step_max_km` 0: the last step has no limit."""
    if step == CONTRACTED_STEP:
        return Ring(step, Reach.everyone())
    if is_last_step(step, radii_km):
        reach = Reach.within(last_step_max_km) if last_step_max_km else Reach.everyone()
        return Ring(step, reach, last=True)
    return Ring(step, Reach.within(radii_km[step - 1]))


def is_last_step(step: int, radii_km: Sequence[float]) -> bool:
    """Return whether this step, counted from 1, comes after all radii."""
    return step > len(radii_km)


def portion_size(step: int, radii_km: Sequence[float], at_most: int, offers_before: int) -> int:
    """Return how many transporters a portion of the last step reads from presence, nearest first.

    Transporters with an earlier offer are among the nearest, so their number (`offers_before`) is added. The number of
    further transporters doubles with each portion, so that few steps are spent on transporters who cannot take the
    offer.
    """
    doublings = min(step - len(radii_km) - 1, _MOST_DOUBLINGS)
    return offers_before + (at_most << doublings)


def next_step_in(
    this: Ring,
    *,
    offers_made: int,
    left_over: bool,
    at_least: int,
    step_seconds: float,
    contracted_first_seconds: float = 0.0,
) -> float | None:
    """Return the seconds until the next step; None if no transporters are left.

    Step 0 lasts for `contracted_first_seconds` if any contracted transporter has the offer, however few they are.
    `offers_made`: how many offers this step made; after fewer than `at_least` the next step follows at once.
    `left_over`: whether more transporters are within this step's reach. The next step makes offers to them.
    """
    if this.is_for_contracted:
        return contracted_first_seconds if offers_made else 0.0
    if this.last and not left_over:
        return None
    return step_seconds if offers_made >= at_least else 0.0
