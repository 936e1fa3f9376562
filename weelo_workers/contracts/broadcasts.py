"""The contract of broadcasts: a customer's request for trucks, offered to many transporters."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple
from uuid import UUID

from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)
from pydantic.alias_generators import to_camel

from weelo_workers.contracts.command import Audit, Command
from weelo_workers.contracts.event import AboutBroadcast
from weelo_workers.contracts.policies import PolicyRef
from weelo_workers.contracts.queues import FLEET, TIMERS
from weelo_workers.contracts.reasons import CustomerReason, ReasonCode
from weelo_workers.contracts.recipients import ToOffered, ToTransporter, ToTransportersWithTrucks
from weelo_workers.contracts.rejections import (
    OF_ANY_BROADCASTS,
    OF_CLOSED_BROADCASTS,
    OF_OWN_BROADCASTS,
    Code,
)
from weelo_workers.contracts.statuses import (
    BroadcastKind,
    BroadcastStatus,
    EndedBecause,
    ExpiredBecause,
    FilledBecause,
    TransitionSubject,
    TruckRequestStatus,
    UnfilledBecause,
)
from weelo_workers.contracts.trips import AssignmentView
from weelo_workers.contracts.vehicle_kinds import (
    KindName,
    TypeName,
    VehicleKey,
    VehicleSubtype,
    VehicleType,
)
from weelo_workers.contracts.wire import (
    BroadcastId,
    CommandId,
    CustomerId,
    DriverId,
    Kilometres,
    LongText,
    OwnWords,
    PickupKilometres,
    Place,
    PricePerTruck,
    RadiusStep,
    Request,
    RouteKilometres,
    Rupees,
    ShortText,
    StateChangedAt,
    Timestamp,
    TransportersNotified,
    TruckRequestId,
    TrucksFilled,
    TrucksNeeded,
    VehicleId,
    Version,
    Wire,
)

MAX_TRUCKS = 50

ExpiresAt = Annotated[
    Timestamp,
    Field(description="When the broadcast expires if trucks are still missing. It may be moved later."),
]
GoodsType = Annotated[
    str, Field(description="What is transported; null if the customer did not say.", examples=["Cement"])
]
RadiusKilometres = Annotated[
    Kilometres,
    Field(
        description="How far around the pickup transporters have been searched, in km; null before the first search,"
        " and if the search has no limit.",
        examples=[25],
    ),
]


# --- requests -------------------------------------------------------------------------------------------


class TruckDemand(NamedTuple):
    """A number of trucks of one kind, and the price offered for each."""

    vehicle_type: str
    vehicle_subtype: str
    quantity: int
    price_per_truck: int | None


# Each field is stored in the column of `broadcasts` of the same name. BroadcastView and NewBroadcast (the offer) do not
# inherit from this class, but declare themselves the fields that they contain.
class BroadcastRequest(Request):
    """What bookings and orders have in common."""

    pickup: Place
    """Where the goods are loaded."""
    drop: Place
    """Where the goods are delivered."""
    goods_type: Annotated[ShortText | None, Field(examples=["Cement"])] = None
    """What is transported."""
    distance_km: Annotated[float, Field(ge=0, le=20_000, allow_inf_nan=False, examples=[268.5])] | None = None
    """The distance from pickup to drop in km, if the app knows it."""
    notes: Annotated[LongText | None, Field(examples=["Two helpers are at the pickup."])] = None
    """What the transporters and the drivers should know."""


class NewBooking(BroadcastRequest):
    """A request for trucks of one kind."""

    vehicle_type: TypeName
    vehicle_subtype: KindName
    trucks_needed: Annotated[int, Field(ge=1, le=MAX_TRUCKS, examples=[1])]
    """How many trucks of this kind are asked for."""
    price_per_truck: Rupees | None = None
    """The price that is offered for each truck, in whole rupees."""

    def wanted(self) -> list[TruckDemand]:
        return [
            TruckDemand(self.vehicle_type, self.vehicle_subtype, self.trucks_needed, self.price_per_truck)
        ]


class VehicleRequirement(Request):
    """A number of trucks of one kind."""

    vehicle_type: TypeName
    vehicle_subtype: KindName
    quantity: Annotated[int, Field(ge=1, le=20, examples=[2])]
    """How many trucks of this kind are asked for."""
    price_per_truck: Rupees | None = None
    """The price that is offered for each truck of this kind, in whole rupees."""


class NewOrder(BroadcastRequest):
    """A request for trucks of several kinds, at most 50 trucks together."""

    vehicle_requirements: Annotated[list[VehicleRequirement], Field(min_length=1, max_length=50)]
    """The kinds of trucks, and how many of each."""

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
    """Why the customer cancels. Both fields may be left out."""

    reason: OwnWords | None = None
    reason_code: CustomerReason | None = None
    """Why the customer cancels, as one of the codes of customers."""


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
    """Timer: offer the broadcast in the next step. `step` counts from 1; 0 is the step of the contracted transporters. A step
    is not made a second time.

    `round`: the number of new rounds of the broadcast when this timer was set.
    """

    broadcast_id: UUID
    step: int
    round: int = 0


class ExpireBroadcast(Command, name="broadcasts.expire", queue=TIMERS):
    """Timer: expire the broadcast at its deadline if it is still open."""

    broadcast_id: UUID


class CatchUp(Command, name="broadcasts.catch_up"):
    """Offer a transporter the open broadcasts that they missed. Sent when they come online, or can take offers again.

    `latitude`, `longitude`: their position, if presence may not have it yet. `again`: this command is the repetition
    that an earlier CatchUp has sent.
    """

    transporter_id: UUID
    latitude: float | None = None
    longitude: float | None = None
    again: bool = False


class OfferLate(Command, name="broadcasts.offer_late", queue=FLEET, priority=1):
    """Make a late offer of a broadcast to a transporter who was not within reach when its steps were made.

    The command is on the queue `fleet`, so that commands that create broadcasts do not wait behind late offers. It has
    priority 1: it waits behind the commands of transporters who come online, but not behind the hundreds of commands
    that the end of a surge sends.

    `then`: further broadcasts to offer to this transporter afterwards, nearest first. Each command sends the next one,
    so that one transporter does not fill the queue.
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

    `new_round`: whether the rings start again. In a new round, recipients for whom the system has declined are included
    if `Offer.may_be_offered_again` is true.
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


