"""Random relations, fleets and moments: no order of events leads to an offer or an assignment to a blocked pair."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from tests.support.changed_settings import with_settings
from tests.support.relations import SIDES, block, new_customer, set_by_customer, set_by_operator, unblock
from tests.support.world import Fleet, World
from weelo_workers.contracts.broadcasts import CatchUp, OfferLate, OfferPassedOver
from weelo_workers.models.environment_policy import environment_policy

STEP = environment_policy().radius_step_seconds + 1
MOMENTS = 8
ENDS = ("booking_fully_filled", "booking_cancelled", "booking_expired")
PATHS = frozenset(
    {
        *("ring", "step 0", "catch-up", "heartbeat", "late offer", "re-offer", "continue-partial"),
        *("accept by id", "hold", "confirm a hold", "replace a driver", "block an offer"),
    }
)
"""The ways by which a blocked fleet could learn of a request or get it."""
PURGED = ("assignments", "broadcasts", "relations", "mailbox", "log_lines", "log_heads", "events", "audit")


class Graph:
    """A customer with random relations to some fleets, and what happens to them."""

    def __init__(self, world: World, fleets: list[Fleet], seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)
        self.met = Counter[str]()
        """How often each path met a blocked pair, so that an offer or a truck would have been wrong."""
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
            for _ in range(self.random.choice((0, 1, 1, 2))):
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
        self.met["ring"] += self.steps_that_passed_over_a_block()

    # --- acts -------------------------------------------------------------------------------------------

    def changes_a_relation(self, fleet: Fleet, to: str | None = None) -> None:
        side = self.random.choice(SIDES)
        pair = (side, fleet.id)
        was_blocked = self.is_blocked(fleet)
        has_an_offer = bool(self.open_to([fleet], offered=True))
        match to or self.random.choice(("block", "block", "unblock", "prefer", "contract", "contract")):
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
            self.met["block an offer"] += has_an_offer
            self.told[fleet.id] = self.offers_told(fleet)
            self.won[fleet.id] = self.assignments_of(fleet)

    def asks(self, _: Fleet) -> None:
        booked = self.world.book(self.customer, self.random.randint(1, 3))
        if booked.status == "succeeded":
            self.broadcasts.append(UUID(booked.result["id"]))
            self.met["step 0"] += self.is_in_step_0_beside_a_blocked_fleet()

    def accepts(self, fleet: Fleet) -> None:
        outcome = self.world.accept(fleet, self.broadcasts[-1], fleet.trucks[:1])
        if self.is_blocked(fleet) and not outcome.replayed:
            assert outcome.error is not None
            assert outcome.error["code"] == "BLOCKED"
            self.met["accept by id"] += 1

    def holds(self, fleet: Fleet) -> None:
        outcome = self.world.hold(fleet, self.broadcasts[-1])
        if self.is_blocked(fleet):
            assert outcome.error is not None
            assert outcome.error["code"] == "BLOCKED"
            self.met["hold"] += 1

    def confirms(self, fleet: Fleet) -> None:
        query = "SELECT id, status FROM holds WHERE transporter_id = :fleet ORDER BY created_at DESC LIMIT 1"
        if not self.world.rows(query, fleet=fleet.id):
            self.holds(fleet)
            self.may_block(fleet)
        for hold in self.world.rows(query, fleet=fleet.id):
            outcome = self.world.confirm(fleet, hold.id, fleet.trucks[:1])
            if self.is_blocked(fleet) and hold.status != "confirmed":
                assert outcome.error is not None
                assert outcome.error["code"] == "BLOCKED"
                self.met["confirm a hold"] += 1

    def declines(self, fleet: Fleet) -> None:
        self.world.decline(fleet, self.broadcasts[-1])

    def comes_or_goes(self, fleet: Fleet) -> None:
        with self.world.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE transporters SET recent_changes = '{}'")
        online = self.random.random() < 0.7
        self.met["catch-up"] += online and self.could_be_told(fleet)
        self.world.set_availability(fleet, online=online)
        self.sends_heartbeats(fleet)

    def sends_heartbeats(self, fleet: Fleet) -> None:
        self.met["heartbeat"] += self.could_be_told(fleet)
        self.world.heartbeat(fleet, self.random.choice((1.0, 4.0, 30.0)))

    def is_offered_late(self, fleet: Fleet) -> None:
        broadcast = self.broadcasts[-1]
        self.met["late offer"] += self.could_be_told(fleet)
        self.world.fire(OfferLate(broadcast_id=broadcast, transporter_id=fleet.id))
        self.world.fire(OfferPassedOver(broadcast_id=broadcast, transporter_ids=(fleet.id,)))
        self.world.fire(CatchUp(transporter_id=fleet.id))

    def driver_answers(self, _: Fleet) -> None:
        for assignment in self.live():
            if assignment.status == "pending":
                self.world.answer(assignment, yes=self.random.random() < 0.5)

    def gives_back(self, fleet: Fleet) -> None:
        for assignment in self.won_by(fleet):
            self.may_block(self.random.choice(self.fleets))
            outcome = self.world.give_back(assignment)
            self.met["re-offer"] += outcome.status == "succeeded" and bool(self.blocked())

    def replaces(self, fleet: Fleet) -> None:
        for assignment in self.won_by(fleet):
            self.may_block(fleet)
            outcome = self.world.replace(assignment, driver=fleet.trucks[-1].driver_id)
            if self.is_blocked(fleet) and not outcome.replayed:
                assert outcome.error is not None
                assert outcome.error["code"] == "BLOCKED"
                self.met["replace a driver"] += 1

    def cancels(self, _: Fleet) -> None:
        self.world.cancel(self.broadcasts[-1])

    def continues(self, fleet: Fleet) -> None:
        self.won_by(fleet)
        self.may_block(self.random.choice(self.fleets))
        self.world.tick(1_000)
        outcome = self.world.continue_partial(self.broadcasts[-1], self.customer)
        self.met["continue-partial"] += outcome.status == "succeeded" and bool(self.blocked())

    def may_block(self, fleet: Fleet) -> None:
        """Block the fleet, or do nothing."""
        if self.random.random() < 0.5:
            self.changes_a_relation(fleet, "block")

    def won_by(self, fleet: Fleet) -> list[Any]:
        """Return a truck that the fleet has won and whose driver has accepted; none if it cannot win one now."""
        if not any(each.transporter_id == fleet.id for each in self.live()):
            self.asks(fleet)
            self.world.drain()
            self.accepts(fleet)
        own = [each for each in self.live() if each.transporter_id == fleet.id][:1]
        for assignment in own:
            if assignment.status == "pending":
                self.world.answer(assignment, yes=True)
        return own

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
        blocked = [fleet.id for fleet in self.blocked()]
        assert self.world.rows(query, customer=self.customer, blocked=blocked) == [], after

    def blocked(self) -> list[Fleet]:
        return [fleet for fleet in self.fleets if self.is_blocked(fleet)]

    def could_be_told(self, fleet: Fleet) -> bool:
        """Return whether the fleet is blocked, has no offer, and a slot of the newest request is open."""
        return self.is_blocked(fleet) and not self.open_to([fleet], offered=True) and bool(self.open_to([]))

    def open_to(self, fleets: list[Fleet], *, offered: bool = False) -> list[Any]:
        """Return the newest request if one of its slots is open; with `offered`, only if it is offered to these fleets."""
        query = """
            SELECT b.id FROM broadcasts b JOIN truck_requests t ON t.broadcast_id = b.id AND t.status = 'searching'
             WHERE b.id = :broadcast AND b.expires_at > clock_timestamp()
               AND (NOT :offered OR EXISTS (SELECT FROM offers o WHERE o.broadcast_id = b.id
                                               AND o.transporter_id = ANY(CAST(:fleets AS uuid[])) AND o.declined_at IS NULL))
        """
        newest = self.broadcasts[-1] if self.broadcasts else None
        ids = [fleet.id for fleet in fleets]
        return self.world.rows(query, broadcast=newest, offered=offered, fleets=ids)

    def steps_that_passed_over_a_block(self) -> int:
        """Return how often a ring has left out a fleet because of a block."""
        query = (
            "SELECT count(*) FROM passed_over p JOIN broadcasts b ON b.id = p.broadcast_id"
            " WHERE b.customer_id = :customer AND p.step > 0 AND p.reason = 'blocked'"
        )
        return int(self.world.value(query, customer=self.customer))

    def is_in_step_0_beside_a_blocked_fleet(self) -> bool:
        """Return whether the newest request is offered to contracted fleets only, and one with a contract is blocked."""
        query = """
            SELECT FROM broadcasts b JOIN relations r ON r.customer_id = b.customer_id AND r.contracted_at IS NOT NULL
             WHERE b.id = :broadcast AND b.contracted_until IS NOT NULL AND b.radius_step = 0
               AND r.transporter_id = ANY(CAST(:blocked AS uuid[]))
        """
        blocked = [fleet.id for fleet in self.blocked()]
        return bool(self.world.rows(query, broadcast=self.broadcasts[-1], blocked=blocked))

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


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("first", "count"),
    [(0, 15), *(pytest.param(first, 100, marks=pytest.mark.long) for first in range(0, 1_000, 100))],
)
def test_no_path_tells_or_serves_a_blocked_pair(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
    first: int,
    count: int,
) -> None:
    with_settings(monkeypatch, contracted_first_seconds=STEP - 2)
    met = Counter[str]()
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
        met.update(graph.met)
        with world.engine.begin() as connection:
            connection.exec_driver_sql("; ".join(f"DELETE FROM {table}" for table in PURGED))
    record_property("how often each path met a blocked pair", dict(met))
    if count >= 100:
        assert {path for path in PATHS if met[path]} == PATHS
