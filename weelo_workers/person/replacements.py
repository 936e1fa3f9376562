"""What replaces a personal value: a text or number of the same form, so that apps can still read the row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

ERASED = "erased"
PHONE = "0000000"
URL = "https://erased.invalid/"
PLACE_DECIMALS = 1
"""Coordinates keep this many decimals: 0.1 degrees is a square of about 11 km."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """A way to replace a value. `text`: the description of the new value, for the documentation."""

    text: str
    replace: Callable[[Any], Any]

    def __call__(self, value: Any) -> Any:
        """Return what replaces the value. Null stays null. A value that was replaced already stays the same."""
        return None if value is None else self.replace(value)


NOTHING = Replacement("null", lambda _: None)
WORD = Replacement(f"`{ERASED}`", lambda _: ERASED)
ZEROS = Replacement(f"`{PHONE}`", lambda _: PHONE)
ADDRESS_OF_NOTHING = Replacement(f"`{URL}`", lambda _: URL)
COARSE = Replacement("rounded to 0.1°", lambda degrees: round(degrees, PLACE_DECIMALS))
WHOLE_KM = Replacement("rounded to whole km", lambda km: float(round(km)))
PLATE = Replacement("`ERASED` and part of the vehicle's id", lambda _: "ERASED")
"""Where the id of the vehicle is known, `plate_of` is used instead, because plates are unique."""


def plate_of(vehicle_id: UUID | str) -> str:
    """Return the number that replaces the registration number of this vehicle."""
    return f"ERASED{UUID(str(vehicle_id)).hex[:12].upper()}"
