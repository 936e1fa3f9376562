"""Tables of the outcome of every command and every timer in every state.

`done`: the command has its effect. `same`: the command succeeds and changes nothing, because its effect is there
already or the timer is obsolete. `waits`: the command changes no row yet, but sends another command or timer. An error
code: the command is rejected with this code and changes nothing; `no` stands for INVALID_TRANSITION. `-`: this case
cannot occur. A slash separates a state or a command from its variant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import SimpleNamespace
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
from weelo_workers.contracts.offers import ExpireHold, Truck
from weelo_workers.contracts.outcomes import CommandOutcome
from weelo_workers.contracts.statuses import (
    AssignmentStatus,
    BroadcastStatus,
    EndOutcome,
    HoldStatus,
    Role,
    TruckRequestStatus,
)
from weelo_workers.contracts.trips import ExpireAssignment, ReportStalled
from weelo_workers.lifecycles import assignment, broadcast, hold, truck_request
from weelo_workers.lifecycles.lifecycle import Transition
from weelo_workers.presence_sync import read_availability, write_presence
from weelo_workers.redis_client import redis
from weelo_workers.settings import settings

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
    # Commands of the system. `early`: before the deadline. `again`: for a step that was made before; in the state
    # `created` no step was made, so the step is 0, with which a broadcast may begin. `taken`: the slot is no longer open.
    # `offer_late` and `catch_up` are for the latecomer, who drove into the ring after its offers were made.
    """
                  widen  widen/again  expire  expire/early  reoffer  reoffer/taken  offer_late  catch_up
created           done   done         done    waits         waits    waits          same        waits
broadcasting      same   same         done    waits         done     same           same        waits
active            done   same         done    waits         done     same           done        waits
partially_filled  done   same         done    waits         done     same           done        waits
fully_filled      same   same         same    waits         same     same           same        same
in_progress       same   same         same    waits         same     same           same        same
completed         same   same         same    same          same     same           same        same
cancelled         same   same         same    same          same     same           same        same
expired           same   same         same    same          same     same           same        same
""",
    # In these tests no transporter was passed over because of a full list of offers, so a backfill offers nothing.
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
    # `new_round`: the slot is open again, and the rings start again. `old_round`: a timer from before that restart.
    """
                  reoffer/new_round  reoffer/new_round/taken  widen/old_round
created           waits              waits                    same
broadcasting      done               done                     same
active            done               done                     same
partially_filled  done               done                     same
fully_filled      same               same                     same
in_progress       same               same                     same
completed         same               same                     same
cancelled         same               same                     same
expired           same               same                     same
""",
    # `accept/winner`, `hold/winner`: the winner has given the only slot back.
    """
                   accept/winner        hold/winner
created            BROADCAST_NOT_FOUND  BROADCAST_NOT_FOUND
broadcasting       no                   done
active             done                 done
active/given_back  SLOT_GIVEN_BACK      SLOT_GIVEN_BACK
partially_filled   same                 done
fully_filled       same                 BROADCAST_FILLED
in_progress        same                 BROADCAST_FILLED
completed          BROADCAST_FILLED     BROADCAST_FILLED
cancelled          BROADCAST_CANCELLED  BROADCAST_CANCELLED
expired            same                 BROADCAST_EXPIRED
""",
    # Commands about the winner's truck, if there is one. LOSSES below has the states to which they lead.
    """
                    give_back             give_back/driver      driver_decline        cancel_truck
created             ASSIGNMENT_NOT_FOUND  ASSIGNMENT_NOT_FOUND  ASSIGNMENT_NOT_FOUND  ASSIGNMENT_NOT_FOUND
broadcasting        ASSIGNMENT_NOT_FOUND  ASSIGNMENT_NOT_FOUND  ASSIGNMENT_NOT_FOUND  ASSIGNMENT_NOT_FOUND
active              ASSIGNMENT_NOT_FOUND  ASSIGNMENT_NOT_FOUND  ASSIGNMENT_NOT_FOUND  ASSIGNMENT_NOT_FOUND
active/given_back   same                  same                  same                  BOOKING_CANNOT_CANCEL
partially_filled    done                  done                  no                    done
fully_filled        done                  done                  no                    done
fully_filled/again  done                  done                  no                    done
in_progress         done                  done                  no                    done
completed           no                    no                    no                    BOOKING_CANNOT_CANCEL
cancelled           no                    no                    no                    same
expired             done                  done                  no                    done
expired/empty       ASSIGNMENT_NOT_FOUND  ASSIGNMENT_NOT_FOUND  ASSIGNMENT_NOT_FOUND  ASSIGNMENT_NOT_FOUND
""",
    """
                    report_no_show        replace/driver        replace/vehicle       end/completed         end/failed