class CancelByOperator(
    Command,
    name="broadcasts.cancel_by_operator",
    rejects=(*OF_ANY_BROADCASTS, Code.BOOKING_CANNOT_CANCEL),
    audit=Audit("broadcast", "broadcast_id"),
):
    """Cancel a customer's broadcast, for an operator."""

    broadcast_id: UUID
    reason: str


class ExpireByOperator(
    Command,
    name="broadcasts.expire_by_operator",
    rejects=(*OF_ANY_BROADCASTS, Code.BROADCAST_CANCELLED, Code.BROADCAST_FILLED),
    audit=Audit("broadcast", "broadcast_id"),
):
    """Expire an open broadcast before its deadline, for an operator."""

    broadcast_id: UUID
    reason: str


class WidenByOperator(
    Command,
    name="broadcasts.widen_by_operator",
    rejects=(*OF_ANY_BROADCASTS, Code.INVALID_TRANSITION, *OF_CLOSED_BROADCASTS),
    audit=Audit("broadcast", "broadcast_id"),
):
    """Offer a broadcast in its next step before the timer of that step is due, for an operator.

    `step`, `round`: the next step when the operator asked for it. If the timer or another operator has made it meanwhile,
    no further step is made.
    """

    broadcast_id: UUID
    reason: str
    step: int
    round: int = 0


# --- events ---------------------------------------------------------------------------------------------


class RequestedVehicles(Wire):
    """How many trucks of one kind are asked for at one price."""

    vehicle_type: VehicleType
    vehicle_subtype: VehicleSubtype
    vehicle_key: VehicleKey
    count: Annotated[int, Field(examples=[2])]
    """How many trucks of this kind are asked for at this price."""
    price_per_truck: PricePerTruck | None


class BroadcastStateChanged(AboutBroadcast):
    """The broadcast made a transition. The customer gets this event for each transition."""

    trucks_filled: TrucksFilled
    trucks_needed: TrucksNeeded
    transporters_notified: TransportersNotified
    radius_km: RadiusKilometres | None
    expires_at: ExpiresAt


