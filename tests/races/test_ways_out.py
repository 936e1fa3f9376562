"""Two commands about won trucks at the same time, such as a give-back and a cancellation, a status or a timer.

If only one of the two may succeed, the other one is rejected, and all users receive the same result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.support.changed_settings import with_settings
from tests.support.long import rounds
from tests.support.world import Fleet, World
from weelo_lab.truths import TRUTHS, violations
from weelo_workers.contracts.fleet import DriverDetails, RegisterDriver
from weelo_workers.contracts.offers import Truck
from weelo_workers.contracts.outcomes import CommandOutcome
from weelo_workers.contracts.statuses import Role
from weelo_workers.lifecycles.assignment import LIVE

pytestmark = pytest.mark.timeout(900)

ROUNDS = rounds(30, 200)
"""Rounds of each race of WAYS-01 at each isolation level. If a race has two tests, each of them runs half."""
ROUNDS_OF_REOFFERS = 20
"""Rounds of each race of WAYS-02 at each isolation level."""
SPREAD = 0.02
"""The beginnings of two racing commands are up to this many seconds apart, so that either of them may win."""
TRUCKS = 10
"""The number of trucks of one broadcast. Each truck is used in one round."""

NEW_ROUNDS_END_IN_TIME = {
    "a request in a new round has a timer that is due at its deadline": """
        SELECT b.id FROM broadcasts b
         WHERE b.status IN ('active', 'partially_filled') AND b.reoffer_rounds > 0
           AND NOT EXISTS (SELECT 1 FROM mailbox m
                            WHERE m.name = 'broadcasts.expire' AND m.settled_at IS NULL
                              AND m.payload->>'broadcast_id' = b.id::text AND m.due_at = b.expires_at)"""
}


def test_WAYS_01_a_give_back_and_the_cancel_of_that_truck_have_one_outcome(world: World) -> None:
    winners: Counter[str] = Counter()
    for broadcast, assignment in _rounds(world, world.fleet(TRUCKS), rounds=ROUNDS // 2):
        gave_back, cancelled = _race(
            world, partial(world.give_back, assignment), partial(world.cancel_truck, assignment)
        )
        status, slot = _now(world, assignment)
        if gave_back == "succeeded":
            assert cancelled == "BOOKING_CANNOT_CANCEL"
            assert status == "given_back" and slot in ("searching", "expired")
        else:
            assert (gave_back, cancelled) == ("INVALID_TRANSITION", "succeeded")
            assert (status, slot) == ("cancelled", "cancelled")
        winners[status] += 1
        _hold_true(world, broadcast)
    assert winners.keys() == {"given_back", "cancelled"}


def test_WAYS_01_after_a_give_back_and_the_cancel_of_the_request_nothing_is_live(world: World) -> None:
    fleet = world.fleet(2)
    answers: Counter[str] = Counter()
    for number in range(ROUNDS // 2):
        count = 1 + number % 2
        broadcast = _offered(world, count)
        world.accept(fleet, broadcast, fleet.trucks[:count])
        world.drivers_accept(broadcast)
        assignment, *others = world.assignments(broadcast)
        gave_back, cancelled = _race(
            world,
            partial(world.give_back, assignment, by=(Role.DRIVER, Role.TRANSPORTER)[number // 2 % 2]),
            partial(world.cancel, broadcast),
        )
        assert cancelled == "succeeded"
        assert gave_back in ("succeeded", "INVALID_TRANSITION")
        status, slot = _now(world, assignment)
        assert status == ("given_back" if gave_back == "succeeded" else "cancelled")
        assert slot == "cancelled" and world.status(broadcast) == "cancelled"
        assert all(_now(world, other) == ("cancelled", "cancelled") for other in others)
        answers[gave_back] += 1
        _hold_true(world, broadcast)
    assert answers.keys() == {"succeeded", "INVALID_TRANSITION"}


@pytest.mark.parametrize(
    ("before", "step"),
    [("driver_accepted", "en_route_pickup"), ("at_pickup", "loading_complete")],
)
def test_WAYS_01_a_give_back_and_a_status_of_the_trip_have_one_outcome(
    world: World, before: str, step: str
) -> None:
    """A truck that has set out can still be given back. A loaded one cannot."""
    answers: Counter[tuple[str, str]] = Counter()
    for broadcast, assignment in _rounds(world, world.fleet(TRUCKS), before=before, rounds=ROUNDS // 2):
        both = _race(
            world,
            partial(world.give_back, assignment, by=Role.TRANSPORTER),
            partial(world.report, assignment, step),
        )
        status, slot = _now(world, assignment)
        if both[0] == "succeeded":
            assert status == "given_back" and slot in ("searching", "expired")
        else:
            assert step == "loading_complete"
            assert both == ("INVALID_TRANSITION", "succeeded") and (status, slot) == (step, "accepted")
        answers[both] += 1
        _hold_true(world, broadcast)
    late_step, early_step = ("succeeded", "INVALID_TRANSITION"), ("succeeded", "succeeded")
    if step == "loading_complete":
        early_step = ("INVALID_TRANSITION", "succeeded")
    assert answers.keys() == {late_step, early_step}


def test_WAYS_01_a_replacement_and_the_old_drivers_accept_leave_the_new_driver_asked(world: World) -> None:
    fleet = world.fleet(TRUCKS)
    _add_driver(world, fleet)
    answers: Counter[str] = Counter()
    for broadcast, assignment in _rounds(world, fleet, before="pending"):
        spare = _free_driver(world, fleet)
        replaced, accepted = _race(
            world,
            partial(world.replace, assignment, driver=spare),
            partial(world.answer, assignment, yes=True),
        )
        assert replaced == "succeeded" and accepted in ("succeeded", "DRIVER_REPLACED")
        (now,) = world.rows("SELECT * FROM assignments WHERE id = :id", id=assignment.id)
        assert (now.status, now.driver_id) == ("pending", spare)
        assert _now(world, assignment)[1] == "assigned"
        assert _last_about(world, assignment.driver_id, assignment) == ("trip_cancelled", "replaced")
        _hold_true(world, broadcast)
        answers[accepted] += 1
        if sum(answers.values()) % TRUCKS == 0:
            assert world.answer(assignment, yes=True).error["code"] == "DRIVER_REPLACED"
            assert world.answer(now, yes=True).status == "succeeded"
    assert answers.keys() == {"succeeded", "DRIVER_REPLACED"}


def test_WAYS_01_a_no_show_and_the_cancel_of_that_truck_have_one_outcome(world: World) -> None:
    winners: Counter[str] = Counter()
    for broadcast, assignment in _rounds(world, world.fleet(TRUCKS), before="at_pickup"):
        _waited_for_the_customer(world, assignment)
        reported, cancelled = _race(
            world, partial(world.report_no_show, assignment), partial(world.cancel_truck, assignment)
        )
        status, slot = _now(world, assignment)
        if reported == "succeeded":
            assert (cancelled, status) == ("BOOKING_CANNOT_CANCEL", "customer_no_show")
        else:
            assert (reported, cancelled) == ("INVALID_TRANSITION", "succeeded") and status == "cancelled"
        assert slot == "cancelled"
        winners[status] += 1
        _hold_true(world, broadcast)
    assert winners.keys() == {"customer_no_show", "cancelled"}


def test_WAYS_01_the_timer_of_a_stalled_truck_and_its_setting_out_have_one_outcome(world: World) -> None:
    winners: Counter[str] = Counter()
    for broadcast, assignment in _rounds(world, world.fleet(TRUCKS)):
        timer = _stall_timer(world, assignment)
        _, set_out = world.race(
            partial(world.bus.execute, timer),
            partial(world.report, assignment, "en_route_pickup"),
            spread=SPREAD,
        )
        status, slot = _now(world, assignment)
        if set_out.status == "succeeded":
            assert (status, slot) == ("en_route_pickup", "accepted")
        else:
            assert set_out.error["code"] == "INVALID_TRANSITION"
            assert status == "given_back" and slot in ("searching", "expired")
            assert _last_about(world, assignment.driver_id, assignment) == ("trip_cancelled", "stalled")
        assert world.value("SELECT status FROM mailbox WHERE id = :id", id=timer) == "succeeded"
        winners[status] += 1
        _hold_true(world, broadcast)
    assert winners.keys() == {"en_route_pickup", "given_back"}


def test_WAYS_02_two_trucks_of_one_request_given_back_at_once_reopen_both_slots(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_settings(monkeypatch, reoffer_rounds=TRUCKS)
    fleet = world.fleet(2 * TRUCKS)
    for _ in range(ROUNDS_OF_REOFFERS // TRUCKS):
        broadcast, assignments = _won(world, fleet)
        for number, (one, other) in enumerate(zip(assignments[::2], assignments[1::2], strict=True), 1):
            both = _race(world, partial(world.give_back, one), partial(world.give_back, other))
            assert both == ("succeeded", "succeeded")
            (row,) = world.rows("SELECT * FROM broadcasts WHERE id = :id", id=broadcast)
            assert row.reoffer_rounds == min(2 * number, TRUCKS)
            slots = Counter(world.slots(broadcast))
            assert slots == +Counter(
                accepted=2 * (TRUCKS - number),
                searching=row.reoffer_rounds,
                expired=2 * number - row.reoffer_rounds,
            )
            _hold_true(world, broadcast)
        _end(world, broadcast)


def test_WAYS_02_a_give_back_and_an_accept_of_another_reopened_slot_both_succeed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_settings(monkeypatch, reoffer_rounds=ROUNDS)
    fleet, other = world.fleet(TRUCKS + 1), world.fleet(TRUCKS)
    for _ in range(ROUNDS_OF_REOFFERS // TRUCKS):
        broadcast, (first, *assignments) = _won(world, fleet)
        world.give_back(first)
        world.drain()
        for number, (assignment, truck) in enumerate(zip(assignments, other.trucks, strict=True), 1):
            both = _race(
                world,
                partial(world.give_back, assignment),
                partial(world.accept, other, broadcast, [truck]),
            )
            assert both == ("succeeded", "succeeded")
            assert Counter(world.slots(broadcast)) == +Counter(
                searching=1, assigned=number, accepted=TRUCKS - number
            )
            _hold_true(world, broadcast)
        _end(world, broadcast)


def test_WAYS_02_two_fleets_accept_the_reopened_slot_at_once_and_one_of_them_gets_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fleet that gave the slot back accepts at the same time, and never gets it."""
    with_settings(monkeypatch, reoffer_rounds=ROUNDS)
    fleet, others = world.fleet(TRUCKS), [world.fleet(TRUCKS), world.fleet(TRUCKS)]
    winners: Counter[UUID] = Counter()
    for broadcast, assignment in _rounds(world, fleet, rounds=ROUNDS_OF_REOFFERS):
        world.give_back(assignment)
        world.drain()
        for told in others:
            *_, offer = world.events_of(told.id, "new_broadcast")
            assert offer["truckRequestIds"] == [str(assignment.truck_request_id)]
        busy = {row.vehicle_id for row in world.assignments(broadcast) if row.status == "pending"}
        free = [next(truck for truck in each.trucks if truck.vehicle_id not in busy) for each in others]
        named = _named_again(assignment)
        one, two, again = _race(
            world,
            *[
                partial(world.accept, each, broadcast, [truck])
                for each, truck in zip(others, free, strict=True)
            ],
            partial(world.accept, fleet, broadcast, [named]),
        )
        assert Counter((one, two)) == {"succeeded": 1, "BROADCAST_FILLED": 1}
        assert again in ("SLOT_GIVEN_BACK", "BROADCAST_FILLED")
        winners[others[0 if one == "succeeded" else 1].id] += 1
        assert _now(world, assignment) == ("given_back", "assigned")
        _hold_true(world, broadcast)
    assert len(winners) == 2


