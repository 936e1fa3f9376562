"""The statuses and reasons that apps read."""

from enum import StrEnum


class BroadcastKind(StrEnum):
    """A booking asks for one kind of vehicle, an order for several. Both are broadcasts."""

    BOOKING = "booking"
    ORDER = "order"


class BroadcastStatus(StrEnum):
    CREATED = "created"
    BROADCASTING = "broadcasting"
    ACTIVE = "active"
    PARTIALLY_FILLED = "partially_filled"
    FULLY_FILLED = "fully_filled"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class TruckRequestStatus(StrEnum):
    SEARCHING = "searching"
    HELD = "held"
    ASSIGNED = "assigned"
    ACCEPTED = "accepted"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class HoldStatus(StrEnum):
    OPEN = "open"
    CONFIRMED = "confirmed"
    RELEASED = "released"
    EXPIRED = "expired"
    ENDED = "ended"


class PassedOverBecause(StrEnum):
    """Why a step of the ladder made no offer to a transporter."""

    OFFLINE = "offline"
    """The transporter had gone offline."""
    SILENT = "silent"
    """The transporter's app had sent no heartbeat for PRESENCE_TTL_SECONDS."""
    NO_FREE_TRUCK = "no_free_truck"
    """All trucks of the transporter that fit an open slot were on the road."""
    TOO_MANY_OFFERS = "too_many_offers"
    """The transporter had MAX_OPEN_OFFERS open offers that count against an offer of this broadcast."""
    NEXT_STEP = "next_step"
    """MAX_OFFERS_PER_STEP other transporters were nearer."""


class OfferAnswer(StrEnum):
    """A transporter's answer to an offer."""

    ACCEPTED = "accepted"
    """The transporter got a slot, and the assignment was not reverted."""
    DECLINED = "declined"


class UnfilledBecause(StrEnum):
    """Why a broadcast ended without a truck, as reported to its customer."""

    NO_TRANSPORTER_ONLINE = "no_transporter_online"
    """No transporter with trucks of the kind was online in reach."""
    NOBODY_FREE = "nobody_free"
    """Transporters with trucks of the kind were online, but had no room, had no free truck, or came online too late."""
    NOBODY_ACCEPTED = "nobody_accepted"
    """The broadcast was offered to at least one transporter, and none accepted."""


class AssignmentStatus(StrEnum):
    PENDING = "pending"
    DRIVER_ACCEPTED = "driver_accepted"
    EN_ROUTE_PICKUP = "en_route_pickup"
    AT_PICKUP = "at_pickup"
    LOADING_COMPLETE = "loading_complete"
    IN_TRANSIT = "in_transit"
    ARRIVED_AT_DROP = "arrived_at_drop"
    COMPLETED = "completed"
    DRIVER_DECLINED = "driver_declined"
    GIVEN_BACK = "given_back"
    """The truck does not come: its fleet gave it back, it did not set out in time, or its new driver did not take the trip."""
    CUSTOMER_NO_SHOW = "customer_no_show"
    """The driver waited at the pickup, and the customer did not come."""
    FAILED = "failed"
    """An operator ended the trip, and it was not completed."""
    CANCELLED = "cancelled"


class EndOutcome(StrEnum):
    """How an operator ends a trip."""

    COMPLETED = "completed"
    FAILED = "failed"


class TripCancelledBecause(StrEnum):
    """Why a driver loses a trip."""

    CUSTOMER_CANCELLED = "customer_cancelled"
    GIVEN_BACK = "given_back"
    """The transporter gave the truck back."""
    REPLACED = "replaced"
    """The transporter named another driver."""
    STALLED = "stalled"
    """The truck did not set out in time."""
    ENDED_BY_OPERATOR = "ended_by_operator"


class EndedBecause(StrEnum):
    """Why a broadcast was cancelled, as reported to its customer and to the transporters."""

    CUSTOMER_CANCELLED = "customer_cancelled"
    CUSTOMER_NO_SHOW = "customer_no_show"
    ENDED_BY_OPERATOR = "ended_by_operator"


class Platform(StrEnum):
    ANDROID = "android"
    IOS = "ios"


class DisabledReason(StrEnum):
    """Why a webhook is not active."""

    OWNER = "owner"
    """The owner has set `isActive` to false."""
    GONE = "gone"
    """The endpoint answered 410."""
    FAILING = "failing"
    """No attempt has succeeded for 24 hours."""


class DeliveryKind(StrEnum):
    """Why a message is posted to a webhook: it is a line of the log, a line to resend, or a test."""

    LOG = "log"
    RESEND = "resend"
    TEST = "test"


class DeliveryStatus(StrEnum):
    PENDING = "pending"
    """No attempt has been made yet."""
    FAILED = "failed"
    """The last attempt failed, or the webhook was disabled before the line was delivered."""
    SUCCEEDED = "succeeded"


class Role(StrEnum):
    CUSTOMER = "customer"
    TRANSPORTER = "transporter"
    DRIVER = "driver"
    ADMIN = "admin"
