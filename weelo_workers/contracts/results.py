"""What each command of a client returns if it succeeds: the `result` of its outcome."""

from __future__ import annotations

from collections.abc import Mapping

from weelo_workers.contracts import broadcasts, fleet, offers, policies, relations, trips, webhooks
from weelo_workers.contracts.command import Command
from weelo_workers.contracts.wire import Wire

RESULTS: Mapping[type[Command], type[Wire]] = {
    broadcasts.CreateBooking: broadcasts.BroadcastView,
    broadcasts.CreateOrder: broadcasts.BroadcastView,
    broadcasts.CancelBroadcast: broadcasts.CancelResult,
    broadcasts.ContinuePartial: broadcasts.BroadcastView,
    broadcasts.CancelByOperator: broadcasts.CancelResult,
    broadcasts.ExpireByOperator: broadcasts.BroadcastView,
    broadcasts.WidenByOperator: broadcasts.BroadcastView,
    offers.AcceptTrucks: offers.AcceptResult,
    offers.DeclineOffer: offers.DeclineResult,
    offers.HoldSlots: offers.HoldView,
    offers.ConfirmHold: offers.AcceptResult,
    offers.ReleaseHold: offers.HoldView,
    trips.DriverAccepts: trips.AssignmentView,
    trips.DriverDeclines: trips.AssignmentView,
    trips.GiveBack: trips.AssignmentView,
    trips.ReplaceTruck: trips.AssignmentView,
    trips.ReportNoShow: trips.AssignmentView,
    trips.CancelTruck: broadcasts.CancelTruckResult,
    trips.EndTrip: trips.AssignmentView,
    trips.AdvanceTrip: trips.AssignmentView,
    fleet.SetAvailability: fleet.AvailabilityView,
    fleet.SetAvailabilityByOperator: fleet.AvailabilityView,
    fleet.SetDriverAvailability: fleet.DriverView,
    fleet.RegisterVehicle: fleet.VehicleView,
    fleet.RegisterDriver: fleet.DriverView,
    fleet.RegisterDevice: fleet.DeviceView,
    fleet.ForgetDevice: fleet.ForgottenView,
    policies.PutPolicy: policies.PolicyView,
    policies.PausePolicy: policies.PolicyView,
    webhooks.CreateWebhook: webhooks.WebhookView,
    webhooks.UpdateWebhook: webhooks.WebhookView,
    webhooks.DeleteWebhook: webhooks.DeletedWebhookView,
    webhooks.RotateSecret: webhooks.WebhookView,
    webhooks.ResendLines: webhooks.ResendView,
    webhooks.SendTest: webhooks.WebhookTestView,
    relations.SetByCustomer: relations.RelationView,
    relations.RemoveByCustomer: relations.RelationView,
    relations.SetByTransporter: relations.RelationView,
    relations.RemoveByTransporter: relations.RelationView,
    relations.SetByOperator: relations.RelationView,
    relations.RemoveByOperator: relations.RelationView,
}
