"""Tables of the outcome of every command and every timer in every state.

`done`: the command has its effect. `same`: the command succeeds and changes nothing, because its effect is there
already or the timer is obsolete. `waits`: the command changes no row yet, but sends another command or timer. An error
code: the command is refused and changes nothing; `no` stands for INVALID_TRANSITION. `-`: this case cannot occur. A
slash separates a state or a command from its variant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from tests.support.world import Fleet, World
from weelo_workers.contracts.broadcasts import (
    Backfill,
    CatchUp,
    ExpireBroadcast,
    OfferLate,
    OfferPassedOver,
    ReofferBroadcast,
    WidenBroadcast,
)
from weelo_workers.contracts.command import REGISTRY, Command
from weelo_workers.contracts.offers import ExpireHold
from weelo_workers.contracts.outcomes import CommandOutcome
from weelo_workers.contracts.statuses import (
    AssignmentStatus,
    BroadcastStatus,
    HoldStatus,
    Role,
    TruckRequestStatus,
)
from weelo_workers.contracts.trips import ExpireAssignment
from weelo_workers.lifecycles import assignment, broadcast, hold, truck_request
from weelo_workers.lifecycles.lifecycle import Transition
from weelo_workers.presence_sync import read_availability, write_presence
from weelo_workers.redis_client import redis

# `accept`, `hold` and `decline` are commands of the onlooker, `confirm_hold` and `release_hold` of the holder (see
# class Scene). In the state `created` no transporter has an offer, so there is no hold, and the answers are those for
# an unknown broadcast (CONTRACT section 2).
BROADCAST = (
    """
                    cancel                 continue_partial
created             done                   no
broadcasting        done                   no
active              done                   no
partially_filled    done                   no
fully_filled        done                   no
fully_filled/again  done                   same
in_progress         BOOKING_CANNOT_CANCEL  no
completed           BOOKING_CANNOT_CANCEL  no
cancelled           same                   no
expired             BOOKING_CANNOT_CANCEL  done
expired/empty       BOOKING_CANNOT_CANCEL  no
""",
    """
                  accept               hold                 decline              confirm_hold         release_hold
created           BROADCAST_NOT_FOUND  BROADCAST_NOT_FOUND  BROADCAST_NOT_FOUND  HOLD_NOT_FOUND       HOLD_NOT_FOUND
broadcasting      no                   done                 done                 no                   done
active            done                 done                 done                 done                 done
active/late       BROADCAST_EXPIRED    BROADCAST_EXPIRED    done                 HOLD_EXPIRED         done
partially_filled  done                 done                 done                 done                 done
fully_filled      BROADCAST_FILLED     BROADCAST_FILLED     done                 HOLD_EXPIRED         same
in_progress       BROADCAST_FILLED     BROADCAST_FILLED     done                 HOLD_EXPIRED         same
completed         BROADCAST_FILLED     BROADCAST_FILLED     done                 HOLD_EXPIRED         same
cancelled         BROADCAST_CANCELLED  BROADCAST_CANCELLED  done                 BROADCAST_CANCELLED  same
expired           BROADCAST_EXPIRED    BROADCAST_EXPIRED    done                 BROADCAST_EXPIRED    same
""",
    # Commands of the system. `again`: the step was made before. `taken`: the slot is no longer open. `offer_late` and
    # `catch_up` are for the latecomer, who drove into the ring after its offers were made.
    """
                  widen  widen/again  expire  expire/early  reoffer  reoffer/taken  offer_late  catch_up
created           done   same         done    waits         waits    same           same        same
broadcasting      same   same         done    waits         done     same           same        waits
active            done   same         done    waits         done     same           done        waits
partially_filled  done   same         done    waits         done     same           done        waits
fully_filled      same   same         same    waits         same     same           same        same
in_progress       same   same         same    waits         same     same           same        same
completed         same   same         same    same          same     same           same        same
cancelled         same   same         same    same          same     same           same        same
expired           same   same         same    same          same     same           same        same
""",
    # No transporter in these tests was passed over for lack of room, so a backfill offers nothing.
    """
                  offer_passed_over  backfill
