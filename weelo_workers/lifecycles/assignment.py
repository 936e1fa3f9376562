"""The lifecycle of an assignment: a truck and its driver on a slot, from acceptance until the goods are delivered."""

from weelo_workers.contracts.statuses import AssignmentStatus as S
from weelo_workers.lifecycles.lifecycle import Lifecycle

OVER = frozenset({S.COMPLETED, S.DRIVER_DECLINED, S.CANCELLED})
LIVE = frozenset(S) - OVER
"""In these states an assignment occupies its slot, its driver and its vehicle."""

REVERTIBLE = frozenset({S.PENDING, S.DRIVER_ACCEPTED})
UNDER_WAY = LIVE - REVERTIBLE
"""The truck is on its way for the customer."""

HAS_SET_OUT = UNDER_WAY | {S.COMPLETED}
"""The truck is on its way or has delivered, so the broadcast can no longer be cancelled."""

LIFECYCLE = Lifecycle("assignment", initial=S.PENDING, final=OVER)

STEPS = (S.EN_ROUTE_PICKUP, S.AT_PICKUP, S.LOADING_COMPLETE, S.IN_TRANSIT, S.ARRIVED_AT_DROP, S.COMPLETED)
"""The steps of a trip in their order. A driver may leave steps out, but not go back."""

ACCEPT = LIFECYCLE.transition("accept", when={S.PENDING}, to=S.DRIVER_ACCEPTED)
DECLINE = LIFECYCLE.transition("decline", when={S.PENDING}, to=S.DRIVER_DECLINED)
REACH = {
    step: LIFECYCLE.transition(f"reach_{step}", when={S.DRIVER_ACCEPTED, *STEPS[:number]}, to=step)
    for number, step in enumerate(STEPS)
}
CANCEL = LIFECYCLE.transition("cancel", when={*REVERTIBLE}, to=S.CANCELLED)
