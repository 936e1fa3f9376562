"""Kinds of vehicles: the catalogue, and one key per kind for all its spellings.

The same kind is written in many ways: "LCV Open|17 Feet" is "17 Feet Open" of type lcv, "9-11 Ton Tipper" is "9-11 Ton"
of type tipper, "14ft" is "14 Feet". So keys are compared, not texts.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo

from weelo_workers.contracts.wire import ShortText, Wire

TYPES = ("mini", "lcv", "open", "container", "trailer", "tipper", "tanker", "dumper", "bulker")

_SPELLINGS = {
    **dict.fromkeys(("feet", "foot", "fts"), "ft"),
    **dict.fromkeys(("ton", "tons", "tonne", "tonnes", "mt"), "t"),
    **dict.fromkeys(("wheelers", "wheel", "wheels", "whl"), "wheeler"),
    "axles": "axle",
    "sxl": "single axle",
    "mxl": "multi axle",
    "txl": "triple axle",
}
_UNITS = ("ft", "t", "wheeler")
# Words that are left out of keys, because they do not distinguish kinds.
_NOISE = {"truck", "trucks", "lorry", "vehicle", "body", "type"}
_WORD = re.compile(
    r"\d+(?:\.\d+)?|[^\W\d_]+"
)  # \d also matches digits of other scripts; NFKC has turned full-width and superscript ones into ASCII
_FEET_MARK = re.compile(r"(?<=\d)\s*['\u2019\u2032]")


@dataclass(frozen=True, slots=True)
class VehicleKind:
    """An entry of the catalogue. `capacity_kg`: the common load of such a truck."""

    vehicle_type: str
    vehicle_subtype: str
    capacity_kg: int

    @property
    def label(self) -> str:
        return f"{_TYPE_LABELS.get(self.vehicle_type, self.vehicle_type.capitalize())} {self.vehicle_subtype}"

    @property
    def key(self) -> str:
        return vehicle_key(self.vehicle_type, self.vehicle_subtype)


VehicleType = Annotated[
    str, Field(description="The type of vehicle, in the spelling of the catalogue.", examples=["open"])
]
VehicleSubtype = Annotated[
    str, Field(description="The size or make, in the spelling of the catalogue.", examples=["17 Feet"])
]
VehicleKey = Annotated[
    str,
    Field(
        description="The key of the kind, the same for all spellings of its type and subtype.",
        examples=["open:17ft"],
    ),
]
"""The types of the three fields that name a kind in responses and events. `catalogue_names` returns their values."""


class VehicleKindView(Wire):
    """A kind of vehicle that customers can ask for and fleets can register."""

    vehicle_type: VehicleType
    vehicle_subtype: VehicleSubtype
    label: Annotated[str, Field(examples=["Open 17 Feet"])]
    """The kind for people to read, in English."""
    key: VehicleKey
    capacity_kg: Annotated[int, Field(examples=[5000])]
    """The load in kg that such a vehicle usually carries."""


@dataclass(frozen=True, slots=True)
class CatalogueNames:
    """The names of a kind in responses and events."""

    vehicle_type: str
    vehicle_subtype: str
    vehicle_key: str


def catalogue_names(key: str, typed_type: str, typed_subtype: str) -> CatalogueNames:
    """Return the names of the kind with this key in the catalogue's spelling.

    A stored kind that is no longer in the catalogue keeps the names that were typed.
    """
    kind = _by_key().get(key)
    if kind is None:
        return CatalogueNames(typed_type, typed_subtype, key)
    return CatalogueNames(kind.vehicle_type, kind.vehicle_subtype, key)


class UnknownKind(ValueError):
    """Raised for a kind that is not in the catalogue. `near`: the labels of similar kinds."""

    def __init__(self, near: list[str]) -> None:
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        super().__init__(f"no such kind of vehicle; {hint}GET /api/v1/vehicle-kinds lists all")
        self.near = near


def _must_name_a_type(vehicle_type: str, info: ValidationInfo) -> str:
    """Check that the text contains a type of the catalogue, so that the error names this field and not the subtype.

    Stored commands are not checked, because the type may have been removed from the catalogue since.
    """
    words = _words(vehicle_type)
    if not (info.context or {}).get("stored") and not set(TYPES) & set(words):
        near = get_close_matches(" ".join(words), TYPES, n=2)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise ValueError(f"no such type of vehicle; {hint}GET /api/v1/vehicle-kinds lists all")
    return vehicle_type


def _must_be_known(vehicle_subtype: str, info: ValidationInfo) -> str:
    """Check that type and subtype name a kind of the catalogue.

    Stored commands are not checked, because the kind may have been removed from the catalogue since.
    """
    vehicle_type = info.data.get("vehicle_type")
    if isinstance(vehicle_type, str) and not (info.context or {}).get("stored"):
        known_kind(vehicle_type, vehicle_subtype)
    return vehicle_subtype


TypeName = Annotated[
    ShortText,
    AfterValidator(_must_name_a_type),
    Field(
        description="The type of vehicle. With `vehicleSubtype` it names a kind of the catalogue, in any spelling.",
        examples=["open"],
    ),
]
KindName = Annotated[
    ShortText,
    AfterValidator(_must_be_known),
    Field(description="The size or make, in any spelling that names a kind.", examples=["17 Feet"]),
]
"""The type of a field `vehicle_subtype` that follows a field `vehicle_type` (a `TypeName`).