# `pickup_distance_km` and `truck_request_ids` differ between recipients. They are added when the event is written.
class NewBroadcast(AboutBroadcast, to=ToOffered):
    """An offer to a transporter."""

    pickup: Place
    """Where the goods are loaded."""
    drop: Place
    """Where the goods are delivered."""
    distance_km: RouteKilometres | None
    pickup_distance_km: PickupKilometres | None = None
    truck_request_ids: tuple[TruckRequestId, ...] = ()
    """The ids of the slots that the fleet could take."""
    goods_type: GoodsType | None
    requested_vehicles: list[RequestedVehicles]
    """The kinds of trucks that are asked for, in the customer's order."""
    trucks_needed: TrucksNeeded
    trucks_filled: TrucksFilled
    expires_at: ExpiresAt
    radius_step: RadiusStep


class TrucksRemainingUpdate(AboutBroadcast):
    """The number of open slots has changed."""

    trucks_remaining: Annotated[int, Field(examples=[2])]
    """How many slots are still open."""


class BroadcastEnded(AboutBroadcast, shared=True, to=ToTransportersWithTrucks):
    """Base of the events that withdraw an offer."""

    assigned_to_you: Annotated[int | None, Field(examples=[0])] = None
    """For a transporter: how many of the assigned trucks are theirs. Null for the customer."""


class BookingFullyFilled(BroadcastEnded):
    """All trucks of the broadcast are found, so it leaves the lists of offers."""

    reason: FilledBecause
    """Why the broadcast is no longer on offer."""


class BookingCancelled(BroadcastEnded):
    """The broadcast was cancelled, so it leaves the lists of offers."""

    reason: EndedBecause
    """Why the broadcast was cancelled."""


class BookingExpired(BroadcastEnded):
    """The time of the broadcast is over, so it leaves the lists of offers."""

    reason: ExpiredBecause
    """Why the broadcast expired."""


class OfferWithdrawn(AboutBroadcast, to=ToTransporter):
    """The broadcast is no longer offered to this transporter, so it leaves the list of offers. It goes on for others."""


class BookingCompleted(AboutBroadcast, to=ToTransportersWithTrucks):
    """All trips of the broadcast are completed."""


class NoVehiclesAvailable(AboutBroadcast):
    """The broadcast ended without a truck."""

    reason: UnfilledBecause
    """Why no truck was found."""
    retryable: bool = True
    """Always true: the customer may ask again at once."""


# --- views ----------------------------------------------------------------------------------------------


class TruckRequestView(Wire):
    """A slot: the place for one truck in a broadcast."""

    id: TruckRequestId
    request_number: Annotated[int, Field(examples=[1])]
    """The number of the slot in its broadcast, from 1."""
    vehicle_type: VehicleType
    vehicle_subtype: VehicleSubtype
    vehicle_key: VehicleKey
    price_per_truck: PricePerTruck | None
    status: TruckRequestStatus
    """The status of the slot."""


