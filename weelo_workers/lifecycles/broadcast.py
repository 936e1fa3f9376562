"""The lifecycle of a broadcast: created, offered in rings, filled, completed; or cancelled or expired."""

from weelo_workers.contracts.statuses import BroadcastStatus as S
from weelo_workers.lifecycles.lifecycle import Lifecycle

OPEN = frozenset({S.CREATED, S.BROADCASTING, S.ACTIVE, S.PARTIALLY_FILLED})
"""A customer may have one broadcast in these states, and transporters may accept it."""

FINAL = frozenset({S.COMPLETED, S.CANCELLED, S.EXPIRED})

LIFECYCLE = Lifecycle("broadcast", initial=S.CREATED, final=FINAL)

BEGIN = LIFECYCLE.transition("begin", when={S.CREATED}, to=S.BROADCASTING)
ACTIVATE = LIFECYCLE.transition("activate", when={S.BROADCASTING}, to=S.ACTIVE)
WIDEN_UNFILLED = LIFECYCLE.transition("widen_unfilled", when={S.ACTIVE}, to=S.ACTIVE)
WIDEN_PARTLY_FILLED = LIFECYCLE.transition(
    "widen_partly_filled", when={S.PARTIALLY_FILLED}, to=S.PARTIALLY_FILLED
)
TAKE_SOME = LIFECYCLE.transition("take_some", when={S.ACTIVE, S.PARTIALLY_FILLED}, to=S.PARTIALLY_FILLED)
TAKE_LAST = LIFECYCLE.transition("take_last", when={S.ACTIVE, S.PARTIALLY_FILLED}, to=S.FULLY_FILLED)
REOPEN_SOME = LIFECYCLE.transition(
    "reopen_some", when={S.PARTIALLY_FILLED, S.FULLY_FILLED, S.IN_PROGRESS}, to=S.PARTIALLY_FILLED
)
REOPEN_ALL = LIFECYCLE.transition("reopen_all", when={S.PARTIALLY_FILLED, S.FULLY_FILLED}, to=S.ACTIVE)
# An assignment was reverted too late to offer its slot again, so the broadcast continues without that truck.
LOSE_TRUCK = LIFECYCLE.transition("lose_truck", when={S.FULLY_FILLED}, to=S.FULLY_FILLED)
LOSE_TRUCK_UNDER_WAY = LIFECYCLE.transition("lose_truck_under_way", when={S.IN_PROGRESS}, to=S.IN_PROGRESS)
LAPSE = LIFECYCLE.transition("lapse", when={S.FULLY_FILLED}, to=S.EXPIRED)
SET_OUT = LIFECYCLE.transition("set_out", when={S.FULLY_FILLED}, to=S.IN_PROGRESS)
COMPLETE = LIFECYCLE.transition("complete", when={S.IN_PROGRESS}, to=S.COMPLETED)
CONTINUE = LIFECYCLE.transition("continue_partial", when={S.EXPIRED}, to=S.FULLY_FILLED)
CANCEL = LIFECYCLE.transition("cancel", when={*OPEN, S.FULLY_FILLED}, to=S.CANCELLED)
EXPIRE = LIFECYCLE.transition("expire", when={*OPEN}, to=S.EXPIRED)
