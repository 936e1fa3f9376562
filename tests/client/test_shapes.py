"""The client's shapes equal the server's models. The client imports nothing of the server, so a test compares them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from enum import StrEnum
from typing import Any, get_args

import pytest

from weelo_client import shapes
from weelo_client.admin import AdminCommands
from weelo_client.commands import Outcome
from weelo_client.customer import CustomerCommands
from weelo_client.driver import DriverCommands
from weelo_client.transporter import TransporterCommands
from weelo_client.webhooks import WebhookCommands
from weelo_workers.contracts import (
    admin,
    broadcasts,
    fleet,
    market,
    offers,
    policies,
    reasons,
    relations,
    statuses,
    trips,
    vehicle_kinds,
    webhooks,
    wire,
)

PAIRS = [
    (shapes.Place, wire.Place),
    (shapes.VehicleRequirement, broadcasts.VehicleRequirement),
    (shapes.TruckRequest, broadcasts.TruckRequestView),
    (shapes.Broadcast, broadcasts.BroadcastView),
    (shapes.Cancelled, broadcasts.CancelResult),
    (shapes.CancelledTruck, broadcasts.CancelTruckResult),
    (shapes.TimelineEntry, broadcasts.TimelineEntry),
    (shapes.TransitionDetails, broadcasts.TransitionDetails),
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
    (shapes.Reason, reasons.ReasonView),
    (shapes.Relation, relations.RelationView),
    (shapes.Webhook, webhooks.WebhookView),
    (shapes.WebhookWithSecret, webhooks.WebhookWithSecretView),
    (shapes.WebhookTest, webhooks.WebhookTestView),
    (shapes.Resent, webhooks.ResendView),
    (shapes.Delivery, webhooks.DeliveryView),
    (shapes.Market, market.MarketView),
    (shapes.MarketFigures, market.MarketFigures),
    (shapes.Spread, market.Spread),
    (shapes.WonInRing, market.WonInRing),
    (shapes.ExpiredSlots, market.ExpiredSlots),
    (shapes.LostAccepts, market.LostAccepts),
    (shapes.CancelledSlots, market.CancelledSlots),
    (shapes.LostTrucks, market.LostTrucks),
    (shapes.MarketOfPolicy, market.MarketOfPolicy),
    (shapes.PolicyRef, policies.PolicyRef),
    (shapes.Center, policies.Center),
    (shapes.Area, policies.Area),
    (shapes.PolicySettings, policies.PolicySettings),
    (shapes.PolicyVersion, policies.PolicyVersionView),
    (shapes.Policy, policies.PolicyView),
    (shapes.PolicyPreview, policies.PolicyPreview),
    (shapes.ChangedValue, policies.ChangedValue),
    (shapes.OverlappingPolicy, policies.OverlappingPolicy),
    (shapes.Contact, admin.Contact),
    (shapes.RequestedVehicles, broadcasts.RequestedVehicles),
    (shapes.BroadcastSummary, admin.BroadcastSummaryView),
    (shapes.Position, admin.PositionView),
    (shapes.TransporterSummary, admin.TransporterSummaryView),
    (shapes.FleetDriver, admin.FleetDriverView),
    (shapes.OpenOffer, admin.OpenOfferView),
    (shapes.Answer, admin.AnswerView),
    (shapes.TransporterDetails, admin.TransporterDetailsView),
    (shapes.Stuck, admin.StuckView),
    (shapes.AuditEntry, admin.AuditView),
]
# Fields that are present only when a single broadcast is read.
ONLY_IN_READS: dict[type, set[str]] = {shapes.Broadcast: {"assignments"}}


@pytest.mark.parametrize(("shape", "travels"), PAIRS, ids=lambda each: each.__name__)
def test_a_shape_has_every_field_that_travels_and_no_other(shape: type, travels: type[wire.Wire]) -> None:
    fields = {field.alias for field in travels.model_fields.values()}
    assert set(shape.__annotations__) - ONLY_IN_READS.get(shape, set()) == fields


CODES: list[tuple[Any, type[StrEnum]]] = [
    (shapes.AssignmentStatus, statuses.AssignmentStatus),
    (shapes.EndOutcome, statuses.EndOutcome),
    (shapes.ProviderReason, reasons.ProviderReason),
    (shapes.CustomerReason, reasons.CustomerReason),
    (shapes.SystemReason, reasons.SystemReason),
]


@pytest.mark.parametrize(("literal", "codes"), CODES, ids=[codes.__name__ for _, codes in CODES])
def test_a_literal_has_every_code_of_the_server_and_no_other(literal: Any, codes: type[StrEnum]) -> None:
    assert get_args(literal) == tuple(codes)


METHODS: list[tuple[Callable[..., Any], type[wire.Request]]] = [
    (CustomerCommands.create_booking, broadcasts.NewBooking),
    (CustomerCommands.create_order, broadcasts.NewOrder),
    (CustomerCommands.cancel_booking, broadcasts.Cancellation),
    (CustomerCommands.cancel_order, broadcasts.Cancellation),
    (CustomerCommands.cancel_truck, trips.TruckCancellation),
    (TransporterCommands.register_vehicle, fleet.VehicleDetails),
    (TransporterCommands.register_driver, fleet.DriverDetails),
    (TransporterCommands.decline, offers.Refusal),
    (TransporterCommands.replace, trips.Replacement),
    (DriverCommands.decline_assignment, trips.DriverRefusal),
    (DriverCommands.give_back, trips.GivingBack),
    (DriverCommands.report_no_show, trips.NoShowReport),
    (DriverCommands.report_trip, trips.TripStep),
    (AdminCommands.end_trip, trips.Ending),
    (AdminCommands.set_transporter_availability, admin.AvailabilityIntervention),
    (AdminCommands.put_policy, policies.NewPolicyVersion),
    (AdminCommands.pause_policy, policies.PolicyPause),
    (WebhookCommands.create_webhook, webhooks.NewWebhook),
    (WebhookCommands.update_webhook, webhooks.WebhookChanges),
    (WebhookCommands.resend_to_webhook, webhooks.ResendRange),
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
