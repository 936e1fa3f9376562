"""The offers domain: one transporter's view of a broadcast, and taking trucks of it."""

from __future__ import annotations

from typing import Annotated, Self
from uuid import UUID

from pydantic import Field, model_validator

from weelo_workers.contracts.broadcasts import MAX_TRUCKS, BroadcastView
from weelo_workers.contracts.command import Command
from weelo_workers.contracts.statuses import BroadcastStatus
from weelo_workers.contracts.trips import AboutAssignment, AssignmentView
from weelo_workers.contracts.wire import LongText, Request, Timestamp, Wire

# --- requests -------------------------------------------------------------------------------------------


class Truck(Request):
    """A vehicle and its driver, offered for a slot: the named one, or the first that fits."""

    vehicle_id: UUID
    driver_id: UUID
    truck_request_id: UUID | None = None


class OneTruck(Request):
    """A vehicle and its driver for the slot that the path names."""

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
        for what, ids in (
            ("vehicle", [truck.vehicle_id for truck in offered]),
            ("driver", [truck.driver_id for truck in offered]),
            ("truck request", [truck.truck_request_id for truck in offered if truck.truck_request_id]),
        ):
            if len(set(ids)) < len(ids):
                raise ValueError(f"the same {what} is named twice")
        return self

    def offered(self) -> tuple[Truck, ...]:
        if self.trucks is not None:
            return tuple(self.trucks)
        assert self.vehicle_id is not None and self.driver_id is not None
        return (Truck(vehicle_id=self.vehicle_id, driver_id=self.driver_id),)


class Refusal(Request):
    reason: LongText | None = None


# --- commands -------------------------------------------------------------------------------------------


class AcceptTrucks(Command, name="offers.accept"):
    """Take slots with these trucks. `partial`: as many as are open, otherwise all or none."""

    broadcast_id: UUID
    transporter_id: UUID
    trucks: tuple[Truck, ...]
    partial: bool = False


class DeclineOffer(Command, name="offers.decline"):
    broadcast_id: UUID
    transporter_id: UUID
    reason: str | None = None


# --- what people are told -------------------------------------------------------------------------------


class TruckConfirmed(AboutAssignment):
    trucks_filled: int
    trucks_needed: int


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
    pickup_distance_km: float | None
    radius_step: int
    offered_at: Timestamp


class DeclineResult(Wire):
    broadcast_id: UUID
    declined: bool = True
