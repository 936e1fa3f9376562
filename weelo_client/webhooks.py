"""Webhooks, for every role: register an endpoint, list its deliveries, and request that lines are posted again."""

from __future__ import annotations

from typing import cast

from weelo_client.commands import FRESH_KEY, Commands, Key
from weelo_client.customer import given
from weelo_client.shapes import Delivery, Resent, Webhook, WebhookTest, WebhookWithSecret


class WebhookCommands(Commands):
    def create_webhook(
        self,
        url: str,
        events: list[str],
        *,
        description: str | None = None,
        key: str | Key = FRESH_KEY,
        wait: float | None = None,
    ) -> WebhookWithSecret:
        """Register an endpoint for these events, or for all with `["*"]`. Keep the secret: it is not shown again.

        409 WEBHOOK_LIMIT if the user has the largest allowed number of webhooks.
        """
        body = {"url": url, "events": events} | given(description=description)
        made = self.command("POST", "/webhooks", body, key=key, wait=wait)
        return cast(WebhookWithSecret, made.value())

    def update_webhook(
        self,
        webhook_id: str,
        *,
        url: str | None = None,
        events: list[str] | None = None,
        description: str | None = None,
        is_active: bool | None = None,
        key: str | Key = FRESH_KEY,
        wait: float | None = None,
    ) -> Webhook:
        """Change the given fields.

        `is_active=True` activates a webhook again: the lines after the last delivered one are posted.
        """
        body = given(url=url, events=events, description=description, isActive=is_active)
        return cast(Webhook, self.command("PUT", f"/webhooks/{webhook_id}", body, key=key, wait=wait).value())

    def delete_webhook(
        self, webhook_id: str, *, key: str | Key = FRESH_KEY, wait: float | None = None
    ) -> None:
        """Delete a webhook and the records of its deliveries."""
        self.command("DELETE", f"/webhooks/{webhook_id}", key=key, wait=wait).value()

    def rotate_webhook_secret(
        self, webhook_id: str, *, key: str | Key = FRESH_KEY, wait: float | None = None
    ) -> WebhookWithSecret:
        """Replace the secret. For 24 hours each message is signed with the earlier secret as well.

        409 TOO_EARLY after five replacements within 24 hours.
        """
        path = f"/webhooks/{webhook_id}/rotate-secret"
        return cast(WebhookWithSecret, self.command("POST", path, key=key, wait=wait).value())

    def resend_to_webhook(
        self,
        webhook_id: str,
        from_seq: int,
        to_seq: int,
        *,
        key: str | Key = FRESH_KEY,
        wait: float | None = None,
    ) -> Resent:
        """Make the server post these lines of the log again, with the same ids."""
        body = {"fromSeq": from_seq, "toSeq": to_seq}
        path = f"/webhooks/{webhook_id}/resend"
        return cast(Resent, self.command("POST", path, body, key=key, wait=wait).value())

    def test_webhook(
        self, webhook_id: str, *, key: str | Key = FRESH_KEY, wait: float | None = None
    ) -> WebhookTest:
        """Make the server post a test event at once, and return the result."""
        path = f"/webhooks/{webhook_id}/test"
        return cast(WebhookTest, self.command("POST", path, key=key, wait=wait).value())

    # --- reads --------------------------------------------------------------------------------------------

    def webhooks(self, limit: int | None = None) -> list[Webhook]:
        """Return the user's webhooks, newest first."""
        return self.items("/webhooks", limit)

    def webhook(self, webhook_id: str) -> Webhook:
        return cast(Webhook, self.get(f"/webhooks/{webhook_id}"))

    def webhook_deliveries(self, webhook_id: str, limit: int | None = None) -> list[Delivery]:
        """Return the messages that were posted and those that are to be posted, newest first."""
        return self.items(f"/webhooks/{webhook_id}/deliveries", limit)
