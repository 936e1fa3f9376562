"""The types of the API's JSON, under their names on the wire.

These are plain dicts, so that a field that a newer server adds is present and does no harm.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

TripStatus = Literal[
    "en_route_pickup", "at_pickup", "loading_complete", "in_transit", "arrived_at_drop", "completed"
]
AssignmentStatus = Literal[
    "pending",
    "driver_accepted",
    "en_route_pickup",
    "at_pickup",
    "loading_complete",
    "in_transit",
    "arrived_at_drop",
    "completed",
    "driver_declined",
    "given_back",
    "customer_no_show",
    "failed",
    "cancelled",
]

ProviderReason = Literal[
    "breakdown",
    "driver_unavailable",
    "vehicle_unavailable",
    "pickup_unreachable",
    "goods_mismatch",
    "price",
    "safety",
    "other",
]
"""The reason codes of drivers and transporters."""
CustomerReason = Literal[
    "plans_changed", "found_elsewhere", "too_slow", "wrong_details", "price", "driver_asked", "other"
]
SystemReason = Literal["stalled", "driver_timeout", "replaced"]
"""The reason codes that the system sets itself, because no user has given a code."""
OperatorReason = ProviderReason | CustomerReason
ReasonCode = ProviderReason | CustomerReason | SystemReason
EndOutcome = Literal["completed", "failed"]


class Place(TypedDict):
    """A position in WGS 84 degrees, and its address."""

    latitude: float
    longitude: float
    address: str


class VehicleRequirement(TypedDict):
    """The number of trucks of one kind in an order."""

    vehicleType: str
    vehicleSubtype: str
    quantity: int
    pricePerTruck: NotRequired[int]


class TruckRequest(TypedDict):
    """One slot of a broadcast."""

    id: str
    requestNumber: int
    vehicleType: str
    vehicleSubtype: str
    vehicleKey: str
    pricePerTruck: int | None
    status: str


class PolicyRef(TypedDict):
    """The policy with which a broadcast began. The broadcast keeps it."""

    scope: str
    version: int


class Broadcast(TypedDict):
    """A customer's request. `version` grows with every transition: drop a broadcast that is older than the one you have.

    Times are RFC 3339 in UTC, distances in km, prices in whole rupees.
    """

    id: str
    kind: Literal["booking", "order"]
    bookingId: NotRequired[str]
    orderId: NotRequired[str]
    status: str
    stateChangedAt: str
    version: int
    customerId: str
    pickup: Place
    drop: Place
    distanceKm: float | None
    goodsType: str | None
    notes: str | None
    trucksNeeded: int
    trucksFilled: int
    truckRequests: list[TruckRequest]
    assignments: NotRequired[list[Assignment]]
    radiusKm: float | None
    transportersNotified: int
    policy: PolicyRef
    expiresAt: str
    createdAt: str
    serverTime: str


class Cancelled(TypedDict):
    broadcast: Broadcast
    transportersNotified: int
    assignmentsCancelled: int


class Assignment(TypedDict):
    """A truck and its driver on a slot. `expiresAt` is the driver's deadline to answer.

    `reasonCode`: why the assignment was ended, if a code was given.
    """

    id: str
    tripId: str
    broadcastId: str
    truckRequestId: str
    transporterId: str
    driverId: str
    vehicleId: str
    vehicleNumber: str
    status: AssignmentStatus
    reasonCode: ReasonCode | None
    expiresAt: NotRequired[str | None]
    createdAt: str
    stateChangedAt: str


class CancelledTruck(TypedDict):
    """The cancelled truck, and its broadcast, which goes on with one truck less or was cancelled with the last one."""

    broadcast: Broadcast
    assignment: Assignment


class Truck(TypedDict):
    """A truck and its driver for the slot `truckRequestId`. Without this field the first slot that fits is taken."""

    vehicleId: str
    driverId: str
    truckRequestId: NotRequired[str]


class HeldTruck(TypedDict):
    """A truck and its driver for one of the held slots."""

    vehicleId: str
    driverId: str


class Accepted(TypedDict):
    assignments: list[Assignment]
    trucksNeeded: int
    trucksFilled: int
    isFullyFilled: bool
    status: str


class Hold(TypedDict):
    holdId: str
    broadcastId: str
    status: Literal["open", "confirmed", "released", "expired", "ended"]
    truckRequestIds: list[str]
    expiresAt: str


class Offer(TypedDict):
    """A broadcast as one transporter sees it."""

    broadcastId: str
    broadcast: Broadcast
    truckRequestIds: list[str]
    pickupDistanceKm: float | None
    radiusStep: int
    offeredAt: str


class Vehicle(TypedDict):
    id: str
    vehicleNumber: str
    vehicleType: str
    vehicleSubtype: str
    vehicleKey: str
    capacityKg: int | None
    status: str


class Driver(TypedDict):
    id: str
    name: str
    phone: str
    isAvailable: bool


class Availability(TypedDict):
    isAvailable: bool
    changedAt: str | None


class Relation(TypedDict):
    """How the user has marked another user. `relation` and `since` are None after the mark was removed."""

    customerId: str
    transporterId: str
    relation: Literal["blocked", "preferred", "contracted"] | None
    since: str | None


class VehicleKind(TypedDict):
    """A kind of the catalogue. All spellings of one kind have the same `key`. Other types call it `vehicleKey`."""

    vehicleType: str
    vehicleSubtype: str
    label: str
    key: str
    capacityKg: int


class Reason(TypedDict):
    """A code that this actor can give in this stage: `offer`, or a status of an assignment. `label`: in English."""

    actor: Literal["driver", "transporter", "customer", "admin"]
    stage: str
    code: OperatorReason
    label: str


class TransitionDetails(TypedDict, total=False):
    """Why and how a transition happened. Only the fields that the transition has are present."""

    reason: str
    reasonCode: ReasonCode
    note: str
    step: int
    radiusKm: float | None
    told: int
    passedOver: dict[str, int]
    late: bool
    trucks: int
    slots: int
    policy: PolicyRef | None
    vehicleId: str
    driverId: str


class Webhook(TypedDict):
    """An endpoint for the user's events.

    `deliveredSeq`: all lines of the log up to this `seq` are delivered, or are of events that are not in `events`.
    """

    id: str
    url: str
    events: list[str]
    description: str | None
    isActive: bool
    disabledReason: Literal["owner", "gone", "failing"] | None
    deliveredSeq: int
    failingSince: str | None
    nextAttemptAt: str | None
    lastError: str | None
    secretVersion: int
    createdAt: str


class WebhookWithSecret(Webhook):
    """A webhook with its newest secret."""

    secret: str


class Resent(TypedDict):
    """The lines that are posted again. `lines`: how many there are."""

    id: str
    fromSeq: int
    toSeq: int
    lines: int


class WebhookTest(TypedDict):
    """The result of a test."""

    id: str
    eventId: str
    delivered: bool
    httpStatus: int | None
    error: str | None
    seconds: float


class Delivery(TypedDict):
    """A line of the log, or a test, that was or will be posted. `nextAttemptAt`: when it is posted again after a failure."""

    id: str
    eventId: str
    seq: int | None
    event: str
    kind: Literal["log", "resend", "test"]
    status: Literal["pending", "failed", "succeeded"]
    attempts: int
    httpStatus: int | None
    error: str | None
    nextAttemptAt: str | None
    at: str


class TimelineEntry(TypedDict):
    """One transition of a broadcast or of one of its slots, holds or assignments. `actorId` is None for a timer.

    `occurredAt`: the time by the clock of the driver's phone, if the phone reported it.
    """

    at: str
    occurredAt: str | None
    subject: str
    subjectId: str
    transition: str
    fromStatus: str | None
    toStatus: str
    version: int
    cause: str
    commandId: str
    actorId: str | None
    details: TransitionDetails


class LoggedEvent(TypedDict):
    """A line of a user's own log, equal to the frame on the socket."""

    id: str
    seq: int
    event: str
    at: str
    data: dict[str, Any]


