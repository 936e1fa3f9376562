"""The caller's webhooks: endpoints to which the system posts the events of the caller's log. For every role."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from weelo_client.commands import FRESH_KEY, Commands, Key
from weelo_client.customer import given
from weelo_client.shapes import (
    DeletedWebhook,
    ResentLines,
    Webhook,
    WebhookDelivery,
    WebhookDeliveryStatus,
    WebhookTest,
    WebhookWithSecret,
)


class Webhooks(Commands):
    def create_webhook(
        self,
        url: str,
        events: Sequence[str],
        description: str | None = None,
        *,
        key: str | Key = FRESH_KEY,
        wait: float | None = None,
    ) -> WebhookWithSecret:
        """Register an endpoint for these events, or `["*"]` for all. Store `secret`: reads do not return it."""
        body = {"url": url, "events": list(events), **given(description=description)}
        return cast(WebhookWithSecret, self.command("POST", "/webhooks", body, key=key, wait=wait).value())

    def webhooks(self, limit: int | None = None) -> list[Webhook]:
        return self.items("/webhooks", limit)

    def webhook(self, webhook_id: str) -> Webhook:
        return cast(Webhook, self.get(f"/webhooks/{webhook_id}"))

    def update_webhook(
        self,
        webhook_id: str,
        url: str | None = None,
        events: Sequence[str] | None = None,
        description: str | None = None,
        is_active: bool | None = None,
        *,
        key: str | Key = FRESH_KEY,
        wait: float | None = None,
    ) -> Webhook:
        """Change the given fields, at least one. `is_active=True` enables a webhook that was disabled."""
        body = given(
            url=url,
            events=None if events is None else list(events),
            description=description,
            isActive=is_active,
        )
        path = f"/webhooks/{webhook_id}"
        return cast(Webhook, self.command("PUT", path, body, key=key, wait=wait).value())

    def delete_webhook(
        self, webhook_id: str, *, key: str | Key = FRESH_KEY, wait: float | None = None
    ) -> DeletedWebhook:
        done = self.command("DELETE", f"/webhooks/{webhook_id}", key=key, wait=wait)
        return cast(DeletedWebhook, done.value())

    def rotate_webhook_secret(
        self, webhook_id: str, *, key: str | Key = FRESH_KEY, wait: float | None = None
    ) -> WebhookWithSecret:
        """Replace the secret. Deliveries are signed with the old one, too, for 24 hours."""
        path = f"/webhooks/{webhook_id}/rotate-secret"
        return cast(WebhookWithSecret, self.command("POST", path, {}, key=key, wait=wait).value())

    def webhook_deliveries(
        self, webhook_id: str, status: WebhookDeliveryStatus | None = None, limit: int | None = None
    ) -> list[WebhookDelivery]:
        """Return the deliveries, newest first. `status`: only those with this status, such as `failed`."""
        return self.items(f"/webhooks/{webhook_id}/deliveries", limit, status=status)

    def resend_to_webhook(
        self,
        webhook_id: str,
        from_seq: int,
        to_seq: int,
        *,
        key: str | Key = FRESH_KEY,
        wait: float | None = None,
    ) -> ResentLines:
        """Deliver these lines of the caller's log again, with the same ids."""
        body = {"fromSeq": from_seq, "toSeq": to_seq}
        path = f"/webhooks/{webhook_id}/resend"
        return cast(ResentLines, self.command("POST", path, body, key=key, wait=wait).value())

    def test_webhook(
        self, webhook_id: str, *, key: str | Key = FRESH_KEY, wait: float | None = None
    ) -> WebhookTest:
        """Deliver a test event at once, and return how the endpoint answered."""
        path = f"/webhooks/{webhook_id}/test"
        return cast(WebhookTest, self.command("POST", path, {}, key=key, wait=wait).value())
