"""Events that an earlier version has stored in the mailbox are written into the logs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, text

from tests.support.waiting import eventually
from tests.support.world import World
from weelo_workers.contracts.delivery import EventEnvelope
from weelo_workers.contracts.notifications import DeliverEvents
from weelo_workers.contracts.recipients import OfferedTo, ToOffered
from weelo_workers.messaging import mailbox
from weelo_workers.models.mailbox import MAILBOX


def stored(
    world: World, broadcast: UUID, name: str = "BroadcastStateChanged", to: dict[str, Any] | None = None
) -> UUID:
    """Store an event about this broadcast as an earlier version did. Return the id of the row."""
    now = datetime.now(UTC)
    event = EventEnvelope(
        id=uuid4(), event=name, at=now, data={"broadcastId": str(broadcast), "version": 9}, to=to or {}
    )
    row = mailbox.row_for(DeliverEvents(events=(event,)), now=now, due_at=None)
    with world.engine.begin() as connection:
        connection.execute(insert(MAILBOX), row)
    return UUID(str(row["id"]))


def test_an_offer_is_not_told_after_a_cancellation_that_is_under_way(world: World) -> None:
    """The events are written under the lock of their broadcast, so they wait for the cancellation."""
    fleet = world.fleet()
    broadcast = world.broadcast(1)
    offered = ToOffered(slots={"open:17ft": ()}, offered={fleet.id: OfferedTo(km=1.0, kinds=("open:17ft",))})
    row = stored(world, broadcast, "NewBroadcast", offered.model_dump(mode="json"))
    before = len(world.events_of(fleet.id, "new_broadcast"))
    with ThreadPoolExecutor(1) as pool:
        with world.engine.begin() as cancelling:
            status = "UPDATE broadcasts SET status = 'cancelled' WHERE id = :id"
            cancelling.execute(text(status), {"id": broadcast})
            telling = pool.submit(world.bus.execute, row)
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            eventually(lambda: world.value(waiting) == 1)
        telling.result()
    assert len(world.events_of(fleet.id, "new_broadcast")) == before
    assert world.value("SELECT status FROM mailbox WHERE id = :id", id=row) == "succeeded"


def test_they_reach_their_readers(world: World) -> None:
    customer = uuid4()
    row = stored(world, world.broadcast(1, customer=customer))
    before = len(world.events_of(customer))
    world.bus.execute(row)
    world.bus.execute(row)
    [told] = world.events_of(customer)[before:]
    assert (told["event"], told["seq"], told["version"]) == ("broadcast_state_changed", before + 1, 9)


@pytest.mark.parametrize(
    "spoil",
    [
        "jsonb_set(payload, '{events,0,event}', '\"Nonsense\"')",
        "payload #- '{events,0,data,broadcastId}'",
        "jsonb_set(payload, '{events,0,data,broadcastId}', '7')",
        "jsonb_set(payload, '{events}', '{}')",
        "payload - 'events'",
    ],
)
def test_what_this_version_cannot_read_is_parked_alone(world: World, spoil: str) -> None:
    customer = uuid4()
    broadcast = world.broadcast(1, customer=customer)
    poison = stored(world, broadcast)
    with world.engine.begin() as connection:
        connection.execute(text(f"UPDATE mailbox SET payload = {spoil} WHERE id = :id"), {"id": poison})
    world.drain()
    for _ in range(6):
        world.tick(30)
    assert world.value("SELECT parked_at FROM mailbox WHERE id = :id", id=poison) is not None
    assert world.value("SELECT count(*) FROM mailbox WHERE attempts > 0") == 1
    seqs = [line["seq"] for line in world.events_of(customer)]
    assert seqs == list(range(1, len(seqs) + 1))
