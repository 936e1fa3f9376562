"""The cap on a transporter's open offers (MAX_OPEN_OFFERS), and which open offers count against a new one.

Only offers at least as near as the new one count, so a far offer never prevents a near one. Offers of the last step
never count against an offer made within a ring.

The distance in an offer was computed when the offer was made. It may be wrong now, because the transporter may have
moved. The positions of the pickups are still right. If the new offer's pickup is `km` away from the transporter, then
every pickup that is more than twice `km` away from the new offer's pickup is more than `km` away from the transporter.
So offers with such pickups do not count either.

`queries.open_offers.open_offers_against` is the same rule in SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import TypeVar

from weelo_workers.lifecycles.distance import SPHERE_ERROR, half_chord_squared, half_chord_squared_of

Wanted = TypeVar("Wanted", bound="OfferRank")

# If two pickups are farther apart than APART_FACTOR times the new offer's distance plus APART_KM, the transporter
# cannot be near both. On an exact sphere with exact positions, APART_FACTOR would be 2 and APART_KM would be 0.
APART_FACTOR = 2 * SPHERE_ERROR
APART_KM = 0.1


@dataclass(frozen=True, slots=True)
class OfferRank:
    """The rank of an offer in a transporter's list. `km`: the distance to the pickup; None: not known, counts as the farthest.

    `pickup`: its latitude and longitude; None: not known, so only `km` decides.
    """

    km: float | None
    last_step: bool
    pickup: tuple[float, float] | None = field(default=None, kw_only=True)


def counts_against(open_offer: OfferRank, new: OfferRank) -> bool:
    """Return whether this open offer counts towards the cap of the new one."""
    if open_offer.last_step and not new.last_step:
        return False
    return _distance(open_offer) <= _distance(new) and not _is_elsewhere(open_offer, new)


def has_room(open_offers: Iterable[OfferRank], new: OfferRank, cap: int) -> bool:
    """Return whether a transporter with these open offers may get the new one."""
    return sum(counts_against(each, new) for each in open_offers) < cap


def split_by_room(
    open_offers: Iterable[OfferRank], wanted: Sequence[Wanted], cap: Callable[[Wanted], int]
) -> tuple[list[Wanted], list[Wanted]]:
    """Return the wanted offers that fit under their caps, and those that do not. `cap`: returns the cap of an offer.

    Each offer that fits counts against the offers after it.
    """
    taken: list[OfferRank] = list(open_offers)
    fit: list[Wanted] = []
    refused: list[Wanted] = []
    for new in wanted:
        if has_room(taken, new, cap(new)):
            taken.append(new)
            fit.append(new)
        else:
            refused.append(new)
    return fit, refused


def _is_elsewhere(open_offer: OfferRank, new: OfferRank) -> bool:
    """Return whether the transporter must be farther from the open offer's pickup than from the new one's.

    This follows from the distance between the pickups.
    """
    if open_offer.pickup is None or new.pickup is None or new.km is None:
        return False
    limit = half_chord_squared_of(new.km * APART_FACTOR + APART_KM)
    return half_chord_squared(*open_offer.pickup, *new.pickup) > limit


def _distance(offer: OfferRank) -> float:
    return inf if offer.km is None else offer.km
