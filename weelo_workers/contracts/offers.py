"""The contract of offers: a transporter accepts, holds or declines slots of a broadcast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Self
from uuid import UUID

from pydantic import Field, model_validator

from weelo_workers.contracts.broadcasts import MAX_TRUCKS, BroadcastView
from weelo_workers.contracts.command import Command
from weelo_workers.contracts.event import AboutBroadcast
from weelo_workers.contracts.queues import TIMERS
from weelo_workers.contracts.reasons import ProviderReason, ReasonCode
from weelo_workers.contracts.recipients import ToTransporter
from weelo_workers.contracts.rejections import OF_ALLOCATIONS, OF_CLOSED_BROADCASTS, OF_TRUCKS, Code
from weelo_workers.contracts.statuses import (
    BroadcastStatus,
    HoldStatus,
    NotOfferedBecause,
    OfferAnswer,
    PassedOverBecause,
)
from weelo_workers.contracts.trips import AboutAssignment, AssignmentView
from weelo_workers.contracts.vehicle_kinds import KindName, TypeName
from weelo_workers.contracts.wire import (
    BroadcastId,
    DriverId,
    HoldId,
    OwnWords,
    PickupKilometres,
    RadiusStep,
    Request,
    Timestamp,
    TransporterId,
    TruckRequestId,
    TrucksFilled,
    TrucksNeeded,
    VehicleId,
    Wire,
)

# --- requests -------------------------------------------------------------------------------------------


class Truck(Request):
    """A vehicle with its driver for one slot."""

    vehicle_id: VehicleId
    driver_id: DriverId
    truck_request_id: TruckRequestId | None = None
    """The id of the slot that the truck is for. Left out: the first slot that fits."""


class OneTruck(Request):
    """A vehicle with its driver for one slot."""

    vehicle_id: VehicleId
    driver_id: DriverId


class Acceptance(Request):
    """Either `vehicleId` and `driverId` for one truck, or `trucks` for several."""

    vehicle_id: VehicleId | None = None
    """The id of the vehicle, if one truck is offered."""
    driver_id: DriverId | None = None
    """The user id of the driver, if one truck is offered."""
    trucks: Annotated[list[Truck], Field(min_length=1, max_length=MAX_TRUCKS)] | None = None
    """The trucks with their drivers, if several are offered. All of them get a slot, or none, unless `partial`."""
    partial: bool = False
    """True: of the trucks as many get a slot as slots are open. False: all of them or none."""

    @model_validator(mode="after")
    def _one_form_of_the_two(self) -> Self:
        single = self.vehicle_id is not None or self.driver_id is not None
        if single == (self.trucks is not None):
            raise ValueError("give either vehicleId and driverId, or trucks")
        if single and (self.vehicle_id is None or self.driver_id is None):
            raise ValueError("vehicleId and driverId belong together")
        offered = self.offered()
        _refuse_doubles("vehicle", [truck.vehicle_id for truck in offered])
        _refuse_doubles("driver", [truck.driver_id for truck in offered])
        _refuse_doubles("truck request", [t.truck_request_id for t in offered if t.truck_request_id])
        return self

    def offered(self) -> tuple[Truck, ...]:
        if self.trucks is not None:
            return tuple(self.trucks)
        assert self.vehicle_id is not None and self.driver_id is not None
        return (Truck(vehicle_id=self.vehicle_id, driver_id=self.driver_id),)


class SlotsWanted(Request):
    """A number of slots, of one kind or of all kinds for which the fleet has trucks."""

    quantity: Annotated[int, Field(ge=1, le=MAX_TRUCKS, examples=[2])]
    """How many slots to hold."""
    vehicle_type: TypeName | None = None
    """The type of vehicle, together with `vehicleSubtype`. Left out: all kinds for which the fleet has trucks."""
    vehicle_subtype: KindName | None = None
    """The size or make, together with `vehicleType`."""

    @model_validator(mode="after")
    def _a_kind_has_two_names(self) -> Self:
        if (self.vehicle_type is None) != (self.vehicle_subtype is None):
            raise ValueError("vehicleType and vehicleSubtype belong together")
        return self


class Confirmation(Request):
    """The trucks for the held slots."""

    assignments: Annotated[list[OneTruck], Field(min_length=1, max_length=MAX_TRUCKS)]
    """The trucks with their drivers. Held slots that get no truck are open to other transporters again."""

    @model_validator(mode="after")
    def _nobody_twice(self) -> Self:
        _refuse_doubles("vehicle", [truck.vehicle_id for truck in self.assignments])
        _refuse_doubles("driver", [truck.driver_id for truck in self.assignments])
        return self


class Refusal(Request):
    """Why the transporter declines. Both fields may be left out."""

    reason: OwnWords | None = None
    reason_code: ProviderReason | None = None
    """Why the transporter declines, as one of the codes of transporters."""


def _refuse_doubles(what: str, ids: Sequence[UUID]) -> None:
    if len(set(ids)) < len(ids):
        raise ValueError(f"the same {what} is named twice")


# --- commands -------------------------------------------------------------------------------------------


class AcceptTrucks(
    Command,
    name="offers.accept",
    rejects=(
        Code.BROADCAST_NOT_FOUND,
        *OF_CLOSED_BROADCASTS,
        *OF_TRUCKS,
        *OF_ALLOCATIONS,
        Code.BLOCKED,
        Code.SLOT_GIVEN_BACK,
        Code.INVALID_TRANSITION,
    ),
):
    """Assign these trucks to slots: all of them or none, or with `partial` as many as there are open slots."""

    broadcast_id: UUID
    transporter_id: UUID
    trucks: tuple[Truck, ...]
    partial: bool = False


class HoldSlots(
    Command,
    name="offers.hold",
    rejects=(
        Code.BROADCAST_NOT_FOUND,
        *OF_CLOSED_BROADCASTS,
        Code.BLOCKED,
        Code.HOLD_EXPIRED,
        Code.VEHICLE_TYPE_MISMATCH,
        Code.SLOT_GIVEN_BACK,
        Code.NOT_ENOUGH_AVAILABLE,
    ),
):
    """Reserve slots for this transporter."""

    broadcast_id: UUID
    transporter_id: UUID
    request: SlotsWanted


class ConfirmHold(
    Command,
    name="offers.confirm_hold",
    rejects=(
        Code.HOLD_NOT_FOUND,
        Code.HOLD_EXPIRED,
        Code.BLOCKED,
        Code.BROADCAST_CANCELLED,
        Code.BROADCAST_EXPIRED,
        *OF_TRUCKS,
        Code.REQUEST_ALREADY_TAKEN,
        Code.NOT_ENOUGH_AVAILABLE,
        Code.INVALID_TRANSITION,
    ),
):
    hold_id: UUID
    transporter_id: UUID
    trucks: tuple[Truck, ...]


ACCEPTS = (AcceptTrucks.name, ConfirmHold.name)
"""The names of the commands by which a transporter takes slots."""


class ReleaseHold(
    Command, name="offers.release_hold", rejects=(Code.HOLD_NOT_FOUND, Code.INVALID_TRANSITION)
):
    """End a hold early, at the transporter's request."""

    hold_id: UUID
    transporter_id: UUID