created             ASSIGNMENT_NOT_FOUND  ASSIGNMENT_NOT_FOUND  ASSIGNMENT_NOT_FOUND  ASSIGNMENT_NOT_FOUND  ASSIGNMENT_NOT_FOUND
broadcasting        ASSIGNMENT_NOT_FOUND  ASSIGNMENT_NOT_FOUND  ASSIGNMENT_NOT_FOUND  ASSIGNMENT_NOT_FOUND  ASSIGNMENT_NOT_FOUND
active              ASSIGNMENT_NOT_FOUND  ASSIGNMENT_NOT_FOUND  ASSIGNMENT_NOT_FOUND  ASSIGNMENT_NOT_FOUND  ASSIGNMENT_NOT_FOUND
active/given_back   no                    no                    no                    no                    no
partially_filled    no                    done                  done                  done                  done
fully_filled        no                    done                  done                  done                  done
fully_filled/again  no                    done                  done                  done                  done
in_progress         no                    done                  done                  done                  done
in_progress/waited  done                  done                  done                  done                  done
completed           no                    no                    no                    same                  no
cancelled           no                    no                    no                    no                    no
expired             no                    done                  done                  done                  done
expired/waited      done                  done                  done                  done                  done
expired/empty       ASSIGNMENT_NOT_FOUND  ASSIGNMENT_NOT_FOUND  ASSIGNMENT_NOT_FOUND  ASSIGNMENT_NOT_FOUND  ASSIGNMENT_NOT_FOUND
""",
    # Commands of operators. `again`: the step was made after the operator's request and before the execution of the
    # command.
    """
                    cancel_by_operator     expire_by_operator   widen_by_operator    widen_by_operator/again
created             done                   done                 done                 done
broadcasting        done                   done                 no                   same
active              done                   done                 done                 same
active/late         done                   done                 BROADCAST_EXPIRED    BROADCAST_EXPIRED
partially_filled    done                   done                 done                 same
fully_filled        done                   BROADCAST_FILLED     BROADCAST_FILLED     BROADCAST_FILLED
in_progress         BOOKING_CANNOT_CANCEL  BROADCAST_FILLED     BROADCAST_FILLED     BROADCAST_FILLED
completed           BOOKING_CANNOT_CANCEL  BROADCAST_FILLED     BROADCAST_FILLED     BROADCAST_FILLED
cancelled           same                   BROADCAST_CANCELLED  BROADCAST_CANCELLED  BROADCAST_CANCELLED
expired             BOOKING_CANNOT_CANCEL  same                 BROADCAST_EXPIRED    BROADCAST_EXPIRED
expired/empty       BOOKING_CANNOT_CANCEL  same                 BROADCAST_EXPIRED    BROADCAST_EXPIRED
""",
    # The watchdog timers. If the winner's truck is not in the watched status, the timer does nothing.
    """
                  remind_to_start  give_back_stalled  report_stalled
created           same             same               same
broadcasting      same             same               same
active            same             same               same
partially_filled  done             done               same
fully_filled      done             done               same
in_progress       same             same               done
completed         same             same               same
cancelled         same             same               same
expired           done             done               same
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
    # `given_back`: the winner gave the slot back, and it is open again. `truck`: the customer has cancelled the truck.
    """
                      accept/winner/slot     give_back             cancel_truck           replace/driver
searching             done                   ASSIGNMENT_NOT_FOUND  ASSIGNMENT_NOT_FOUND   ASSIGNMENT_NOT_FOUND
searching/given_back  SLOT_GIVEN_BACK        same                  BOOKING_CANNOT_CANCEL  no
held                  REQUEST_ALREADY_TAKEN  ASSIGNMENT_NOT_FOUND  ASSIGNMENT_NOT_FOUND   ASSIGNMENT_NOT_FOUND
assigned              same                   done                  done                   done
accepted              same                   done                  done                   done
completed             REQUEST_ALREADY_TAKEN  no                    BOOKING_CANNOT_CANCEL  no
cancelled             BROADCAST_CANCELLED    ASSIGNMENT_NOT_FOUND  ASSIGNMENT_NOT_FOUND   ASSIGNMENT_NOT_FOUND
cancelled/truck       REQUEST_ALREADY_TAKEN  no                    same                   no
expired               BROADCAST_EXPIRED      ASSIGNMENT_NOT_FOUND  ASSIGNMENT_NOT_FOUND   ASSIGNMENT_NOT_FOUND
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

# `replaced`: the assignment has its second driver. `timeout`: its driver was silent. `stalled`: it was given back by a
# timer. `waited`: PICKUP_WAIT_SECONDS have passed since the truck arrived. `truck`: the customer has cancelled only this
# truck. `ended`: an operator has ended the trip as completed. A command with `stale` is a timer that was set before the
# assignment entered its status; a command with `replaced` comes from the first driver.
ASSIGNMENT = (
    """
                          driver_accept       driver_decline  expire_assignment  expire_assignment/early
pending                   done                done            done               waits
pending/late              ASSIGNMENT_EXPIRED  done            done               -
pending/replaced          done                done            done               waits
driver_accepted           same                no              same               same
en_route_pickup           same                no              same               same
at_pickup                 same                no              same               same
loading_complete          same                no              same               same
in_transit                same                no              same               same
arrived_at_drop           same                no              same               same
completed                 no                  no              same               same
driver_declined           no                  same            same               same
driver_declined/timeout   ASSIGNMENT_EXPIRED  same            same               same
given_back                no                  same            same               same
given_back/stalled        no                  same            same               same
given_back/replaced       no                  same            same               same
given_back/timeout        ASSIGNMENT_EXPIRED  same            same               same
customer_no_show          no                  no              same               same
failed                    no                  no              same               same
cancelled                 no                  no              same               same
cancelled/truck           no                  no              same               same
""",
    """
                  en_route_pickup  at_pickup  loading_complete  in_transit  arrived_at_drop  completed
