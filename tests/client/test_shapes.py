"""The client's shapes equal the server's models. The client imports nothing of the server, so a test compares them."""

from __future__ import annotations

import pytest

from weelo_client import shapes
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
# Fields that only the view of a single broadcast has.
ONLY_IN_READS: dict[type, set[str]] = {shapes.Broadcast: {"assignments"}}


@pytest.mark.parametrize(("shape", "travels"), PAIRS, ids=lambda each: each.__name__)
def test_a_shape_has_every_field_that_travels_and_no_other(shape: type, travels: type[wire.Wire]) -> None:
    fields = {field.alias for field in travels.model_fields.values()}
    assert set(shape.__annotations__) - ONLY_IN_READS.get(shape, set()) == fields
