"""What operators see of webhooks, and what the API refuses in production."""

from __future__ import annotations

from uuid import uuid4

import pytest
from sqlalchemy import text

from tests.support.findings import findings
from tests.support.tokens import token
from tests.support.waiting import eventually
from tests.support.webhook_receiver import WebhookReceiver
from tests.webhooks.hooks import Hooks
from weelo_api import create_app
from weelo_api.views import webhooks as views
from weelo_workers.contracts.statuses import Role
from weelo_workers.metrics import counters
from weelo_workers.settings import settings
from weelo_workers.webhooks import sending

LOST = "invariant: 1 webhooks whose lines wait and that no command delivers"


def test_the_doctor_names_a_webhook_that_no_command_delivers(hooks: Hooks, receiver: WebhookReceiver) -> None:
    webhook = hooks.create(receiver.url)
    hooks.wait_until_delivered(webhook, 1)
    assert LOST not in findings("webhook-not-delivered")
    with hooks.world.engine.begin() as connection:
        connection.execute(text("UPDATE webhooks SET delivered_seq = 0"))
        connection.execute(text("UPDATE events SET at = at - interval '10 s'"))
        connection.execute(text("DELETE FROM mailbox WHERE queue = 'webhooks' AND settled_at IS NULL"))
    assert LOST in findings("webhook-not-delivered")


def test_a_parked_command_delivers_nothing(hooks: Hooks, receiver: WebhookReceiver) -> None:
    webhook = hooks.create(receiver.url)
    hooks.wait_until_delivered(webhook, 1)
    with hooks.world.engine.begin() as connection:
        connection.execute(text("UPDATE webhooks SET delivered_seq = 0"))
        connection.execute(text("UPDATE events SET at = at - interval '10 s'"))
        connection.execute(text("DELETE FROM mailbox WHERE queue = 'webhooks' AND settled_at IS NULL"))
        connection.execute(
            text("""
                INSERT INTO mailbox (id, name, queue, payload, due_at, wake_at, attempts, last_error, parked_at)
                VALUES (gen_random_uuid(), 'webhooks.deliver', 'webhooks', jsonb_build_object('webhook_id', CAST(:id AS text)),
                        now(), now(), 5, 'ValueError: a test', now())"""),
            {"id": str(webhook)},
        )
    assert LOST in findings("webhook-not-delivered")


def test_the_doctor_warns_of_webhooks_that_have_been_failing_for_an_hour(
    hooks: Hooks, receiver: WebhookReceiver
) -> None:
    receiver.status = 500
    webhook = hooks.create(receiver.url)
    hooks.world.drain()
    hooks.wait_until_failed(webhook)
    assert findings("webhooks-failing") == []
    with hooks.world.engine.begin() as connection:
        connection.execute(text("UPDATE webhooks SET failing_since = failing_since - interval '61 min'"))
    [line] = findings("webhooks-failing")
    assert line.startswith("webhooks: 1 have been failing for an hour, the first since ")
    assert LOST not in findings("webhook-not-delivered")


def test_attempts_are_counted_by_result(hooks: Hooks, receiver: WebhookReceiver) -> None:
    def counted(result: str) -> float:
        return counters.WEBHOOK_ATTEMPTS.labels(result)._value.get()

    before = {result: counted(result) for result in ("delivered", "refused")}
    webhook = hooks.create(receiver.url)
    hooks.wait_until_delivered(webhook, 1)
    receiver.status = 404
    hooks.write()
    hooks.wait_until_failed(webhook)
    eventually(lambda: counted("refused") == before["refused"] + 1)
    assert counted("delivered") == before["delivered"] + 1


@pytest.mark.parametrize(
    "url", ["http://example.com/", "https://127.0.0.1/", "https://localhost/", "https://[::ffff:10.0.0.1]/"]
)
def test_the_api_refuses_a_url_that_production_must_not_call(
    url: str, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    production = settings().model_copy(update={"weelo_env": "production"})
    monkeypatch.setattr(views, "settings", lambda: production)
    client = create_app().test_client()
    headers = {"Authorization": f"Bearer {token(Role.CUSTOMER, hooks.user)}"}
    for method, path, body in (
        ("POST", "/api/v1/webhooks", {"url": url, "events": ["*"]}),
        ("PUT", f"/api/v1/webhooks/{uuid4()}", {"url": url}),
    ):
        answer = client.open(path, method=method, json=body, headers=headers)
        assert (answer.status_code, answer.get_json()["code"]) == (400, "VALIDATION_ERROR")
        assert [each["field"] for each in answer.get_json()["errors"]] == ["url"]
    assert hooks.world.value("SELECT count(*) FROM mailbox") == 0


def test_in_production_a_webhook_from_development_is_not_called(
    hooks: Hooks, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    production = settings().model_copy(update={"weelo_env": "production"})
    monkeypatch.setattr(sending, "settings", lambda: production)
    webhook = hooks.create(receiver.url)
    hooks.world.drain()
    hooks.wait_until_failed(webhook)
    assert hooks.row(webhook).last_error == "the URL must begin with https://"
    assert receiver.messages == []


def test_a_key_of_its_own_takes_precedence() -> None:
    own = settings().model_copy(update={"webhook_secret_key": "k" * 32})
    other = settings().model_copy(update={"jwt_secret": "another secret of at least 32 bytes!"})
    assert len({settings().webhook_key, own.webhook_key, other.webhook_key}) == 3
    assert own.model_copy(update={"jwt_secret": None}).webhook_key == own.webhook_key
