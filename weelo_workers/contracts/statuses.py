"""The states things can be in, as apps read them."""

from enum import StrEnum


class BroadcastKind(StrEnum):
    """A booking asks for one kind of vehicle, an order for several; both are broadcasts."""

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
    """Why a step of the ladder did not tell somebody."""

    OFFLINE = "offline"
    """They had said that they want no work."""
    SILENT = "silent"
    """Their phone had not been heard for PRESENCE_TTL_SECONDS."""
    NO_FREE_TRUCK = "no_free_truck"
    """All their trucks of this kind were on the road."""
    TOO_MANY_OFFERS = "too_many_offers"
    """They had MAX_OPEN_OFFERS open ones at least as near."""
    NEXT_STEP = "next_step"
    """More were found than MAX_OFFERS_PER_STEP, and they were farther away."""


class OfferAnswer(StrEnum):
    """What a transporter has answered to an offer."""

    ACCEPTED = "accepted"
    """They have won a truck, and it was not given back."""
    DECLINED = "declined"


class UnfilledBecause(StrEnum):
    """Why a broadcast ended without a truck, as its customer reads it."""

    NO_TRANSPORTER_ONLINE = "no_transporter_online"
    """No transporter with trucks of the kind was online in reach."""
    NOBODY_FREE = "nobody_free"
    """There were some, but with MAX_OPEN_OFFERS nearer offers, with their trucks on the road, or too late to be told."""
    NOBODY_ACCEPTED = "nobody_accepted"
    """It was offered to at least one transporter."""


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
    CANCELLED = "cancelled"


class Platform(StrEnum):
    ANDROID = "android"
    IOS = "ios"


class Role(StrEnum):
    CUSTOMER = "customer"
    TRANSPORTER = "transporter"
    DRIVER = "driver"
    ADMIN = "admin"
