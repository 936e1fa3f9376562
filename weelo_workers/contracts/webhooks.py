"""The contract of webhooks: registration, secrets, deliveries, and the event that reports a disabled webhook."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from weelo_workers.contracts.addresses import is_public
from weelo_workers.contracts.command import Command
from weelo_workers.contracts.event import Event
from weelo_workers.contracts.notifications import Seq
from weelo_workers.contracts.recipients import ToUser
from weelo_workers.contracts.rejections import Code
from weelo_workers.contracts.statuses import DeliveryKind, DeliveryStatus, DisabledReason
from weelo_workers.contracts.wire import Note, Request, Timestamp, Wire

MAX_RESENT_LINES = 1_000

EventName = Literal[
    "*",
    "assignment_stalled",
    "assignment_status_changed",
    "availability_changed",
    "booking_cancelled",
    "booking_completed",
    "booking_expired",
    "booking_fully_filled",
    "broadcast_state_changed",
    "command_settled",
    "driver_status_changed",
    "driver_timeout",
    "hold_expired",
    "new_broadcast",
    "no_vehicles_available",
    "offer_withdrawn",
    "pickup_reminder",
    "trip_assigned",
    "trip_cancelled",
    "truck_confirmed",
    "truck_lost",
    "trucks_remaining_update",
    "webhook_disabled",
]
"""The events to which a webhook can be subscribed: the names in the catalog (a test compares them), and `*` for all of them."""

TEST_EVENT = "webhook_test"
"""The event that `POST …/test` posts. It is in no log, so its `seq` is null."""


# --- addresses ------------------------------------------------------------------------------------------


def _check_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        (host or "").encode("idna")
    except ValueError:  # `encode` raises UnicodeError, which is a ValueError
        raise ValueError("must have a valid host and port") from None
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise ValueError("must be an address like https://example.com/weelo")
    if "@" in parts.netloc:
        raise ValueError("must contain no user name and no password")
    if parts.fragment or "#" in url:
        raise ValueError("must contain no #")
    return url


WebhookUrl = Annotated[
    # Only visible ASCII characters are allowed. A URL contains all others percent-encoded, or as punycode in its host
    # name.
    str,
    StringConstraints(min_length=1, max_length=2_000, pattern=r"^[\x21-\x7e]+$"),
    AfterValidator(_check_url),
]


def fault_in_production(url: str) -> str | None:
    """Return what is wrong with a valid URL in production; None if the URL alone shows no fault."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme != "https":
        return "must begin with https://"
    if host == "localhost" or host.endswith(".localhost") or is_public(host) is False:
        return "must not be a private, loopback, link-local or otherwise reserved address"
    return None


# --- requests -------------------------------------------------------------------------------------------

Url = Annotated[str, Field(examples=["https://example.com/weelo"])]
Events = Annotated[tuple[EventName, ...], Field(min_length=1, max_length=50, strict=False, examples=[["*"]])]


class NewWebhook(Request):
    """An endpoint to which the caller's events are to be posted."""

    url: Annotated[WebhookUrl, Field(examples=["https://example.com/weelo"])]
    """The address of the endpoint. In production it begins with https:// and is public."""
    events: Events
    """The names of the events to post; `*` stands for all of them."""
    description: Note | None = None
    """A text for people, such as the name of the system behind the endpoint."""


class WebhookChanges(Request):
    """The fields of a webhook to change. At least one must be given. The others do not change."""

    url: Annotated[WebhookUrl, Field(examples=["https://example.com/weelo"])] | None = None
    """The new address of the endpoint."""
    events: Events | None = None
    """The names of the events to post from now on; `*` stands for all of them."""
    description: Note | None = None
    """A text for people."""
    is_active: bool | None = None
    """False pauses the webhook. True activates it: the lines after the last one that was delivered are posted."""

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if all(given is None for given in (self.url, self.events, self.description, self.is_active)):
            raise ValueError("give at least one of url, events, description and isActive")
        return self


