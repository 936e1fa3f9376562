"""Different spellings of a kind of truck have one key; different kinds have different keys."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest
from hypothesis import given, strategies as st
from pydantic import ValidationError

from weelo_workers.contracts.command import load
from weelo_workers.contracts.fleet import RegisterVehicle, VehicleDetails
from weelo_workers.contracts.vehicle_kinds import (
    CATALOGUE,
    TYPES,
    CatalogueNames,
    UnknownKind,
    VehicleKind,
    catalogue_names,
    known_kind,
    vehicle_key,
)

SAME = [
    (("Open", "17 Feet"), ("open", "17ft")),
    (("Open", "17 Feet"), ("Open Body Truck", "17'")),
    (("LCV", "LCV Open|17 Feet"), ("lcv", "17 Feet Open")),
    (("LCV Open", "17 Feet"), ("lcv", "17 Feet Open")),
    (("lcv", "14 Feet"), ("LCV", "Open 14 ft")),
    (("tipper", "9-11 Ton"), ("Tipper", "9-11 Ton Tipper")),
    (("open", "14ft"), ("OPEN", "14 Feet")),
    (("open", "10 Wheeler"), ("open", "10-wheeler")),
    (("open", "07.50 ton"), ("open", "7.5t")),
    (("container", "32 Feet Single Axle"), ("Container", "32 ft SXL")),
    (("container", "32 Feet Multi Axle"), ("container", "multi-axle/32+feet")),
]
DIFFERENT = [
    (("container", "32 Feet Single Axle"), ("container", "32 Feet Multi Axle")),
    (("open", "17 Feet"), ("open", "19 Feet")),
    (("open", "17 Feet"), ("lcv", "17 Feet Open")),
    (("lcv", "17 Feet Container"), ("lcv", "17 Feet Open")),
    (("open", "1234567 kg"), ("open", "1234568 kg")),
    (("open", "9-11 Ton"), ("open", "9 Ton")),
]
SPELLINGS = {
    "Feet": ("feet", "FT", "ft", "foot"),
    "Ton": ("ton", "T", "tonnes"),
    "Wheeler": ("wheeler", "WHEELERS"),
}


@pytest.mark.parametrize(("one", "other"), SAME, ids=str)
def test_the_same_truck_however_it_is_written(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert vehicle_key(*one) == vehicle_key(*other)


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        (("Open Body Truck", "17'"), ("open", "17 Feet", "open:17ft")),
        (("LCV", "14 ft"), ("lcv", "14 Feet Open", "lcv:14ft:open")),
        (("Tipper", "9-11 ton tipper"), ("tipper", "9-11 Ton", "tipper:9-11t")),
        # This kind is not in the catalogue, so it keeps its spelling.
        (("Hovercraft", "two seats"), ("Hovercraft", "two seats", "hovercraft:seats:two")),
    ],
    ids=str,
)
def test_a_kind_leaves_the_server_in_the_spelling_of_the_catalogue(
    typed: tuple[str, str], names: tuple[str, str, str]
) -> None:
    assert catalogue_names(vehicle_key(*typed), *typed) == CatalogueNames(*names)


@pytest.mark.parametrize(("one", "other"), DIFFERENT, ids=str)
def test_another_truck_is_another_kind(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert vehicle_key(*one) != vehicle_key(*other)


@given(st.text(max_size=100), st.text(max_size=100))
def test_any_text_has_a_key(vehicle_type: str, vehicle_subtype: str) -> None:
    key = vehicle_key(vehicle_type, vehicle_subtype)
    assert key == vehicle_key(vehicle_type, vehicle_subtype.replace(" ", "  "))


@pytest.mark.parametrize("digit", ["\u1369", "\u00b2", "\u2460", "\u0967"])
def test_digits_of_other_scripts_do_no_harm(digit: str) -> None:
    assert vehicle_key("open", f"{digit} Ton")


def test_no_two_kinds_of_the_catalogue_are_one_and_every_type_is_in_it() -> None:
    assert Counter(kind.key for kind in CATALOGUE).most_common(1)[0][1] == 1
    assert {kind.vehicle_type for kind in CATALOGUE} == set(TYPES)
    assert all(kind.capacity_kg > 0 for kind in CATALOGUE)


@given(st.sampled_from(CATALOGUE), st.sampled_from(CATALOGUE), st.randoms(use_true_random=False))
def test_a_kind_is_found_however_it_is_written_and_never_another(
    kind: VehicleKind, other: VehicleKind, dice: random.Random
) -> None:
    assert known_kind(*_rewritten(kind, dice)) is kind
    assert (vehicle_key(*_rewritten(kind, dice)) == vehicle_key(*_rewritten(other, dice))) == (kind is other)


def test_an_unknown_kind_is_refused_with_its_near_ones() -> None:
    with pytest.raises(UnknownKind) as refused:
        known_kind("open", "17 Feat")
    assert "Open 17 Feet" in refused.value.near
    with pytest.raises(ValidationError, match="did you mean Container 32 Feet"):
        VehicleDetails(vehicle_type="container", vehicle_subtype="33 Feet")


@pytest.mark.parametrize(
    ("typed_type", "subtype", "field", "hint"),
    [
        ("opn", "17 Feet", "vehicleType", "did you mean open"),
        ("hovercraft", "17 Feet", "vehicleType", "no such type"),
        ("...", "17 Feet", "vehicleType", "no such type"),
        ("open", "17 Feat", "vehicleSubtype", "did you mean Open 17 Feet"),
    ],
)
def test_the_error_names_the_field_that_is_wrong(
    typed_type: str, subtype: str, field: str, hint: str
) -> None:
    with pytest.raises(ValidationError, match=hint) as refused:
        VehicleDetails.model_validate({"vehicleType": typed_type, "vehicleSubtype": subtype})
    assert [error["loc"] for error in refused.value.errors()] == [(field,)]


def test_what_was_accepted_once_is_still_read_when_its_kind_has_left_the_catalogue() -> None:
    details = {"vehicle_type": "hovercraft", "vehicle_subtype": "two seats"}
    ids = {"transporter_id": "00000000-0000-0000-0000-000000000001", "vehicle_number": "HR1"}
    command = load("fleet.register_vehicle", {**ids, "details": details})
    assert isinstance(command, RegisterVehicle)
    assert command.details.vehicle_type == "hovercraft"


def _rewritten(kind: VehicleKind, dice: random.Random) -> tuple[str, str]:
    """Return another spelling: other case, separators, units and word order, and sometimes with the type repeated."""
    sizes = re.findall(r"[\d.-]+ \w+", kind.vehicle_subtype)
    names = re.sub(r"[\d.-]+ \w+", "", kind.vehicle_subtype).split()
    for long, short in SPELLINGS.items():
        sizes = [size.replace(long, dice.choice(short)) for size in sizes]
    words = [*sizes, *names, *([kind.vehicle_type] if dice.random() < 0.5 else [])]
    dice.shuffle(words)
    text = dice.choice((" ", "  ", "|", "/", " + ", "_")).join(words)
    case = dice.choice((str.upper, str.lower, str.title))
    return case(kind.vehicle_type), case(text)