created           same               same
broadcasting      same               same
active            done               same
partially_filled  done               same
fully_filled      same               same
in_progress       same               same
completed         same               same
cancelled         same               same
expired           same               same
""",
)

# The onlooker or the holder accepts one named slot. In the state `held` the holder's hold contains this slot.
TRUCK_REQUEST = (
    """
           accept/onlooker        accept/holder
searching  done                   done
held       REQUEST_ALREADY_TAKEN  done
assigned   REQUEST_ALREADY_TAKEN  REQUEST_ALREADY_TAKEN
accepted   REQUEST_ALREADY_TAKEN  REQUEST_ALREADY_TAKEN
completed  REQUEST_ALREADY_TAKEN  REQUEST_ALREADY_TAKEN
cancelled  BROADCAST_CANCELLED    BROADCAST_CANCELLED
expired    BROADCAST_EXPIRED      BROADCAST_EXPIRED
""",
)

HOLD = (
    """
                 confirm_hold         release_hold  expire_hold  expire_hold/early
open             done                 done          done         waits
open/late        HOLD_EXPIRED         done          done         -
confirmed        same                 no            same         same
released         HOLD_EXPIRED         same          same         same
expired          HOLD_EXPIRED         same          same         same
ended/cancelled  BROADCAST_CANCELLED  same          same         same
ended/expired    BROADCAST_EXPIRED    same          same         same
""",
)

ASSIGNMENT = (
    """
                         driver_accept       driver_decline  expire_assignment  expire_assignment/early
pending                  done                done            done               waits
pending/late             ASSIGNMENT_EXPIRED  done            done               -
driver_accepted          same                no              same               same
en_route_pickup          same                no              same               same
at_pickup                same                no              same               same
loading_complete         same                no              same               same
in_transit               same                no              same               same
arrived_at_drop          same                no              same               same
completed                no                  no              same               same
driver_declined          no                  same            same               same
driver_declined/timeout  ASSIGNMENT_EXPIRED  same            same               same
cancelled                no                  no              same               same
""",
    """
                  en_route_pickup  at_pickup  loading_complete  in_transit  arrived_at_drop  completed
