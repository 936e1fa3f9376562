"""The client's shapes equal the server's models. The client imports nothing of the server, so a test compares them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from weelo_client import shapes
from weelo_client.commands import Outcome
from weelo_client.customer import CustomerCommands
from weelo_client.transporter import TransporterCommands
from weelo_workers.contracts import broadcasts, fleet, offers, trips, vehicle_kinds, wire

PAIRS = [
    (shapes.Place, wire.Place),
    (shapes.VehicleRequirement, broadcasts.VehicleRequirement),
    (shapes.TruckRequest, broadcasts.TruckRequestView),
    (shapes.Broadcast, broadcasts.BroadcastView),
    (shapes.Cancelled, broadcasts.CancelResult),
    (shapes.TimelineEntry, broadcasts.TimelineEntry),
    (shapes.Assignment, trips.AssignmentView),
    (shapes.Truck, offers.Truck),
    (shapes.HeldTruck, offers.OneTruck),
    (shapes.Accepted, offers.AcceptResult),
    (shapes.Hold, offers.HoldView),
    (shapes.Offer, offers.OfferView),
    (shapes.Vehicle, fleet.VehicleView),
    (shapes.Driver, fleet.DriverView),
    (shapes.Availability, fleet.AvailabilityView),
    (shapes.VehicleKind, vehicle_kinds.VehicleKindView),
]
# Fields that are present only when a single broadcast is read.
ONLY_IN_READS: dict[type, set[str]] = {shapes.Broadcast: {"assignments"}}


@pytest.mark.parametrize(("shape", "travels"), PAIRS, ids=lambda each: each.__name__)
def test_a_shape_has_every_field_that_travels_and_no_other(shape: type, travels: type[wire.Wire]) -> None:
    fields = {field.alias for field in travels.model_fields.values()}
    assert set(shape.__annotations__) - ONLY_IN_READS.get(shape, set()) == fields


METHODS: list[tuple[Callable[..., Any], type[wire.Request]]] = [
    (CustomerCommands.create_booking, broadcasts.NewBooking),
    (CustomerCommands.create_order, broadcasts.NewOrder),
    (TransporterCommands.register_vehicle, fleet.VehicleDetails),
    (TransporterCommands.register_driver, fleet.DriverDetails),
]


@pytest.mark.parametrize(("method", "request_model"), METHODS, ids=lambda each: each.__name__)
def test_a_method_sends_every_field_of_its_request(
    method: Callable[..., Any], request_model: type[wire.Request]
) -> None:
    fields = request_model.model_fields
    parameters = set(inspect.signature(method).parameters)
    assert set(fields) <= parameters, f"{method.__name__} lacks an argument"
    others = parameters - set(fields) - {"self", "key", "wait"}
    recorder = Recorder()
    method(recorder, **dict.fromkeys(others, "in the path"), **{name: [name] for name in fields})
    assert recorder.body == {field.alias or name: [name] for name, field in fields.items()}


class Recorder:
    """Stands in for the client, and records the body of the command."""

    body: Any = None

    def command(self, _method: str, _path: str, body: Any, **_options: Any) -> Outcome:
        self.body = body
        return Outcome("succeeded", 200)
