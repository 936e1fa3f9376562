"""The contract of operators: broadcasts and transporters as an operator sees them, what is stuck, and the audit log."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from weelo_workers.contracts.broadcasts import ExpiresAt, RadiusKilometres, RequestedVehicles
from weelo_workers.contracts.fleet import VehicleView
from weelo_workers.contracts.json_schema import DescribedEnum
from weelo_workers.contracts.policies import PolicyRef
from weelo_workers.contracts.reasons import ReasonCode
from weelo_workers.contracts.statuses import AuditOutcome, BroadcastKind, BroadcastStatus
from weelo_workers.contracts.trips import AssignmentView
from weelo_workers.contracts.wire import (
    BroadcastId,
    CommandId,
    CustomerId,
    DriverId,
    PickupKilometres,
    Place,
    RadiusStep,
    Request,
    RequiredNote,
    StateChangedAt,
    Timestamp,
    TransporterId,
    TransportersNotified,
    TrucksFilled,
    TrucksNeeded,
    Version,
    Wire,
)

Reason = Annotated[
    RequiredNote,
    Field(
        description="Why the operator does this. It is stored in the audit log, and in the history of a broadcast.",
        examples=["The customer asked for it by telephone."],
    ),
]

# --- requests -------------------------------------------------------------------------------------------


class Intervention(Request):
    """Why an operator cancels, expires or widens a broadcast."""

    reason: Reason


class AvailabilityIntervention(Request):
    """Whether the transporter is to get offers, and why an operator decides this."""

    is_available: bool
    """True: online for offers. False: offline."""
    reason: Reason


# --- broadcasts -----------------------------------------------------------------------------------------


StatusFilter = Literal[
    "open",
    "created",
    "broadcasting",
    "active",
    "partially_filled",
    "fully_filled",
    "in_progress",
    "completed",
    "cancelled",
    "expired",
]
"""A status of broadcasts, or `open` for the four open ones."""


class StuckBecause(DescribedEnum):
    """Why something is stuck: it does not change although it should."""

    PAST_DEADLINE = "past_deadline", "The broadcast is open although its deadline has passed."
    NO_EXPIRY_TIMER = "no_expiry_timer", "The broadcast is open, and no timer will expire it."
    PARKED_COMMAND = "parked_command", "The command has failed too often and is not tried again by itself."
    FAILING_COMMAND = "failing_command", "The command has failed and is tried again later."
    OVERDUE_TIMER = "overdue_timer", "The timer is due and was not executed."
    IDLE_ASSIGNMENT = (
        "idle_assignment",
        "The assignment is live and has no timer, and no driver can move it.",
    )
    FAILING_WEBHOOK = "failing_webhook", "The endpoint of the webhook does not accept messages."
    WAITING_WEBHOOK = "waiting_webhook", "Messages for the webhook wait, and no command delivers them."
    LATE_QUEUE = "late_queue", "Commands of the queue are due and wait for a worker."
    QUEUE_WITHOUT_WORKER = "queue_without_worker", "No worker consumes the queue."
    FAILING_CHECK = (
        "failing_check",
        "A check of `weelo doctor` fails: a server or a process that everything needs.",
    )


class Contact(Wire):
    """A customer with the name and the phone number from the customer's token. What the token lacked is null."""

    id: CustomerId
    name: Annotated[str | None, Field(examples=["Asha Verma"])]
    """The name from the customer's token; null if it has none."""
    phone: Annotated[str | None, Field(examples=["+91 98100 00000"])]
    """The telephone number from the customer's token; null if it has none."""


class BroadcastSummaryView(Wire):
    """A broadcast in an operator's list."""

    id: BroadcastId
    kind: BroadcastKind
    """Whether the broadcast is a booking or an order."""
    status: BroadcastStatus
    """The status of the broadcast."""
    state_changed_at: StateChangedAt
    version: Version
    area: Annotated[str, Field(examples=["default"])]
    """The scope of the policy with which the broadcast began."""
    policy: PolicyRef
    """The policy with which the broadcast began."""
    customer: Contact
    """The customer who asked for the trucks."""
    pickup: Place
    """Where the goods are loaded."""
    drop: Place
    """Where the goods are delivered."""
    requested_vehicles: list[RequestedVehicles]
    """The kinds of trucks that were asked for, in the customer's order."""
    trucks_needed: TrucksNeeded
    trucks_filled: TrucksFilled
    radius_step: Annotated[int, Field(examples=[2])]
    """The number of the newest step of the search; 0 before the first one."""
    radius_km: RadiusKilometres | None
    transporters_notified: TransportersNotified
    end_reason: Annotated[str | None, Field(examples=["nobody_accepted"])]
    """Why the broadcast was cancelled or expired, as in `booking_cancelled` and `booking_expired`; null otherwise."""
    expires_at: ExpiresAt
    created_at: Timestamp
    """When the customer asked for the trucks."""
    stuck: list[StuckBecause]
    """Why the broadcast does not move although it should; empty if it does."""