Together they must name a kind of the catalogue.
"""


def vehicle_key(vehicle_type: str, vehicle_subtype: str) -> str:
    """Return the key of a kind: `("Open", "17 Feet") → "open:17ft"`.

    Case, punctuation, word order and the spelling of units do not matter.
    """
    type_words = _words(vehicle_type)
    kind = next((known for known in TYPES if known in type_words), "-".join(sorted(set(type_words))))
    # "LCV Open" is of type lcv. The word "open" belongs to the subtype, even if it is written in the field of the type.
    words = [word for word in type_words if word not in (kind, *kind.split("-"))] + _words(vehicle_subtype)
    sizes: list[str] = []
    names: set[str] = set()
    numbers: list[str] = []
    for word in words:
        if word[0].isdecimal():
            numbers.append(word)
        elif word in _UNITS and numbers:
            sizes.append("-".join(numbers) + word)
            numbers = []
        elif word not in kind.split("-"):
            names.add(word)
    sizes.extend(numbers)
    if kind == "lcv" and not names & {"open", "container"}:
        names.add("open")
    return ":".join([kind, *sorted(sizes), *sorted(names)])


def known_kind(vehicle_type: str, vehicle_subtype: str) -> VehicleKind:
    """Return the catalogue's entry. Raises UnknownKind with similar kinds."""
    found = _by_key().get(vehicle_key(vehicle_type, vehicle_subtype))
    if found is None:
        raise UnknownKind(_near(vehicle_type, vehicle_subtype))
    return found


def _near(vehicle_type: str, vehicle_subtype: str) -> list[str]:
    """Return the labels of up to three similar entries, of the named type if there is one."""
    key = vehicle_key(vehicle_type, vehicle_subtype)
    of_its_type = [known for known in _by_key() if known.startswith(key.split(":")[0] + ":")]
    alike = get_close_matches(key, of_its_type or list(_by_key()), n=3, cutoff=0.4)
    return [_by_key()[each].label for each in alike]


def _words(text: str) -> list[str]:
    folded = _FEET_MARK.sub(" ft", unicodedata.normalize("NFKC", text).casefold())
    spelled = " ".join(_SPELLINGS.get(word, word) for word in _WORD.findall(folded)).split()
    return [_number(word) if word[0].isdecimal() else word for word in spelled if word not in _NOISE]


def _number(digits: str) -> str:
    """Return the number without redundant zeros: "07.50" becomes "7.5"."""
    whole, _, fraction = digits.partition(".")
    fraction = fraction.rstrip("0")
    return (whole.lstrip("0") or "0") + (f".{fraction}" if fraction else "")