class ResendRange(Request):
    """Which lines of the log to post again."""

    from_seq: Annotated[Seq, Field(ge=1, examples=[17])]
    """The `seq` of the first line."""
    to_seq: Annotated[Seq, Field(ge=1, examples=[42])]
    """The `seq` of the last line. At most 1,000 lines are posted."""

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if not 0 <= self.to_seq - self.from_seq < MAX_RESENT_LINES:
            raise ValueError(
                f"toSeq must not be before fromSeq, and at most {MAX_RESENT_LINES} lines are resent"
            )
        return self


# --- commands -------------------------------------------------------------------------------------------


class CreateWebhook(Command, name="webhooks.create", rejects=(Code.WEBHOOK_LIMIT,)):
    user_id: UUID
    details: NewWebhook


class UpdateWebhook(Command, name="webhooks.update", rejects=(Code.WEBHOOK_NOT_FOUND,)):
    webhook_id: UUID
    user_id: UUID
    changes: WebhookChanges


class DeleteWebhook(Command, name="webhooks.delete", rejects=(Code.WEBHOOK_NOT_FOUND,)):
    webhook_id: UUID
    user_id: UUID


class RotateSecret(
    Command,
    name="webhooks.rotate_secret",
    rejects=(
        Code.WEBHOOK_NOT_FOUND,
        Code.TOO_EARLY,
    ),
):
    webhook_id: UUID
    user_id: UUID


class ResendLines(
    Command,
    name="webhooks.resend",
    rejects=(
        Code.WEBHOOK_NOT_FOUND,
        Code.INVALID_TRANSITION,
    ),
):
    webhook_id: UUID
    user_id: UUID
    lines: ResendRange


class SendTest(
    Command,
    name="webhooks.send_test",
    runs_in_background=True,
    rejects=(Code.WEBHOOK_NOT_FOUND, Code.RATE_LIMITED),
):
    """Post a test event. The command waits for the endpoint's answer."""

    webhook_id: UUID
    user_id: UUID


class DeliverWebhook(Command, name="webhooks.deliver", runs_in_background=True, priority=2):
    """Post the lines that a webhook has not received yet.

    `lease`: the lease at whose end this command is due. If the holder of that lease has crashed, this command posts
    instead. `at_once`: end the pause after a failed attempt, because the endpoint has accepted a test.
    """

    webhook_id: UUID
    lease: UUID | None = None
    at_once: bool = False


class ReportDisabled(Command, name="webhooks.report_disabled", priority=1):
    """Report to the owner that the system has disabled a webhook."""

    webhook_id: UUID
    reason: DisabledReason


class PurgeDeliveries(Command, name="webhooks.purge_deliveries", priority=2):
    """Delete the records of a webhook that was deleted."""

    webhook_id: UUID


# --- views ----------------------------------------------------------------------------------------------

WebhookId = Annotated[
    UUID, Field(description="The id of the webhook.", examples=["5b9d1c3e-7f24-4a86-b0d5-1e6c8f2a9b47"])
]
EventId = Annotated[
    UUID,
    Field(
        description="The id of the event, which is the header `webhook-id`.",
        examples=["f0c8d2a7-6b1e-4937-8e5d-3a9c7b0f1e64"],
    ),
]
HttpStatus = Annotated[int, Field(examples=[503])]
ErrorText = Annotated[str, Field(examples=["the endpoint answered 503"])]


class WebhookView(Wire):
    """An endpoint of a user's own server, to which the lines of the user's log are posted."""

    id: WebhookId
    url: Url
    """The address of the endpoint."""
    events: Annotated[tuple[str, ...], Field(examples=[["*"]])]
    """The names of the events that are posted; `*` stands for all of them."""
    description: Annotated[str, Field(examples=["ERP of the head office"])] | None
    """A text for people; null if there is none."""
    is_active: bool
    """Whether lines are posted."""
    disabled_reason: DisabledReason | None
    """Why the webhook is not active; null if it is."""
    delivered_seq: Annotated[int, Field(examples=[42])]
    """Every line up to this `seq` was delivered, or its event is not among `events`."""
    failing_since: Timestamp | None
    """When the first of the failed attempts in a row was made; null if the last attempt succeeded."""
    next_attempt_at: Timestamp | None
    """When the line that failed is posted again; null if none failed."""
    last_error: ErrorText | None
    """Why the last attempt failed; null if it succeeded."""
    secret_version: Annotated[int, Field(examples=[1])]
    """How many secrets the webhook has had."""
    created_at: Timestamp
    """When the webhook was registered."""


