"""The contract of broadcasts: a customer's request for trucks, offered to many transporters."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple
from uuid import UUID

from pydantic import (
    Field,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from weelo_workers.contracts.command import Command
from weelo_workers.contracts.event import AboutBroadcast
from weelo_workers.contracts.queues import FLEET, TIMERS
from weelo_workers.contracts.reasons import CustomerReason
from weelo_workers.contracts.recipients import ToOffered, ToTransportersWithTrucks
from weelo_workers.contracts.rejections import OF_OWN_BROADCASTS, Code
from weelo_workers.contracts.schemas import schema_without_serializer
from weelo_workers.contracts.statuses import (
    BroadcastKind,
    BroadcastStatus,
    TruckRequestStatus,
    UnfilledBecause,
)
from weelo_workers.contracts.trips import AssignmentView
from weelo_workers.contracts.vehicle_kinds import KindName
from weelo_workers.contracts.wire import (
    LongText,
    Place,
    Request,
    Rupees,
    ShortText,
    Timestamp,
    Wire,
)

MAX_TRUCKS = 50


# --- requests -------------------------------------------------------------------------------------------


class TruckDemand(NamedTuple):
    """A number of trucks of one kind, and the price offered for each."""

    vehicle_type: str
    vehicle_subtype: str
    quantity: int
    price_per_truck: int | None


class BroadcastRequest(Request):
    """The fields that bookings and orders have in common, each stored in the column of `broadcasts` of the same name.

    `BroadcastView` and `NewBroadcast` (the offer) do not inherit these fields. They declare those that they contain.
    """

    pickup: Place
    drop: Place
    goods_type: ShortText | None = None
    distance_km: Annotated[float, Field(ge=0, le=20_000, allow_inf_nan=False)] | None = None
    notes: LongText | None = None


class NewBooking(BroadcastRequest):
    """`POST /bookings`: N trucks of one kind."""

    vehicle_type: ShortText
    vehicle_subtype: KindName
    trucks_needed: Annotated[int, Field(ge=1, le=MAX_TRUCKS)]
    price_per_truck: Rupees | None = None

    def wanted(self) -> list[TruckDemand]:
        return [
            TruckDemand(self.vehicle_type, self.vehicle_subtype, self.trucks_needed, self.price_per_truck)
        ]


class VehicleRequirement(Request):
    vehicle_type: ShortText
    vehicle_subtype: KindName
    quantity: Annotated[int, Field(ge=1, le=20)]
    price_per_truck: Rupees | None = None


class NewOrder(BroadcastRequest):
    """`POST /orders`: trucks of several kinds, at most 50 trucks in total."""

    vehicle_requirements: Annotated[list[VehicleRequirement], Field(min_length=1, max_length=50)]

    @field_validator("vehicle_requirements")
    @classmethod
    def _not_too_many_together(cls, rows: list[VehicleRequirement]) -> list[VehicleRequirement]:
        if sum(row.quantity for row in rows) > MAX_TRUCKS:
            raise ValueError(f"at most {MAX_TRUCKS} trucks together")
        return rows

    def wanted(self) -> list[TruckDemand]:
        return [
            TruckDemand(row.vehicle_type, row.vehicle_subtype, row.quantity, row.price_per_truck)
            for row in self.vehicle_requirements
        ]


class Cancellation(Request):
    """`reason`: the customer's own words. `reason_code`: one of the codes of customers."""

    reason: LongText | None = None
    reason_code: CustomerReason | None = None


# --- commands -------------------------------------------------------------------------------------------


class CreateBooking(
    Command, name="broadcasts.create_booking", sheddable=True, rejects=(Code.ORDER_ACTIVE_EXISTS,)
):
    """Create a booking and offer it. `keyed`: the request had an Idempotency-Key."""

    customer_id: UUID
    request: NewBooking
    keyed: bool = False


class CreateOrder(
    Command, name="broadcasts.create_order", sheddable=True, rejects=(Code.ORDER_ACTIVE_EXISTS,)
):
    """Create an order and offer it. `keyed`: the request had an Idempotency-Key."""

    customer_id: UUID
    request: NewOrder
    keyed: bool = False


class CancelBroadcast(
    Command, name="broadcasts.cancel", rejects=(*OF_OWN_BROADCASTS, Code.BOOKING_CANNOT_CANCEL)
):
    broadcast_id: UUID
    customer_id: UUID
    kind: BroadcastKind
    reason: str | None = None
    reason_code: CustomerReason | None = None


class WidenBroadcast(Command, name="broadcasts.widen", queue=TIMERS):
    """Timer: offer the broadcast in the next step. `step` counts from 1. A step is not made a second time.

    `round`: how often the rings had started again when this timer was set.
    """

    broadcast_id: UUID
    step: int
    round: int = 0


class ExpireBroadcast(Command, name="broadcasts.expire", queue=TIMERS):
    """Timer: expire the broadcast at its deadline if it is still open."""

    broadcast_id: UUID


class CatchUp(Command, name="broadcasts.catch_up"):
    """Offer a transporter the open broadcasts that they missed. Sent when they come online, or can take offers again.

    `latitude`, `longitude`: their position, if presence may not have it yet. `again`: this is the second search.
    """

    transporter_id: UUID
    latitude: float | None = None
    longitude: float | None = None
    again: bool = False


class OfferLate(Command, name="broadcasts.offer_late", queue=FLEET, priority=1):
    """Make a late offer of a broadcast to a transporter who was not within reach when its steps were made.

    The command is on the queue `fleet`, so that commands that create broadcasts do not wait behind late offers. It has
    priority 1, so that it waits for transporters who come online, but not for the hundreds of commands that the end of
    a surge sends.

    `then`: further broadcasts to offer them afterwards, nearest first. Each command sends the next one, so that one
    transporter does not fill the queue.
    """

    broadcast_id: UUID
    transporter_id: UUID
    then: tuple[UUID, ...] = ()


