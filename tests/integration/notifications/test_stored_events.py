"""Events that an earlier version has stored in the mailbox are written into the logs."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, text

from tests.support.world import World
from weelo_workers.contracts.delivery import EventEnvelope
from weelo_workers.contracts.notifications import DeliverEvents
from weelo_workers.messaging import mailbox
from weelo_workers.models.mailbox import MAILBOX


def stored(world: World, broadcast: UUID) -> UUID:
    """Store an event about this broadcast as an earlier version did. Return the id of the row."""
    now = datetime.now(UTC)
    event = EventEnvelope(
        id=uuid4(), event="BroadcastStateChanged", at=now, data={"broadcastId": str(broadcast), "version": 9}
    )
    row = mailbox.row_for(DeliverEvents(events=(event,)), now=now, due_at=None)
    with world.engine.begin() as connection:
        connection.execute(insert(MAILBOX), row)
    return UUID(str(row["id"]))


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