class WebhookWithSecretView(WebhookView):
    """A webhook with its newest secret, which no other answer contains."""

    # The secret is stored nowhere, because it is derived from the server's key and the version of the webhook's secret.
    # So neither the stored outcome nor the frame `command_settled` contains it.
    secret: Annotated[str, Field(examples=["whsec_bm90IGEgc2VjcmV0LCBvbmx5IGFuIGV4YW1wbGUuLi4="])]
    """The secret that verifies signatures: a fixed prefix and the Base64 of 32 bytes."""


class DeletedWebhookView(Wire):
    """A webhook that was deleted."""

    id: WebhookId
    deleted: bool = True
    """Always true."""


class ResendView(Wire):
    """The lines that are posted again."""

    id: WebhookId
    from_seq: Annotated[int, Field(examples=[17])]
    """The `seq` of the first line."""
    to_seq: Annotated[int, Field(examples=[42])]
    """The `seq` of the last line."""
    lines: Annotated[int, Field(examples=[26])]
    """How many lines are posted: those of the range that are still in the log and whose event is among `events`."""


class WebhookTestView(Wire):
    """The result of a test."""

    id: WebhookId
    event_id: EventId
    delivered: bool
    """Whether the status of the answer was from 200 to 299."""
    http_status: HttpStatus | None
    """The status of the answer; null if there was none."""
    error: ErrorText | None
    """Why the test failed; null if it succeeded."""
    seconds: Annotated[float, Field(examples=[0.21])]
    """How long the attempt took, in seconds."""


class DeliveryView(Wire):
    """A line of the log, or a test, that was or will be posted to an endpoint."""

    id: Annotated[UUID, Field(examples=["a3f1c8d2-94b7-4e60-8c15-7d2e9b0a6f38"])]
    """The id of this delivery."""
    event_id: EventId
    seq: Annotated[int, Field(examples=[42])] | None
    """The number of the line in the user's log; null for a test."""
    event: Annotated[str, Field(examples=["truck_confirmed"])]
    """The name of the event."""
    kind: DeliveryKind
    """Why the message is posted."""
    status: DeliveryStatus
    """Whether the message was delivered."""
    attempts: Annotated[int, Field(examples=[3])]
    """How many attempts were made."""
    http_status: HttpStatus | None
    """The status of the last answer; null if there was none."""
    error: ErrorText | None
    """Why the last attempt failed; null if it succeeded, and before the first one."""
    next_attempt_at: Timestamp | None
    """When the line is posted again after a failure; null if it is not."""
    at: Timestamp
    """When the last attempt was made, or when the event happened if none was made or recorded."""


# --- events ---------------------------------------------------------------------------------------------


class WebhookDisabled(Event, to=ToUser):
    """The system has disabled a webhook: its endpoint answered 410, or no attempt has succeeded for 24 hours."""

    webhook_id: WebhookId
    url: Url
    """The address of the endpoint."""
    reason: DisabledReason
    """Why the webhook was disabled."""
    delivered_seq: Annotated[int, Field(examples=[42])]
    """Every line up to this `seq` was delivered, or its event is not among `events`."""


class WebhookTest(Wire):
    """A test of a webhook, which its owner has requested."""

    webhook_id: WebhookId


def frame_of_test(event_id: UUID, webhook_id: UUID, at: str) -> dict[str, Any]:
    """Return the body of a test delivery. It has the fields of a frame of the socket."""
    return {
        "id": str(event_id),
        "seq": None,
        "event": TEST_EVENT,
        "at": at,
        "data": WebhookTest(webhook_id=webhook_id).json_dict(),
    }