class ExpireHold(Command, name="offers.expire_hold", queue=TIMERS, rejects=(Code.HOLD_NOT_FOUND,)):
    """Timer: end the hold when its time is over."""

    hold_id: UUID


class DeclineOffer(Command, name="offers.decline", rejects=(Code.BROADCAST_NOT_FOUND,)):
    broadcast_id: UUID
    transporter_id: UUID
    reason: str | None = None
    reason_code: ProviderReason | None = None


# --- events ---------------------------------------------------------------------------------------------


class TruckConfirmed(AboutAssignment):
    """A transporter has assigned a truck. The customer gets this event for each truck."""

    trucks_filled: TrucksFilled
    trucks_needed: TrucksNeeded


class HoldExpired(AboutBroadcast, to=ToTransporter):
    """The time to name trucks has passed, and the slots are open to all transporters again."""

    hold_id: HoldId


# --- views ----------------------------------------------------------------------------------------------


class AcceptResult(Wire):
    """The trucks that got a slot, and how far the broadcast is filled."""

    assignments: list[AssignmentView]
    """The trucks with their drivers that got a slot."""
    trucks_needed: TrucksNeeded
    trucks_filled: TrucksFilled
    is_fully_filled: bool
    """Whether all trucks of the broadcast are found."""
    status: BroadcastStatus
    """The status of the broadcast after this."""