pending           no               no         no                no          no               no
pending/replaced  no               no         no                no          no               no
driver_accepted   done             done       done              done        done             done
en_route_pickup   same             done       done              done        done             done
at_pickup         no               same       done              done        done             done
loading_complete  no               no         same              done        done             done
in_transit        no               no         no                same        done             done
arrived_at_drop   no               no         no                no          same             done
completed         no               no         no                no          no               same
completed/ended   no               no         no                no          no               same
driver_declined   no               no         no                no          no               no
given_back        no               no         no                no          no               no
customer_no_show  no               no         no                no          no               no
failed            no               no         no                no          no               no
cancelled         no               no         no                no          no               no
""",
    """
                     give_back/driver  give_back/transporter  report_no_show  cancel_truck           end/completed  end/failed
pending              no                done                   no              done                   done           done
pending/late         no                done                   no              done                   done           done
pending/replaced     no                done                   no              done                   done           done
driver_accepted      done              done                   no              done                   done           done
en_route_pickup      done              done                   no              done                   done           done
at_pickup            done              done                   TOO_EARLY       done                   done           done
at_pickup/waited     done              done                   done            done                   done           done
loading_complete     no                no                     no              BOOKING_CANNOT_CANCEL  done           done
in_transit           no                no                     no              BOOKING_CANNOT_CANCEL  done           done
arrived_at_drop      no                no                     no              BOOKING_CANNOT_CANCEL  done           done
completed            no                no                     no              BOOKING_CANNOT_CANCEL  same           no
completed/ended      no                no                     no              BOOKING_CANNOT_CANCEL  same           no
driver_declined      no                no                     no              BOOKING_CANNOT_CANCEL  no             no
given_back           same              same                   no              BOOKING_CANNOT_CANCEL  no             no
given_back/stalled   same              same                   no              BOOKING_CANNOT_CANCEL  no             no
given_back/replaced  same              same                   no              BOOKING_CANNOT_CANCEL  no             no
customer_no_show     no                no                     same            BOOKING_CANNOT_CANCEL  no             no
failed               no                no                     no              BOOKING_CANNOT_CANCEL  no             same
cancelled            no                no                     no              same                   no             no
cancelled/truck      no                no                     no              same                   no             no
""",
    # `same`: the command names the driver and the vehicle that the assignment already has.
    """
                  replace/driver  replace/vehicle  replace/both  replace/same
pending           done            done             done          same
pending/late      done            done             done          same
pending/replaced  done            done             done          same
driver_accepted   done            done             done          same
en_route_pickup   done            done             done          same
at_pickup         done            done             done          same
loading_complete  no              no               no            no
in_transit        no              no               no            no
arrived_at_drop   no              no               no            no
completed         no              no               no            no
driver_declined   no              no               no            no
given_back        no              no               no            no
customer_no_show  no              no               no            no
failed            no              no               no            no
cancelled         no              no               no            no
""",
    """
                  remind_to_start  remind_to_start/stale  give_back_stalled  give_back_stalled/stale
pending           same             same                   same               same
pending/replaced  same             same                   same               same
driver_accepted   done             same                   done               same
en_route_pickup   same             same                   same               same
at_pickup         same             same                   same               same
loading_complete  same             same                   same               same
in_transit        same             same                   same               same
arrived_at_drop   same             same                   same               same
completed         same             same                   same               same
driver_declined   same             same                   same               same
given_back        same             same                   same               same
customer_no_show  same             same                   same               same
failed            same             same                   same               same
cancelled         same             same                   same               same
""",
    # `at_pickup`: the timer that watches the truck's wait at the pickup. The other timer watches the truck's way to the
    # pickup.
    """
                  report_stalled  report_stalled/stale  report_stalled/at_pickup  report_stalled/at_pickup/stale
pending           same            same                  same                      same
pending/replaced  same            same                  same                      same
driver_accepted   same            same                  same                      same
en_route_pickup   done            same                  same                      same
at_pickup         same            same                  done                      same
loading_complete  same            same                  same                      same
in_transit        same            same                  same                      same
arrived_at_drop   same            same                  same                      same
completed         same            same                  same                      same
driver_declined   same            same                  same                      same
given_back        same            same                  same                      same
customer_no_show  same            same                  same                      same
failed            same            same                  same                      same
cancelled         same            same                  same                      same
""",
)

# Each cell has the status of a broadcast after the loss of its first truck, and the number of trucks that it then needs.
# Before the loss a full broadcast needs as many trucks as it has, and any other broadcast needs 3. `two`: it has a second
# truck, which has not set out. `other`: of two trucks only the second has set out. `alone`: of two trucks only the first
# has set out. `no_round`: given back after REOFFER_ROUNDS rounds. `asked_again`: given back after the customer has opened
# another broadcast.
LOSSES = (
    """
                      give_back           give_back_stalled   driver_decline      expire_assignment
