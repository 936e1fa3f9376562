"""The rejections: their stable codes, HTTP statuses, causes and remedies, and whether a retry may succeed."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from enum import Enum
from typing import Any


@dataclass(frozen=True, slots=True)
class CodeInfo:
    """What is known about a code. The page `/docs/codes` shows it. Names in `cause` and `remedy` are marked by backquotes.

    `cause`: when the code occurs. `remedy`: what an app should do. `retryable`: whether the same request may succeed
    later.
    """

    http_status: int
    title: str
    _: KW_ONLY
    cause: str
    remedy: str
    retryable: bool = False


class Code(Enum):
    """The rejection codes. Apps see the names. Titles are short and contain no ids."""

    VALIDATION_ERROR = CodeInfo(
        400,
        "The request is not valid",
        cause="A field is missing, unknown or out of range, a header has a wrong form, or the request is not valid HTTP/1.1.",
        remedy="Correct the fields named in `errors`. The same request fails again.",
    )
    UNAUTHORIZED = CodeInfo(
        401,
        "Sign in first",
        cause="The request has no bearer token, or the token is not valid.",
        remedy="Send `Authorization: Bearer <token>` with a token that was issued for this server.",
    )
    TOKEN_EXPIRED = CodeInfo(
        401,
        "The token has expired",
        cause="The `exp` of the token has passed by more than 30 s.",
        remedy="Get a new token and send the same request again.",
    )
    FORBIDDEN = CodeInfo(
        403,
        "Not allowed for this role",
        cause="The token is valid, but this route or operation is for other roles.",
        remedy="Use a token of a role that `detail` names.",
    )
    DRIVER_NOT_IN_FLEET = CodeInfo(
        403,
        "The driver is not in your fleet",
        cause="The `driverId` is not a driver of the calling transporter.",
        remedy="Register the driver with `PUT /api/v1/drivers/{driverId}`, or name another one from `GET /api/v1/drivers`.",
    )
    VEHICLE_NOT_IN_FLEET = CodeInfo(
        403,
        "The vehicle is not in your fleet",
        cause="The `vehicleId` is not a vehicle of the calling transporter.",
        remedy="Register the vehicle with `PUT /api/v1/vehicles/{vehicleNumber}`, or name another one from `GET /api/v1/vehicles`.",
    )
    NOT_FOUND = CodeInfo(
        404,
        "Not found",
        cause="The path does not exist, or the object that it names does not exist or belongs to another user.",
        remedy="Check the path and the id. A path has no slash at the end.",
    )
    BOOKING_NOT_FOUND = CodeInfo(
        404,
        "Booking not found",
        cause="No booking with this id exists, or it belongs to another user.",
        remedy="Use an id from `GET /api/v1/broadcasts` of the same user.",
    )
    ORDER_NOT_FOUND = CodeInfo(
        404,
        "Order not found",
        cause="No order with this id exists, or it belongs to another user.",
        remedy="Use an id from `GET /api/v1/broadcasts` of the same user.",
    )
    BROADCAST_NOT_FOUND = CodeInfo(
        404,
        "Broadcast not found",
        cause="No broadcast with this id exists, or it was never offered to this transporter.",
        remedy="Use the `broadcastId` of an event or of `GET /api/v1/offers`.",
    )
    TRUCK_REQUEST_NOT_FOUND = CodeInfo(
        404,
        "Truck request not found",
        cause="The broadcast has no truck request with this id.",
        remedy="Use an id from the `truckRequestIds` of the offer.",
    )
    ASSIGNMENT_NOT_FOUND = CodeInfo(
        404,
        "Assignment not found",
        cause="No assignment or trip with this id exists, or it belongs to other users.",
        remedy="Read `GET /api/v1/assignments`, and remove from the app what is not on that list.",
    )
    HOLD_NOT_FOUND = CodeInfo(
        404,
        "Hold not found",
        cause="No hold with this id exists, or it belongs to another transporter.",
        remedy="Use the `holdId` that the hold returned.",
    )
    TRANSPORTER_NOT_FOUND = CodeInfo(
        404,
        "Transporter not found",
        cause="No transporter with this id has ever sent a command.",
        remedy="Use an id from `GET /api/v1/admin/transporters`.",
    )
    POLICY_NOT_FOUND = CodeInfo(
        404,
        "There is no such policy",
        cause="No policy of this scope was stored, and the scope is not `default`.",
        remedy="Read the scopes with `GET /api/v1/admin/policies`, or store one with `PUT /api/v1/admin/policies/{scope}`.",
    )
    WEBHOOK_NOT_FOUND = CodeInfo(
        404,
        "Webhook not found",
        cause="No webhook with this id exists, or it belongs to another user.",
        remedy="Use an id from `GET /api/v1/webhooks` of the same user.",
    )
    METHOD_NOT_ALLOWED = CodeInfo(
        405,
        "This path has no such method",
        cause="The path exists, but not with this method.",
        remedy="Use a method that the header `Allow` names.",
    )
    ORDER_ACTIVE_EXISTS = CodeInfo(
        409,
        "Request already in progress. Cancel it first.",
        cause="The customer has another open booking or order; each customer can have one.",
        remedy="Show the one that `activeBroadcastId` names. Cancel it before you create another one.",
    )
    REQUEST_ALREADY_TAKEN = CodeInfo(
        409,
        "Another transporter was faster",
        cause="Another transporter took this truck first.",
        remedy="Refresh the offer. If `remaining` is more than 0, accept another truck of the request.",
    )
    BROADCAST_FILLED = CodeInfo(
        409,
        "All trucks of this request have been found",
        cause="Trucks for the whole request were found already.",
        remedy="Remove the offer from the list.",
    )
    BROADCAST_CANCELLED = CodeInfo(
        409,
        "The customer cancelled this request",
        cause="The customer cancelled the request before this command was executed.",
        remedy="Remove the offer or the trip from the list.",
    )
    BROADCAST_EXPIRED = CodeInfo(
        409,
        "This request has expired",
        cause="The time of the request passed before this command was executed.",
        remedy="Remove the offer from the list. A customer can create a new request.",
    )
    BOOKING_CANNOT_CANCEL = CodeInfo(
        409,
        "This request can no longer be cancelled",
        cause="The request has ended, or a truck is under way already; for one truck: it has loaded or was lost.",
        remedy="Read the broadcast again. A truck that has not loaded can be cancelled by `POST /api/v1/assignments/{id}/cancel`. "
        "An operator ends the trips with `POST /api/v1/assignments/{id}/end`; with the last truck the request ends.",
    )
    DRIVER_BUSY = CodeInfo(
        409,
        "The driver is not free",
        cause="The driver is off duty or has another trip.",
        remedy="Choose another driver; `driverId` names the busy one.",
    )
    VEHICLE_BUSY = CodeInfo(
        409,
        "The vehicle is not free",
        cause="The vehicle has another trip. A vehicle with a trip cannot change its kind either.",
        remedy="Choose another vehicle, or wait until the trip has ended; `vehicleId` names the busy one.",
    )
    VEHICLE_TYPE_MISMATCH = CodeInfo(
        409,
        "The vehicle is not of the kind that was asked for",
        cause="The vehicle, or the kind in the request, does not fit the trucks that the customer asked for.",
        remedy="Choose a vehicle of the kind in `requestedVehicles`.",
    )
    NOT_ENOUGH_AVAILABLE = CodeInfo(
        409,
        "Fewer trucks are open than were offered",
        cause="Fewer trucks are open, or on hold, than the command names. Nothing was taken.",
        remedy='Send a new request for at most `remaining` trucks, or accept with `"partial": true`.',
    )
    HOLD_EXPIRED = CodeInfo(
        409,
        "The hold has ended",
        cause="The hold has ended, so its trucks are open to all transporters again.",
        remedy="Accept trucks that are still open, without a hold.",
    )
    ASSIGNMENT_EXPIRED = CodeInfo(
        409,
        "The time to answer has passed",
        cause="The driver did not answer in time, so the truck is offered to others again.",
        remedy="Remove the trip from the driver's list.",
    )
    DRIVER_REPLACED = CodeInfo(
        409,
        "The trip has been given to another driver",
        cause="The transporter gave the trip to another driver.",
        remedy="Remove the trip from this driver's list.",
    )
    BLOCKED = CodeInfo(
        409,
        "This request is not offered to you",
        cause="The customer has blocked this transporter, or the transporter the customer. Trucks that were taken before stay.",
        remedy="Remove the offer from the list. The same request fails again.",
    )
    SLOT_GIVEN_BACK = CodeInfo(
        409,
        "Your fleet gave this truck back",
        cause="This fleet gave the truck back before, so it cannot take the same slot again.",
        remedy="Accept another truck of the request, if one is open.",
    )
    TOO_EARLY = CodeInfo(
        409,
        "The time to wait has not passed yet",
        cause="The driver reported a no-show before the waiting time at the pickup had passed, or the secret of a webhook was "
        "rotated too often.",
        remedy="Repeat the request after `retryAfter` seconds, with a new `Idempotency-Key`.",
    )
    INVALID_TRANSITION = CodeInfo(
        409,
        "Not possible in the present state",
        cause="The object is in a state in which this is not possible, such as an earlier step of a trip that is further on, or a "
        "resend to a webhook that is not active.",
        remedy="Read the object again, and show only what its state allows (see the lifecycles).",
    )
    VEHICLE_EXISTS = CodeInfo(
        409,
        "Another fleet has registered this vehicle",
        cause="Another fleet has registered this vehicle number.",
        remedy="Check the number. If it is right, contact the operator.",
    )
    DRIVER_EXISTS = CodeInfo(
        409,
        "Another fleet has registered this driver",
        cause="Another fleet has registered this driver.",
        remedy="Check the driver's id. If it is right, contact the operator.",
    )
    TRANSPORTER_SILENT = CodeInfo(
        409,
        "The transporter's app cannot be reached",
        cause="An operator wants to put a transporter online whose app is not connected and has sent no heartbeat for "
        "PRESENCE_TTL_SECONDS, so no offer would reach it.",
        remedy="Ask the transporter to open the app and to go online, then read the transporter again.",
    )
    WEBHOOK_LIMIT = CodeInfo(
        409,
        "You have as many webhooks as a user may have",
        cause="The user has the largest allowed number of webhooks.",
        remedy="Delete one with `DELETE /api/v1/webhooks/{id}`, or change it with `PUT`.",
    )
    NOT_SERVED = CodeInfo(
        422,
        "The pickup is outside every area that is served",
        cause="The operator serves only the areas of its policies (setting SERVED_AREAS_ONLY), and the pickup is in none of them.",
        remedy="Tell the customer that trucks are not offered there yet. The same request fails again. Nothing was recorded.",
    )
    PAYLOAD_TOO_LARGE = CodeInfo(
        413,
        "The body is larger than 64 KiB",
        cause="The body is larger than 64 KiB.",
        remedy="Send a smaller body.",
    )
    UNSUPPORTED_MEDIA_TYPE = CodeInfo(
        415,
        "The body is not JSON in UTF-8",
        cause="The body is not `application/json` in UTF-8, or it has a content coding such as gzip.",
        remedy="Send `Content-Type: application/json`, and the body uncompressed.",
    )
    IDEMPOTENCY_CONFLICT = CodeInfo(
        422,
        "This Idempotency-Key was used for another request",
        cause="The caller has used this `Idempotency-Key` for another path or another body.",
        remedy="Use a new key for a new request. To repeat a request, send exactly the same body.",
    )
    RATE_LIMITED = CodeInfo(
        429,
        "Too many requests",
        cause="The caller sends more commands than the rate limit allows, or too many tests of webhooks run at the same time.",
        remedy="Wait for the seconds in `Retry-After`, then repeat with the same `Idempotency-Key`: nothing was recorded. "
        "The header `Preference-Applied` marks the recorded outcome of a webhook's test: repeat the test with a new key.",
        retryable=True,
    )
    TOGGLE_RATE_LIMITED = CodeInfo(
        429,
        "Too many availability changes",
        cause="The transporter changed its availability more than 10 times in 5 minutes.",
        remedy="Wait for the seconds in `Retry-After`, then repeat with a new `Idempotency-Key`: the same key returns this recorded outcome again.",
        retryable=True,
    )
    INTERNAL_ERROR = CodeInfo(
        500,
        "Something went wrong on our side",
        cause="An unexpected error. It is not known whether the command was recorded.",
        remedy="Repeat the same request with the same `Idempotency-Key`: then it has no second effect.",
        retryable=True,
    )
    SERVICE_UNAVAILABLE = CodeInfo(
        503,
        "Not available at the moment; nothing was accepted",
        cause="The database, or the keys that verify tokens, cannot be reached, or too many commands wait. Nothing was recorded.",
        remedy="Wait for `Retry-After` (longer each time, with jitter), then repeat with the same `Idempotency-Key`.",
        retryable=True,
    )
    AREA_PAUSED = CodeInfo(
        503,
        "New requests are not accepted there at the moment",
        cause="An operator has paused new requests in the area of the pickup. Broadcasts that are open go on. Nothing was recorded.",
        remedy="Tell the customer. After the seconds in `Retry-After` the same request may succeed, with the same `Idempotency-Key`.",
        retryable=True,
    )
    ACCEPT_RETRY_EXHAUSTED = CodeInfo(
        503,
        "The database was too contended; try again",
        cause="Too many transactions changed the same rows at the same time. Nothing was changed.",
        remedy="Wait for the seconds in `Retry-After`, then repeat with a new `Idempotency-Key`: the same key returns this recorded outcome again.",
        retryable=True,
    )

    @property
    def http_status(self) -> int:
        return self.value.http_status

    @property
    def title(self) -> str:
        return self.value.title

    @property
    def cause(self) -> str:
        return self.value.cause

    @property
    def remedy(self) -> str:
        return self.value.remedy

    @property
    def retryable(self) -> bool:
        return self.value.retryable


# Codes that several commands have in common, because their handlers share the functions that raise them.
OF_CLOSED_BROADCASTS = (Code.BROADCAST_CANCELLED, Code.BROADCAST_EXPIRED, Code.BROADCAST_FILLED)
OF_TRUCKS = (
    Code.VEHICLE_NOT_IN_FLEET,
    Code.DRIVER_NOT_IN_FLEET,
    Code.VEHICLE_BUSY,
    Code.DRIVER_BUSY,
    Code.VEHICLE_TYPE_MISMATCH,
)
OF_ALLOCATIONS = (Code.TRUCK_REQUEST_NOT_FOUND, Code.REQUEST_ALREADY_TAKEN, Code.NOT_ENOUGH_AVAILABLE)
OF_OWN_BROADCASTS = (Code.BOOKING_NOT_FOUND, Code.ORDER_NOT_FOUND)
OF_ANY_BROADCASTS = (Code.BROADCAST_NOT_FOUND,)
OF_DRIVERS_ASSIGNMENTS = (Code.ASSIGNMENT_NOT_FOUND, Code.DRIVER_REPLACED)


class Rejected(Exception):
    """Raised by a handler to reject its command. Recorded as the command's outcome, and returned as problem+json.

    `detail`: what the caller can do about it. `extra`: further JSON members, such as `remaining`.
    """

    def __init__(self, code: Code, detail: str = "", extra: dict[str, Any] | None = None) -> None:
        super().__init__(code.name, detail)
        self.code = code
        self.detail = detail
        self.extra = extra or {}

    def problem(self) -> dict[str, Any]:
        """Return the RFC 9457 body: `{type, title, status, detail, code, retryable, ...extra}`."""
        return problem_body(self.code, self.detail, **self.extra)


def problem_body(code: Code, detail: str = "", **extra: Any) -> dict[str, Any]:
    """Return the RFC 9457 body of a rejection, the same for handlers and for the API."""
    return {
        "type": f"/docs/codes#{code.name}",
        "title": code.title,
        "status": code.http_status,
        "detail": detail or code.title,
        "code": code.name,
        "retryable": code.retryable,
        **extra,
    }
