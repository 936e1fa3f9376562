"""The cap on a transporter's open offers (MAX_OPEN_OFFERS), and which open offers count against a new one.

Only offers at least as near count, so a far offer never prevents a near one. Offers of the last step never count against
an offer made within a ring. `queries.open_offers.open_offers_against` is the same rule in SQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import TypeVar

Wanted = TypeVar("Wanted", bound="Reach")


@dataclass(frozen=True, slots=True)
class Reach:
    """How far an offer reaches. `km`: from transporter to pickup; None: unknown, which counts as the farthest."""

    km: float | None
    last_step: bool


def counts_against(open_offer: Reach, new: Reach) -> bool:
    """Return whether this open offer counts towards the cap of the new one."""
    if open_offer.last_step and not new.last_step:
        return False
    return _distance(open_offer) <= _distance(new)


def has_room(open_offers: Iterable[Reach], new: Reach, cap: int) -> bool:
    """Return whether a transporter with these open offers may get the new one."""
    return sum(counts_against(each, new) for each in open_offers) < cap


def split_by_room(
    open_offers: Iterable[Reach], wanted: Sequence[Wanted], cap: int
) -> tuple[list[Wanted], list[Wanted]]:
    """Return the wanted offers that fit the cap and those that do not. Each that fits counts against the later ones."""
    taken: list[Reach] = list(open_offers)
    fit: list[Wanted] = []
    refused: list[Wanted] = []
    for new in wanted:
        if has_room(taken, new, cap):
            taken.append(new)
            fit.append(new)
        else:
            refused.append(new)
    return fit, refused


def _distance(reach: Reach) -> float:
    return inf if reach.km is None else reach.km