class Spread(TypedDict):
    """Percentiles of a duration in seconds, over the requests for which it is known; `requests` counts these."""

    requests: int
    p50: float | None
    p95: float | None


class WonInRing(TypedDict):
    ring: str
    trucks: int
    share: float


class ExpiredSlots(TypedDict):
    reason: str
    slots: int


class LostAccepts(TypedDict):
    code: str
    accepts: int


class CancelledSlots(TypedDict):
    because: str
    stage: str
    code: str | None
    slots: int


class LostTrucks(TypedDict):
    code: str | None
    trucks: int


class MarketFigures(TypedDict):
    """What became of the requests that were created in a period."""

    requests: int
    offers: int
    offersPerWonSlot: float | None
    secondsToFirst: Spread
    secondsToFull: Spread
    acceptsLost: list[LostAccepts]
    slotsAsked: int
    slotsWon: int
    slotsFilled: int
    fillRate: float | None
    wonByRing: list[WonInRing]
    slotsExpired: list[ExpiredSlots]
    cancels: list[CancelledSlots]
    driverTimeouts: int
    driverDeclines: list[LostTrucks]
    givenBack: list[LostTrucks]


class MarketGroup(MarketFigures):
    """The figures of one area and one vehicle type."""

    area: str
    vehicleType: str


class MarketOfPolicy(MarketFigures):
    """The figures of the requests that began with one version of a policy."""

    policy: PolicyRef


Market = TypedDict(
    "Market",
    {
        "from": str,
        "to": str,
        "area": str | None,
        "completeFrom": str | None,
        "acceptsCompleteFrom": str,
        "total": MarketFigures,
        "groups": list[MarketGroup],
        "policies": list[MarketOfPolicy],
    },
)
"""The market figures of the requests that were created in a period."""


class Contact(TypedDict):
    """A customer with the name and the phone number from the customer's token. What the token lacked is None."""

    id: str
    name: str | None
    phone: str | None


class RequestedVehicles(TypedDict):
    """How many trucks of one kind are asked for at one price."""

    vehicleType: str
    vehicleSubtype: str
    vehicleKey: str
    count: int
    pricePerTruck: int | None