# --- transporters ---------------------------------------------------------------------------------------


class PositionView(Wire):
    """A position on the earth."""

    latitude: Annotated[float, Field(examples=[28.6139])]
    """The latitude in degrees, WGS 84."""
    longitude: Annotated[float, Field(examples=[77.209])]
    """The longitude in degrees, WGS 84."""


class DistanceSource(DescribedEnum):
    """The position of a transporter from which the distance to a pickup is measured."""

    HEARTBEAT = "heartbeat", "From the position in the last heartbeat."
    UNKNOWN = "unknown", "No position is known, so offers are made without a distance."


class TransporterSummaryView(Wire):
    """A transporter in an operator's list."""

    id: TransporterId
    name: Annotated[str | None, Field(examples=["Kumar Roadways"])]
    """The name from the transporter's token; null if it has none."""
    phone: Annotated[str | None, Field(examples=["+91 98100 00000"])]
    """The telephone number from the transporter's token; null if it has none."""
    is_available: bool
    """Whether the transporter wants offers."""
    changed_at: Timestamp | None
    """When `isAvailable` changed last; null if it was never set."""
    is_online: bool | None
    """Whether offers reach the transporter: it wants offers, and its app has sent a heartbeat in time (setting
    PRESENCE_TTL_SECONDS). Null if positions cannot be read at the moment."""
    last_heartbeat_at: Timestamp | None
    """When the app last sent a heartbeat or went online; null if the transporter is offline."""
    position: PositionView | None
    """The position of the last heartbeat; null if it is not known."""
    vehicle_count: Annotated[int, Field(examples=[4])]
    """How many vehicles the fleet has."""
    free_vehicle_count: Annotated[int, Field(examples=[3])]
    """How many of them are on no live assignment."""
    open_offer_count: Annotated[int, Field(examples=[2])]
    """How many open offers the transporter has and has not declined."""
    live_assignment_count: Annotated[int, Field(examples=[1])]
    """How many trucks of the fleet are on a live assignment."""


class FleetDriverView(Wire):
    """A driver of the fleet."""

    id: DriverId
    name: Annotated[str, Field(examples=["Ravi Kumar"])]
    """The name of the driver."""
    phone: Annotated[str, Field(examples=["+91 98100 00000"])]
    """The driver's telephone number."""
    is_available: bool
    """Whether the driver is on duty."""
    is_on_trip: bool
    """Whether the driver has a live assignment."""


class OpenOfferView(Wire):
    """An open offer of a transporter."""

    broadcast_id: BroadcastId
    status: BroadcastStatus
    """The status of the broadcast."""
    pickup: Place
    """Where the goods are loaded."""
    pickup_distance_km: PickupKilometres | None
    radius_step: RadiusStep
    offered_at: Timestamp
    """When the offer was made."""
    expires_at: ExpiresAt


class AnswerKind(DescribedEnum):
    """What a transporter's answer to an offer has led to."""

    ACCEPTED = "accepted", "The transporter got the trucks that it asked for."
    DECLINED = "declined", "The transporter declined."
    LOST = "lost", "The transporter wanted to accept and was refused; `code` gives the cause."


class AnswerView(Wire):
    """An answer of a transporter to an offer."""

    at: Timestamp
    """When the answer was executed."""
    answer: AnswerKind
    """How the answer ended."""
    broadcast_id: BroadcastId | None
    """The id of the broadcast; null if the command is too old to be kept, or was about a hold and was rejected."""
    code: Annotated[str | None, Field(examples=["REQUEST_ALREADY_TAKEN"])]
    """The code of the rejection; null if there was none."""
    reason_code: ReasonCode | None
    """The transporter's reason for declining; null if no code was given."""
    note: Annotated[str | None, Field(examples=["Too far"])]
    """The transporter's own words; null if there are none."""
    command_id: CommandId


