"""How far a broadcast has been offered so far: not at all, within a distance of the pickup, or to everyone online."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a broadcast was offered. Made by `nothing`, `within` or `everyone`.

    `models.broadcasts.reach_covers` is `covers` in SQL.
    """

    _km: float
    """The distance in km; -inf: not offered yet; inf: offered to everyone."""

    @classmethod
    def nothing(cls) -> Reach:
        """Return the reach before the first step."""
        return cls(-inf)

    @classmethod
    def within(cls, km: float) -> Reach:
        """Return the reach of a ring with this radius."""
        return cls(km)

    @classmethod
    def everyone(cls) -> Reach:
        """Return the reach of a last step without a limit."""
        return cls(inf)

    def covers(self, km: float | None) -> bool:
        """Return whether a transporter `km` from the pickup is within reach.

        None (unknown) counts as the farthest distance.
        """
        return (inf if km is None else km) <= self._km

    @property
    def limit_km(self) -> float | None:
        """The radius, as events and views show it; None if nothing or everyone is within reach."""
        return self._km if abs(self._km) < inf else None

    @property
    def is_everyone(self) -> bool:
        return self == Reach.everyone()

    @property
    def is_nothing(self) -> bool:
        return self == Reach.nothing()