pending           no               no         no                no          no               no
driver_accepted   done             done       done              done        done             done
en_route_pickup   same             done       done              done        done             done
at_pickup         no               same       done              done        done             done
loading_complete  no               no         same              done        done             done
in_transit        no               no         no                same        done             done
arrived_at_drop   no               no         no                no          same             done
completed         no               no         no                no          no               same
driver_declined   no               no         no                no          no               no
cancelled         no               no         no                no          no               no
""",
)

# For each (subject, command), the transitions of the subject that are the command's effect.
TAKE = (broadcast.TAKE_SOME, broadcast.TAKE_LAST)
WIDEN = (broadcast.WIDEN_UNFILLED, broadcast.WIDEN_PARTLY_FILLED)
EFFECTS: dict[tuple[str, str], Sequence[Transition[Any]]] = {
    ("broadcast", "cancel"): (broadcast.CANCEL,),
    ("broadcast", "continue_partial"): (broadcast.CONTINUE,),
    ("broadcast", "accept"): TAKE,
    ("broadcast", "confirm_hold"): TAKE,
    ("broadcast", "widen"): (broadcast.BEGIN, *WIDEN),
    ("broadcast", "offer_late"): WIDEN,
    ("broadcast", "offer_passed_over"): WIDEN,
    ("broadcast", "expire"): (broadcast.EXPIRE,),
    ("truck_request", "accept"): (truck_request.ASSIGN,),
    ("hold", "confirm_hold"): (hold.CONFIRM,),
    ("hold", "release_hold"): (hold.RELEASE,),
    ("hold", "expire_hold"): (hold.EXPIRE,),
    ("assignment", "driver_accept"): (assignment.ACCEPT,),
    ("assignment", "driver_decline"): (assignment.DECLINE,),
    ("assignment", "expire_assignment"): (assignment.DECLINE,),
    **{("assignment", str(step)): (reach,) for step, reach in assignment.REACH.items()},
}

ROWS = ("broadcasts", "truck_requests", "holds", "assignments", "offers", "passed_over", "transitions")


class Scene:
    """A customer's broadcast and four fleets, all with a truck that fits.

    If a state requires it, the winner has won a slot and the holder holds one. The onlooker has an offer only. The
    latecomer is 20 km away while the first ring is offered, and comes nearer afterwards.
    """

    def __init__(self, world: World, fleets: Sequence[Fleet]) -> None:
        self.world = world
        self.winner, self.holder, self.onlooker, self.latecomer = fleets
        self.customer = uuid4()
        self.broadcast = self.held = uuid4()  # replaced as soon as there is a broadcast or a hold

    def asks(self, slots: int) -> None:
        self.broadcast = UUID(self.world.book(self.customer, slots).result["id"])
        self.world.drain()
        self.world.heartbeat(self.latecomer, km_north=1)

    def the(self, subject: str) -> Any:
        """Return the only row of the subject's table; for truck requests, the first slot."""
        first = "WHERE request_number = 1" if subject == "truck_request" else ""
        (row,) = self.world.rows(f"SELECT * FROM {subject}s {first}")
        return row

    def write(self, statement: str) -> None:
        with self.world.engine.begin() as connection:
            connection.execute(text(statement))

    def time_is_up(self, subject: str) -> None:
        self.write(f"UPDATE {subject}s SET expires_at = clock_timestamp()")

    def timer(self, command: Command) -> CommandOutcome:
        return self.world.execute(command, uuid4(), Role.ADMIN)

    def expires(self) -> None:
        self.time_is_up("broadcast")
        self.timer(ExpireBroadcast(broadcast_id=self.broadcast))

    def holds(self) -> None:
        self.held = UUID(self.world.hold(self.holder, self.broadcast).result["holdId"])

    def wins(self, *, then: str) -> None:
        """Let the winner accept, and bring the assignment to the status `then`."""
        self.world.accept(self.winner, self.broadcast)
        if then != "pending":
            self.world.drivers_accept(self.broadcast)
        if then in assignment.STEPS:
            self.world.report(self.the("assignment"), then)

    def takes(self, fleet: Fleet) -> CommandOutcome:
        slot = {"truck_request_id": self.the("truck_request").id}
        named = [truck.model_copy(update=slot) for truck in fleet.trucks]
        return self.world.accept(fleet, self.broadcast, named)

    def widens(self, steps: int) -> CommandOutcome:
        step = self.the("broadcast").radius_step + steps
        return self.timer(WidenBroadcast(broadcast_id=self.broadcast, step=step))

    def reoffers(self, *, taken: bool = False) -> CommandOutcome:
        """Reoffer the first slot that is searching. If there is none, or if `taken`, name a slot that does not exist."""
        query = "SELECT id FROM truck_requests WHERE status = 'searching' ORDER BY request_number"
        slots = [] if taken else self.world.rows(query)
        slot = slots[0].id if slots else uuid4()
        return self.timer(ReofferBroadcast(broadcast_id=self.broadcast, truck_request_id=slot))

    def traces(self) -> tuple[list[Any], list[Any]]:
        """Return what a command may change: (all rows and the names of published events, ids of pending commands)."""
        told = "SELECT event FROM events WHERE event <> 'command_settled'"
        rows = " UNION ALL ".join([*(f"SELECT CAST(t AS text) FROM {thing} t" for thing in ROWS), told])
        to_come = "SELECT id FROM mailbox WHERE settled_at IS NULL"
        return sorted(self.world.rows(rows)), sorted(self.world.rows(to_come))


def a_broadcast(scene: Scene, status: str, how: str) -> None:
    full = status in ("fully_filled", "in_progress", "completed")
    scene.asks(1 if full and not how else 3)
    if status == "created":
        # Only broadcasts of a previous version have this status when a command runs. There a timer made the first
        # offers. In this version the command that creates a broadcast makes them.
        scene.write("DELETE FROM offers")
        scene.write(
            "UPDATE broadcasts SET status = 'created', radius_step = 0, radius_km = NULL, transporters_notified = 0"
        )
        return
    scene.holds()
    if full and not how:
        scene.world.release_hold(scene.holder, scene.held)
    if status == "broadcasting":
        # An SQL statement sets this status, because the first ring enters and leaves it in one transaction.
        scene.write("UPDATE broadcasts SET status = 'broadcasting'")
    elif status != "active" and how != "empty":
        scene.wins(then={"in_progress": "en_route_pickup"}.get(status, status))
    if status == "cancelled":
        scene.world.cancel(scene.broadcast)
    if status == "expired" or how == "again":
        scene.expires()
    if how == "again":
        scene.world.continue_partial(scene.broadcast, scene.customer)
    if how == "late":
        scene.time_is_up("broadcast")
        scene.time_is_up("hold")


