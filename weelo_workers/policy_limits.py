"""The limits of the values of a policy. They apply to the settings of the environment and to the policies of operators."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

GROWING = "give growing distances in km, above 0 and at most 20,000, like 10, 25, 50, 75"


def _check_growing(steps: tuple[float, ...]) -> tuple[float, ...]:
    if not steps or any(not 0 < km <= 20_000 for km in steps) or list(steps) != sorted(set(steps)):
        raise ValueError(GROWING)
    return steps


RadiusStepsKm = Annotated[tuple[float, ...], AfterValidator(_check_growing)]
RadiusStepSeconds = Annotated[float, Field(gt=0, le=3_600)]
LastStepMaxKm = Annotated[float, Field(ge=0, le=20_100)]
BroadcastTimeoutSeconds = Annotated[int, Field(ge=1, le=86_400)]
MinOffersPerStep = Annotated[int, Field(ge=0, le=10_000)]
MaxOffersPerStep = Annotated[int, Field(ge=1, le=10_000)]
MaxOpenOffers = Annotated[int, Field(ge=1, le=10_000)]
SoftOpenOffers = Annotated[int, Field(ge=1, le=10_000)]
ContractedFirstSeconds = Annotated[float, Field(ge=0, le=86_400)]
HoldSeconds = Annotated[float, Field(gt=0, le=86_400)]
DriverAcceptSeconds = Annotated[float, Field(gt=0, le=86_400)]
ReofferSeconds = Annotated[int, Field(ge=1, le=86_400)]
ReofferRounds = Annotated[int, Field(ge=0, le=1_000)]
ReminderSeconds = Annotated[float, Field(ge=0, le=604_800)]
"""The times after which a trip that does not move is reported or given back. 0: never."""


def contradiction(
    *,
    radius_steps_km: tuple[float, ...],
    last_step_max_km: float,
    radius_step_seconds: float,
    broadcast_timeout_seconds: float,
    contracted_first_seconds: float,
    min_offers_per_step: int,
    max_offers_per_step: int,
) -> tuple[tuple[str, str], str] | None:
    """Return which two values contradict each other, by their names, and why; None if none do."""
    if last_step_is_too_short(last_step_max_km, radius_steps_km):
        return (
            ("last_step_max_km", "radius_steps_km"),
            f"the last step would reach {last_step_max_km:g} km, less than the last ring ({radius_steps_km[-1]:g} km)",
        )
    if broadcast_timeout_seconds < radius_step_seconds:
        return (
            ("broadcast_timeout_seconds", "radius_step_seconds"),
            f"the deadline ({broadcast_timeout_seconds:g} s) would be shorter than a step ({radius_step_seconds:g} s)",
        )
    if contracted_lasts_too_long(contracted_first_seconds, broadcast_timeout_seconds):
        return (
            ("contracted_first_seconds", "broadcast_timeout_seconds"),
            f"no ring would follow the {contracted_first_seconds:g} s of contracted transporters before the deadline ({broadcast_timeout_seconds:g} s)",
        )
    if every_ring_is_too_small(min_offers_per_step, max_offers_per_step):
        return (
            ("min_offers_per_step", "max_offers_per_step"),
            f"no step could make {min_offers_per_step} offers, because a step makes at most {max_offers_per_step}",
        )
    return None


def every_ring_is_too_small(min_offers_per_step: int, max_offers_per_step: int) -> bool:
    """Return whether the maximum of offers per step is less than the minimum. Then each ring would follow at once."""
    return min_offers_per_step > max_offers_per_step


def contracted_lasts_too_long(contracted_first_seconds: float, broadcast_timeout_seconds: float) -> bool:
    """Return whether the broadcast would expire before the first ring follows the step of contracted transporters."""
    return contracted_first_seconds >= broadcast_timeout_seconds


def last_step_is_too_short(last_step_max_km: float, radius_steps_km: tuple[float, ...]) -> bool:
    """Return whether the last step would reach less far than the last ring."""
    return 0 < last_step_max_km < radius_steps_km[-1]