partially_filled      active/3            active/3            active/3            active/3
partially_filled/two  partially_filled/3  partially_filled/3  partially_filled/3  partially_filled/3
fully_filled          active/1            active/1            active/1            active/1
fully_filled/two      partially_filled/2  partially_filled/2  partially_filled/2  partially_filled/2
in_progress           active/1            -                   -                   -
in_progress/other     partially_filled/2  partially_filled/2  partially_filled/2  partially_filled/2
in_progress/alone     partially_filled/2  -                   -                   -
expired               active/1            active/1            expired/2           expired/2
expired/two           partially_filled/2  partially_filled/2  expired/2           expired/2
""",
    """
                      replacement_declines  replacement_is_silent  give_back/no_round  give_back/asked_again
partially_filled      active/3              active/3               active/2            -
partially_filled/two  partially_filled/3    partially_filled/3     partially_filled/2  -
fully_filled          active/1              active/1               expired/1           expired/1
fully_filled/two      partially_filled/2    partially_filled/2     fully_filled/1      fully_filled/1
in_progress           active/1              active/1               expired/1           expired/1
in_progress/other     partially_filled/2    partially_filled/2     in_progress/1       in_progress/1
in_progress/alone     partially_filled/2    partially_filled/2     fully_filled/1      fully_filled/1
expired               active/1              active/1               expired/2           expired/2
expired/two           partially_filled/2    partially_filled/2     expired/2           expired/2
""",
    """
                      cancel_truck        report_no_show      end/failed          end/completed
partially_filled      active/2            active/2            active/2            partially_filled/3
partially_filled/two  partially_filled/2  partially_filled/2  partially_filled/2  partially_filled/3
fully_filled          cancelled/1         -                   cancelled/1         completed/1
fully_filled/two      fully_filled/1      -                   fully_filled/1      in_progress/2
in_progress           cancelled/1         cancelled/1         cancelled/1         completed/1
in_progress/other     in_progress/1       in_progress/1       in_progress/1       in_progress/2
in_progress/alone     fully_filled/1      fully_filled/1      fully_filled/1      in_progress/2
expired               cancelled/3         cancelled/3         cancelled/3         expired/3
expired/two           expired/2           expired/2           expired/2           expired/3
""",
)

# All commands of a replaced driver are rejected with this reason.
REPLACED_DRIVER = """
                          driver_accept    driver_decline   give_back        report_no_show   en_route_pickup
