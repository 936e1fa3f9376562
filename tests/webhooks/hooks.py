"""Helpers for tests of webhooks: register them, write lines into logs, move times into the past, and read rows."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.support.waiting import eventually
from tests.support.world import World
from weelo_workers.contracts.command import Command
from weelo_workers.contracts.fleet import RegisterDevice
from weelo_workers.contracts.outcomes import CommandOutcome
from weelo_workers.contracts.statuses import DeliveryStatus, Role
from weelo_workers.contracts.webhooks import (
    CreateWebhook,
    DeleteWebhook,
    NewWebhook,
    ResendLines,
    ResendRange,
    RotateSecret,
    SendTest,
    UpdateWebhook,
    WebhookChanges,
)
from weelo_workers.models import Webhook
from weelo_workers.queries import webhooks as queries
from weelo_workers.queries.pages import PageRequest


class Hooks:
    """One user with webhooks."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.user = uuid4()

    # --- acting ---------------------------------------------------------------------------------------

    def execute(self, command: Command) -> CommandOutcome:
        """Execute a command of the user, and return its outcome as the API shows it."""
        return queries.with_secret(self.world.execute(command, self.user, Role.CUSTOMER))

    def create(self, url: str, *events: str) -> UUID:
        """Register a webhook, and return its id."""
        return UUID(self.created(url, *events)["id"])

    def created(self, url: str, *events: str) -> dict[str, Any]:
        """Register a webhook, and return the response of the API."""
        details = NewWebhook.model_validate({"url": url, "events": events or ("*",)})
        outcome = self.execute(CreateWebhook(user_id=self.user, details=details))
        assert outcome.status == "succeeded", outcome.error
        assert isinstance(outcome.result, dict)
        return outcome.result

    def update(self, webhook_id: UUID, **changes: Any) -> CommandOutcome:
        return self.execute(
            UpdateWebhook(
                webhook_id=webhook_id, user_id=self.user, changes=WebhookChanges.model_validate(changes)
            )
        )

    def delete(self, webhook_id: UUID) -> CommandOutcome:
        return self.execute(DeleteWebhook(webhook_id=webhook_id, user_id=self.user))

    def rotate(self, webhook_id: UUID) -> CommandOutcome:
        return self.execute(RotateSecret(webhook_id=webhook_id, user_id=self.user))

    def resend(self, webhook_id: UUID, first: int, last: int) -> CommandOutcome:
        lines = ResendRange(from_seq=first, to_seq=last)
        return self.execute(ResendLines(webhook_id=webhook_id, user_id=self.user, lines=lines))

    def test(self, webhook_id: UUID) -> CommandOutcome:
        return self.execute(SendTest(webhook_id=webhook_id, user_id=self.user))

    def write(self, lines: int = 1) -> None:
        """Write lines into the user's log, then execute the commands that deliver them."""
        for _ in range(lines):
            self.register_device()
        self.world.drain()

    def register_device(self) -> None:
        """Register a device, which writes one line into the user's log. Commands that deliver the line are not executed."""
        command = RegisterDevice(user_id=self.user, token=f"token {uuid4()}", platform="ios")
        self.world.execute(command, self.user, Role.CUSTOMER)

    def shift(self, seconds: float) -> None:
        """Move the times of webhooks' failures, and all times that `World.shift` moves, into the past. Execute what is due."""
        with self.world.engine.begin() as connection:
            for column in ("failing_since", "next_attempt_at"):
                connection.execute(
                    text(f"UPDATE webhooks SET {column} = {column} - make_interval(secs => :by)"),
                    {"by": seconds},
                )
        self.world.tick(seconds)

    def next_attempt(self, webhook_id: UUID) -> None:
        """Let the time pass until the next attempt of a failing webhook is due, and begin this attempt."""
        pause = "SELECT EXTRACT(EPOCH FROM next_attempt_at - clock_timestamp())::float FROM webhooks WHERE id = :id"
        self.shift(max(0.0, self.world.value(pause, id=webhook_id)) + 1)

    def end_leases(self) -> None:
        """Move the ends of all leases 21 s into the past, so that all leases have ended."""
        with self.world.engine.begin() as connection:
            connection.execute(text("UPDATE webhooks SET lease_until = lease_until - interval '21 s'"))

    def wait_until_delivered(self, webhook_id: UUID, seq: int) -> None:
        """Execute what is due, and wait until the line is delivered and no sender is at work."""
        self.world.drain()
        eventually(lambda: self.row(webhook_id).delivered_seq >= seq and self.is_idle(webhook_id))

    def is_idle(self, webhook_id: UUID) -> bool:
        return self.row(webhook_id).lease_token is None

    # --- reading --------------------------------------------------------------------------------------

    def log(self) -> list[int]:
        """Return the `seq` of all lines of the user's log."""
        return [line["seq"] for line in self.world.events_of(self.user)]

    def row(self, webhook_id: UUID) -> Any:
        [row] = self.world.rows("SELECT * FROM webhooks WHERE id = :id", id=webhook_id)
        return row

    def failures(self, webhook_id: UUID) -> int:
        return int(self.row(webhook_id).failures)

    def wait_until_failed(self, webhook_id: UUID, times: int = 1) -> None:
        """Wait until exactly this many attempts in a row have failed."""
        eventually(lambda: self.failures(webhook_id) == times, within=15)

    def deliveries(
        self, webhook_id: UUID, status: str | None = None, limit: int = 100
    ) -> list[dict[str, Any]]:
        """Return all deliveries, newest first. They are read in pages of `limit`."""
        items: list[dict[str, Any]] = []
        cursor = None
        with Session(self.world.engine) as session:
            webhook = session.get(Webhook, webhook_id)
            assert webhook is not None
            while True:
                page = queries.deliveries(
                    session, webhook, DeliveryStatus(status) if status else None, PageRequest(limit, cursor)
                )
                items += page.items
                cursor = page.next_cursor
                if cursor is None:
                    return items
