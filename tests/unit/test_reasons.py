"""Which reason codes exist, and which ones each actor may give in each stage. Requests refuse codes of other actors."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any
from uuid import uuid4

import pytest
from pydantic import BaseModel, ValidationError

from weelo_workers.contracts.broadcasts import Cancellation
from weelo_workers.contracts.offers import Refusal
from weelo_workers.contracts.reasons import ALL_CODES, CODES, OFFER, STAGES, ReasonView, reasons
from weelo_workers.contracts.statuses import AssignmentStatus, Role
from weelo_workers.contracts.trips import DriverRefusal, Ending, GivingBack, Replacement, TruckCancellation
from weelo_workers.lifecycles import assignment

# These codes are copied from section 8 of the contract.
PROVIDER = [
    "breakdown",
    "driver_unavailable",
    "vehicle_unavailable",
    "pickup_unreachable",
    "goods_mismatch",
    "price",
    "safety",
    "other",
]
CUSTOMER = ["plans_changed", "found_elsewhere", "too_slow", "wrong_details", "price", "driver_asked", "other"]
SYSTEM = ["stalled", "driver_timeout", "replaced"]

BEFORE_LOADING = ["pending", "driver_accepted", "en_route_pickup", "at_pickup"]
ON_BOARD = ["loading_complete", "in_transit", "arrived_at_drop"]

REQUESTS: dict[type[BaseModel], tuple[list[str], dict[str, object]]] = {
    DriverRefusal: (PROVIDER, {}),
    Refusal: (PROVIDER, {}),
    GivingBack: (PROVIDER, {}),
    Replacement: (PROVIDER, {"driverId": str(uuid4())}),
    Cancellation: (CUSTOMER, {}),
    TruckCancellation: (CUSTOMER, {}),
    Ending: ([*PROVIDER, *CUSTOMER], {"outcome": "failed", "note": "towed away"}),
}
"""The request models with a reason code: the codes that they take, and their other required fields."""

CODE_MUST_BE_GIVEN = {GivingBack, TruckCancellation, Ending}


def _parsed(model: type[BaseModel], body: dict[str, Any]) -> BaseModel:
    """Return the request as the API reads it from its JSON body. Raises ValidationError."""
    return model.model_validate_json(json.dumps(body))


def _listed(actor: Role, stage: str) -> list[str]:
    return [each.code for each in reasons() if (each.actor, each.stage) == (actor, stage)]


def test_WAYS_01_the_codes_are_those_of_the_contract() -> None:
    assert [str(code) for code in CODES[Role.DRIVER]] == PROVIDER
    assert [str(code) for code in CODES[Role.TRANSPORTER]] == PROVIDER
    assert [str(code) for code in CODES[Role.CUSTOMER]] == CUSTOMER
    assert set(CODES[Role.ADMIN]) == {*PROVIDER, *CUSTOMER}
    assert set(ALL_CODES) == {*PROVIDER, *CUSTOMER, *SYSTEM}


def test_WAYS_01_every_actor_has_reasons_in_the_stages_in_which_they_may_act() -> None:
    assert list(STAGES[Role.DRIVER]) == BEFORE_LOADING
    assert list(STAGES[Role.TRANSPORTER]) == [OFFER, *BEFORE_LOADING]
    assert list(STAGES[Role.CUSTOMER]) == [OFFER, *BEFORE_LOADING]
    assert list(STAGES[Role.ADMIN]) == [*BEFORE_LOADING, *ON_BOARD]
    assert set(BEFORE_LOADING) == assignment.BEFORE_LOADING
    assert {*BEFORE_LOADING, *ON_BOARD} == assignment.LIVE


@pytest.mark.parametrize(("actor", "stage"), [(actor, each) for actor in STAGES for each in STAGES[actor]])
def test_WAYS_01_a_list_of_reasons_ends_with_another_reason_and_names_no_code_of_the_system(
    actor: Role, stage: str
) -> None:
    codes = _listed(actor, stage)
    assert "other" in codes
    assert not {*codes} & {*SYSTEM}
    assert max(Counter(codes).values()) == 1
    assert set(codes) <= {str(code) for code in CODES[actor]}


def test_WAYS_01_a_reason_is_left_out_only_where_it_makes_no_sense() -> None:
    left_out = {
        (str(actor), stage, str(code))
        for actor, stages in STAGES.items()
        for stage in stages
        for code in CODES[actor]
        if code not in _listed(actor, stage)
    }
    at_the_pickup = {
        (role, stage, "pickup_unreachable")
        for role, stages in (
            ("driver", ["at_pickup"]),
            ("transporter", ["at_pickup"]),
            ("admin", ["at_pickup", *ON_BOARD]),
        )
        for stage in stages
    }
    before_a_driver = {("customer", "offer", "driver_asked")} | {
        ("admin", stage, "driver_asked") for stage in ON_BOARD
    }
    assert left_out == at_the_pickup | before_a_driver


def test_WAYS_01_every_reason_has_a_label_of_its_own() -> None:
    labels: dict[str, set[str]] = {}
    for each in reasons():
        labels.setdefault(each.code, set()).add(each.label)
    assert all(len(those) == 1 for those in labels.values())
    only = [label for those in labels.values() for label in those]
    assert len(set(only)) == len(only)
    assert all(label and label[0].isupper() and not label.endswith(".") for label in only)


def test_WAYS_01_a_reason_is_shown_with_actor_stage_code_and_label() -> None:
    first = next(reasons())
    assert isinstance(first, ReasonView)
    assert first.json_dict() == {
        "actor": "driver",
        "stage": AssignmentStatus.PENDING,
        "code": "breakdown",
        "label": "The truck has broken down",
    }


@pytest.mark.parametrize("code", sorted({*PROVIDER, *CUSTOMER, *SYSTEM, "customer_cancelled", "timeout", ""}))
@pytest.mark.parametrize("model", REQUESTS, ids=lambda model: model.__name__)
def test_WAYS_01_a_request_takes_the_codes_of_its_actor_and_refuses_all_others(
    model: type[BaseModel], code: str
) -> None:
    allowed, others = REQUESTS[model]
    body = {**others, "reasonCode": code}
    if code in allowed:
        assert _parsed(model, body).model_dump()["reason_code"] == code
    else:
        with pytest.raises(ValidationError):
            _parsed(model, body)


@pytest.mark.parametrize("model", REQUESTS, ids=lambda model: model.__name__)
def test_WAYS_01_a_way_out_needs_a_code_and_a_refusal_may_have_one(model: type[BaseModel]) -> None:
    others = REQUESTS[model][1]
    if model in CODE_MUST_BE_GIVEN:
        with pytest.raises(ValidationError):
            _parsed(model, others)
    else:
        assert _parsed(model, others).model_dump()["reason_code"] is None


@pytest.mark.parametrize("model", [GivingBack, TruckCancellation, Ending], ids=lambda model: model.__name__)
def test_WAYS_01_a_note_has_at_most_500_characters(model: type[BaseModel]) -> None:
    body = {**REQUESTS[model][1], "reasonCode": "price"}
    assert _parsed(model, {**body, "note": "n" * 500}).model_dump()["note"] == "n" * 500
    with pytest.raises(ValidationError):
        _parsed(model, {**body, "note": "n" * 501})


def test_WAYS_01_an_operator_must_say_why_in_words() -> None:
    body = {"outcome": "failed", "reasonCode": "other"}
    for words in (None, ""):
        with pytest.raises(ValidationError):
            _parsed(Ending, {**body, "note": words})


def test_WAYS_01_a_replacement_names_a_driver_a_vehicle_or_both() -> None:
    with pytest.raises(ValidationError, match="give driverId, vehicleId or both"):
        _parsed(Replacement, {"reasonCode": "breakdown"})
    for named in ("driverId", "vehicleId"):
        _parsed(Replacement, {named: str(uuid4())})