class BroadcastSummary(TypedDict):
    """A broadcast in an operator's list. `stuck`: why it does not move; empty if it is not stuck."""

    id: str
    kind: str
    status: str
    stateChangedAt: str
    version: int
    area: str
    policy: PolicyRef
    customer: Contact
    pickup: Place
    drop: Place
    requestedVehicles: list[RequestedVehicles]
    trucksNeeded: int
    trucksFilled: int
    radiusStep: int
    radiusKm: float | None
    transportersNotified: int
    endReason: str | None
    expiresAt: str
    createdAt: str
    stuck: list[str]


class Position(TypedDict):
    latitude: float
    longitude: float


class TransporterSummary(TypedDict):
    """A transporter in an operator's list. `isOnline` is None while positions cannot be read."""

    id: str
    name: str | None
    phone: str | None
    isAvailable: bool
    changedAt: str | None
    isOnline: bool | None
    lastHeartbeatAt: str | None
    position: Position | None
    vehicleCount: int
    freeVehicleCount: int
    openOfferCount: int
    liveAssignmentCount: int


class FleetDriver(TypedDict):
    id: str
    name: str
    phone: str
    isAvailable: bool
    isOnTrip: bool


class OpenOffer(TypedDict):
    """An open offer of a transporter, for an operator."""

    broadcastId: str
    status: str
    pickup: Place
    pickupDistanceKm: float | None
    radiusStep: int
    offeredAt: str
    expiresAt: str


class Answer(TypedDict):
    """An answer of a transporter to an offer. `code`: why an accept was refused."""

    at: str
    answer: Literal["accepted", "declined", "lost"]
    broadcastId: str | None
    code: str | None
    reasonCode: ReasonCode | None
    note: str | None
    commandId: str


class TransporterDetails(TransporterSummary):
    """A transporter with everything that decides about its offers."""

    offDutySince: str | None
    distanceSource: Literal["heartbeat", "unknown"]
    vehicles: list[Vehicle]
    drivers: list[FleetDriver]
    openOffers: list[OpenOffer]
    lastAnswers: list[Answer]
    liveAssignments: list[Assignment]


class Stuck(TypedDict):
    """Something that does not move, and what an operator can do."""

    because: str
    subject: Literal["broadcast", "assignment", "command", "webhook", "queue", "check"]
    subjectId: str | None
    check: str | None
    queue: str | None
    broadcastId: str | None
    since: str | None
    detail: str
    remedy: str


class AuditEntry(TypedDict):
    """An action of an operator. `actorId` is None for an action from the command line."""

    id: str
    at: str
    actorId: str | None
    actor: str
    command: str
    commandId: str | None
    subject: str
    subjectId: str | None
    reason: str
    outcome: Literal["applied", "rejected"]
    code: str | None
    details: dict[str, Any]


class Center(TypedDict):
    """The centre of an area."""

    latitude: float
    longitude: float


class Area(TypedDict):
    """A circle on the earth."""

    center: Center
    radiusKm: float


class PolicySettings(TypedDict, total=False):
    """The values of a policy.

    A value that a version leaves out or sets to None is taken from the policy `default`, or else from the environment.
    """

    radiusStepsKm: list[float] | None
    radiusStepSeconds: float | None
    lastStepMaxKm: float | None
    broadcastTimeoutSeconds: int | None
    minOffersPerStep: int | None
    maxOffersPerStep: int | None
    maxOpenOffers: int | None
    softOpenOffers: int | None
    contractedFirstSeconds: float | None
    holdSeconds: float | None
    driverAcceptSeconds: float | None
    reofferSeconds: int | None
    reofferRounds: int | None
    startReminderSeconds: float | None
    startLimitSeconds: float | None
    pickupLimitSeconds: float | None
    pickupWaitSeconds: float | None


class PolicyVersion(TypedDict):
    """A version of a policy, which never changes. `area`: None means everywhere. `vehicleTypes`: None means all types."""

    scope: str
    version: int
    area: Area | None
    vehicleTypes: list[str] | None
    settings: dict[str, Any]
    reason: str | None
    actorId: str | None
    createdAt: str | None


class Policy(PolicyVersion):
    """The current version of a policy. `effective`: all values with which a broadcast of this scope begins now."""

    paused: bool
    effective: dict[str, Any]


class ChangedValue(TypedDict):
    """A value that a new version would change."""

    setting: str
    now: Any
    then: Any


class OverlappingPolicy(TypedDict):
    """Another policy that is in force for some of the same requests. `takesPrecedence`: whether these requests use it."""

    scope: str
    version: int
    takesPrecedence: bool


class PolicyPreview(TypedDict):
    """What a new version would change. `openBroadcasts`: how many broadcasts keep the version with which they began."""

    scope: str
    version: int
    areaNow: Area | None
    areaThen: Area | None
    vehicleTypesNow: list[str] | None
    vehicleTypesThen: list[str] | None
    changes: list[ChangedValue]
    overlaps: list[OverlappingPolicy]
    openBroadcasts: int
