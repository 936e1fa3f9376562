"""The rejections: their stable codes, HTTP statuses, and whether the same request may succeed later."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any


@dataclass(frozen=True, slots=True)
class CodeInfo:
    http_status: int
    title: str
    retryable: bool = False


class Code(Enum):
    """The rejection codes. Apps see the names. Titles are short and contain no ids."""

    VALIDATION_ERROR = CodeInfo(400, "The request is not valid")
    UNAUTHORIZED = CodeInfo(401, "Sign in first")
    TOKEN_EXPIRED = CodeInfo(401, "The token has expired")
    FORBIDDEN = CodeInfo(403, "Not allowed for this role")
    DRIVER_NOT_IN_FLEET = CodeInfo(403, "The driver is not in your fleet")
    VEHICLE_NOT_IN_FLEET = CodeInfo(403, "The vehicle is not in your fleet")
    NOT_FOUND = CodeInfo(404, "Not found")
    BOOKING_NOT_FOUND = CodeInfo(404, "Booking not found")
    ORDER_NOT_FOUND = CodeInfo(404, "Order not found")
    BROADCAST_NOT_FOUND = CodeInfo(404, "Broadcast not found")
    TRUCK_REQUEST_NOT_FOUND = CodeInfo(404, "Truck request not found")
    ASSIGNMENT_NOT_FOUND = CodeInfo(404, "Assignment not found")
    HOLD_NOT_FOUND = CodeInfo(404, "Hold not found")
    WEBHOOK_NOT_FOUND = CodeInfo(404, "Webhook not found")
    METHOD_NOT_ALLOWED = CodeInfo(405, "This path has no such method")
    ORDER_ACTIVE_EXISTS = CodeInfo(409, "Request already in progress. Cancel it first.")
    REQUEST_ALREADY_TAKEN = CodeInfo(409, "Another transporter was faster")
    BROADCAST_FILLED = CodeInfo(409, "All trucks of this request have been found")
    BROADCAST_CANCELLED = CodeInfo(409, "The customer cancelled this request")
    BROADCAST_EXPIRED = CodeInfo(409, "This request has expired")
    BOOKING_CANNOT_CANCEL = CodeInfo(409, "This request can no longer be cancelled")
    DRIVER_BUSY = CodeInfo(409, "The driver is not free")
    VEHICLE_BUSY = CodeInfo(409, "The vehicle is not free")
    VEHICLE_TYPE_MISMATCH = CodeInfo(409, "The vehicle is not of the kind that was asked for")
    NOT_ENOUGH_AVAILABLE = CodeInfo(409, "Fewer trucks are open than were offered")
    HOLD_EXPIRED = CodeInfo(409, "The hold has ended")
    ASSIGNMENT_EXPIRED = CodeInfo(409, "The time to answer has passed")
    DRIVER_REPLACED = CodeInfo(409, "The trip has been given to another driver")
    SLOT_GIVEN_BACK = CodeInfo(409, "Your fleet gave this truck back")
    TOO_EARLY = CodeInfo(409, "The time to wait has not passed yet")
    INVALID_TRANSITION = CodeInfo(409, "Not possible in the present state")
    WEBHOOK_LIMIT = CodeInfo(409, "You have as many webhooks as a user may have")
    VEHICLE_EXISTS = CodeInfo(409, "Another fleet has registered this vehicle")
    DRIVER_EXISTS = CodeInfo(409, "Another fleet has registered this driver")
    PAYLOAD_TOO_LARGE = CodeInfo(413, "The body is larger than 64 KiB")
    UNSUPPORTED_MEDIA_TYPE = CodeInfo(415, "The body is not JSON in UTF-8")
    IDEMPOTENCY_CONFLICT = CodeInfo(422, "This Idempotency-Key was used for another request")
    RATE_LIMITED = CodeInfo(429, "Too many requests", retryable=True)
    TOGGLE_RATE_LIMITED = CodeInfo(429, "Too many availability changes", retryable=True)
    INTERNAL_ERROR = CodeInfo(500, "Something went wrong on our side", retryable=True)
    SERVICE_UNAVAILABLE = CodeInfo(503, "Not available at the moment; nothing was accepted", retryable=True)
    ACCEPT_RETRY_EXHAUSTED = CodeInfo(503, "The database was too contended; try again", retryable=True)

    @property
    def http_status(self) -> int:
        return self.value.http_status

    @property
    def title(self) -> str:
        return self.value.title

    @property
    def retryable(self) -> bool:
        return self.value.retryable


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
        "type": f"urn:weelo:problem:{code.name}",
        "title": code.title,
        "status": code.http_status,
        "detail": detail or code.title,
        "code": code.name,
        "retryable": code.retryable,
        **extra,
    }
