"""The running system posts events to a user's server, with slow answers, a second worker and crashes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.system import System
from tests.support.waiting import eventually
from tests.support.webhook_receiver import SilentEndpoint, WebhookReceiver
from weelo_workers.contracts.statuses import Role
from weelo_workers.webhooks.leases import LEASE_SECONDS

pytestmark = pytest.mark.xdist_group("system")


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    made = WebhookReceiver()
    yield made
    made.close()


@pytest.fixture
def owner(system: System) -> Iterator[httpx.Client]:
    with system.http(Role.CUSTOMER, uuid4()) as client:
        yield client


def register(owner: httpx.Client, url: str, *events: str) -> dict[str, Any]:
    made = owner.post("/webhooks", json={"url": url, "events": events or ["*"]})
    assert made.status_code == 201, made.text
    return made.json()


def write(owner: httpx.Client, lines: int = 1) -> None:
    for _ in range(lines):
        owner.put(f"/devices/{uuid4().hex}", json={"platform": "ios"}).raise_for_status()


def log(owner: httpx.Client) -> list[dict[str, Any]]:
    return owner.get("/events", params={"limit": 500}).json()["items"]


def test_HOOK_01_a_webhook_receives_the_frames_of_the_log_at_once(
    owner: httpx.Client, receiver: WebhookReceiver
) -> None:
    created = register(owner, receiver.url)
    eventually(lambda: len(receiver.messages) == 1)
    began = time.monotonic()
    write(owner)
    eventually(lambda: len(receiver.messages) == 2)
    assert receiver.messages[1].at - began < 1
    assert [message.frame for message in receiver.messages] == log(owner)
    for message in receiver.messages:
        message.verify(created["secret"])


def test_only_the_answers_of_two_routes_have_the_secret(
    owner: httpx.Client, receiver: WebhookReceiver
) -> None:
    made = owner.post(
        "/webhooks",
        json={"url": receiver.url, "events": ["*"]},
        headers={"Idempotency-Key": "a-new-webhook"},
    )
    again = owner.post(
        "/webhooks",
        json={"url": receiver.url, "events": ["*"]},
        headers={"Idempotency-Key": "a-new-webhook"},
    )
    assert again.json() == made.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    path = f"/webhooks/{made.json()['id']}"
    outcome = owner.get(made.headers["Location"].removeprefix("/api/v1")).json()
    assert outcome["result"]["secret"] == made.json()["secret"]
    rotated = owner.post(f"{path}/rotate-secret").json()
    assert rotated["secret"] != made.json()["secret"]
    shown = owner.get(path).json(), *owner.get("/webhooks").json()["items"], *log(owner)
    assert "whsec_" not in str(shown)
    assert owner.put(path, json={"isActive": False}).json()["isActive"] is False
    assert owner.delete(path).json() == {"id": made.json()["id"], "deleted": True}
    assert owner.get(path).json()["code"] == "WEBHOOK_NOT_FOUND"


def test_a_test_and_a_resend_over_http(owner: httpx.Client, receiver: WebhookReceiver) -> None:
    path = f"/webhooks/{register(owner, receiver.url)['id']}"
    eventually(lambda: len(receiver.messages) == 1)
    assert owner.post(f"{path}/test").json()["delivered"] is True
    assert owner.post(f"{path}/resend", json={"fromSeq": 1, "toSeq": 1}).json()["lines"] == 1
    eventually(lambda: receiver.seqs().count(1) == 2)
    eventually(lambda: "resend" in {each["kind"] for each in deliveries(owner, path, "succeeded")})
    assert deliveries(owner, path, "failed") == []


def deliveries(owner: httpx.Client, path: str, status: str) -> list[dict[str, Any]]:
    return owner.get(f"{path}/deliveries", params={"status": status, "limit": 100}).json()["items"]


@pytest.fixture
def second_worker(system: System, tmp_path: Path) -> Iterator[int]:
    """Yield the pid of a second worker of the queue `webhooks`."""
    argv = ["-P", "-m", "weelo_workers", "--quiet", "worker", "--queues=webhooks", "--hostname=second@%h"]
    options = ["--pool=threads", "--concurrency=2", "--without-mingle", "--without-gossip", "--loglevel=INFO"]
    printed = tmp_path / "second.log"
    with printed.open("w") as output:
        worker = subprocess.Popen(
            [sys.executable, *argv, *options],
            env={**os.environ, **system.environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    eventually(lambda: "ready" in printed.read_text(), within=30)
    yield worker.pid
    worker.send_signal(signal.SIGTERM)
    try:
        worker.wait(timeout=30)
    finally:
        worker.kill()


def test_HOOK_01_two_workers_post_each_line_once_and_in_order(
    owner: httpx.Client, receiver: WebhookReceiver, second_worker: int
) -> None:
    assert second_worker
    receiver.seconds = 0.1
    register(owner, receiver.url)
    write(owner, 40)
    eventually(lambda: len(receiver.messages) >= 41, within=30)
    eventually(lambda: receiver.seqs() == [line["seq"] for line in log(owner)])
    assert receiver.most_at_once == 1


@pytest.mark.long
def test_HOOK_01_a_webhook_whose_worker_is_killed_goes_on_when_its_lease_ends(
    system: System, owner: httpx.Client
) -> None:
    """The worker is killed while it waits for an answer. Another worker continues, although no further line is written."""
    silent = SilentEndpoint()
    path = f"/webhooks/{register(owner, f'http://127.0.0.1:{silent.port}/hook')['id']}"
    silent.wait_for_a_connection()
    system.kill("webhooks")
    silent.close()
    receiver = WebhookReceiver(silent.port)
    eventually(lambda: receiver.seqs() == [1], within=LEASE_SECONDS + 6)
    eventually(lambda: [each["seq"] for each in deliveries(owner, path, "succeeded")] == [1])
    receiver.close()