class Backfill(Command, name="broadcasts.backfill", queue=FLEET, priority=2):
    """Offer the transporters of an ended broadcast the nearest broadcast for which they had no room before.

    Backfill and OfferPassedOver are on the queue `fleet` and have the last priority, because the end of a surge sends
    hundreds of them. Otherwise commands of users in all towns would wait behind them or be refused.
    """

    broadcast_id: UUID


class OfferPassedOver(Command, name="broadcasts.offer_passed_over", queue=FLEET, priority=2):
    """Offer a broadcast to transporters who had no room for it before."""

    broadcast_id: UUID
    transporter_ids: tuple[UUID, ...]


class ReofferBroadcast(Command, name="broadcasts.reoffer"):
    """Offer a reopened slot again to earlier recipients who could take it, and continue with the next step.

    `new_round`: whether the rings start again. Then recipients for whom the system declined may be included
    (`Offer.may_be_offered_again`).
    """

    broadcast_id: UUID
    truck_request_id: UUID
    new_round: bool = False


class ContinuePartial(
    Command, name="broadcasts.continue_partial", rejects=(*OF_OWN_BROADCASTS, Code.INVALID_TRANSITION)
):
    """Continue an expired broadcast with just the trucks that it has."""

    broadcast_id: UUID
    customer_id: UUID
    kind: BroadcastKind


# --- events ---------------------------------------------------------------------------------------------


class RequestedVehicles(Wire):
    vehicle_type: str
    vehicle_subtype: str
    count: int
    price_per_truck: int | None


class BroadcastStateChanged(AboutBroadcast):
    trucks_filled: int
    trucks_needed: int
    transporters_notified: int
    radius_km: float | None
    expires_at: Timestamp


class NewBroadcast(AboutBroadcast, to=ToOffered):
    """An offer to a transporter.

    `pickup_distance_km` and `truck_request_ids` (the slots that the fleet could take) differ between recipients.
    """

    pickup: Place
    drop: Place
    distance_km: float | None
    pickup_distance_km: float | None = None
    truck_request_ids: tuple[UUID, ...] = ()
    goods_type: str | None
    requested_vehicles: list[RequestedVehicles]
    trucks_needed: int
    trucks_filled: int
    expires_at: Timestamp
    radius_step: int


class TrucksRemainingUpdate(AboutBroadcast):
    trucks_remaining: int


class BroadcastEnded(AboutBroadcast, shared=True, to=ToTransportersWithTrucks):
    """Base of the events that withdraw an offer. `assigned_to_you`: how many assigned trucks are the recipient's."""

    reason: str
    assigned_to_you: int | None = None


class BookingFullyFilled(BroadcastEnded):
    pass


class BookingCancelled(BroadcastEnded):
    pass


class BookingExpired(BroadcastEnded):
    pass


class BookingCompleted(AboutBroadcast, to=ToTransportersWithTrucks):
    """All trips of the broadcast are completed."""


class NoVehiclesAvailable(AboutBroadcast):
    """The broadcast ended without a truck.

    `reason`: `no_transporter_online` (no fitting transporter was online in reach), `nobody_free` (the fitting
    transporters online had no room for an offer, had all their trucks on the road, or came online too late) or
    `nobody_accepted` (offers were made, and no transporter accepted one).
    """

    reason: UnfilledBecause
    retryable: bool = True


# --- views ----------------------------------------------------------------------------------------------


class TruckRequestView(Wire):
    id: UUID
    request_number: int
    vehicle_type: str
    vehicle_subtype: str
    price_per_truck: int | None
    status: TruckRequestStatus


class BroadcastView(Wire):
    id: UUID
    kind: BroadcastKind
    status: BroadcastStatus
    state_changed_at: Timestamp
    version: int
    customer_id: UUID
    pickup: Place
    drop: Place
    distance_km: float | None
    goods_type: str | None
    notes: str | None
    trucks_needed: int
    trucks_filled: int
    truck_requests: list[TruckRequestView]
    radius_km: float | None
    transporters_notified: int
    expires_at: Timestamp
    created_at: Timestamp
    server_time: Timestamp
    booking_id: UUID | None = None
    order_id: UUID | None = None

    @model_serializer(mode="wrap")
    def _with_one_id_by_kind(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = serialize(self)
        for absent in (
            ("orderId", "order_id") if self.kind is BroadcastKind.BOOKING else ("bookingId", "booking_id")
        ):
            data.pop(absent, None)
        return data

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return schema_without_serializer(core_schema, handler, optional=("bookingId", "orderId"))


class BroadcastDetails(BroadcastView):
    """One broadcast, with the assignments that the reader may see."""

    assignments: list[AssignmentView]


class CancelResult(Wire):
    broadcast: BroadcastView
    transporters_notified: int
    assignments_cancelled: int


class CancelTruckResult(Wire):
    """The broadcast goes on with one truck less, or is cancelled with its last truck."""

    broadcast: BroadcastView
    assignment: AssignmentView


class TimelineEntry(Wire):
    """One transition. `cause`, `command_id`: the command that made it. `actor_id`: its caller; null for a timer.

    `occurred_at`: the time by the clock of the driver's phone; null if the phone did not report it.
    """

    at: Timestamp
    occurred_at: Timestamp | None
    subject: str
    subject_id: UUID
    transition: str
    from_status: str | None
    to_status: str
    version: int
    cause: str
    command_id: UUID
    actor_id: UUID | None
    details: dict[str, Any]
