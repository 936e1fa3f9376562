"""Random relations, fleets and moments: no order of events leads to an offer or an assignment to a blocked pair."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from tests.support.relations import SIDES, block, new_customer, set_by_customer, set_by_operator, unblock
from tests.support.world import Fleet, World
from weelo_workers.contracts.broadcasts import CatchUp, OfferLate, OfferPassedOver
from weelo_workers.models.environment_policy import environment_policy

STEP = environment_policy().radius_step_seconds + 1
MOMENTS = 8
ENDS = ("booking_fully_filled", "booking_cancelled", "booking_expired")
PURGED = ("assignments", "broadcasts", "relations", "mailbox", "log_lines", "log_heads", "events", "audit")


class Graph:
    """A customer with random relations to some fleets, and what happens to them."""

    def __init__(self, world: World, fleets: list[Fleet], seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)
        self.fleets = fleets
        self.customer = new_customer(world)
        self.blocks = set[tuple[str, UUID]]()
        """The sides that block, each with the fleet of the pair."""
        self.broadcasts: list[UUID] = []
        self.told = dict[UUID, list[Any]]()
        """What each blocked fleet had been told when it was blocked."""
        self.won = dict[UUID, set[UUID]]()
        """Which assignments each blocked fleet had won when it was blocked."""
        for fleet in fleets:
            if self.random.random() < 0.5:
                self.changes_a_relation(fleet)

    def play(self) -> None:
        acts: list[Callable[[Fleet], object]] = [
            *(self.asks, self.changes_a_relation, self.changes_a_relation, self.accepts, self.accepts),
            *(self.holds, self.confirms, self.declines, self.comes_or_goes, self.sends_heartbeats),
            *(self.is_offered_late, self.driver_answers, self.gives_back, self.replaces),
            *(self.cancels, self.continues, self.time_passes, self.time_passes),
        ]
        self.asks(self.fleets[0])
        self.check("asks")
        for _ in range(MOMENTS):
            act = self.random.choice(acts)
            act(self.random.choice(self.fleets))
            self.world.drain()
            self.check(act.__name__)

    # --- acts -------------------------------------------------------------------------------------------

    def changes_a_relation(self, fleet: Fleet) -> None:
        side = self.random.choice(SIDES)
        pair = (side, fleet.id)
        was_blocked = self.is_blocked(fleet)
        match self.random.choice(("block", "block", "unblock", "prefer", "contract")):
            case "block":
                block(self.world, side, self.customer, fleet)
                self.blocks.add(pair)
            case "unblock":
                unblock(self.world, side, self.customer, fleet)
                self.blocks.discard(pair)
            case "prefer":
                set_by_customer(self.world, self.customer, fleet, "preferred")
                self.blocks.discard(("customer", fleet.id))
            case "contract":
                set_by_operator(self.world, self.customer, fleet)
        if self.is_blocked(fleet) and not was_blocked:
            self.told[fleet.id] = self.offers_told(fleet)
            self.won[fleet.id] = self.assignments_of(fleet)

    def asks(self, _: Fleet) -> None:
        booked = self.world.book(self.customer, self.random.randint(1, 3))
        if booked.status == "succeeded":
            self.broadcasts.append(UUID(booked.result["id"]))

    def accepts(self, fleet: Fleet) -> None:
        outcome = self.world.accept(fleet, self.broadcasts[-1], fleet.trucks[:1])
        if self.is_blocked(fleet) and not outcome.replayed:
            assert outcome.error is not None
            assert outcome.error["code"] == "BLOCKED"

    def holds(self, fleet: Fleet) -> None:
        outcome = self.world.hold(fleet, self.broadcasts[-1])
        if self.is_blocked(fleet):
            assert outcome.error is not None
            assert outcome.error["code"] == "BLOCKED"

    def confirms(self, fleet: Fleet) -> None:
        query = "SELECT id, status FROM holds WHERE transporter_id = :fleet ORDER BY created_at DESC LIMIT 1"
        for hold in self.world.rows(query, fleet=fleet.id):
            outcome = self.world.confirm(fleet, hold.id, fleet.trucks[:1])
            if self.is_blocked(fleet) and hold.status != "confirmed":
                assert outcome.error is not None
                assert outcome.error["code"] == "BLOCKED"

    def declines(self, fleet: Fleet) -> None:
        self.world.decline(fleet, self.broadcasts[-1])

    def comes_or_goes(self, fleet: Fleet) -> None:
        with self.world.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE transporters SET recent_changes = '{}'")
        self.world.set_availability(fleet, online=self.random.random() < 0.7)
        self.sends_heartbeats(fleet)

    def sends_heartbeats(self, fleet: Fleet) -> None:
        self.world.heartbeat(fleet, self.random.choice((1.0, 4.0, 30.0)))

    def is_offered_late(self, fleet: Fleet) -> None:
        broadcast = self.broadcasts[-1]
        self.world.fire(OfferLate(broadcast_id=broadcast, transporter_id=fleet.id))
        self.world.fire(OfferPassedOver(broadcast_id=broadcast, transporter_ids=(fleet.id,)))
        self.world.fire(CatchUp(transporter_id=fleet.id))

    def driver_answers(self, _: Fleet) -> None:
        for assignment in self.live():
            if assignment.status == "pending":
                self.world.answer(assignment, yes=self.random.random() < 0.5)

    def gives_back(self, _: Fleet) -> None:
        for assignment in self.live()[:1]:
            if assignment.status == "pending":
                self.world.answer(assignment, yes=True)
            self.world.give_back(assignment)

    def replaces(self, fleet: Fleet) -> None:
        for assignment in self.live():
            if assignment.transporter_id == fleet.id:
                outcome = self.world.replace(assignment, driver=fleet.trucks[-1].driver_id)
                if self.is_blocked(fleet) and not outcome.replayed:
                    assert outcome.error is not None
                    assert outcome.error["code"] == "BLOCKED"

    def cancels(self, _: Fleet) -> None:
        self.world.cancel(self.broadcasts[-1])

    def continues(self, _: Fleet) -> None:
        self.world.tick(1_000)
        self.world.continue_partial(self.broadcasts[-1], self.customer)

    def time_passes(self, _: Fleet) -> None:
        self.world.tick(STEP)

    def end(self) -> None:
        """Free all trucks and end all requests."""
        for assignment in self.live():
            self.world.end_trip(assignment)
        for broadcast in self.broadcasts:
            self.world.cancel(broadcast)
        self.world.drain()
        self.check("end")

    # --- what must hold ---------------------------------------------------------------------------------

    def check(self, after: str) -> None:
        for fleet in self.fleets:
            if self.is_blocked(fleet):
                assert self.offers_told(fleet) == self.told[fleet.id], after
                assert self.assignments_of(fleet) <= self.won[fleet.id], after
        query = """
            SELECT 'offer' FROM offers o JOIN broadcasts b ON b.id = o.broadcast_id
             WHERE b.customer_id = :customer AND o.transporter_id = ANY(:blocked) AND o.declined_at IS NULL
               AND b.status NOT IN ('completed', 'cancelled', 'expired')
             UNION ALL
            SELECT 'hold' FROM holds h JOIN broadcasts b ON b.id = h.broadcast_id
             WHERE b.customer_id = :customer AND h.transporter_id = ANY(:blocked) AND h.status = 'open'
        """
        blocked = [fleet.id for fleet in self.fleets if self.is_blocked(fleet)]
        assert self.world.rows(query, customer=self.customer, blocked=blocked) == [], after

    def is_blocked(self, fleet: Fleet) -> bool:
        return any((side, fleet.id) in self.blocks for side in SIDES)

    def offers_told(self, fleet: Fleet) -> list[Any]:
        """Return the events that the fleet got about the customer's requests, except those about its own trucks."""
        known = {str(each) for each in self.broadcasts}
        about = [each for each in self.world.events_of(fleet.id) if each.get("broadcastId") in known]
        return [
            each
            for each in about
            if each["event"] in ("new_broadcast", "trucks_remaining_update")
            or (each["event"] in ENDS and not each["assignedToYou"])
        ]

    def assignments_of(self, fleet: Fleet) -> set[UUID]:
        query = "SELECT id FROM assignments WHERE transporter_id = :fleet AND broadcast_id = ANY(:broadcasts)"
        return {row.id for row in self.world.rows(query, fleet=fleet.id, broadcasts=self.broadcasts)}

    def live(self) -> list[Any]:
        query = (
            "SELECT * FROM assignments WHERE broadcast_id = ANY(:broadcasts)"
            " AND status IN ('pending', 'driver_accepted') ORDER BY created_at, id"
        )
        return self.world.rows(query, broadcasts=self.broadcasts)


@pytest.mark.parametrize(
    ("first", "count"),
    [(0, 15), *(pytest.param(first, 100, marks=pytest.mark.long) for first in range(0, 1_000, 100))],
)
def test_no_path_tells_or_serves_a_blocked_pair(world: World, first: int, count: int) -> None:
    fleets = [
        world.fleet(2),
        world.fleet(2, km_north=3),
        world.fleet(km_north=30),
        world.fleet(online=False),
    ]
    for seed in range(first, first + count):
        graph = Graph(world, fleets, seed)
        try:
            graph.play()
            graph.end()
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
        with world.engine.begin() as connection:
            connection.exec_driver_sql("; ".join(f"DELETE FROM {table}" for table in PURGED))
