"""A cancellation and an accept at the same time: the cancellation wins."""

from __future__ import annotations

from functools import partial

from tests.support.world import World


def test_CNCL_07_in_twenty_rounds_no_cancelled_broadcast_has_a_live_assignment(world: World) -> None:
    fleets = [world.fleet() for _ in range(3)]
    codes = set()
    for _ in range(20):
        broadcast = world.broadcast(2)
        cancelled, *accepts = world.race(
            partial(world.cancel, broadcast),
            *[partial(world.accept, fleet, broadcast) for fleet in fleets],
        )
        assert cancelled.status == "succeeded"
        assert world.status(broadcast) == "cancelled"
        assert world.live_assignments(broadcast) == 0
        codes |= {accept.error["code"] for accept in accepts if accept.error}
    assert codes <= {"BROADCAST_CANCELLED", "BROADCAST_FILLED"}


def test_cancel_expire_and_accept_at_once_leave_one_history(world: World) -> None:
    fleet = world.fleet()
    for _ in range(10):
        broadcast = world.broadcast(1)
        with world.engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE broadcasts SET expires_at = clock_timestamp() + interval '5 ms' WHERE status = 'active'"
            )
        world.race(
            partial(world.cancel, broadcast),
            partial(world.accept, fleet, broadcast),
            lambda: world.tick(130),
        )
        if world.status(broadcast) in ("cancelled", "expired"):
            assert world.live_assignments(broadcast) == 0
        else:
            world.cancel(broadcast)
        ends = world.rows(
            "SELECT to_status FROM transitions WHERE broadcast_id = :id AND subject = 'broadcast' AND to_status IN ('cancelled', 'expired')",
            id=broadcast,
        )
        assert len(ends) == 1
