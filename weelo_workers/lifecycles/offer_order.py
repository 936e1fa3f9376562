"""Which transporters a step offers to first, if it does not offer to all of them at once.

Distances that lie in one band of 1 km count as equal. Within a band the transporters whom the customer prefers come
first, then those whose last offer is the longest ago. Transporters with few open offers come before all others (the soft
cap, SOFT_OPEN_OFFERS).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, Protocol, TypeVar
from uuid import UUID

BAND_KM = 1.0
_NEVER = datetime.min.replace(tzinfo=UTC)


class Contender(Protocol):
    """A transporter who could get an offer."""

    @property
    def transporter_id(self) -> UUID: ...
    @property
    def distance_km(self) -> float | None:
        """The distance from the pickup; None if it is not known."""

    @property
    def preferred(self) -> bool:
        """Whether the customer prefers the transporter."""

    @property
    def last_offered_at(self) -> datetime | None:
        """The time of the transporter's last offer of any broadcast; None without one."""

    @property
    def open_offers(self) -> int:
        """How many open offers of the transporter count against the new one."""


One = TypeVar("One", bound=Contender)


@dataclass(frozen=True, slots=True)
class StepLimits:
    """How many offers a step makes.

    `at_most`: the largest number. `soft_cap`: transporters with this many open offers wait (None: no soft cap).
    `fill_to`: if fewer transporters than this are below the soft cap, transporters at the soft cap get offers too,
    until the step has made this many offers, and at least one.
    """

    at_most: int
    soft_cap: int | None = None
    fill_to: int = 1


@dataclass(frozen=True, slots=True)
class Choice(Generic[One]):
    """The transporters of a step, in order: those who get the offer, those beyond `at_most`, those at the soft cap."""

    chosen: list[One]
    next_step: list[One]
    at_soft_cap: list[One]


def in_order(contenders: Sequence[One]) -> list[One]:
    """Return the transporters in the order in which they get an offer.

    Transporters at an unknown distance come last. Among them, those with the fewest open offers come first: otherwise a
    surge in one town would fill the lists of transporters in other towns.
    """
    return sorted(contenders, key=_rank)


def choose(contenders: Sequence[One], limits: StepLimits) -> Choice[One]:
    """Return which of the transporters get the offer in this step, and why the others wait."""
    ordered = in_order(contenders)
    cap = limits.soft_cap
    below = [each for each in ordered if cap is None or each.open_offers < cap]
    at_cap = [each for each in ordered if cap is not None and each.open_offers >= cap]
    filling = max(0, min(max(limits.fill_to, 1), limits.at_most) - len(below))
    return Choice(
        chosen=[*below[: limits.at_most], *at_cap[:filling]],
        next_step=below[limits.at_most :],
        at_soft_cap=at_cap[filling:],
    )


def _rank(each: Contender) -> tuple[bool, int, int, bool, datetime, float, UUID]:
    km = each.distance_km
    return (
        km is None,
        0 if km is None else int(km / BAND_KM),
        each.open_offers if km is None else 0,
        not each.preferred,
        each.last_offered_at or _NEVER,
        km or 0.0,
        each.transporter_id,
    )
