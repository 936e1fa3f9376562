"""Users and timers act in random order; the invariants hold after every step.

`WEELO_MODEL_EXAMPLES=2000 pytest tests/model` searches longer, with other random examples in each run.
"""

from __future__ import annotations

import os
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, Phase, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.support.world import KINDS, Fleet, World
from weelo_lab.truths import AT_MOST_ALL_ROUNDS, TRUTHS, WHEN_AT_REST
from weelo_workers.contracts.broadcasts import ContinuePartial
from weelo_workers.contracts.statuses import AssignmentStatus, BroadcastKind, EndOutcome, Role
from weelo_workers.contracts.trips import DriverAccepts, DriverDeclines
from weelo_workers.lifecycles.assignment import BEFORE_LOADING, HAS_SET_OUT, LIVE, STEPS
from weelo_workers.lifecycles.broadcast import OPEN
from weelo_workers.queries import offer_list
from weelo_workers.queries.pages import PageRequest

LOOK = int(os.environ.get("WEELO_MODEL_EXAMPLES", "0"))

# Numbers that select the object of an act: 0 is the newest one, which is selected most often.
any_one = st.sampled_from((0, 0, 0, 1, 1, 2, 3, 5))
mostly = st.sampled_from((True, True, True, False))
ACTS = (
    *("asks", "asks", "accepts", "accepts", "accepts", "accepts", "holds", "holds", "ends_a_hold"),
    *("answers", "answers", "answers", "answers", "answers", "drives", "drives", "drives", "drives"),
    *("cancels", "continues", "declines", "comes_or_goes"),
    *("gives_back", "gives_back", "gives_back", "replaces", "replaces", "replaces"),
    *("a_replaced_driver_answers", "cancels_a_truck", "cancels_a_truck", "reports_a_no_show", "ends_a_trip"),
    *("time_passes", "time_passes", "time_passes", "hours_pass"),
    *("a_message_comes_early_late_or_twice", "a_message_comes_early_late_or_twice"),
)
REACHED = ("pending", "driver_accepted", "driver_accepted", "en_route_pickup", "at_pickup", "in_transit")
SECONDS = (1, 16, 46, 91, 0, 121)
# Seconds by which `hours_pass` moves the time. They are a little longer than the delays of the timers that watch trucks
# and than the required wait at the pickup.
LONG = (1_801, 901, 3_601, 2_701, 0, 21_601)

# When a timer fires, it may set another one. For example: a driver does not answer, so the search begins again, and then
# ends at its deadline. No more than this number of timers follow one another.
MOST_TIMERS_IN_A_ROW = 6


