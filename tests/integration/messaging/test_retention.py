"""Old rows are purged, and the rest of each log has no gap."""

from __future__ import annotations

import re
from uuid import UUID, uuid4

import pytest

from tests.support.world import World
from weelo_workers.messaging import retention
from weelo_workers.messaging.retention import purge_expired
from weelo_workers.models import Base


def age(world: World, table: str, column: str, where: str = "true", days: int = 8) -> None:
    with world.engine.begin() as connection:
        connection.exec_driver_sql(
            f"UPDATE {table} SET {column} = {column} - interval '{days} days' WHERE {where}"
        )


def test_every_table_has_one_rule_and_a_statement_deletes_from_the_table_that_it_names() -> None:
    """Each table has one entry in the rules that docs/operations.md lists."""
    purged = [rule.table for rule in (*retention.AGING, retention.HISTORY)]
    cascading = {
        table.name
        for table in Base.metadata.sorted_tables
        if any(key.ondelete == "CASCADE" for key in table.foreign_keys)
    }
    # `passed_over` is in both `purged` and `cascading`, because its rows may be deleted before their broadcast.
    assert sorted([*purged, *(cascading - set(purged)), *retention.KEPT]) == sorted(Base.metadata.tables)
    for rule in (*retention.AGING, retention.HISTORY):
        assert re.findall(r"DELETE FROM (\w+)", rule.statement.text) == [rule.table]


def test_events_older_than_the_retention_leave_every_log_and_the_others_stay(world: World) -> None:
    customer = uuid4()
    world.broadcast(1, customer=customer)
    before = world.events_of(customer)
    age(world, "events", "at", "data->>'status' = 'created'")
    assert purge_expired(world.engine, days=7) == 1
    assert world.events_of(customer) == [line for line in before if line.get("status") != "created"]
    assert world.value("SELECT seq FROM log_heads WHERE user_id = :id", id=customer) == len(before)


def test_what_was_told_late_leaves_no_hole_in_a_log(world: World) -> None:
    """An event that is delivered late may be older than the events of the lines before it.

    It is purged together with those events, not before.
    """
    customer = uuid4()
    world.cancel(world.broadcast(1, customer=customer))
    world.drain()
    late = world.events_of(customer)[3]
    age(
        world,
        "events",
        "at",
        f"id = (SELECT event_id FROM log_lines WHERE user_id = '{customer}' AND seq = 4)",
    )
    assert purge_expired(world.engine, days=7) == 0
    assert world.events_of(customer)[3] == late
    age(world, "events", "at")
    purge_expired(world.engine, days=7)
    assert world.events_of(customer) == []


@pytest.mark.parametrize("batch", [1, 3, 7])
def test_whatever_a_batch_cuts_the_kept_end_of_each_log_is_gapless(
    world: World, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleets = [world.fleet(km_north=km) for km in (1, 2, 20)]
    for _ in range(3):
        broadcast = world.broadcast(2)
        world.race(*[lambda fleet=fleet, on=broadcast: world.accept(fleet, on) for fleet in fleets])
        world.cancel(broadcast)
        world.drain()
    age(world, "events", "at")
    events = retention.PurgeRule("events", "events", "all", retention._EVENTS, batch)
    monkeypatch.setattr(retention, "SECONDS_EACH", 0)
    while retention._purge(world.engine, events, 7):
        gaps = """
            SELECT user_id FROM log_lines JOIN log_heads h USING (user_id)
             GROUP BY user_id, h.seq HAVING h.seq - min(log_lines.seq) + 1 <> count(*)
        """
        assert world.rows(gaps) == []
    assert world.value("SELECT count(*) FROM events") == 0


def test_of_several_who_forget_one_does(world: World) -> None:
    """One purger works at a time.

    Two purgers at the same time could commit their batches in either order. If newer lines of a log were deleted before
    older ones, the log would have a gap for a moment.
    """
    world.drain()
    with world.engine.begin() as other:
        other.exec_driver_sql(f"SELECT pg_advisory_xact_lock({retention._LOCK_KEY})")
        world.book(uuid4())
        world.drain()
        age(world, "mailbox", "settled_at", "settled_at IS NOT NULL")
        assert purge_expired(world.engine, days=7) == 0
    assert purge_expired(world.engine, days=7) > 0


def test_settled_commands_are_forgotten_and_waiting_ones_never(world: World) -> None:
    customer = uuid4()
    outcome = world.book(customer)
    world.drain()
    age(world, "mailbox", "settled_at")
    age(world, "mailbox", "due_at")
    waiting = world.value("SELECT count(*) FROM mailbox WHERE settled_at IS NULL")
    assert waiting > 0
    purge_expired(world.engine, days=7)
    assert world.value("SELECT count(*) FROM mailbox") == waiting
    assert world.value("SELECT count(*) FROM mailbox WHERE id = :id", id=outcome.command_id) == 0


def test_a_key_answers_for_at_least_a_day_whatever_the_retention(world: World) -> None:
    customer, key = uuid4(), uuid4()
    first = world.book(customer, key=key)
    with world.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE mailbox SET settled_at = settled_at - interval '23 hours 59 minutes'"
        )
    purge_expired(world.engine, days=1)
    again = world.book(customer, key=key)
    assert again.result == first.result and again.replayed


def test_replays_and_who_was_passed_over_are_forgotten(world: World) -> None:
    customer, key = uuid4(), uuid4()
    world.book(customer, key=key)
    world.post(world.booking(customer), customer, "customer", key=key)  # type: ignore[arg-type]
    world.fleet(online=True)
    world.set_availability(world.fleet(), online=False)
    world.drain()
    assert world.value("SELECT count(*) FROM replays") == 1
    age(world, "replays", "at")
    age(world, "passed_over", "at")
    purge_expired(world.engine, days=7)
    assert world.value("SELECT count(*) FROM replays") == 0
    assert world.value("SELECT count(*) FROM passed_over") == 0


def test_finished_broadcasts_stay_for_ever_unless_told_otherwise(world: World) -> None:
    world.cancel(world.broadcast(1))
    age(world, "broadcasts", "state_changed_at", days=4_000)
    purge_expired(world.engine, days=7)
    assert world.value("SELECT count(*) FROM broadcasts") == 1


def test_history_ages_with_everything_of_it_but_not_what_is_open_or_on_the_road(world: World) -> None:
    fleet, other = world.fleet(), world.fleet()
    cancelled = world.broadcast(1)
    world.cancel(cancelled)
    driving = world.broadcast(2)
    world.accept(fleet, driving)
    world.drivers_accept(driving)
    world.shift(121)
    world.drain()
    assert world.status(driving) == "expired" and world.live_assignments(driving) == 1
    opened = world.broadcast(1)
    world.accept(other, world.broadcast(1))
    age(world, "broadcasts", "state_changed_at", days=31)
    assert purge_expired(world.engine, days=7, history_days=30) == 1
    left: set[UUID] = {row.id for row in world.rows("SELECT id FROM broadcasts")}
    assert cancelled not in left and {driving, opened} <= left
    for table in ("truck_requests", "offers", "transitions"):
        assert world.value(f"SELECT count(*) FROM {table} WHERE broadcast_id = :id", id=cancelled) == 0