pending/replaced          DRIVER_REPLACED  DRIVER_REPLACED  DRIVER_REPLACED  DRIVER_REPLACED  DRIVER_REPLACED
driver_accepted/replaced  DRIVER_REPLACED  DRIVER_REPLACED  DRIVER_REPLACED  DRIVER_REPLACED  DRIVER_REPLACED
given_back/replaced       DRIVER_REPLACED  DRIVER_REPLACED  DRIVER_REPLACED  DRIVER_REPLACED  DRIVER_REPLACED
"""

# For each (subject, command), the transitions of the subject that are the command's effect.
TAKE = (broadcast.TAKE_SOME, broadcast.TAKE_LAST)
REOPEN = (broadcast.REOPEN_SOME, broadcast.REOPEN_ALL)
LOSE = (
    *(broadcast.LOSE_TRUCK_WHILE_OPEN, broadcast.LOSE_ONLY_TRUCK_WHILE_OPEN, broadcast.LOSE_TRUCK),
    *(broadcast.LOSE_TRUCK_UNDER_WAY, broadcast.NONE_UNDER_WAY, broadcast.LOSE_TRUCK_AFTER_EXPIRY),
    broadcast.CANCEL_LAST_TRUCK,
)
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
    ("broadcast", "cancel_by_operator"): (broadcast.CANCEL,),
    ("broadcast", "expire_by_operator"): (broadcast.EXPIRE,),
    ("broadcast", "widen_by_operator"): (broadcast.BEGIN, *WIDEN),
    ("broadcast", "give_back"): REOPEN,
    ("broadcast", "cancel_truck"): LOSE,
    ("broadcast", "end"): LOSE,
    ("truck_request", "accept"): (truck_request.ASSIGN,),
    ("truck_request", "give_back"): (truck_request.REOPEN,),
    ("hold", "confirm_hold"): (hold.CONFIRM,),
    ("hold", "release_hold"): (hold.RELEASE,),
    ("hold", "expire_hold"): (hold.EXPIRE,),
    ("assignment", "driver_accept"): (assignment.ACCEPT,),
    ("assignment", "driver_decline"): (assignment.DECLINE, assignment.DECLINE_REPLACEMENT),
    ("assignment", "expire_assignment"): (assignment.DECLINE, assignment.DECLINE_REPLACEMENT),
    ("assignment", "give_back/driver"): (assignment.GIVE_BACK,),
    ("assignment", "give_back"): (assignment.GIVE_BACK, assignment.GIVE_BACK_UNANSWERED),
    ("assignment", "replace/driver"): (assignment.REPLACE_DRIVER,),
    ("assignment", "replace/vehicle"): tuple(assignment.REPLACE_VEHICLE.values()),
    ("assignment", "report_no_show"): (assignment.REPORT_NO_SHOW,),
    ("assignment", "cancel_truck"): (assignment.CANCEL_TRUCK,),
    ("assignment", "end/completed"): (assignment.END_COMPLETED,),
    ("assignment", "end/failed"): (assignment.END_FAILED,),
    ("assignment", "give_back_stalled"): (assignment.STALL,),
    **{("assignment", str(step)): (reach,) for step, reach in assignment.REACH.items()},
}


@dataclass(frozen=True)
class Unknown:
    """An assignment that does not exist."""

    id: UUID = field(default_factory=uuid4)
    trip_id: UUID = field(default_factory=uuid4)
    broadcast_id: UUID = field(default_factory=uuid4)
    driver_id: UUID = field(default_factory=uuid4)
    vehicle_id: UUID = field(default_factory=uuid4)
    transporter_id: UUID = field(default_factory=uuid4)
    state_changed_at: datetime = datetime(2026, 1, 1, tzinfo=UTC)


ROWS = ("broadcasts", "truck_requests", "holds", "assignments", "offers", "passed_over", "transitions")


class Scene:
    """A customer's broadcast and four fleets, all with a truck that fits.

    If a state requires it, the winner has won a slot and the holder holds one. The winner has two spare trucks, whose
    drivers and vehicles replace others. The onlooker only has an offer. The latecomer is 20 km away while the first ring
    is offered, and comes nearer afterwards.
    """

    def __init__(self, world: World, fleets: Sequence[Fleet], spares: Sequence[Truck]) -> None:
        self.world = world
        self.winner, self.holder, self.onlooker, self.latecomer = fleets
        self.spare, self.second_spare = spares
        self.customer = uuid4()
        # An id that does not exist, used until there is a broadcast and a hold.
        self.broadcast = self.held = uuid4()

    def asks(self, slots: int) -> None:
        self.broadcast = UUID(self.world.book(self.customer, slots).result["id"])
        self.world.drain()
        self.world.heartbeat(self.latecomer, km_north=1)

    def the(self, subject: str) -> Any:
        """Return the only row of the subject's table; for truck requests, the first slot."""
        first = "WHERE request_number = 1" if subject == "truck_request" else ""
        (row,) = self.world.rows(f"SELECT * FROM {subject}s {first}")
        return row

    def row_of_broadcast(self) -> Any:
        """Return the row of the scene's broadcast. Unlike `the`, this works if the customer has another broadcast."""
        (row,) = self.world.rows("SELECT * FROM broadcasts WHERE id = :id", id=self.broadcast)
        return row

    def write(self, statement: str) -> None:
        with self.world.engine.begin() as connection:
            connection.execute(text(statement))

    def time_is_up(self, subject: str) -> None:
        self.write(f"UPDATE {subject}s SET expires_at = clock_timestamp()")

    def timer(self, command: Command) -> CommandOutcome:
        return self.world.fire(command)

    @property
    def trip(self) -> Any:
        """Return the winner's assignment; if there is none, one with ids that do not exist."""
        query = "SELECT * FROM assignments WHERE transporter_id = :winner"
        rows = self.world.rows(query, winner=self.winner.id)
        assert len(rows) <= 1
        return rows[0] if rows else Unknown()

    def replaces(self, *, driver: bool = False, vehicle: bool = False) -> CommandOutcome:
        """Replace driver or vehicle by those of the spare truck; if these are in use, by those of the second one."""
        trip = self.trip
        present = {trip.driver_id, trip.vehicle_id}
        used = {self.spare.driver_id, self.spare.vehicle_id} & present
        spare = self.second_spare if used else self.spare
        return self.world.replace(
            trip,
            driver=spare.driver_id if driver else None,
            vehicle=spare.vehicle_id if vehicle else None,
        )

    def gives_back(self, by: Role) -> CommandOutcome:
        return self.world.give_back(self.trip, by=by)

    def stalls(self, watched: AssignmentStatus, *, stale: bool = False) -> CommandOutcome:
        trip = self.trip
        since = _earlier(trip) if stale else trip.state_changed_at
        return self.timer(ReportStalled(assignment_id=trip.id, since=since, status=watched))

    def waits_at_pickup(self) -> None:
        """Move the truck's arrival PICKUP_WAIT_SECONDS into the past. Timers are not moved."""
        wait = settings().pickup_wait_seconds
        self.write(f"UPDATE assignments SET state_changed_at = state_changed_at - interval '{wait} s'")

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

    def widens(self, steps: int, *, old_round: bool = False) -> CommandOutcome:
        broadcast = self.the("broadcast")
        step, rounds = broadcast.radius_step + steps, broadcast.reoffer_rounds - old_round
        return self.timer(WidenBroadcast(broadcast_id=self.broadcast, step=step, round=rounds))

    def reoffers(self, *, taken: bool = False, new_round: bool = False) -> CommandOutcome:
        """Execute `broadcasts.reoffer` for the first slot that is searching.

        If no slot is searching, or if `taken`, the command names a slot that does not exist.
        """
        query = "SELECT id FROM truck_requests WHERE status = 'searching' ORDER BY request_number"
        slots = [] if taken else self.world.rows(query)
        slot = slots[0].id if slots else uuid4()
        command = ReofferBroadcast(broadcast_id=self.broadcast, truck_request_id=slot, new_round=new_round)
        return self.timer(command)

    def traces(self) -> tuple[list[Any], list[Any]]:
        """Return what a command may change: (all rows and the names of published events, ids of pending commands)."""
        told = "SELECT event FROM events WHERE event <> 'command_settled'"
        rows = " UNION ALL ".join([*(f"SELECT CAST(t AS text) FROM {thing} t" for thing in ROWS), told])
        to_come = "SELECT id FROM mailbox WHERE settled_at IS NULL"
        return sorted(self.world.rows(rows)), sorted(self.world.rows(to_come))