def a_truck_request(scene: Scene, status: str, _: str) -> None:
    scene.asks(2)
    match status:
        case "held":
            scene.holds()
        case "assigned":
            scene.wins(then="pending")
        case "accepted" | "completed":
            scene.wins(then=status)
        case "cancelled":
            scene.world.cancel(scene.broadcast)
        case "expired":
            scene.expires()


def a_hold(scene: Scene, status: str, how: str) -> None:
    scene.asks(2)
    scene.holds()
    match how or status:
        case "late":
            scene.time_is_up("hold")
        case "confirmed":
            scene.world.confirm(scene.holder, scene.held)
        case "released":
            scene.world.release_hold(scene.holder, scene.held)
        case "cancelled":
            scene.world.cancel(scene.broadcast)
        case "expired" if how:
            scene.expires()
        case "expired":
            scene.time_is_up("hold")
            scene.timer(ExpireHold(hold_id=scene.held))


def an_assignment(scene: Scene, status: str, how: str) -> None:
    scene.asks(1)
    scene.wins(then="pending" if status in ("driver_declined", "cancelled") else status)
    if how:
        scene.time_is_up("assignment")
    if how == "timeout":
        scene.timer(ExpireAssignment(assignment_id=scene.the("assignment").id))
    elif status == "driver_declined":
        scene.world.answer(scene.the("assignment"), yes=False)
    elif status == "cancelled":
        scene.world.cancel(scene.broadcast)


COMMANDS: dict[str, Callable[[Scene], CommandOutcome]] = {
    "cancel": lambda s: s.world.cancel(s.broadcast),
    "continue_partial": lambda s: s.world.continue_partial(s.broadcast, s.customer),
    "accept": lambda s: s.world.accept(s.onlooker, s.broadcast),
    "accept/onlooker": lambda s: s.takes(s.onlooker),
    "accept/holder": lambda s: s.takes(s.holder),
    "hold": lambda s: s.world.hold(s.onlooker, s.broadcast),
    "decline": lambda s: s.world.decline(s.onlooker, s.broadcast),
    "confirm_hold": lambda s: s.world.confirm(s.holder, s.held),
    "release_hold": lambda s: s.world.release_hold(s.holder, s.held),
    "driver_accept": lambda s: s.world.answer(s.the("assignment"), yes=True),
    "driver_decline": lambda s: s.world.answer(s.the("assignment"), yes=False),
    "widen": lambda s: s.widens(1),
    "widen/again": lambda s: s.widens(0),
    "offer_late": lambda s: s.timer(OfferLate(broadcast_id=s.broadcast, transporter_id=s.latecomer.id)),
    "offer_passed_over": lambda s: s.timer(
        OfferPassedOver(broadcast_id=s.broadcast, transporter_ids=(s.latecomer.id,))
    ),
    "backfill": lambda s: s.timer(Backfill(broadcast_id=s.broadcast)),
    "catch_up": lambda s: s.timer(CatchUp(transporter_id=s.latecomer.id)),
    "reoffer": lambda s: s.reoffers(),
    "reoffer/taken": lambda s: s.reoffers(taken=True),
    "expire": lambda s: s.timer(ExpireBroadcast(broadcast_id=s.broadcast)),
    "expire_hold": lambda s: s.timer(ExpireHold(hold_id=s.held)),
    "expire_assignment": lambda s: s.timer(ExpireAssignment(assignment_id=s.the("assignment").id)),
}
WHEN_TIME_IS_UP = {"expire": "broadcast", "expire_hold": "hold", "expire_assignment": "assignment"}

SUBJECTS: dict[str, tuple[Sequence[str], type[StrEnum], Callable[[Scene, str, str], None]]] = {
    "broadcast": (BROADCAST, BroadcastStatus, a_broadcast),
    "truck_request": (TRUCK_REQUEST, TruckRequestStatus, a_truck_request),
    "hold": (HOLD, HoldStatus, a_hold),
    "assignment": (ASSIGNMENT, AssignmentStatus, an_assignment),
}


