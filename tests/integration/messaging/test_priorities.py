"""A surge causes hundreds of commands with a low priority. They delay no command of a user."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from sqlalchemy import insert

from tests.support.world import World
from weelo_workers.app import app
from weelo_workers.contracts.broadcasts import Backfill, OfferLate, OfferPassedOver
from weelo_workers.contracts.command import Command
from weelo_workers.contracts.fleet import SetAvailability
from weelo_workers.contracts.queues import FLEET
from weelo_workers.messaging import mailbox
from weelo_workers.messaging.celery_waker import CeleryWaker
from weelo_workers.messaging.wakeup import WakeUp
from weelo_workers.models.mailbox import MAILBOX
from weelo_workers.queries.backlog import waits

# Commands that are sent when a request ends. They offer other requests to transporters of the same town.
AFTER_A_SURGE = (
    Backfill(broadcast_id=uuid4()),
    OfferPassedOver(broadcast_id=uuid4(), transporter_ids=(uuid4(),)),
    OfferLate(broadcast_id=uuid4(), transporter_id=uuid4()),
)


def taken(number: int) -> list[str]:
    """Take `number` messages from the queue, as a worker does. Return the names of their commands in this order."""
    with app.connection_for_read() as broker:
        channel = broker.channel()
        return [channel.basic_get(FLEET, no_ack=True).headers["task"] for _ in range(number)]


@pytest.mark.parametrize("command", AFTER_A_SURGE, ids=lambda command: command.name)
def test_a_worker_takes_a_later_command_of_a_user_first(world: World, command: Command) -> None:
    waker = CeleryWaker()
    for _ in range(3):
        waker.wake(WakeUp(uuid4(), command.name, FLEET))
    waker.wake(WakeUp(uuid4(), SetAvailability.name, FLEET))
    assert taken(4) == [SetAvailability.name, command.name, command.name, command.name]


@pytest.mark.parametrize("command", AFTER_A_SURGE, ids=lambda command: command.name)
def test_it_does_not_count_as_a_busy_queue(world: World, command: Command) -> None:
    """Otherwise the API would refuse to put transporters online or offline while hundreds of these commands wait."""
    with world.engine.begin() as connection:
        connection.execute(insert(MAILBOX), mailbox.row_for(command, now=datetime.now(UTC), due_at=None))
        assert FLEET not in waits(connection)


def test_a_late_offer_is_made_before_the_room_of_ended_requests_is_used(world: World) -> None:
    waker = CeleryWaker()
    for command in (Backfill, OfferPassedOver, OfferLate):
        waker.wake(WakeUp(uuid4(), command.name, FLEET))
    assert taken(3)[0] == OfferLate.name
