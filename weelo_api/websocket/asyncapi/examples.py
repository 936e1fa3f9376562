"""Examples of all frames, ops and pushes: the story of one booking of two trucks in Delhi.

They are values of the models that the server sends, so an example cannot lack a field of its model. For offers and
assignments, which get new fields most often, `_with_nulls` fills in the fields that may be null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, get_args
from uuid import UUID

from pydantic import BaseModel

from weelo_api.websocket.messages import (
    Ack,
    Auth,
    Beat,
    Connected,
    Ping,
    Pong,
    Refused,
    Resume,
    ResyncRequired,
)
from weelo_workers.contracts.broadcasts import (
    BookingCancelled,
    BookingCompleted,
    BookingExpired,
    BookingFullyFilled,
    BroadcastStateChanged,
    NewBroadcast,
    NoVehiclesAvailable,
    OfferWithdrawn,
    RequestedVehicles,
    TrucksRemainingUpdate,
)
from weelo_workers.contracts.event import Event
from weelo_workers.contracts.fleet import AvailabilityChanged, DriverStatusChanged
from weelo_workers.contracts.offers import AcceptResult, AcceptTrucks, HoldExpired, TruckConfirmed
from weelo_workers.contracts.outcomes import CommandSettled
from weelo_workers.contracts.reasons import ProviderReason, ReasonCode, SystemReason
from weelo_workers.contracts.rejections import Code, problem_body
from weelo_workers.contracts.statuses import (
    AssignmentStatus,
    BroadcastKind,
    BroadcastStatus,
    DisabledReason,
    EndedBecause,
    ExpiredBecause,
    FilledBecause,
    Role,
    TripCancelledBecause,
    UnfilledBecause,
)
from weelo_workers.contracts.trips import (
    AssignmentStalled,
    AssignmentStatusChanged,
    AssignmentView,
    DriverTimedOut,
    LocationUpdated,
    PickupReminder,
    TripAssigned,
    TripCancelled,
    TruckLost,
    Waypoint,
)
from weelo_workers.contracts.vehicle_kinds import vehicle_key
from weelo_workers.contracts.webhooks import WebhookDisabled, WebhookTest
from weelo_workers.contracts.wire import Place

Model = TypeVar("Model", bound=BaseModel)

BEGAN = datetime(2026, 2, 19, 10, 0, tzinfo=UTC)
EVENT_ID = UUID("0b6f1d0c-4f0e-4d5c-9a53-6f6f4f0f7c21")
SEQ = 42

_BROADCAST = UUID("6f1c1b9e-3d52-4f0a-9c07-2b8d4b1f7a10")
_SLOTS = (UUID("b0a3d7c4-8f1e-4f66-8d0b-51c2f3a9e611"), UUID("b0a3d7c4-8f1e-4f66-8d0b-51c2f3a9e612"))
_COMMAND = UUID("3a7e5c12-9d84-4b6f-8e01-c5f2a9d7b340")
_CUSTOMER = UUID("9c1e4f70-2b6d-4a85-b3c1-7d0e9f2a6b34")
_TRANSPORTER = UUID("41d8c2b5-e9a0-4f37-8c64-1a5b7e3d9f08")
_DRIVER = UUID("c7a25e93-16f4-4d8b-a0e7-9b3c5f1d2e46")
_VEHICLE = UUID("75e0b3f8-4c9a-4126-9d5e-6a2f8b1c0d97")
_HOLD = UUID("58c4d9a1-0e7b-4f23-b6d5-9a1c3e8f7b02")
_TRIP = UUID("e4b7a1c9-5d28-4c0e-a6f3-0b9d1c7e8f52")
_WEBHOOK = UUID("8f4a1d62-5c3b-4e97-a0d8-6b2e9c7f1a45")
_TOKEN = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.ZRrHA1JJJW8opsbCGfG_HACGpVUMN_a9IV7pAx_Zmeo"  # noqa: S105 (its claims are empty)

_PICKUP = Place(latitude=28.6139, longitude=77.209, address="Connaught Place, New Delhi")
_DROP = Place(latitude=28.4595, longitude=77.0266, address="Sector 29, Gurugram")
_EXPIRES = BEGAN + timedelta(seconds=120)


def _with_nulls(model: type[Model], **given: Any) -> Model:
    """Return a value of the model. Required fields that are not given, and may be null, are null."""
    nulls = {
        name: None
        for name, field in model.model_fields.items()
        if field.is_required() and type(None) in get_args(field.annotation)
    }
    return model(**{**nulls, **given})


def _about(status: BroadcastStatus, version: int, seconds: float) -> dict[str, Any]:
    """Return the fields that every event about a broadcast has.

    The booking reaches this status `seconds` after its creation.
    """
    return {
        "broadcast_id": _BROADCAST,
        "kind": BroadcastKind.BOOKING,
        "status": status,
        "state_changed_at": BEGAN + timedelta(seconds=seconds),
        "version": version,
    }


def _assignment(
    status: AssignmentStatus, seconds: float, reason_code: ReasonCode | None = None
) -> AssignmentView:
    return _with_nulls(
        AssignmentView,
        id=UUID("2d9f6c1a-70b4-4b39-9f0d-8f4c5a1e2b73"),
        trip_id=_TRIP,
        broadcast_id=_BROADCAST,
        truck_request_id=_SLOTS[0],
        transporter_id=_TRANSPORTER,
        driver_id=_DRIVER,
        vehicle_id=_VEHICLE,
        vehicle_number="DL01AB1234",
        status=status,
        reason_code=reason_code,
        expires_at=BEGAN + timedelta(seconds=66) if status is AssignmentStatus.PENDING else None,
        created_at=BEGAN + timedelta(seconds=21),
        state_changed_at=BEGAN + timedelta(seconds=seconds),
    )


_OPEN = _about(BroadcastStatus.ACTIVE, 3, 0.2)
_PARTLY = _about(BroadcastStatus.PARTIALLY_FILLED, 4, 21)
_UNDER_WAY = _about(BroadcastStatus.IN_PROGRESS, 6, 900)
_OFFER = _with_nulls(
    NewBroadcast,
    **_OPEN,
    pickup=_PICKUP,
    drop=_DROP,
    distance_km=31.5,
    pickup_distance_km=4.27,
    truck_request_ids=_SLOTS,
    goods_type="cement",
    requested_vehicles=[
        RequestedVehicles(
            vehicle_type="lcv",
            vehicle_subtype="17 Feet Open",
            vehicle_key=vehicle_key("lcv", "17 Feet Open"),
            count=2,
            price_per_truck=12000,
        )
    ],
    trucks_needed=2,
    trucks_filled=0,
    expires_at=_EXPIRES,
    radius_step=1,
)


def _settled(**outcome: Any) -> CommandSettled:
    return CommandSettled(
        command_id=_COMMAND,
        command=AcceptTrucks.name,
        received_at=BEGAN + timedelta(seconds=20.98),
        settled_at=BEGAN + timedelta(seconds=21),
        **outcome,
    )


_ACCEPTED = AcceptResult(
    assignments=[_assignment(AssignmentStatus.PENDING, 21)],
    trucks_needed=2,
    trucks_filled=1,
    is_fully_filled=False,
    status=BroadcastStatus.PARTIALLY_FILLED,
)

EVENTS: Mapping[type[Event], Sequence[tuple[str, Event]]] = {
    CommandSettled: [
        ("succeeded", _settled(status="succeeded", http_status=200, result=_ACCEPTED.json_dict())),
        (
            "rejected",
            _settled(
                status="rejected",
                http_status=Code.BROADCAST_FILLED.http_status,
                error=problem_body(Code.BROADCAST_FILLED),
            ),
        ),
    ],
    BroadcastStateChanged: [
        (
            "partly filled",
            BroadcastStateChanged(
                **_PARTLY,
                trucks_filled=1,
                trucks_needed=2,
                transporters_notified=14,
                radius_km=25.0,
                expires_at=_EXPIRES,
            ),
        )
    ],
    NewBroadcast: [("an offer of two trucks", _OFFER)],
    TrucksRemainingUpdate: [("one left", TrucksRemainingUpdate(**_PARTLY, trucks_remaining=1))],
    BookingFullyFilled: [
        (
            "to a transporter with one of the trucks",
            BookingFullyFilled(
                **_about(BroadcastStatus.FULLY_FILLED, 5, 40),
                reason=FilledBecause.FULLY_FILLED,
                assigned_to_you=1,
            ),
        )
    ],
    BookingCancelled: [
        (
            "to a transporter without a truck",
            BookingCancelled(
                **_about(BroadcastStatus.CANCELLED, 5, 50),
                reason=EndedBecause.CUSTOMER_CANCELLED,
                assigned_to_you=0,
            ),
        )
    ],
    BookingExpired: [
        (
            "to the customer, who has one truck",
            BookingExpired(**_about(BroadcastStatus.EXPIRED, 5, 120), reason=ExpiredBecause.PARTLY_FILLED),
        )
    ],
    OfferWithdrawn: [
        (
            "The offer is withdrawn from one transporter",
            OfferWithdrawn(**_about(BroadcastStatus.ACTIVE, 3, 40)),
        )
    ],
    NoVehiclesAvailable: [
        (
            "offered, and not accepted",
            NoVehiclesAvailable(
                **_about(BroadcastStatus.EXPIRED, 4, 120), reason=UnfilledBecause.NOBODY_ACCEPTED
            ),
        )
    ],
    TruckConfirmed: [
        (
            "the first of two",
            TruckConfirmed(
                **_PARTLY,
                assignment=_assignment(AssignmentStatus.PENDING, 21),
                trucks_filled=1,
                trucks_needed=2,
            ),
        )
    ],
    HoldExpired: [("not confirmed in time", HoldExpired(**_OPEN, hold_id=_HOLD))],
    AvailabilityChanged: [("offline", AvailabilityChanged(is_available=False, changed_at=BEGAN))],
    DriverStatusChanged: [("on duty", DriverStatusChanged(driver_id=_DRIVER, is_online=True))],
    TripAssigned: [
        (
            "to be answered within 45 s",
            TripAssigned(
                **_PARTLY,
                assignment=_assignment(AssignmentStatus.PENDING, 21),
                pickup=Waypoint.at(_PICKUP),
                drop=Waypoint.at(_DROP),
                expires_at=BEGAN + timedelta(seconds=66),
            ),
        )
    ],
    TripCancelled: [
        (
            "the customer cancelled",
            TripCancelled(
                **_about(BroadcastStatus.CANCELLED, 5, 50),
                assignment=_assignment(AssignmentStatus.CANCELLED, 50),
                reason=TripCancelledBecause.CUSTOMER_CANCELLED,
                reason_code=None,
            ),
        )
    ],
    TruckLost: [
        (
            "given back, and searched for again",
            TruckLost(
                **_about(BroadcastStatus.ACTIVE, 6, 300),
                assignment=_assignment(AssignmentStatus.GIVEN_BACK, 300, ProviderReason.BREAKDOWN),
                reason_code=ProviderReason.BREAKDOWN,
                reoffered=True,
            ),
        )
    ],
    PickupReminder: [
        (
            "not set out",
            PickupReminder(**_PARTLY, assignment=_assignment(AssignmentStatus.DRIVER_ACCEPTED, 30)),
        )
    ],
    AssignmentStalled: [
        (
            "on the way to the pickup for six hours",
            AssignmentStalled(**_UNDER_WAY, assignment=_assignment(AssignmentStatus.EN_ROUTE_PICKUP, 900)),
        )
    ],
    DriverTimedOut: [
        (
            "no answer within 45 s",
            DriverTimedOut(
                **_about(BroadcastStatus.ACTIVE, 5, 66),
                assignment=_assignment(AssignmentStatus.DRIVER_DECLINED, 66, SystemReason.DRIVER_TIMEOUT),
            ),
        )
    ],
    BookingCompleted: [
        ("both trucks have arrived", BookingCompleted(**_about(BroadcastStatus.COMPLETED, 7, 9000)))
    ],
    AssignmentStatusChanged: [
        (
            "at the pickup",
            AssignmentStatusChanged(
                **_UNDER_WAY,
                assignment=_assignment(AssignmentStatus.AT_PICKUP, 1800),
                occurred_at=BEGAN + timedelta(seconds=1795),
            ),
        )
    ],
    WebhookDisabled: [
        (
            "the endpoint answered 410",
            WebhookDisabled(
                webhook_id=_WEBHOOK,
                url="https://shipper.example/weelo",
                reason=DisabledReason.GONE,
                delivered_seq=41,
            ),
        )
    ],
}
"""The data of each event, with a name for each example."""

EPHEMERAL: Mapping[str, BaseModel] = {
    "connected": Connected(
        user_id=_CUSTOMER, role=Role.CUSTOMER, seq=41, server_time=BEGAN, heartbeat_seconds=20
    ),
    "pong": Pong(server_time=BEGAN),
    "resync_required": ResyncRequired(oldest_seq=1042),
    "location_updated": LocationUpdated(
        trip_id=_TRIP,
        latitude=28.5921,
        longitude=77.1902,
        speed=38.5,
        bearing=214.0,
        recorded_at=BEGAN + timedelta(seconds=1200),
    ),
    "error": Refused(code=Code.VALIDATION_ERROR.name, detail="after: Field required"),
}
"""The data of each frame that is no part of the log."""

WEBHOOK_TEST = WebhookTest(webhook_id=_WEBHOOK)
"""The data of the message that tests a webhook."""

OPS: Mapping[str, BaseModel] = {
    "auth": Auth(op="auth", token=_TOKEN),
    "resume": Resume(op="resume", after=41),
    "ack": Ack(op="ack", seq=42),
    "heartbeat": Beat(op="heartbeat", latitude=28.6139, longitude=77.209),
    "ping": Ping(op="ping"),
}