# --- rounds ---------------------------------------------------------------------------------------------


def _rounds(
    world: World, fleet: Fleet, *, before: str = "driver_accepted", rounds: int = ROUNDS
) -> Iterator[tuple[UUID, Any]]:
    """Yield, for each round, a broadcast and one of its assignments, which is in the state `before`."""
    done = 0
    while done < rounds:
        broadcast, assignments = _won(world, fleet, before=before)
        for assignment in assignments[: rounds - done]:
            yield broadcast, assignment
            done += 1
        _end(world, broadcast)


def _won(world: World, fleet: Fleet, *, before: str = "driver_accepted") -> tuple[UUID, list[Any]]:
    """Create a broadcast, which this fleet fills with all its trucks. Bring its assignments to the state `before`.

    Return the broadcast's id and its assignments.
    """
    broadcast = _offered(world, len(fleet.trucks))
    accepted = world.accept(fleet, broadcast)
    assert accepted.status == "succeeded", accepted.error
    if before != "pending":
        world.drivers_accept(broadcast)
    if before == "at_pickup":
        for assignment in world.assignments(broadcast):
            world.report(assignment, before)
    return broadcast, world.assignments(broadcast)


def _offered(world: World, trucks: int) -> UUID:
    """Create a broadcast and offer it in its first ring. Other due commands are not executed, which saves half the time."""
    world.sync_presence()
    for row in world.rows("SELECT id FROM transporters"):
        world.heartbeat(Fleet(row.id), km_north=1.0)
    broadcast = UUID(world.book(uuid4(), trucks).result["id"])
    (ring,) = world.rows(
        "SELECT id FROM mailbox WHERE name = 'broadcasts.widen' AND payload->>'broadcast_id' = :id",
        id=str(broadcast),
    )
    world.bus.execute(ring.id)
    return broadcast