class Dispatch(RuleBasedStateMachine):
    world: World

    def __init__(self) -> None:
        super().__init__()
        self.world.empty()
        self.fleets = [
            self.world.fleet(trucks=2, kind=KINDS[0], km_north=1),
            self.world.fleet(trucks=1, kind=KINDS[0], km_north=3),
            self.world.fleet(trucks=2, kind=KINDS[1], km_north=2),
        ]
        self.customers = [uuid4(), uuid4()]

    @initialize(trucks=st.integers(1, 3), won=st.integers(0, 2), reached=st.sampled_from(REACHED))
    def somebody_has_asked(self, trucks: int, won: int, reached: str) -> None:
        """Begin with a request. The first fleet has won `won` of its slots; the status of the newest truck is `reached`."""
        broadcast_id = self.world.broadcast(trucks, customer=self.customers[0])
        if won:
            self.world.accept(self.fleets[0], broadcast_id, self.fleets[0].trucks[:won], partial=True)
        if reached != "pending":
            self.world.drivers_accept(broadcast_id)
        if won and reached in STEPS:
            self.world.report(self._assignments()[0], reached)

    # All acts share one rule. Hypothesis disables about half of the rules in each run, so if each act had its own rule,
    # a run would combine few acts.
    @rule(act=st.sampled_from(ACTS), which=any_one, who=any_one, count=st.integers(1, 2), yes=mostly)
    def somebody(self, act: str, which: int, who: int, count: int, yes: bool) -> None:
        getattr(self, act)(which, who, count, yes)

    # --- customers ------------------------------------------------------------------------------------------

    def asks(self, which: int, who: int, count: int, told: bool) -> None:
        customer = _nth(self.customers, who)
        if which:
            self.world.order(customer, (KINDS[0], count), (KINDS[1], 1))
        else:
            self.world.book(customer, count)
        if told:
            self.world.drain()

    def cancels(self, which: int, *_: object) -> None:
        broadcast = self._broadcast(which)
        set_out = any(a.status in HAS_SET_OUT for a in self._assignments(broadcast.id))
        outcome = self.world.cancel(broadcast.id, kind=BroadcastKind(broadcast.kind))
        over = broadcast.status in ("expired", "in_progress", "completed")
        assert (outcome.status == "rejected") == (over or set_out)

    def continues(self, which: int, *_: object) -> None:
        b = self._broadcast(which)
        command = ContinuePartial(broadcast_id=b.id, customer_id=b.customer_id, kind=BroadcastKind(b.kind))
        self.world.execute(command, b.customer_id, Role.CUSTOMER)

    # --- transporters ---------------------------------------------------------------------------------------

    def accepts(self, which: int, who: int, trucks: int, all_or_none: bool) -> None:
        mine, broadcast = _nth(self.fleets, who), self._broadcast(which)
        could, free = self._could_take(mine, broadcast), self._free()
        # Free trucks come first, because most accepts with busy trucks are rejected.
        named = sorted(mine.trucks, key=lambda truck: truck.vehicle_id not in free)[:trucks]
        outcome = self.world.accept(mine, broadcast.id, named, partial=not all_or_none)
        if could is not None and all(truck.vehicle_id in free for truck in named):
            # With free trucks, the accept must succeed if enough slots are open, and must be rejected otherwise.
            enough = could >= (len(named) if all_or_none else 1)
            assert (outcome.status == "succeeded") == enough, outcome

    def holds(self, which: int, who: int, slots: int, just_one: bool) -> None:
        self.world.hold(_nth(self.fleets, who), self._broadcast(which).id, 1 if just_one else slots)

    def ends_a_hold(self, which: int, _: object, trucks: int, confirms: bool) -> None:
        if found := self.world.rows("SELECT * FROM holds ORDER BY created_at DESC"):
            hold = _nth(found, which)
            fleet = next(fleet for fleet in self.fleets if fleet.id == hold.transporter_id)
            if confirms:
                self.world.confirm(fleet, hold.id, fleet.trucks[:trucks])
            else:
                self.world.release_hold(fleet, hold.id)

    def declines(self, which: int, who: int, *_: object) -> None:
        self.world.decline(_nth(self.fleets, who), self._broadcast(which).id)

    def comes_or_goes(self, _: int, who: int, person: int, there: bool) -> None:
        fleet = _nth(self.fleets, who)
        if person == 1:
            self.world.set_on_duty(fleet.trucks[0].driver_id, on_duty=there)
        else:
            self.world.set_availability(fleet, online=there)
            self.world.heartbeat(fleet, km_north=1)

    # --- drivers --------------------------------------------------------------------------------------------

    def answers(self, which: int, _: int, __: int, yes: bool) -> None:
        if found := sorted(self._assignments(), key=lambda trip: trip.status != "pending"):
            self.world.answer(_nth(found, which), yes=yes)

    def drives(self, which: int, step: int, _: int, goes_on: bool) -> None:
        if found := self._assignments():
            self.world.report(_nth(found, which), STEPS[step] if goes_on else "completed")

    def gives_back(self, which: int, _: int, __: int, by_driver: bool) -> None:
        if found := self._assignments():
            trip = _nth(found, which)
            outcome = self.world.give_back(trip, by=Role.DRIVER if by_driver else Role.TRANSPORTER)
            possible = BEFORE_LOADING - {AssignmentStatus.PENDING} if by_driver else BEFORE_LOADING
            assert (outcome.status == "succeeded") == (trip.status in {*possible, "given_back"}), outcome

    def replaces(self, which: int, truck: int, what: int, same_truck: bool) -> None:
        """Replace the driver or the vehicle, or both, by those of another truck of the fleet, which may be busy."""
        if found := self._assignments():
            trip = _nth(found, which)
            fleet = next(fleet for fleet in self.fleets if fleet.id == trip.transporter_id)
            trucks = sorted(fleet.trucks, key=lambda each: each.driver_id == trip.driver_id)
            other = _nth(trucks, truck)
            driver = other.driver_id if what == 1 or same_truck else None
            vehicle = other.vehicle_id if what == 2 or not same_truck else None
            free_drivers, free_vehicles = self._free_drivers_and_vehicles()
            outcome = self.world.replace(trip, driver=driver, vehicle=vehicle)
            fits = driver in {None, trip.driver_id, *free_drivers} and vehicle in {
                None,
                trip.vehicle_id,
                *free_vehicles,
            }
            possible = trip.status in BEFORE_LOADING and fits
            assert (outcome.status == "succeeded") == possible, outcome

    def a_replaced_driver_answers(self, which: int, who: int, _: int, yes: bool) -> None:
        if found := [trip for trip in self._assignments() if trip.replaced_drivers]:
            trip = _nth(found, which)
            driver = UUID(_nth(trip.replaced_drivers, who))
            answer = DriverAccepts if yes else DriverDeclines
            outcome = self.world.execute(answer(assignment_id=trip.id, driver_id=driver), driver, Role.DRIVER)
            assert outcome.error is not None and outcome.error["code"] == "DRIVER_REPLACED", outcome

    def cancels_a_truck(self, which: int, *_: object) -> None:
        if found := self._assignments():
            trip = _nth(found, which)
            outcome = self.world.cancel_truck(trip)
            possible = {*BEFORE_LOADING, "cancelled"}
            assert (outcome.status == "succeeded") == (trip.status in possible), outcome

    def reports_a_no_show(self, which: int, _: int, __: int, waits: bool) -> None:
        if found := sorted(self._assignments(), key=lambda trip: trip.status != "at_pickup"):
            trip = _nth(found, which)
            if waits:
                self.world.tick(1_801)
            trip = next(each for each in self._assignments() if each.id == trip.id)
            outcome = self.world.report_no_show(trip)
            if trip.status != "at_pickup" or waits:
                possible = {"at_pickup", "customer_no_show"}
                assert (outcome.status == "succeeded") == (trip.status in possible), outcome

    def ends_a_trip(self, which: int, _: int, __: int, failed: bool) -> None:
        if found := self._assignments():
            trip = _nth(found, which)
            wanted = EndOutcome.FAILED if failed else EndOutcome.COMPLETED
            outcome = self.world.end_trip(trip, wanted)
            assert (outcome.status == "succeeded") == (trip.status in {*LIVE, wanted}), outcome

    # --- time and messages -----------------------------------------------------------------------------

    def time_passes(self, which: int, _: object, __: object, timers_come: bool) -> None:
        self.world.shift(SECONDS[which])
        if timers_come:
            self.world.drain()

    def hours_pass(self, which: int, _: object, __: object, timers_come: bool) -> None:
        self.world.shift(LONG[which])
        if timers_come:
            self.world.drain()

    def a_message_comes_early_late_or_twice(self, which: int, who: int, *_: object) -> None:
        commands = "SELECT id FROM mailbox ORDER BY received_at DESC, id"
        self.world.bus.execute(_nth(self.world.rows(commands), which + 6 * who).id)

    # --- invariants ----------------------------------------------------------------------------------

    @invariant()
    def what_must_be_true_is_true(self) -> None:
        self._hold_true(TRUTHS | AT_MOST_ALL_ROUNDS)

    @invariant()
    def no_list_of_offers_has_a_slot_that_its_fleet_gave_back(self) -> None:
        given_back = [trip for trip in self._assignments() if trip.status == "given_back"]
        for fleet in self.fleets:
            own = {str(trip.truck_request_id) for trip in given_back if trip.transporter_id == fleet.id}
            if own:
                with Session(self.world.engine) as reading:
                    items = offer_list.offers(reading, fleet.id, PageRequest(100, None)).items
                assert not own & {slot for item in items for slot in item["truckRequestIds"]}

    def teardown(self) -> None:
        """Run all timers, and assert that nothing is left open."""
        for _ in range(MOST_TIMERS_IN_A_ROW):
            self.world.tick(21_700)
            if not self.world.value("SELECT count(*) FROM mailbox WHERE settled_at IS NULL"):
                break
        self._hold_true(TRUTHS | WHEN_AT_REST)

    def _hold_true(self, truths: dict[str, str]) -> None:
        with self.world.engine.connect() as connection:
            broken = {
                truth: rows
                for truth, query in truths.items()
                if (rows := [dict(row) for row in connection.execute(text(query)).mappings()])
            }
        assert not broken, broken

    # --- reading ------------------------------------------------------------------------------

    def _broadcast(self, n: int) -> Any:
        return _nth(self.world.rows("SELECT * FROM broadcasts ORDER BY created_at DESC"), n)

    def _assignments(self, broadcast_id: UUID | None = None) -> list[Any]:
        """Return the assignments: first the live ones, then the others, each newest first."""
        query = "SELECT * FROM assignments WHERE CAST(:id AS uuid) IS NULL OR broadcast_id = :id"
        rows = self.world.rows(f"{query} ORDER BY created_at DESC, id", id=broadcast_id)
        return sorted(rows, key=lambda row: row.status not in LIVE)

    def _free(self) -> set[UUID]:
        """Return the vehicles without a live assignment whose driver is on duty and has no live assignment."""
        live = [a for a in self._assignments() if a.status in LIVE]
        busy = {a.vehicle_id for a in live} | {a.driver_id for a in live}
        busy |= {row.id for row in self.world.rows("SELECT id FROM drivers WHERE NOT is_available")}
        trucks = [truck for fleet in self.fleets for truck in fleet.trucks]
        return {truck.vehicle_id for truck in trucks if not {truck.vehicle_id, truck.driver_id} & busy}

    def _free_drivers_and_vehicles(self) -> tuple[set[UUID], set[UUID]]:
        """Return the drivers on duty without a live assignment, and the vehicles without a live assignment."""
        live = [a for a in self._assignments() if a.status in LIVE]
        drivers = {row.id for row in self.world.rows("SELECT id FROM drivers WHERE is_available")}
        vehicles = {row.id for row in self.world.rows("SELECT id FROM vehicles")}
        return drivers - {a.driver_id for a in live}, vehicles - {a.vehicle_id for a in live}

    def _could_take(self, fleet: Fleet, broadcast: Any) -> int | None:
        """Return how many slots this fleet can take, None if it has no offer or the broadcast is not open."""
        query = """
            SELECT count(*) FROM broadcasts b
              JOIN offers o ON o.broadcast_id = b.id AND o.transporter_id = :fleet
              JOIN vehicles v ON v.id = :vehicle
              LEFT JOIN truck_requests t ON t.broadcast_id = b.id AND t.vehicle_key = v.vehicle_key
              LEFT JOIN holds h ON h.id = t.hold_id
             WHERE b.id = :id AND b.status = ANY(:open) AND b.expires_at > clock_timestamp()
        """
        ids = {
            "fleet": fleet.id,
            "vehicle": fleet.trucks[0].vehicle_id,
            "id": broadcast.id,
            "open": list(OPEN),
        }
        if not self.world.value(query, **ids):
            return None
        free = """
            AND (t.status = 'searching' OR (t.status = 'held' AND h.transporter_id = :fleet))
            AND NOT EXISTS (SELECT 1 FROM assignments a
                             WHERE a.truck_request_id = t.id AND a.transporter_id = :fleet AND a.status = 'given_back')
        """
        return int(self.world.value(query + free, **ids))


def _nth(of: list[Any], n: int) -> Any:
    return of[n % len(of)]


@pytest.mark.timeout(0 if LOOK else 300)
def test_the_invariants_hold_whatever_users_and_timers_do(world: World) -> None:
    class Here(Dispatch):
        pass

    Here.world = world
    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=LOOK or 12,
            stateful_step_count=50,
            deadline=None,
            derandomize=not LOOK,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
            print_blob=False,
        ),
    )
