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
from weelo_workers.contracts.reasons import ProviderReason
from weelo_workers.contracts.recipients import ToTransporter
from weelo_workers.contracts.rejections import OF_ALLOCATIONS, OF_CLOSED_BROADCASTS, OF_TRUCKS, Code
from weelo_workers.contracts.statuses import BroadcastStatus, HoldStatus, OfferAnswer, PassedOverBecause
from weelo_workers.contracts.trips import AboutAssignment, AssignmentView
from weelo_workers.contracts.vehicle_kinds import KindName
from weelo_workers.contracts.wire import LongText, Request, ShortText, Timestamp, Wire

# --- requests -------------------------------------------------------------------------------------------


class Truck(Request):
    """A vehicle and its driver for the slot `truck_request_id`. If that is null: for the first slot that fits."""

    vehicle_id: UUID
    driver_id: UUID
    truck_request_id: UUID | None = None


class OneTruck(Request):
    """A vehicle and its driver for the slot in the path of the request."""

    vehicle_id: UUID
    driver_id: UUID


class Acceptance(Request):
    """`{vehicleId, driverId}` for one truck, or `{trucks: [...]}` for several: all or nothing unless `partial`."""

    vehicle_id: UUID | None = None
    driver_id: UUID | None = None
    trucks: Annotated[list[Truck], Field(min_length=1, max_length=MAX_TRUCKS)] | None = None
    partial: bool = False

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
    """`POST /broadcasts/{id}/hold`: a number of slots, of one kind or of all kinds for which the fleet has trucks."""

    quantity: Annotated[int, Field(ge=1, le=MAX_TRUCKS)]
    vehicle_type: ShortText | None = None
    vehicle_subtype: KindName | None = None

    @model_validator(mode="after")
    def _a_kind_has_two_names(self) -> Self:
        if (self.vehicle_type is None) != (self.vehicle_subtype is None):
            raise ValueError("vehicleType and vehicleSubtype belong together")
        return self


class Confirmation(Request):
    """`POST /holds/{id}/confirm`: the trucks for the held slots. Slots without a truck are open again."""

    assignments: Annotated[list[OneTruck], Field(min_length=1, max_length=MAX_TRUCKS)]

    @model_validator(mode="after")
    def _nobody_twice(self) -> Self:
        _refuse_doubles("vehicle", [truck.vehicle_id for truck in self.assignments])
        _refuse_doubles("driver", [truck.driver_id for truck in self.assignments])
        return self


class Refusal(Request):
    """`reason`: the transporter's own words. `reason_code`: one of the codes of transporters."""

    reason: LongText | None = None
    reason_code: ProviderReason | None = None


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
    trucks_filled: int
    trucks_needed: int


class HoldExpired(AboutBroadcast, to=ToTransporter):
    """The time to name trucks has passed, and the slots are open to all transporters again."""

    hold_id: UUID


# --- views ----------------------------------------------------------------------------------------------


class AcceptResult(Wire):
    assignments: list[AssignmentView]
    trucks_needed: int
    trucks_filled: int
    is_fully_filled: bool
    status: BroadcastStatus


class OfferView(Wire):
    broadcast_id: UUID
    broadcast: BroadcastView
    truck_request_ids: list[UUID]
    """The slots that this fleet could take now, without those that others have on hold."""
    pickup_distance_km: float | None
    radius_step: int
    offered_at: Timestamp


class HoldView(Wire):
    """A hold. `truck_request_ids`: the slots that it reserves."""

    hold_id: UUID
    broadcast_id: UUID
    status: HoldStatus
    truck_request_ids: list[UUID]
    expires_at: Timestamp


class PassedOverView(Wire):
    """A step that passed the transporter over. `reason`: one of `PassedOverBecause`."""

    step: int
    reason: str
    distance_km: float | None
    at: Timestamp


class RecipientView(Wire):
    """A transporter to whom a broadcast was offered, or whom a step passed over.

    `at`: the time of the offer or of the step. `reason`: why they were passed over; null if they got an offer.
    `answer`: what they answered to the offer; null if there is no answer.
    """

    transporter_id: UUID
    offered: bool
    radius_step: int
    pickup_distance_km: float | None
    at: Timestamp
    reason: PassedOverBecause | None
    answer: OfferAnswer | None
    declined_at: Timestamp | None
    trucks_won: int


class WhyView(Wire):
    """Why a broadcast was offered to a transporter, or was not. `answer` is a sentence for people.

    `reason`: null if offered; else one of `PassedOverBecause`, or `no_truck_of_this_kind`, `out_of_radius`, `not_yet`,
    `came_too_late`, `position_unknown`. `seen`: null if it is not known. `passed_over`: the steps that passed the
    transporter over. `as_of_now`: the reason is derived from the present state, not from records of the steps.
    """

    broadcast_id: UUID
    transporter_id: UUID
    offered: bool
    answer: str
    reason: str | None = None
    as_of_now: bool = False
    radius_step: int | None = None
    pickup_distance_km: float | None = None
    offered_at: Timestamp | None = None
    seen: bool | None = None
    declined_at: Timestamp | None = None
    trucks_won: int = 0
    passed_over: tuple[PassedOverView, ...] = ()


class DeclineResult(Wire):
    broadcast_id: UUID
    declined: bool = True