def _end(world: World, broadcast: UUID) -> None:
    """End all live trips of the broadcast, and cancel it if it is still open. All trucks and drivers are free again."""
    for assignment in world.assignments(broadcast):
        if assignment.status in LIVE:
            world.end_trip(assignment)
    world.cancel(broadcast)
    assert world.live_assignments(broadcast) == 0


def _race(world: World, *acts: partial[CommandOutcome]) -> tuple[str, ...]:
    """Execute these commands at the same time. Return, for each, `succeeded` or the code of its rejection with 409."""
    outcomes: list[CommandOutcome] = world.race(*acts, spread=SPREAD)
    assert {outcome.http_status for outcome in outcomes} <= {200, 409}, outcomes
    return tuple(outcome.error["code"] if outcome.error else outcome.status for outcome in outcomes)


def _hold_true(world: World, broadcast: UUID) -> None:
    with world.engine.connect() as connection:
        assert not violations(connection, TRUTHS | NEW_ROUNDS_END_IN_TIME), broadcast


def _now(world: World, assignment: Any) -> tuple[str, str]:
    """Return the present status of the assignment, and that of its slot."""
    (row,) = world.rows(
        "SELECT a.status, t.status AS slot FROM assignments a JOIN truck_requests t ON t.id = a.truck_request_id"
        " WHERE a.id = :id",
        id=assignment.id,
    )
    return row.status, row.slot


