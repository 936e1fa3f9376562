"""The live stream takes a bounded part of Redis's memory, because Redis refuses all writes when its memory is full."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from weelo_workers.notifications import live_stream
from weelo_workers.redis_client import redis

COMPOSE = Path(__file__).parents[3] / "docker-compose.yml"


def item(readers: int, slots: int) -> live_stream.StreamEvent:
    """Return an event `new_broadcast` that contains the ids of `slots` slots for each recipient."""
    own: dict[str, Any] = {"pickupDistanceKm": 12.3, "truckRequestIds": [str(uuid4()) for _ in range(slots)]}
    to: dict[str, tuple[int, dict[str, Any] | None]] = {
        str(uuid4()): (seq, own) for seq in range(1, readers + 1)
    }
    return live_stream.StreamEvent(
        uuid4(), "new_broadcast", datetime.now(UTC), {"broadcastId": str(uuid4())}, to
    )


def spread(*items: live_stream.StreamEvent) -> list[dict[str, str]]:
    redis().delete(live_stream.STREAM_KEY)
    live_stream.publish(items)
    entries: Any = redis().xrange(live_stream.STREAM_KEY)
    return [fields for _, fields in entries]


def test_what_is_for_many_is_told_in_several_entries_each_of_a_bounded_size() -> None:
    many, few = item(250, 50), item(2, 1)
    entries = spread(many, few)
    assert len(entries) > 4
    assert max(len(entry["items"]) for entry in entries) <= live_stream.ENTRY_BYTES
    received: dict[UUID, dict[str, Any]] = {many.id: {}, few.id: {}}
    for entry in entries:
        for each in live_stream.decode(entry):
            to = received[UUID(each["id"])]
            assert not to.keys() & each["to"].keys(), "a recipient is in two entries"
            to.update(each["to"])
            assert (
                each["event"] == "new_broadcast"
                and each["data"] == (many if to is received[many.id] else few).data
            )
    for one in (many, few):
        assert received[one.id] == {reader: [seq, own] for reader, (seq, own) in one.to.items()}
        assert list(received[one.id]) == list(one.to), "the order of the recipients has changed"


def test_what_is_for_few_is_told_in_one_entry() -> None:
    assert len(spread(item(20, 3), item(20, 3))) == 1


def test_all_that_is_kept_is_a_small_part_of_what_redis_has_in_compose() -> None:
    [megabytes] = re.findall(r"--maxmemory (\d+)mb", COMPOSE.read_text())
    largest = live_stream.KEEP * live_stream.ENTRY_BYTES
    assert largest <= int(megabytes) * 2**20 / 4
