"""Each rule of dispatch is written in one place (docs/decisions/one-place-per-rule.md)."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Callable, Iterator

import pytest

from tests.support.sources import ROOT, name_of, python_files, syntax


def _compares(*names: str) -> Callable[[ast.AST], bool]:
    """Return a function that finds comparisons and calls of `in_` with attributes of these names, such as `Offer.step`."""

    def named(each: ast.AST) -> bool:
        return isinstance(each, ast.Attribute) and not {each.attr, ast.unparse(each)}.isdisjoint(names)

    def found(node: ast.AST) -> bool:
        match node:
            case ast.Compare(left, _, others):
                return any(map(named, (left, *others)))
            case ast.Call(ast.Attribute(compared, "in_")):
                return named(compared)
            case _:
                return False

    return found


def _reads(name: str) -> Callable[[ast.AST], bool]:
    return lambda node: isinstance(node, ast.Attribute) and node.attr == name


def _raises(*codes: str) -> Callable[[ast.AST], bool]:
    """Return a function that returns whether a node of a syntax tree is `Code.X`, where X is one of these codes."""
    return lambda node: (
        isinstance(node, ast.Attribute) and node.attr in codes and name_of(node.value) == "Code"
    )


def _doubles(node: ast.AST) -> bool:
    """Return whether this expression is a power of 2 with a variable exponent."""
    match node:
        case ast.BinOp(ast.Constant(2), ast.Pow(), exponent):
            return not isinstance(exponent, ast.Constant)
        case _:
            return False


RULES = {
    "how far a broadcast reaches": (
        _reads("radius_km"),
        # queries/policies.py reads `radius_km` of a policy's area, which is not the radius of a ring.
        {"models/broadcasts.py", "queries/policies.py"},
    ),
    "a slot is searching": (_compares("SEARCHING"), {"models/broadcasts.py"}),
    "a vehicle fits a slot": (
        _compares("vehicle_key"),
        # Two files compare kinds for a purpose of their own. register_vehicle.py checks whether an update changes a
        # vehicle's kind, and hold.py whether a slot is of the kind that the hold names. queries/offer_list.py does not
        # appear here, because it compares the kinds of slots that are JSON already.
        {
            "models/broadcasts.py",
            "models/fleet.py",
            "fleet/register_vehicle.py",
            "offers/hold.py",
        },
    ),
    "a vehicle or driver is busy": (
        _compares("Assignment.vehicle_id", "Assignment.driver_id"),
        # Six files compare these columns for a purpose of their own. not_moving.py checks whether a driver is still in the
        # fleet, offer_explanation.py checks whether a truck was
        # busy at an earlier time, queries/broadcasts.py finds the trips that a driver may see, catalog.py checks whether a
        # driver has not answered yet, and the two files of person/ find the trips of a person.
        {
            "models/trips.py",
            "queries/fleets.py",
            "queries/not_moving.py",
            "queries/offer_explanation.py",
            "queries/broadcasts.py",
            "queries/trips.py",
            "notifications/catalog.py",
            "person/beginning.py",
            "person/rows.py",
        },
    ),
    "a row belongs to the caller": (
        _raises(
            "BOOKING_NOT_FOUND",
            "ORDER_NOT_FOUND",
            "BROADCAST_NOT_FOUND",
            "HOLD_NOT_FOUND",
            "ASSIGNMENT_NOT_FOUND",
        ),
        # The contracts do not raise the codes. They declare which commands can be rejected with them.
        {"ownership.py", "queries/trips.py"}
        | {"contracts/offers.py", "contracts/trips.py", "contracts/rejections.py"},
    ),
    "the wait before the next attempt": (_doubles, {"backoff.py"}),
}


def _places(found: Callable[[ast.AST], bool]) -> Iterator[str]:
    for path in python_files("weelo_workers"):
        if any(found(node) for node in ast.walk(syntax(path))):
            yield str(path.relative_to(ROOT / "weelo_workers"))


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_written_in_one_place(rule: str) -> None:
    found, allowed = RULES[rule]
    assert set(_places(found)) == allowed


PRINTED = [
    pytest.param(textwrap.dedent(block), id=f"{page.stem}-{number}")
    for page in sorted((ROOT / "docs" / "how-to").glob("*.md"))
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
    if "@handles" in block
]


@pytest.mark.parametrize("block", PRINTED)
def test_a_handler_that_a_how_to_prints_repeats_no_rule(block: str) -> None:
    nodes = list(ast.walk(ast.parse(block)))
    assert not [rule for rule, (found, _) in RULES.items() if any(found(node) for node in nodes)]