def a_broadcast(scene: Scene, status: str, how: str) -> None:
    if how == "given_back":
        _after_giving_back(scene)
    elif how == "waited":
        _while_a_truck_waits(scene, status)
    else:
        _by_the_usual_way(scene, status, how)


def _after_giving_back(scene: Scene) -> None:
    scene.asks(1)
    scene.wins(then="driver_accepted")
    scene.gives_back(Role.DRIVER)


def _while_a_truck_waits(scene: Scene, status: str) -> None:
    scene.asks(1 if status == "in_progress" else 2)
    scene.wins(then="at_pickup")
    scene.waits_at_pickup()
    if status == "expired":
        scene.expires()


def _by_the_usual_way(scene: Scene, status: str, how: str) -> None:
    full = status in ("fully_filled", "in_progress", "completed")
    scene.asks(1 if full and not how else 3)
    if status == "created":
        # The status `created` is written by SQL, because no command leaves a broadcast in it. Earlier versions did: there a
        # timer made the first offers. Now the command that creates the broadcast makes them.
        scene.write("DELETE FROM offers")
        scene.write(
            "UPDATE broadcasts SET status = 'created', radius_step = 0, radius_km = NULL, transporters_notified = 0"
        )
        return
    scene.holds()
    if full and not how:
        scene.world.release_hold(scene.holder, scene.held)
    if status == "broadcasting":
        # The status `broadcasting` is written by SQL, because the first ring enters and leaves it in one transaction.
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


def a_truck_request(scene: Scene, status: str, how: str) -> None:
    scene.asks(2)
    match how or status:
        case "given_back":
            scene.wins(then="accepted")
            scene.gives_back(Role.DRIVER)
        case "truck":
            scene.wins(then="assigned")
            scene.world.cancel_truck(scene.trip)
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
    state = f"{status}/{how}" if how else status
    reached, *acts = WAYS_TO.get(state, (status,))
    scene.asks(1)
    scene.wins(then=reached)
    for act in acts:
        act(scene)


def _is_silent(scene: Scene) -> CommandOutcome:
    scene.time_is_up("assignment")
    return scene.timer(ExpireAssignment(assignment_id=scene.trip.id))


def _another_is_asked(scene: Scene) -> None:
    scene.replaces(driver=True)


def _answers(yes: bool) -> Callable[[Scene], None]:
    def answer(scene: Scene) -> None:
        scene.world.answer(scene.trip, yes=yes)

    return answer


def _ends(outcome: EndOutcome) -> Callable[[Scene], None]:
    def end(scene: Scene) -> None:
        scene.world.end_trip(scene.trip, outcome)

    return end


def a_loss(scene: Scene, state: str, rest: str) -> None:
    """Bring a broadcast into a state of LOSSES, with the first truck in a status in which the command is possible.

    The line and the column of the table are passed as one text, such as "fully_filled/two give_back". `state` is its part
    before the first slash, and `rest` the part after that slash.
    """
    line, _, command = f"{state}/{rest}".removesuffix("/").partition(" ")
    status, _, how = line.partition("/")
    trucks = 2 if how else 1
    scene.asks(trucks if status in ("fully_filled", "in_progress") else 3)
    scene.world.accept(scene.winner, scene.broadcast)
    under_way = status == "in_progress" and how != "other"
    reached = FIRST_TRUCK.get(command, "en_route_pickup" if under_way else "driver_accepted")
    if reached != "pending":
        scene.world.answer(scene.trip, yes=True)
    if reached in assignment.STEPS:
        scene.world.report(scene.trip, reached)
    if reached == "at_pickup":
        scene.waits_at_pickup()
    if trucks == 2:
        scene.world.accept(scene.onlooker, scene.broadcast)
        other = scene.world.assignments(scene.broadcast)[-1]
        scene.world.answer(other, yes=True)
        if how == "other":
            scene.world.report(other, "en_route_pickup")
    if status == "expired":
        scene.expires()
    if command.endswith("no_round"):
        scene.write(f"UPDATE broadcasts SET reoffer_rounds = {settings().reoffer_rounds}")
    if command.endswith("asked_again"):
        assert scene.world.book(scene.customer).status == "succeeded"


FIRST_TRUCK = {"driver_decline": "pending", "expire_assignment": "pending", "report_no_show": "at_pickup"}
"""The status in which the first truck must be, by column of LOSSES. In other columns, it depends on the line."""