def _cells(table: str) -> Iterator[tuple[str, str, str]]:
    """Yield (state, command, expected outcome) for each cell."""
    head, *lines = table.strip("\n").splitlines()
    for line in lines:
        state, *cells = line.split()
        for command, cell in zip(head.split(), cells, strict=True):
            if cell != "-":
                yield state, command, "INVALID_TRANSITION" if cell == "no" else cell


# The cells of all tables above, sorted by state, so that `Stage` can use a broadcast in one state for several commands.
# Within a state, the timers that need an elapsed deadline come last, because no other command is possible after it.
CELLS = [
    (subject, *cell)
    for subject, (tables, _, _) in SUBJECTS.items()
    for cell in sorted(
        (cell for table in tables for cell in _cells(table)), key=lambda c: (c[0], c[1] in WHEN_TIME_IS_UP)
    )
]


def _plain(name: str) -> str:
    return name.partition("/")[0]


class Stage:
    """Brings a `Scene` into a state, and reuses it for the next command if the last command changed nothing."""

    def __init__(self) -> None:
        self.world = World()
        self.world.empty()
        self.fleets = [self.world.fleet() for _ in range(4)]
        self._shown: tuple[str, str, Scene] | None = None

    def show(self, subject: str, state: str) -> Scene:
        if self._shown is None or self._shown[:2] != (subject, state):
            scene = Scene(self.world, self.fleets)
            scene.write("DELETE FROM broadcasts; DELETE FROM mailbox")
            redis().flushdb()
            for fleet, km in zip(self.fleets, (1, 1, 1, 20), strict=True):
                write_presence(fleet.id, read_availability(fleet.id), heard=True)
                self.world.heartbeat(fleet, km)
            status, _, how = state.partition("/")
            SUBJECTS[subject][2](scene, status, how)
            self._shown = subject, state, scene
        return self._shown[2]

    def clear(self) -> None:
        self._shown = None


@pytest.fixture(scope="module")
def stage(migrated: None) -> Stage:
    return Stage()


@pytest.mark.parametrize(
    ("subject", "state", "command", "expected"),
    [pytest.param(*cell, id="-".join(cell[:3])) for cell in CELLS],
)
def test_in_every_state_every_command_does_what_the_table_says(
    stage: Stage, subject: str, state: str, command: str, expected: str
) -> None:
    scene = stage.show(subject, state)
    assert scene.the(subject).status == _plain(state)
    if command in WHEN_TIME_IS_UP:
        scene.time_is_up(WHEN_TIME_IS_UP[command])
    before, awaited = scene.traces()
    if command in assignment.STEPS:
        outcome = scene.world.report(scene.the("assignment"), command)
    else:
        outcome = COMMANDS[command.removesuffix("/early")](scene)
    after, to_come = scene.traces()
    if (after, to_come) != (before, awaited):
        stage.clear()
    succeeds = expected in ("done", "same", "waits")
    assert (outcome.error or {}).get("code", outcome.status) == ("succeeded" if succeeds else expected)
    assert (after != before) == (expected == "done")
    assert (to_come != awaited) == (expected == "waits") or expected == "done"


@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_table_has_a_line_for_every_state(subject: str) -> None:
    tables, states, _ = SUBJECTS[subject]
    for table in tables:
        assert {_plain(state) for state, _, _ in _cells(table)} == set(states)


def test_every_command_and_every_timer_has_a_column() -> None:
    columns = {_plain(command) for _, _, command, _ in CELLS}
    words = {name.partition(".")[::2] for name in REGISTRY}
    commands = {command for domain, command in words if domain in ("broadcasts", "offers", "trips")}
    # The two commands that create a broadcast are in no table: a broadcast has no state before it exists.
    assert (columns - set(assignment.STEPS)) | {"advance"} == commands - {"create_booking", "create_order"}


@pytest.mark.parametrize(("subject", "command"), EFFECTS)
def test_a_command_is_done_in_the_states_where_its_transition_begins(subject: str, command: str) -> None:
    done = {
        _plain(state)
        for about, state, said, expected in CELLS
        if (about, _plain(said), expected) == (subject, command, "done")
    }
    assert done == frozenset().union(*(transition.when for transition in EFFECTS[subject, command]))
