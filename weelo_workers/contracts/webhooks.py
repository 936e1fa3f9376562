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
from weelo_workers.contracts.statuses import DeliveryKind, DeliveryStatus, DisabledReason
from weelo_workers.contracts.wire import NoteText, Request, Timestamp, Wire

MAX_RESENT_LINES = 1_000

EventName = Literal[
    "*",
    "assignment_stalled",
    "assignment_status_changed",
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
    "pickup_reminder",
    "trip_assigned",
    "trip_cancelled",
    "truck_confirmed",
    "truck_lost",
    "trucks_remaining_update",
    "webhook_disabled",
]
"""The events that a webhook may ask for: the names of the catalog, which a test compares, and `*` for all of them."""

TEST_EVENT = "webhook_test"
"""The event that `POST …/test` posts. It is in no log, so its `seq` is null."""


# --- addresses ------------------------------------------------------------------------------------------


def _is_callable(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        (host or "").encode("idna")
    except ValueError:  # UnicodeError is one as well.
        raise ValueError("must have a valid host and port") from None
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise ValueError("must be an address like https://example.com/weelo")
    if "@" in parts.netloc:
        raise ValueError("must contain no user name and no password")
    if parts.fragment or "#" in url:
        raise ValueError("must contain no #")
    return url


WebhookUrl = Annotated[
    # Visible ASCII characters only: everything else has to be percent-encoded in a URL, and hosts as in DNS (punycode).
    str,
    StringConstraints(min_length=1, max_length=2_000, pattern=r"^[\x21-\x7e]+$"),
    AfterValidator(_is_callable),
]


def fault_in_production(url: str) -> str | None:
    """Return why a valid URL may not be called in production, as far as the URL alone tells; None if it may."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme != "https":
        return "must begin with https://"
    if host == "localhost" or host.endswith(".localhost") or is_public(host) is False:
        return "must not be a private, loopback, link-local or otherwise reserved address"
    return None


# --- requests -------------------------------------------------------------------------------------------

Events = Annotated[tuple[EventName, ...], Field(min_length=1, max_length=50, strict=False)]


class NewWebhook(Request):
    url: WebhookUrl
    events: Events
    description: NoteText | None = None


class WebhookChanges(Request):
    """The fields to change. At least one is given."""

    url: WebhookUrl | None = None
    events: Events | None = None
    description: NoteText | None = None
    is_active: bool | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if all(given is None for given in (self.url, self.events, self.description, self.is_active)):
            raise ValueError("give at least one of url, events, description and isActive")
        return self


class ResendRange(Request):
    from_seq: Annotated[Seq, Field(ge=1)]
    to_seq: Annotated[Seq, Field(ge=1)]

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if not 0 <= self.to_seq - self.from_seq < MAX_RESENT_LINES:
            raise ValueError(
                f"toSeq must not be before fromSeq, and at most {MAX_RESENT_LINES} lines are resent"
            )
        return self


# --- commands -------------------------------------------------------------------------------------------


class CreateWebhook(Command, name="webhooks.create"):
    user_id: UUID
    details: NewWebhook


class UpdateWebhook(Command, name="webhooks.update"):
    webhook_id: UUID
    user_id: UUID
    changes: WebhookChanges


class DeleteWebhook(Command, name="webhooks.delete"):
    webhook_id: UUID
    user_id: UUID


class RotateSecret(Command, name="webhooks.rotate_secret"):
    webhook_id: UUID
    user_id: UUID


class ResendLines(Command, name="webhooks.resend"):
    webhook_id: UUID
    user_id: UUID
    lines: ResendRange


class SendTest(Command, name="webhooks.send_test", runs_in_background=True):
    """Post a test event. The command waits for the endpoint's answer."""

    webhook_id: UUID
    user_id: UUID


class DeliverWebhook(Command, name="webhooks.deliver", runs_in_background=True, priority=2):
    """Post the lines that a webhook has not received yet.

    `lease`: this command was sent to be due when that lease ends, in case its holder crashes. `at_once`: the webhook does
    not wait for the end of its pause, because its endpoint has answered a test.
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


class WebhookView(Wire):
    """A webhook. `failing_since`, `next_attempt_at` and `last_error` are set while its first undelivered line fails."""

    id: UUID
    url: str
    events: tuple[str, ...]
    description: str | None
    is_active: bool
    disabled_reason: DisabledReason | None
    delivered_seq: int
    failing_since: Timestamp | None
    next_attempt_at: Timestamp | None
    last_error: str | None
    secret_version: int
    created_at: Timestamp


class WebhookWithSecretView(WebhookView):
    """A webhook with its newest secret.

    The secret is derived from the version and stored nowhere, so only an answer of the API has it: neither the stored
    outcome nor the frame `command_settled`.
    """

    secret: str


class DeletedWebhookView(Wire):
    id: UUID
    deleted: bool = True


class ResendView(Wire):
    id: UUID
    from_seq: int
    to_seq: int
    lines: int


class WebhookTestView(Wire):
    """The result of a test. `error`: why it failed; null after an answer with a status from 200 to 299."""

    id: UUID
    event_id: UUID
    delivered: bool
    http_status: int | None
    error: str | None
    seconds: float


class DeliveryView(Wire):
    """One line on its way to an endpoint. `attempts`: how many were made. `at`: the last attempt, or the line's time."""

    id: UUID
    event_id: UUID
    seq: int | None
    event: str
    kind: DeliveryKind
    status: DeliveryStatus
    attempts: int
    http_status: int | None
    error: str | None
    next_attempt_at: Timestamp | None
    at: Timestamp


# --- events ---------------------------------------------------------------------------------------------


class WebhookDisabled(Event, to=ToUser):
    """The system has disabled a webhook: its endpoint answered 410, or no attempt has succeeded for 24 hours."""

    webhook_id: UUID
    url: str
    reason: DisabledReason
    delivered_seq: int


def frame_of_test(event_id: UUID, webhook_id: UUID, at: str) -> dict[str, Any]:
    """Return the body of a test delivery. It has the fields of a frame of the socket."""
    return {
        "id": str(event_id),
        "seq": None,
        "event": TEST_EVENT,
        "at": at,
        "data": {"webhookId": str(webhook_id)},
    }