class TransporterDetailsView(TransporterSummaryView):
    """A transporter, with everything on which its offers depend."""

    off_duty_since: Timestamp | None
    """Since when the transporter wants no offers; null if it wants some, or has never set it."""
    distance_source: DistanceSource
    """From where distances to pickups are measured."""
    vehicles: list[VehicleView]
    """The vehicles, newest first, at most 200."""
    drivers: list[FleetDriverView]
    """The drivers, newest first, at most 200."""
    open_offers: list[OpenOfferView]
    """The open offers, newest first."""
    last_answers: list[AnswerView]
    """The last answers to offers, newest first, at most 20."""
    live_assignments: list[AssignmentView]
    """The live assignments, newest first."""


# --- what is stuck ------------------------------------------------------------------------------------------


class StuckSubject(DescribedEnum):
    """The kind of thing that is stuck."""

    BROADCAST = "broadcast", "A broadcast."
    ASSIGNMENT = "assignment", "An assignment."
    COMMAND = "command", "A command or a timer in the mailbox."
    WEBHOOK = "webhook", "A webhook."
    QUEUE = "queue", "A queue."
    CHECK = "check", "A check of `weelo doctor`."


class StuckView(Wire):
    """Something that is stuck, and what an operator can do about it."""

    because: StuckBecause
    """Why it is stuck."""
    subject: StuckSubject
    """What is stuck."""
    subject_id: Annotated[UUID, Field(examples=["6f1c1b9e-3d52-4f0a-9c07-2b8d4b1f7a10"])] | None
    """Its id; null for a queue and for a check."""
    check: Annotated[str | None, Field(examples=["beat-not-sweeping"])]
    """The name of the check, which is also its entry in `docs/runbooks/checks.md`; null for everything else."""
    queue: Annotated[str | None, Field(examples=["timers"])]
    """The name of the queue, for queues and commands; null otherwise."""
    broadcast_id: BroadcastId | None
    """The broadcast that it belongs to; null if it belongs to none."""
    since: Timestamp | None
    """Since when it is stuck; null if that is not known."""
    detail: Annotated[str, Field(examples=["broadcasts.expire: 5 tries, ValueError: no such row"])]
    """What is known about it, in words."""
    remedy: Annotated[str, Field(examples=["Retry it with `weelo mailbox retry ID`."])]
    """What an operator can do."""


# --- the audit log --------------------------------------------------------------------------------------


class AuditView(Wire):
    """An action of an operator."""

    id: Annotated[UUID, Field(examples=["5f2b8c1d-9e3a-4b7c-8d6f-1a0e2c4b6d80"])]
    """The id of the entry."""
    at: Timestamp
    """When the action was executed."""
    actor_id: Annotated[UUID, Field(examples=["9c1e4f70-2b6d-4a85-b3c1-7d0e9f2a6b34"])] | None
    """The user id of the operator; null if the action came from the command line."""
    actor: Annotated[str, Field(examples=["admin"])]
    """`admin` for a user with this role, otherwise the program, with the account of the operating system if it is known."""
    command: Annotated[str, Field(examples=["broadcasts.cancel_by_operator"])]
    """The name of the command."""
    command_id: CommandId | None
    subject: Annotated[str, Field(examples=["broadcast"])]
    """What the action was about: `broadcast`, `assignment`, `transporter`, `command`, a person, or a check of `weelo doctor`."""
    subject_id: Annotated[UUID | None, Field(examples=["6f1c1b9e-3d52-4f0a-9c07-2b8d4b1f7a10"])]
    """The id of what the action was about; null for a repair, which may be about many things."""
    reason: Annotated[str, Field(examples=["The customer asked for it by telephone."])]
    """The operator's own words."""
    outcome: AuditOutcome
    """What came of the action."""
    code: Annotated[str | None, Field(examples=["BOOKING_CANNOT_CANCEL"])]
    """The code of the refusal; null if the action was applied."""
    details: Annotated[dict[str, Any], Field(examples=[{"isAvailable": False}])]
    """The other fields of the command. `isAvailable` tells whether a transporter was put online (true) or offline (false)."""