WAYS_TO: dict[str, tuple[Any, ...]] = {
    "pending/late": ("pending", lambda s: s.time_is_up("assignment")),
    "pending/replaced": ("driver_accepted", _another_is_asked),
    "driver_accepted/replaced": ("pending", _another_is_asked, _answers(yes=True)),
    "at_pickup/waited": ("at_pickup", lambda s: s.waits_at_pickup()),
    "completed/ended": ("in_transit", _ends(EndOutcome.COMPLETED)),
    "driver_declined": ("pending", _answers(yes=False)),
    "driver_declined/timeout": ("pending", _is_silent),
    "given_back": ("driver_accepted", lambda s: s.gives_back(Role.TRANSPORTER)),
    "given_back/stalled": ("driver_accepted", lambda s: s.world.give_back_stalled(s.trip)),
    "given_back/replaced": ("driver_accepted", _another_is_asked, _answers(yes=False)),
    "given_back/timeout": ("driver_accepted", _another_is_asked, _is_silent),
    "customer_no_show": (
        "at_pickup",
        lambda s: s.waits_at_pickup(),
        lambda s: s.world.report_no_show(s.trip),
    ),
    "failed": ("in_transit", _ends(EndOutcome.FAILED)),
    "cancelled": ("pending", lambda s: s.world.cancel(s.broadcast)),
    "cancelled/truck": ("pending", lambda s: s.world.cancel_truck(s.trip)),
}
"""By state of an assignment: the status to which the truck is brought first, and the functions that are then called."""


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
    "driver_accept": lambda s: s.world.answer(s.trip, yes=True),
    "driver_decline": lambda s: s.world.answer(s.trip, yes=False),
    "accept/winner": lambda s: s.world.accept(s.winner, s.broadcast),
    "accept/winner/slot": lambda s: s.takes(s.winner),
    "hold/winner": lambda s: s.world.hold(s.winner, s.broadcast),
    "give_back": lambda s: s.gives_back(Role.TRANSPORTER),
    "give_back/transporter": lambda s: s.gives_back(Role.TRANSPORTER),
    "give_back/driver": lambda s: s.gives_back(Role.DRIVER),
    "replace/driver": lambda s: s.replaces(driver=True),
    "replace/vehicle": lambda s: s.replaces(vehicle=True),
    "replace/both": lambda s: s.replaces(driver=True, vehicle=True),
    "replace/same": lambda s: s.world.replace(s.trip, driver=s.trip.driver_id, vehicle=s.trip.vehicle_id),
    "report_no_show": lambda s: s.world.report_no_show(s.trip),
    "cancel_truck": lambda s: s.world.cancel_truck(s.trip, s.customer),
    "end/completed": lambda s: s.world.end_trip(s.trip, EndOutcome.COMPLETED),
    "end/failed": lambda s: s.world.end_trip(s.trip, EndOutcome.FAILED),
    "remind_to_start": lambda s: s.world.remind_to_start(s.trip),
    "remind_to_start/stale": lambda s: s.world.remind_to_start(s.trip, since=_earlier(s.trip)),
    "give_back_stalled": lambda s: s.world.give_back_stalled(s.trip),
    "give_back_stalled/stale": lambda s: s.world.give_back_stalled(s.trip, since=_earlier(s.trip)),
    "report_stalled": lambda s: s.stalls(AssignmentStatus.EN_ROUTE_PICKUP),
    "report_stalled/stale": lambda s: s.stalls(AssignmentStatus.EN_ROUTE_PICKUP, stale=True),
    "report_stalled/at_pickup": lambda s: s.stalls(AssignmentStatus.AT_PICKUP),
    "report_stalled/at_pickup/stale": lambda s: s.stalls(AssignmentStatus.AT_PICKUP, stale=True),
    "widen": lambda s: s.widens(1),
    "widen/again": lambda s: s.widens(0),
    "widen/old_round": lambda s: s.widens(1, old_round=True),
    "cancel_by_operator": lambda s: s.world.cancel_by_operator(s.broadcast),
    "expire_by_operator": lambda s: s.world.expire_by_operator(s.broadcast),
    "widen_by_operator": lambda s: s.world.widen_by_operator(s.broadcast),
    "widen_by_operator/again": lambda s: s.world.widen_by_operator(
        s.broadcast, step=s.row_of_broadcast().radius_step
    ),
    "offer_late": lambda s: s.timer(OfferLate(broadcast_id=s.broadcast, transporter_id=s.latecomer.id)),
    "offer_passed_over": lambda s: s.timer(
        OfferPassedOver(broadcast_id=s.broadcast, transporter_ids=(s.latecomer.id,))
    ),
    "backfill": lambda s: s.timer(Backfill(broadcast_id=s.broadcast)),
    "catch_up": lambda s: s.timer(CatchUp(transporter_id=s.latecomer.id)),
    "reoffer": lambda s: s.reoffers(),
    "reoffer/taken": lambda s: s.reoffers(taken=True),
    "reoffer/new_round": lambda s: s.reoffers(new_round=True),
    "reoffer/new_round/taken": lambda s: s.reoffers(taken=True, new_round=True),
    "expire": lambda s: s.timer(ExpireBroadcast(broadcast_id=s.broadcast)),
    "expire_hold": lambda s: s.timer(ExpireHold(hold_id=s.held)),
    "expire_assignment": lambda s: s.timer(ExpireAssignment(assignment_id=s.trip.id)),
}


def _earlier(trip: Any) -> datetime:
    moment = trip.state_changed_at - timedelta(seconds=1)
    assert isinstance(moment, datetime)
    return moment