# --- the catalogue --------------------------------------------------------------------------------------

_TYPE_LABELS = {"lcv": "LCV"}

# The sizes that are common on Indian roads. Keys: the length of the load bed in feet, or the number of wheels. Values:
# the load in kg.
_BY_LENGTH = {
    6: 600, 7: 750, 8: 1_000, 9: 1_500, 10: 2_000, 12: 3_000, 14: 4_000, 15: 4_500, 16: 5_000, 17: 5_000,
    18: 6_000, 19: 7_000, 20: 8_000, 21: 9_000, 22: 10_000, 24: 12_000, 26: 13_000, 28: 14_000, 30: 15_000,
    32: 16_000, 40: 27_000, 45: 30_000, 60: 36_000,
}  # fmt: skip
_BY_WHEELS = {6: 9_000, 10: 16_000, 12: 21_000, 14: 25_000, 16: 30_000, 18: 35_000, 22: 42_000}
_AXLES = {"Single Axle": 9_000, "Multi Axle": 16_000, "Triple Axle": 21_000}
_TONNAGES = {
    "trailer": ("8-11", "12-15", "16-19", "20-22", "23-25", "26-28", "29-31", "32-35", "36-41", "42"),
    "tipper": ("9-11", "12-14", "15-17", "18-20", "20-24", "25", "26-28", "29", "30"),
    "tanker": ("8-11", "12-15", "16-20", "21-25", "26-29", "30-31", "32-35", "36"),
    "dumper": ("9-11", "12-15", "16-19", "20-22", "23-25", "26-28", "29-30", "31"),
    "bulker": ("20-22", "23-25", "26-28", "29-31", "32"),
    "open": ("1", "2", "3", "4", "5", "6", "7", "7.5", "8", "9", "10", "12", "15", "16", "18", "20", "21", "25", "30"),
}  # fmt: skip
_MINIS = {
    "Truck": 750,
    "Tata Ace": 750,
    "Pickup": 1_200,
    "Dost": 1_250,
    "Bolero Pickup": 1_500,
    "3 Wheeler": 500,
}


def _feet(vehicle_type: str, shortest: int, longest: int, body: str = "") -> list[VehicleKind]:
    return [
        VehicleKind(vehicle_type, f"{feet} Feet{body}", kg)
        for feet, kg in _BY_LENGTH.items()
        if shortest <= feet <= longest
    ]


def _wheels(vehicle_type: str) -> list[VehicleKind]:
    return [VehicleKind(vehicle_type, f"{wheels} Wheeler", kg) for wheels, kg in _BY_WHEELS.items()]


def _axles(vehicle_type: str) -> list[VehicleKind]:
    return [VehicleKind(vehicle_type, f"32 Feet {axles}", kg) for axles, kg in _AXLES.items()]


def _tons(vehicle_type: str) -> list[VehicleKind]:
    return [
        VehicleKind(vehicle_type, f"{tons} Ton", int(float(tons.split("-")[-1]) * 1_000))
        for tons in _TONNAGES[vehicle_type]
    ]


CATALOGUE: tuple[VehicleKind, ...] = (
    *(VehicleKind("mini", name, kg) for name, kg in _MINIS.items()),
    *_feet("mini", 6, 10),
    *_feet("lcv", 8, 24, " Open"),
    *_feet("lcv", 8, 24, " Container"),
    *_feet("open", 8, 32),
    *_axles("open"),
    *_wheels("open"),
    *_tons("open"),
    *_feet("container", 10, 40),
    *_axles("container"),
    *_feet("trailer", 20, 60),
    *(VehicleKind("trailer", f"40 Feet {bed} Bed", 30_000) for bed in ("Flat", "Low", "Semi")),
    *_wheels("trailer"),
    *_tons("trailer"),
    *(each for kind in ("tipper", "tanker", "dumper", "bulker") for each in (*_tons(kind), *_wheels(kind))),
)


@lru_cache(maxsize=1)
def _by_key() -> dict[str, VehicleKind]:
    return {kind.key: kind for kind in CATALOGUE}
