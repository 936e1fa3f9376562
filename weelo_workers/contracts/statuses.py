"""The statuses and reasons that apps read, each with what it means."""

from weelo_workers.contracts.json_schema import DescribedEnum


class BroadcastKind(DescribedEnum):
    """Whether the broadcast is a booking or an order."""

    BOOKING = "booking", "It asks for trucks of one kind."
    ORDER = "order", "It asks for trucks of several kinds."


class BroadcastStatus(DescribedEnum):
    """The status of a broadcast. The first four are open: trucks are searched for."""

    CREATED = "created", "No transporter has been offered it yet."
    BROADCASTING = "broadcasting", "It is being offered to the transporters nearest to the pickup."
    ACTIVE = "active", "It has been offered, and no truck is found yet."
    PARTIALLY_FILLED = "partially_filled", "Some of the trucks are found; the others are searched for."
    FULLY_FILLED = "fully_filled", "All trucks are found."
    IN_PROGRESS = "in_progress", "At least one truck is under way."
    COMPLETED = "completed", "All its trucks have delivered."
    CANCELLED = "cancelled", "It was cancelled, or its last truck was."
    EXPIRED = "expired", "Its time is over. The trips of trucks that were found before go on."


class TruckRequestStatus(DescribedEnum):
    """The status of a truck request, which is the slot for one truck."""

    SEARCHING = "searching", "A truck is searched for."
    HELD = "held", "A transporter keeps it for a short time, to choose a truck."
    ASSIGNED = "assigned", "A truck is assigned, and its driver has not answered yet."
    ACCEPTED = "accepted", "The driver has accepted."
    COMPLETED = "completed", "The truck has delivered."
    CANCELLED = "cancelled", "It was cancelled, or its trip ended without a delivery."
    EXPIRED = "expired", "No truck was found in time."


class HoldStatus(DescribedEnum):
    """The status of a hold. Only an open one keeps slots."""

    OPEN = "open", "It keeps its slots for the transporter."
    CONFIRMED = "confirmed", "The transporter has named trucks for it."
    RELEASED = "released", "The transporter gave it up."
    EXPIRED = "expired", "Its time was over."
    ENDED = "ended", "Its broadcast ended first."


class TransitionSubject(DescribedEnum):
    """What a transition has changed."""

    BROADCAST = "broadcast", "The broadcast itself."
    TRUCK_REQUEST = "truck_request", "One of its slots."
    HOLD = "hold", "A hold of some of its slots."
    ASSIGNMENT = "assignment", "A truck with its driver on one of its slots."
    OFFER = "offer", "An offer, named by the user id of its transporter. Only operators see it."


class PassedOverBecause(DescribedEnum):
    """Why a step of the search made no offer to a transporter whom it found."""

    OFFLINE = "offline", "The transporter had gone offline."
    SILENT = (
        "silent",
        "The transporter's app had sent no heartbeat for too long (setting PRESENCE_TTL_SECONDS).",
    )
    NO_FREE_TRUCK = "no_free_truck", "All trucks of the transporter that fit an open slot were on the road."
    TOO_MANY_OFFERS = (
        "too_many_offers",
        "The transporter had the largest allowed number of open offers that are at least as near (setting MAX_OPEN_OFFERS).",
    )
    NEXT_STEP = (
        "next_step",
        "The step made its largest allowed number of offers to transporters before this one in the order (setting MAX_OFFERS_PER_STEP).",
    )
    SOFT_CAP = (
        "soft_cap",
        "Transporters with fewer open offers came first (setting SOFT_OPEN_OFFERS). The transporter is considered again in the next step.",
    )
    BLOCKED = "blocked", "The customer had blocked the transporter, or the transporter the customer."


class NotOfferedBecause(DescribedEnum):
    """Why a transporter has no offer although no step has passed them over."""

    NO_TRUCK = "no_truck_of_this_kind", "The transporter has no truck of a kind that was asked for."
    OUT_OF_RADIUS = "out_of_radius", "The transporter is farther from the pickup than the search has reached."
    CONTRACTED_FIRST = (
        "contracted_first",
        "The broadcast was offered only to the transporters who have a contract with its customer.",
    )
    NOT_YET = "not_yet", "The broadcast is open, and the transporter's turn has not come yet."
    CAME_TOO_LATE = (
        "came_too_late",
        "No slot was left for the transporter when it came within reach.",
    )
    POSITION_UNKNOWN = "position_unknown", "Positions cannot be read at the moment."


class OfferAnswer(DescribedEnum):
    """What became of an offer."""

    ACCEPTED = "accepted", "The transporter got a slot, and still has it or has completed its trip."
    DECLINED = "declined", "The transporter declined the broadcast."
    WITHDRAWN = (
        "withdrawn",
        "The offer was withdrawn, because the customer or the transporter has blocked the other.",
    )


class UnfilledBecause(DescribedEnum):
    """Why a broadcast ended without a truck."""

    NO_TRANSPORTER_ONLINE = (
        "no_transporter_online",
        "No transporter with trucks of the kind was online in reach.",
    )
    NOBODY_FREE = (
        "nobody_free",
        "Transporters with such trucks were online, but had too many open offers or no free truck, or came within reach too late.",
    )
    NOBODY_ACCEPTED = (
        "nobody_accepted",
        "It was offered to at least one transporter, and none accepted, or the last truck was lost.",
    )


