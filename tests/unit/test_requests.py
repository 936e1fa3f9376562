"""What request bodies accept: which fields belong together, and which texts, times and numbers are refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest
from pydantic import TypeAdapter, ValidationError

from weelo_workers.contracts.broadcasts import NewBooking, NewOrder
from weelo_workers.contracts.offers import Acceptance, Confirmation, SlotsWanted
from weelo_workers.contracts.wire import (
    AddressText,
    DeviceTime,
    Latitude,
    Longitude,
    LongText,
    Request,
    Rupees,
    ShortText,
    rfc3339,
)

ONE, OTHER, DRIVER, SECOND, SLOT = (str(uuid4()) for _ in range(5))
TRUCK = {"vehicleId": ONE, "driverId": DRIVER}
PLACE = {"latitude": 28.6, "longitude": 77.2, "address": "New Delhi"}
KIND = {"vehicleType": "open", "vehicleSubtype": "17 Feet"}


def refusal(model: type[Request], body: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as refused:
        model.model_validate_json(json.dumps(body))
    return str(refused.value)


@pytest.mark.parametrize(
    ("model", "body", "reason"),
    [
        (Acceptance, {}, "either vehicleId and driverId, or trucks"),
        (Acceptance, {**TRUCK, "trucks": [TRUCK]}, "either vehicleId and driverId, or trucks"),
        (Acceptance, {"vehicleId": ONE}, "belong together"),
        (Acceptance, {"driverId": DRIVER}, "belong together"),
        (Acceptance, {"trucks": []}, "at least 1 item"),
        (Acceptance, {"trucks": [TRUCK, {**TRUCK, "driverId": SECOND}]}, "same vehicle is named twice"),
        (Acceptance, {"trucks": [TRUCK, {**TRUCK, "vehicleId": OTHER}]}, "same driver is named twice"),
        (
            Acceptance,
            {
                "trucks": [
                    {**TRUCK, "truckRequestId": SLOT},
                    {"vehicleId": OTHER, "driverId": SECOND, "truckRequestId": SLOT},
                ]
            },
            "same truck request is named twice",
        ),
        (Acceptance, {"vehicle_id": ONE, "driver_id": DRIVER}, "Extra inputs are not permitted"),
        (Confirmation, {"assignments": []}, "at least 1 item"),
        (Confirmation, {"assignments": [TRUCK, TRUCK]}, "same vehicle is named twice"),
        (Confirmation, {"assignments": [TRUCK, {**TRUCK, "vehicleId": OTHER}]}, "same driver is named twice"),
        (SlotsWanted, {"quantity": 0}, "greater than or equal to 1"),
        (SlotsWanted, {"quantity": "1"}, "valid integer"),
        (SlotsWanted, {"quantity": 1, "vehicleType": "open"}, "belong together"),
        (SlotsWanted, {"quantity": 1, "vehicleSubtype": "17 Feet"}, "belong together"),
        (
            NewBooking,
            {"pickup": PLACE, "drop": PLACE, **KIND, "trucksNeeded": 51},
            "less than or equal to 50",
        ),
        (
            NewOrder,
            {"pickup": PLACE, "drop": PLACE, "vehicleRequirements": [{**KIND, "quantity": 17}] * 3},
            "at most 50 trucks together",
        ),
    ],
)
def test_what_does_not_belong_together_is_refused(
    model: type[Request], body: dict[str, Any], reason: str
) -> None:
    assert reason in refusal(model, body)


def test_one_truck_and_a_list_of_trucks_are_offered_alike() -> None:
    single = Acceptance.model_validate_json(json.dumps(TRUCK))
    listed = Acceptance.model_validate_json(json.dumps({"trucks": [TRUCK]}))
    assert single.offered() == listed.offered()


def test_a_booking_and_an_order_state_their_demand_alike() -> None:
    route = {"pickup": PLACE, "drop": PLACE}
    booking = NewBooking.model_validate_json(
        json.dumps({**route, **KIND, "trucksNeeded": 2, "pricePerTruck": 9})
    )
    row = {**KIND, "quantity": 2, "pricePerTruck": 9}
    order = NewOrder.model_validate_json(json.dumps({**route, "vehicleRequirements": [row, row]}))
    assert booking.wanted() == [("open", "17 Feet", 2, 9)]
    assert order.wanted() == booking.wanted() * 2


@pytest.mark.parametrize(
    ("kind", "value", "accepted"),
    [
        (ShortText, "  Delhi ", "Delhi"),
        (ShortText, "", None),
        (ShortText, "   ", None),
        (ShortText, "x" * 100, "x" * 100),
        (ShortText, "x" * 101, None),
        (ShortText, "a\0b", None),
        (ShortText, "\ud800", None),
        (AddressText, "x" * 501, None),
        (AddressText, "\ud800", None),
        (LongText, "", ""),
        (LongText, "x" * 1001, None),
        (LongText, "a\0b", None),
        (Latitude, 90.0, 90.0),
        (Latitude, -90.001, None),
        (Latitude, float("nan"), None),
        (Longitude, -180.0, -180.0),
        (Longitude, 180.001, None),
        (Longitude, float("inf"), None),
        (Rupees, 0, 0),
        (Rupees, -1, None),
        (Rupees, 100_000_001, None),
        (DeviceTime, "1970-01-01T00:00:00Z", datetime(1970, 1, 1, tzinfo=UTC)),
        (DeviceTime, "1969-12-31T23:59:59Z", None),
        (DeviceTime, "2100-01-01T00:00:00Z", None),
        (DeviceTime, "2026-02-19T10:00:00", None),
    ],
)
def test_a_value_is_accepted_within_its_limits(kind: Any, value: Any, accepted: Any) -> None:
    adapter = TypeAdapter(kind)
    if accepted is not None:
        assert adapter.validate_python(value) == accepted
        return
    with pytest.raises(ValidationError):
        adapter.validate_python(value)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 2, 19, 10, tzinfo=UTC), "2026-02-19T10:00:00.000Z"),
        (datetime(2026, 2, 19, 10, 0, 0, 123_999, UTC), "2026-02-19T10:00:00.123Z"),
        (
            datetime(2026, 2, 19, 1, 30, tzinfo=timezone(timedelta(hours=5, minutes=30))),
            "2026-02-18T20:00:00.000Z",
        ),
    ],
)
def test_times_are_in_utc_with_three_decimals(moment: datetime, text: str) -> None:
    assert rfc3339(moment) == text