WHEN_TIME_IS_UP = {"expire": "broadcast", "expire_hold": "hold", "expire_assignment": "assignment"}


def _cells(table: str) -> Iterator[tuple[str, str, str]]:
    """Yield (state, command, expected outcome) for each cell."""
    head, *lines = table.strip("\n").splitlines()
    for line in lines:
        state, *cells = line.split()
        for command, cell in zip(head.split(), cells, strict=True):
            if cell != "-":
                yield state, command, "INVALID_TRANSITION" if cell == "no" else cell


LOSING = {
    **{name: COMMANDS[name] for table in LOSSES for _, name, _ in _cells(table) if name in COMMANDS},
    **dict.fromkeys(("give_back/no_round", "give_back/asked_again"), COMMANDS["give_back"]),
    "replacement_declines": COMMANDS["driver_decline"],
    "replacement_is_silent": _is_silent,
}
NEW_ROUND = ("give_back", "give_back_stalled", "replacement_declines", "replacement_is_silent")
"""The columns of LOSSES in which the search begins again."""

SUBJECTS: dict[str, tuple[Sequence[str], type[StrEnum], Callable[[Scene, str, str], None]]] = {
    "broadcast": (BROADCAST, BroadcastStatus, a_broadcast),
    "truck_request": (TRUCK_REQUEST, TruckRequestStatus, a_truck_request),
    "hold": (HOLD, HoldStatus, a_hold),
    "assignment": (ASSIGNMENT, AssignmentStatus, an_assignment),
}


BUILDERS = {"loss": a_loss, **{subject: build for subject, (_, _, build) in SUBJECTS.items()}}

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
    """Brings a `Scene` into a state. The scene is reused for the next command if the last one changed nothing."""

    def __init__(self) -> None:
        self.world = World()
        self.world.empty()
        self.fleets = [self.world.fleet(3), *(self.world.fleet() for _ in range(3))]
        self.spares = [self.fleets[0].trucks.pop() for _ in range(2)]
        self._shown: tuple[str, str, Scene] | None = None

    def show(self, subject: str, state: str) -> Scene:
        if self._shown is None or self._shown[:2] != (subject, state):
            scene = Scene(self.world, self.fleets, self.spares)
            scene.write("DELETE FROM broadcasts; DELETE FROM mailbox")
            redis().flushdb()
            for fleet, km in zip(self.fleets, (1, 1, 1, 20), strict=True):
                write_presence(fleet.id, read_availability(fleet.id), heard=True)
                self.world.heartbeat(fleet, km)
            status, _, how = state.partition("/")
            BUILDERS[subject](scene, status, how)
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


@pytest.mark.parametrize(
    ("state", "command", "expected"),
    [pytest.param(*cell, id="-".join(cell[:2])) for cell in _cells(REPLACED_DRIVER)],
)
def test_WAYS_01_a_replaced_driver_is_told_so_whatever_they_send(
    stage: Stage, state: str, command: str, expected: str
) -> None:
    scene = stage.show("assignment", state)
    [first, *_] = scene.winner.trucks
    as_before = {**scene.trip._mapping, "driver_id": first.driver_id}
    trip = SimpleNamespace(**as_before)
    before = scene.traces()
    if command in assignment.STEPS:
        outcome = scene.world.report(trip, command)
    elif command == "give_back":
        outcome = scene.world.give_back(trip)
    elif command == "report_no_show":
        outcome = scene.world.report_no_show(trip)
    else:
        outcome = scene.world.answer(trip, yes=command == "driver_accept")
    assert (outcome.error or {}).get("code") == expected
    assert scene.traces() == before


@pytest.mark.parametrize(
    ("state", "command", "expected"),
    [pytest.param(*cell, id="-".join(cell[:2])) for table in LOSSES for cell in _cells(table)],
)
def test_WAYS_02_a_lost_truck_leaves_its_broadcast_in_the_status_of_the_table(
    stage: Stage, state: str, command: str, expected: str
) -> None:
    scene = stage.show("loss", f"{state} {command}")
    stage.clear()
    if command in WHEN_TIME_IS_UP:
        scene.time_is_up(WHEN_TIME_IS_UP[command])
    before = scene.row_of_broadcast()
    assert before.status == _plain(state)
    if command.startswith("replacement"):
        scene.replaces(driver=True)
    outcome = LOSING[command](scene)
    assert outcome.status == "succeeded", outcome.error
    after = scene.row_of_broadcast()
    assert f"{after.status}/{after.trucks_needed}" == expected
    rounds = after.reoffer_rounds - before.reoffer_rounds
    reopened = after.status in broadcast.OPEN and command in NEW_ROUND
    assert rounds == reopened
    if reopened:
        assert (after.radius_step, after.radius_km, after.end_reason) == (0, None, None)
        assert after.expires_at >= after.state_changed_at + timedelta(seconds=settings().seconds_of_a_round)
    told = scene.world.events_of(scene.customer, "truck_lost")
    if command in NEW_ROUND or command.startswith("give_back") or command == "end/failed":
        assert [each["reoffered"] for each in told] == [reopened]
    else:
        assert told == []


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
        if (about, expected) == (subject, "done") and command in (said, _plain(said))
    }
    assert done == frozenset().union(*(transition.when for transition in EFFECTS[subject, command]))
