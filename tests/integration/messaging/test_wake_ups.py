"""Messages of wake-ups for Redis are made without Celery's slower `send_task`, and must equal Celery's messages."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import uuid4

import pytest

from tests.support.world import World
from weelo_workers.app import app
from weelo_workers.contracts.broadcasts import Backfill, ExpireBroadcast
from weelo_workers.contracts.offers import AcceptTrucks
from weelo_workers.messaging.celery_waker import CeleryWaker
from weelo_workers.messaging.wakeup import WakeUp

DIFFERENT_EACH_TIME = {
    "header id",
    "header root_id",
    "header eta",
    "property correlation_id",
    "property delivery_tag",
}
# Only Celery's `send_task` adds these. Workers need none of them: `reply_to` names a queue for results, to which no
# worker writes, and the other two repeat headers.
NEEDLESS = {"property reply_to", "property argsrepr", "property kwargsrepr"}


def taken(queue: str) -> Any:
    """Take the next message of this queue as a worker does."""
    with app.connection_for_read() as broker:
        return broker.channel().basic_get(queue, no_ack=True)


def parts(message: Any) -> dict[str, Any]:
    """Return everything in a message that a worker reads and that is the same each time."""
    whole = {
        "body": json.loads(message.body),
        "content": (message.content_type, message.content_encoding),
        **{f"header {name}": value for name, value in message.headers.items()},
        **{f"property {name}": value for name, value in message.properties.items()},
    }
    return {name: value for name, value in whole.items() if name not in DIFFERENT_EACH_TIME | NEEDLESS}


@pytest.mark.parametrize("countdown", [0.0, 45.0, 1e9])
@pytest.mark.parametrize("command", [AcceptTrucks, ExpireBroadcast, Backfill], ids=lambda each: each.name)
def test_a_message_is_the_one_that_celery_sends(
    world: World, command: type[AcceptTrucks | ExpireBroadcast | Backfill], countdown: float
) -> None:
    wake_up = WakeUp(uuid4(), command.name, command.queue, countdown)
    CeleryWaker().wake(wake_up)
    ours = taken(command.queue)
    app.send_task(
        wake_up.name,
        args=[str(wake_up.id)],
        queue=wake_up.queue,
        countdown=min(countdown, CeleryWaker.LONGEST_COUNTDOWN_SECONDS) or None,
        priority=command.priority,
        argsrepr=f"['{wake_up.id}']",
        kwargsrepr="{}",
    )
    theirs = taken(command.queue)
    assert parts(ours) == parts(theirs)
    headers = cast(dict[str, Any], ours.headers)
    assert headers["id"] == headers["root_id"] == ours.properties["correlation_id"]
    assert headers["id"] != theirs.headers["id"]
    due, other = headers["eta"], theirs.headers["eta"]
    if countdown:
        between = datetime.fromisoformat(other) - datetime.fromisoformat(due)
        assert timedelta(0) <= between < timedelta(seconds=5)
    else:
        assert due is other is None
