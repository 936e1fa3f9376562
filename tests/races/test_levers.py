"""An operator's lever at the same time as an accept, a timer or the same lever.

No effect happens twice. If another command was faster, the outcome of the lever says so.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from tests.support.long import rounds
from tests.support.world import World
from weelo_lab.truths import TRUTHS, violations
from weelo_workers.contracts.broadcasts import ExpireByOperator, WidenByOperator
from weelo_workers.contracts.command import Command
from weelo_workers.contracts.outcomes import CommandOutcome
from weelo_workers.contracts.statuses import Role

ROUNDS = rounds(16, 60)
SPREAD = 0.02
"""The beginnings of a lever and a timer are up to this many seconds apart, so that either of them may win."""
OPERATOR = uuid4()


def _timer(world: World, name: str, broadcast: UUID) -> UUID:
    """Make this timer of the broadcast due, and return its id."""
    with world.engine.begin() as connection:
        due = connection.exec_driver_sql(
            "UPDATE mailbox SET due_at = clock_timestamp() WHERE name = %s AND settled_at IS NULL"
            " AND payload->>'broadcast_id' = %s RETURNING id",
            (name, str(broadcast)),
        )
        timer = due.scalar_one()
    assert isinstance(timer, UUID)
    return timer


def _race(world: World, levers: list[Command], timer: UUID) -> list[CommandOutcome]:
    """Execute these levers and this timer at the same time. Return the outcomes of the levers."""
    ids = [world.post(lever, OPERATOR, Role.ADMIN) for lever in levers]
    world.race(*[partial(world.bus.execute, each) for each in (*ids, timer)], spread=SPREAD)
    return [world.outcome(each, OPERATOR) for each in ids]


def _steps(world: World, broadcast: UUID) -> list[int]:
    rows = world.rows(
        "SELECT details FROM transitions WHERE broadcast_id = :id AND details ? 'step' ORDER BY id",
        id=broadcast,
    )
    return [row.details["step"] for row in rows]


def _audited(world: World, broadcast: UUID) -> list[str]:
    return [
        row.outcome
        for row in world.rows("SELECT outcome FROM audit WHERE subject_id = :id ORDER BY at", id=broadcast)
    ]


def _hold_true(world: World) -> None:
    with world.engine.connect() as connection:
        assert violations(connection, TRUTHS) == {}


def test_a_lever_cancel_and_accepts_leave_no_live_assignment(world: World) -> None:
    fleets = [world.fleet() for _ in range(3)]
    codes: Counter[str] = Counter()
    for _ in range(ROUNDS):
        broadcast = world.broadcast(2)
        cancelled, *accepts = world.race(
            partial(world.cancel_by_operator, broadcast),
            *[partial(world.accept, fleet, broadcast) for fleet in fleets],
        )
        assert cancelled.status == "succeeded"
        assert (world.status(broadcast), world.live_assignments(broadcast)) == ("cancelled", 0)
        assert _audited(world, broadcast) == ["applied"]
        codes.update(accept.error["code"] if accept.error else accept.status for accept in accepts)
    assert codes.keys() <= {"succeeded", "BROADCAST_CANCELLED", "BROADCAST_FILLED"}
    world.drain()
    _hold_true(world)


def test_a_lever_expiry_and_the_timer_expire_once(world: World) -> None:
    winners: Counter[Any] = Counter()
    for _ in range(ROUNDS):
        broadcast = world.broadcast()
        with world.engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE broadcasts SET expires_at = clock_timestamp() WHERE id = %s", (str(broadcast),)
            )
        timer = _timer(world, "broadcasts.expire", broadcast)
        command = ExpireByOperator(broadcast_id=broadcast, reason="asked by telephone")
        [levered] = _race(world, [command], timer)
        assert levered.status == "succeeded" and levered.result["status"] == "expired"
        ends = world.rows(
            "SELECT cause FROM transitions WHERE broadcast_id = :id AND to_status = 'expired' AND subject = 'broadcast'",
            id=broadcast,
        )
        assert len(ends) == 1
        assert levered.replayed == (ends[0].cause == "broadcasts.expire")
        customer = world.customer_of(broadcast)
        assert len(world.events_of(customer, "booking_expired")) == 1
        assert _audited(world, broadcast) == ["applied"]
        winners[ends[0].cause] += 1
    assert len(winners) == 2
    _hold_true(world)


def test_two_lever_widenings_and_the_timer_make_each_ring_once(world: World) -> None:
    """All three commands try to make the second ring. The one that makes it sets one timer for the third ring."""
    fleets = [world.fleet(km_north=km) for km in (1, 20, 40)]
    winners: Counter[str] = Counter()
    for _ in range(ROUNDS):
        broadcast = world.broadcast()
        timer = _timer(world, "broadcasts.widen", broadcast)
        command = WidenByOperator(broadcast_id=broadcast, reason="asked by telephone", step=2)
        levered = _race(world, [command, command], timer)
        assert [outcome.status for outcome in levered] == ["succeeded", "succeeded"]
        assert _steps(world, broadcast) == [1, 2]
        (made,) = world.rows(
            "SELECT cause FROM transitions WHERE broadcast_id = :id AND details @> '{\"step\": 2}'",
            id=broadcast,
        )
        winners[made.cause] += 1
        waiting = world.rows(
            "SELECT payload->>'step' AS step FROM mailbox WHERE name = 'broadcasts.widen' AND settled_at IS NULL"
            " AND payload->>'broadcast_id' = :id",
            id=str(broadcast),
        )
        assert [row.step for row in waiting] == ["3"]
        assert world.told_at(broadcast).keys() == {fleet.id for fleet in fleets[:2]}
        assert _audited(world, broadcast) == ["applied", "applied"]
        assert world.cancel(broadcast).status == "succeeded"
    assert len(winners) == 2
    _hold_true(world)


def test_the_same_lever_twice_cancels_once(world: World) -> None:
    for _ in range(ROUNDS):
        broadcast, fleet = world.won(trucks=2)
        both = world.race(*[partial(world.cancel_by_operator, broadcast)] * 2)
        assert [outcome.status for outcome in both] == ["succeeded", "succeeded"]
        assert sorted(outcome.replayed for outcome in both) == [False, True]
        assert [outcome.result["assignmentsCancelled"] for outcome in both] == [1, 1]
        assert len(world.events_of(fleet.id, "booking_cancelled")) == 1
        assert _audited(world, broadcast) == ["applied", "applied"]
    _hold_true(world)
