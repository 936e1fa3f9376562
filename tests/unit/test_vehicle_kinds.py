"""Two ways to write a kind of truck are one kind; two kinds stay two."""

import pytest
from hypothesis import given, strategies as st

from weelo_workers.lifecycles.vehicle_key import vehicle_key

SAME = [
    (("Open", "17 Feet"), ("open", "17ft")),
    (("LCV", "LCV Open|17 Feet"), ("lcv", "17 Feet Open")),
    (("tipper", "9-11 Ton"), ("Tipper", "9-11 Ton Tipper")),
    (("open", "14ft"), ("OPEN", "14 Feet")),
    (("open", "10 Wheeler"), ("open", "10-wheeler")),
    (("open", "07.50 ton"), ("open", "7.5t")),
]
DIFFERENT = [
    (("container", "32 Feet Single Axle"), ("container", "32 Feet Multi Axle")),
    (("open", "17 Feet"), ("open", "19 Feet")),
    (("open", "1234567 kg"), ("open", "1234568 kg")),
    (("open", "9-11 Ton"), ("open", "9 Ton")),
]


@pytest.mark.parametrize(("one", "other"), SAME, ids=str)
def test_the_same_truck_however_it_is_written(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert vehicle_key(*one) == vehicle_key(*other)


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