class ExpiredBecause(DescribedEnum):
    """Why a broadcast expired."""

    PARTLY_FILLED = (
        "partly_filled",
        "Some trucks were found, and their trips go on; the others were not found in time.",
    )
    NO_TRANSPORTER_ONLINE = (
        UnfilledBecause.NO_TRANSPORTER_ONLINE.value,
        UnfilledBecause.NO_TRANSPORTER_ONLINE.meaning,
    )
    NOBODY_FREE = UnfilledBecause.NOBODY_FREE.value, UnfilledBecause.NOBODY_FREE.meaning
    NOBODY_ACCEPTED = UnfilledBecause.NOBODY_ACCEPTED.value, UnfilledBecause.NOBODY_ACCEPTED.meaning


class FilledBecause(DescribedEnum):
    """Why a broadcast is no longer offered, in the event that reports that it is filled."""

    FULLY_FILLED = "fully_filled", "All its trucks are found."


class AssignmentStatus(DescribedEnum):
    """The status of an assignment, which is a truck with its driver on one slot."""

    PENDING = "pending", "The driver has not answered yet."
    DRIVER_ACCEPTED = "driver_accepted", "The driver has accepted and has not set out."
    EN_ROUTE_PICKUP = "en_route_pickup", "The truck is on the way to the pickup."
    AT_PICKUP = "at_pickup", "The truck is at the pickup."
    LOADING_COMPLETE = "loading_complete", "The goods are on board."
    IN_TRANSIT = "in_transit", "The truck is on the way to the drop."
    ARRIVED_AT_DROP = "arrived_at_drop", "The truck is at the drop."
    COMPLETED = "completed", "The goods are delivered."
    DRIVER_DECLINED = "driver_declined", "The driver declined or did not answer in time."
    GIVEN_BACK = (
        "given_back",
        "The truck does not come: it was given back, did not set out in time, or its new driver did not take it.",
    )
    CUSTOMER_NO_SHOW = "customer_no_show", "The driver waited at the pickup, and the customer did not come."
    FAILED = "failed", "An operator ended the trip, and it was not completed."
    CANCELLED = "cancelled", "The customer cancelled the truck or the whole broadcast."


class EndOutcome(DescribedEnum):
    """How an operator ends a trip."""

    COMPLETED = "completed", "The goods were delivered."
    FAILED = "failed", "The goods were not delivered. This is final."


class TripCancelledBecause(DescribedEnum):
    """Why a driver loses a trip."""

    CUSTOMER_CANCELLED = "customer_cancelled", "The customer cancelled the truck or the whole broadcast."
    GIVEN_BACK = "given_back", "The transporter gave the truck back."
    REPLACED = "replaced", "The transporter named another driver."
    STALLED = "stalled", "The truck did not set out in time."
    ENDED_BY_OPERATOR = "ended_by_operator", "An operator ended the trip."


class EndedBecause(DescribedEnum):
    """Why a broadcast was cancelled."""

    CUSTOMER_CANCELLED = "customer_cancelled", "The customer cancelled it, or its last truck."
    CUSTOMER_NO_SHOW = "customer_no_show", "The customer did not come to the pickup of its last truck."
    ENDED_BY_OPERATOR = "ended_by_operator", "An operator ended the trip of its last truck."


class VehicleStatus(DescribedEnum):
    """Whether a vehicle can be assigned to a slot."""

    AVAILABLE = "available", "It is on no live assignment."
    ON_TRIP = "on_trip", "It is on a live assignment."


class Platform(DescribedEnum):
    """The operating system of the phone."""

    ANDROID = "android", "Android."
    IOS = "ios", "iOS."


class DisabledReason(DescribedEnum):
    """Why a webhook is not active."""

    OWNER = "owner", "The owner has set `isActive` to false."
    GONE = "gone", "The endpoint answered 410."
    FAILING = "failing", "No attempt has succeeded for 24 hours."


class DeliveryKind(DescribedEnum):
    """Why a message is posted to a webhook."""

    LOG = "log", "It is the next line of the log."
    RESEND = "resend", "The owner asked for this line again."
    TEST = "test", "The owner asked for a test."


class DeliveryStatus(DescribedEnum):
    """The status of a message to a webhook."""

    PENDING = "pending", "No attempt has been made yet."
    FAILED = "failed", "The last attempt failed, or the webhook was disabled before the line was delivered."
    SUCCEEDED = "succeeded", "The endpoint answered with a status from 200 to 299."


class AuditOutcome(DescribedEnum):
    """What came of an operator's action."""

    APPLIED = "applied", "The action was executed, or its effect was there already."
    REJECTED = "rejected", "The action was refused and changed nothing; `code` gives the cause."


class Role(DescribedEnum):
    """The role of a user, from the claim `role` of the token."""

    CUSTOMER = "customer", "Asks for trucks."
    TRANSPORTER = "transporter", "Owns a fleet and accepts offers."
    DRIVER = "driver", "Drives a truck of a transporter."
    ADMIN = "admin", "Operates the system."