class OfferView(Wire):
    """A broadcast as one transporter sees it."""

    broadcast_id: BroadcastId
    broadcast: BroadcastView
    """The broadcast, without the slots that others have on hold."""
    truck_request_ids: list[TruckRequestId]
    """The ids of the slots that this fleet could take now, without those that others have on hold."""
    pickup_distance_km: PickupKilometres | None
    radius_step: RadiusStep
    offered_at: Timestamp
    """When the broadcast was offered to this transporter."""


class HoldView(Wire):
    """A hold: slots that are kept for one transporter for a short time."""

    hold_id: HoldId
    broadcast_id: BroadcastId
    status: HoldStatus
    """The status of the hold."""
    truck_request_ids: list[TruckRequestId]
    """The ids of the slots that the hold keeps."""
    expires_at: Timestamp
    """When the hold ends if the transporter does not confirm or release it."""


class PassedOverView(Wire):
    """A step of the search that passed the transporter over."""

    step: Annotated[int, Field(examples=[1])]
    """The number of the step, from 1."""
    reason: PassedOverBecause
    """Why the step made no offer to the transporter."""
    distance_km: PickupKilometres | None
    at: Timestamp
    """When the step was made."""


class RecipientView(Wire):
    """A transporter to whom a broadcast was offered, or whom a step of the search passed over."""

    transporter_id: TransporterId
    offered: bool
    """Whether the broadcast was offered to the transporter."""
    radius_step: RadiusStep
    pickup_distance_km: PickupKilometres | None
    at: Timestamp
    """When the offer was made, or the step that passed the transporter over."""
    reason: PassedOverBecause | None
    """Why the transporter was passed over, or `blocked` if the offer was withdrawn; null if they have an offer."""
    answer: OfferAnswer | None
    """What the transporter answered to the offer, or `withdrawn`; null if there is no answer."""
    declined_at: Timestamp | None
    """When the transporter declined; null if they did not."""
    decline_reason_code: ReasonCode | None
    """The transporter's reason for declining; null if they gave no code."""
    decline_note: Annotated[str | None, Field(examples=["Too far"])]
    """The transporter's own words when they declined; null if there are none."""
    trucks_won: Annotated[int, Field(examples=[1])]
    """How many slots the transporter's trucks have now, or have completed."""


class WhyView(Wire):
    """Why a broadcast was offered to a transporter, or was not."""

    broadcast_id: BroadcastId
    transporter_id: TransporterId
    offered: bool
    """Whether the broadcast was offered to the transporter."""
    answer: Annotated[str, Field(examples=["not offered: no free truck of this kind (step 1)"])]
    """The whole explanation as a sentence, in English."""
    reason: PassedOverBecause | NotOfferedBecause | None = None
    """Why the broadcast was not offered, or `blocked` if the offer was withdrawn; null if it was offered. A transporter does not
    learn of a block: then it is null, too."""
    as_of_now: bool = False
    """True: the reason is derived from the present state. False: it was recorded at the time."""
    radius_step: RadiusStep | None = None
    """The number of the step that made the offer, from 1; null if there is no offer."""
    pickup_distance_km: PickupKilometres | None = None
    """The distance from the transporter to the pickup in km; null if there is no offer, or if it is not known."""
    offered_at: Timestamp | None = None
    """When the offer was made; null if there is none."""
    seen: bool | None = None
    """Whether the transporter's app has acknowledged the offer; null if that is not known."""
    declined_at: Timestamp | None = None
    """When the transporter declined; null if they did not."""
    trucks_won: Annotated[int, Field(examples=[1])] = 0
    """How many slots the transporter's trucks have now, or have completed."""
    passed_over: tuple[PassedOverView, ...] = ()
    """The steps that passed the transporter over, oldest first."""


class DeclineResult(Wire):
    """The broadcast has left the transporter's list of offers."""

    broadcast_id: BroadcastId
    declined: bool = True
    """Always true."""
