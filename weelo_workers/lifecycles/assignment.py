"""The lifecycle of an assignment: a truck and its driver on a slot, from acceptance until the goods are delivered."""

from weelo_workers.contracts.statuses import AssignmentStatus as S
from weelo_workers.lifecycles.lifecycle import Lifecycle
from weelo_workers.lifecycles.parties import ADMIN, CUSTOMER, DRIVER, TIMER, TRANSPORTER

OVER = frozenset({S.COMPLETED, S.DRIVER_DECLINED, S.GIVEN_BACK, S.CUSTOMER_NO_SHOW, S.FAILED, S.CANCELLED})
LIVE = frozenset(S) - OVER
"""In these states an assignment occupies its slot, its driver and its vehicle."""

BEFORE_LOADING = frozenset({S.PENDING, S.DRIVER_ACCEPTED, S.EN_ROUTE_PICKUP, S.AT_PICKUP})
"""The goods are not on board yet, so another truck can still take them."""

REVERTIBLE = frozenset({S.PENDING, S.DRIVER_ACCEPTED})
UNDER_WAY = LIVE - REVERTIBLE
"""The truck is on its way for the customer."""

HAS_SET_OUT = UNDER_WAY | {S.COMPLETED}
"""The truck is on its way or has delivered, so the broadcast can no longer be cancelled as a whole."""

LIFECYCLE = Lifecycle("assignment", initial=S.PENDING, final=OVER, created_by=(TRANSPORTER,))

STEPS = (S.EN_ROUTE_PICKUP, S.AT_PICKUP, S.LOADING_COMPLETE, S.IN_TRANSIT, S.ARRIVED_AT_DROP, S.COMPLETED)
"""The steps of a trip in their order. A driver may leave steps out, but not go back."""

ACCEPT = LIFECYCLE.transition("accept", when={S.PENDING}, to=S.DRIVER_ACCEPTED, by=(DRIVER,))
DECLINE = LIFECYCLE.transition("decline", when={S.PENDING}, to=S.DRIVER_DECLINED, by=(DRIVER, TIMER))
REACH = {
    step: LIFECYCLE.transition(
        f"reach_{step}", when={S.DRIVER_ACCEPTED, *STEPS[:number]}, to=step, by=(DRIVER,)
    )
    for number, step in enumerate(STEPS)
}
REPLACE_DRIVER = LIFECYCLE.transition(
    "replace_driver", when={*BEFORE_LOADING}, to=S.PENDING, by=(TRANSPORTER,)
)
REPLACE_VEHICLE = {
    state: LIFECYCLE.transition(f"replace_vehicle_{state}", when={state}, to=state, by=(TRANSPORTER,))
    for state in S
    if state in BEFORE_LOADING
}
GIVE_BACK = LIFECYCLE.transition(
    "give_back", when={*BEFORE_LOADING - {S.PENDING}}, to=S.GIVEN_BACK, by=(DRIVER, TRANSPORTER)
)
GIVE_BACK_UNANSWERED = LIFECYCLE.transition(
    "give_back_unanswered", when={S.PENDING}, to=S.GIVEN_BACK, by=(TRANSPORTER,)
)
DECLINE_REPLACEMENT = LIFECYCLE.transition(
    "decline_replacement", when={S.PENDING}, to=S.GIVEN_BACK, by=(DRIVER, TIMER)
)
"""A driver who replaced another one declines or does not answer."""
STALL = LIFECYCLE.transition("stall", when={S.DRIVER_ACCEPTED}, to=S.GIVEN_BACK, by=(TIMER,))
REPORT_NO_SHOW = LIFECYCLE.transition(
    "report_no_show", when={S.AT_PICKUP}, to=S.CUSTOMER_NO_SHOW, by=(DRIVER,)
)
CANCEL = LIFECYCLE.transition("cancel", when={*REVERTIBLE}, to=S.CANCELLED, by=(CUSTOMER, ADMIN))
"""The customer cancels the whole broadcast."""
CANCEL_TRUCK = LIFECYCLE.transition("cancel_truck", when={*BEFORE_LOADING}, to=S.CANCELLED, by=(CUSTOMER,))
"""The customer cancels only this truck."""
END_COMPLETED = LIFECYCLE.transition("end_completed", when={*LIVE}, to=S.COMPLETED, by=(ADMIN,))
END_FAILED = LIFECYCLE.transition("end_failed", when={*LIVE}, to=S.FAILED, by=(ADMIN,))