class BroadcastView(Wire):
    """A customer's request for trucks, which is offered to transporters: a booking or an order."""

    may_be_absent = frozenset({"bookingId", "orderId"})

    id: BroadcastId
    kind: BroadcastKind
    """Whether this is a booking or an order."""
    status: BroadcastStatus
    """The status of the broadcast."""
    state_changed_at: StateChangedAt
    version: Version
    customer_id: CustomerId
    pickup: Place
    """Where the goods are loaded."""
    drop: Place
    """Where the goods are delivered."""
    distance_km: RouteKilometres | None
    goods_type: GoodsType | None
    notes: Annotated[str, Field(examples=["Two helpers are at the pickup."])] | None
    """What the customer wants transporters and drivers to know; null if nothing."""
    trucks_needed: TrucksNeeded
    trucks_filled: TrucksFilled
    truck_requests: list[TruckRequestView]
    """The slots, one for each truck, in the customer's order."""
    radius_km: RadiusKilometres | None
    transporters_notified: TransportersNotified
    policy: PolicyRef
    """The policy with which the broadcast began."""
    expires_at: ExpiresAt
    created_at: Timestamp
    """When the customer made the request."""
    server_time: Timestamp
    """The server's time when this was read, to compute the time left until `expiresAt`."""
    booking_id: Annotated[UUID, Field(examples=["6f1c1b9e-3d52-4f0a-9c07-2b8d4b1f7a10"])] | None = None
    """The same as `id`. Only a booking has this field."""
    order_id: Annotated[UUID, Field(examples=["6f1c1b9e-3d52-4f0a-9c07-2b8d4b1f7a10"])] | None = None
    """The same as `id`. Only an order has this field."""

    @model_serializer(mode="wrap")
    def _with_one_id_by_kind(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = serialize(self)
        for absent in (
            ("orderId", "order_id") if self.kind is BroadcastKind.BOOKING else ("bookingId", "booking_id")
        ):
            data.pop(absent, None)
        return data


class BroadcastDetails(BroadcastView):
    """One broadcast, with the assignments that the reader may see."""

    assignments: list[AssignmentView]
    """The trucks with their drivers: all of them for the customer, their own for a transporter or a driver."""


class CancelResult(Wire):
    """The cancelled broadcast."""

    broadcast: BroadcastView
    """The broadcast after it was cancelled."""
    transporters_notified: TransportersNotified
    assignments_cancelled: Annotated[int, Field(examples=[1])]
    """How many trucks with their drivers lost the trip."""


class CancelTruckResult(Wire):
    """The cancelled truck, and its broadcast, which goes on with one truck less or is cancelled with the last one."""

    broadcast: BroadcastView
    """The broadcast after the truck was cancelled."""
    assignment: AssignmentView
    """The cancelled truck."""


class TransitionDetails(Wire):
    """Why and how a transition happened.

    Only the fields of this transition are present. Later versions may add fields.
    """

    model_config = ConfigDict(extra="allow")

    reason: Annotated[str | None, Field(examples=["partly_filled"])] = None
    """Why the broadcast expired."""
    reason_code: ReasonCode | None = None
    """Why a user, or the system, ended or changed something."""
    note: Annotated[str | None, Field(examples=["Flat tyre"])] = None
    """The user's own words."""
    step: Annotated[int | None, Field(examples=[2])] = None
    """The number of the step of the search, from 1."""
    radius_km: Kilometres | None = None
    """How far the step searches, in km; null if it has no limit."""
    told: Annotated[int | None, Field(examples=[5])] = None
    """How many transporters were offered the broadcast."""
    passed_over: Annotated[dict[str, int] | None, Field(examples=[{"no_free_truck": 3}])] = None
    """How many transporters the step passed over, by reason."""
    late: bool | None = None
    """True if the offer was made outside of a step, to a transporter who came within reach later."""
    trucks: Annotated[int | None, Field(examples=[2])] = None
    """How many trucks were assigned at once."""
    slots: Annotated[int | None, Field(examples=[2])] = None
    """How many slots the hold keeps."""
    policy: PolicyRef | None = None
    """The policy with which the broadcast began. Only its creation has this field."""
    vehicle_id: VehicleId | None = None
    """The id of the vehicle that replaced another one."""
    driver_id: DriverId | None = None
    """The id of the driver who replaced another one."""

    may_be_absent = frozenset(
        {"reason", "reasonCode", "note", "step", "radiusKm", "told", "passedOver", "late", "trucks", "slots"}
        | {"vehicleId", "driverId", "policy"}
    )

    @model_serializer(mode="wrap")
    def _only_what_is_there(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = serialize(self)
        absent = {to_camel(name) for name in set(type(self).model_fields) - self.model_fields_set}
        return {name: value for name, value in data.items() if name not in absent}


class TimelineEntry(Wire):
    """One transition of a broadcast, of one of its slots, of a hold or of an assignment."""

    at: Timestamp
    """When the transition happened, by the server's clock."""
    occurred_at: Timestamp | None
    """When it happened by the clock of the driver's phone; null if the phone did not report it."""
    subject: TransitionSubject
    """What has changed."""
    subject_id: Annotated[UUID, Field(examples=["2d9f6c1a-70b4-4b39-9f0d-8f4c5a1e2b73"])]
    """The id of what has changed: of the broadcast, truck request, hold or assignment."""
    transition: Annotated[str, Field(examples=["expire"])]
    """The name of the transition, as in the lifecycles."""
    from_status: Annotated[str, Field(examples=["active"])] | None
    """The status before; null if the subject was created by this transition."""
    to_status: Annotated[str, Field(examples=["expired"])]
    """The status after."""
    version: Version
    cause: Annotated[str, Field(examples=["broadcasts.expire"])]
    """The name of the command that made the transition."""
    command_id: CommandId
    actor_id: Annotated[UUID, Field(examples=["9c1e4f70-2b6d-4a85-b3c1-7d0e9f2a6b34"])] | None
    """The id of the user who sent the command; null for a timer."""
    details: TransitionDetails
    """Why and how the transition happened."""