def _last_about(world: World, user_id: UUID, assignment: Any) -> tuple[str, str | None]:
    """Return event and reason of the newest line about this assignment in the user's log."""
    (line,) = world.rows(
        "SELECT e.event, e.data->>'reason' AS reason FROM log_lines l JOIN events e ON e.id = l.event_id"
        " WHERE l.user_id = :who AND e.data->'assignment'->>'id' = :id ORDER BY l.seq DESC LIMIT 1",
        who=user_id,
        id=str(assignment.id),
    )
    return line.event, line.reason


def _named_again(assignment: Any) -> Truck:
    """Return the assignment's truck and slot in the form in which an accept names them."""
    return Truck(
        vehicle_id=assignment.vehicle_id,
        driver_id=assignment.driver_id,
        truck_request_id=assignment.truck_request_id,
    )


def _add_driver(world: World, fleet: Fleet) -> None:
    """Register a further driver, for whom the fleet has no truck."""
    driver, details = uuid4(), DriverDetails(name="A further driver", phone="+91 11 2345 6789")
    register = RegisterDriver(transporter_id=fleet.id, driver_id=driver, details=details)
    assert world.execute(register, fleet.id, Role.TRANSPORTER).status == "succeeded"


def _free_driver(world: World, fleet: Fleet) -> UUID:
    """Return the only driver of the fleet who is on no live trip."""
    (driver,) = world.rows(
        "SELECT id FROM drivers WHERE transporter_id = :fleet AND id NOT IN"
        " (SELECT driver_id FROM assignments WHERE status = ANY(:live))",
        fleet=fleet.id,
        live=list(LIVE),
    )
    assert isinstance(driver.id, UUID)
    return driver.id


def _waited_for_the_customer(world: World, assignment: Any) -> None:
    """Let PICKUP_WAIT_SECONDS pass for this truck only."""
    with world.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE assignments SET state_changed_at = state_changed_at - interval '1 hour' WHERE id = %s",
            (assignment.id,),
        )


def _stall_timer(world: World, assignment: Any) -> UUID:
    """Execute the truck's timer `trips.remind_to_start`. Make `trips.give_back_stalled` due, and return its id."""
    pending = (
        "UPDATE mailbox SET due_at = clock_timestamp() WHERE name = %s AND settled_at IS NULL"
        " AND payload->>'assignment_id' = %s RETURNING id"
    )
    ids = []
    for name in ("trips.remind_to_start", "trips.give_back_stalled"):
        with world.engine.begin() as connection:
            due = connection.exec_driver_sql(pending, (name, str(assignment.id)))
            ids.append(due.scalar_one())
        if name == "trips.remind_to_start":
            world.bus.execute(ids[-1])
    assert isinstance(ids[-1], UUID)
    return ids[-1]
