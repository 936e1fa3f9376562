"""The lifecycle of a broadcast: created, offered in rings, filled, completed; or cancelled or expired."""

from weelo_workers.contracts.statuses import BroadcastStatus as S
from weelo_workers.lifecycles.lifecycle import Lifecycle, Transition
from weelo_workers.lifecycles.parties import ADMIN, CUSTOMER, DRIVER, SYSTEM, TIMER, TRANSPORTER

OPEN = frozenset({S.CREATED, S.BROADCASTING, S.ACTIVE, S.PARTIALLY_FILLED})
"""A customer may have one broadcast in these states, and transporters may accept it."""

FINAL = frozenset({S.COMPLETED, S.CANCELLED, S.EXPIRED})

LIFECYCLE = Lifecycle("broadcast", initial=S.CREATED, final=FINAL, created_by=(CUSTOMER,))

# A truck is lost if its assignment ends before the delivery: declined, given back, cancelled, no-show or failed.
_CAN_LOSE_A_TRUCK = frozenset({S.PARTIALLY_FILLED, S.FULLY_FILLED, S.IN_PROGRESS, S.EXPIRED})
_LOST_BY = (DRIVER, TRANSPORTER, TIMER)
_LOST_OR_ENDED_BY = (*_LOST_BY, CUSTOMER, ADMIN)
_ENDED_BY = (CUSTOMER, DRIVER, ADMIN)

BEGIN = LIFECYCLE.transition("begin", when={S.CREATED}, to=S.BROADCASTING, by=(SYSTEM, ADMIN))
ACTIVATE = LIFECYCLE.transition("activate", when={S.BROADCASTING}, to=S.ACTIVE, by=(SYSTEM, ADMIN))
WIDEN_UNFILLED = LIFECYCLE.transition(
    "widen_unfilled", when={S.ACTIVE}, to=S.ACTIVE, by=(TIMER, SYSTEM, ADMIN)
)
WIDEN_PARTLY_FILLED = LIFECYCLE.transition(
    "widen_partly_filled", when={S.PARTIALLY_FILLED}, to=S.PARTIALLY_FILLED, by=(TIMER, SYSTEM, ADMIN)
)
TAKE_SOME = LIFECYCLE.transition(
    "take_some", when={S.ACTIVE, S.PARTIALLY_FILLED}, to=S.PARTIALLY_FILLED, by=(TRANSPORTER,)
)
TAKE_LAST = LIFECYCLE.transition(
    "take_last", when={S.ACTIVE, S.PARTIALLY_FILLED}, to=S.FULLY_FILLED, by=(TRANSPORTER,)
)
REOPEN_SOME = LIFECYCLE.transition(
    "reopen_some", when={*_CAN_LOSE_A_TRUCK}, to=S.PARTIALLY_FILLED, by=_LOST_BY
)
REOPEN_ALL = LIFECYCLE.transition("reopen_all", when={*_CAN_LOSE_A_TRUCK}, to=S.ACTIVE, by=_LOST_BY)
# The following transitions are for a lost truck whose slot is not offered again: the broadcast continues without it.
LOSE_TRUCK = LIFECYCLE.transition(
    "lose_truck", when={S.FULLY_FILLED}, to=S.FULLY_FILLED, by=_LOST_OR_ENDED_BY
)
LOSE_TRUCK_UNDER_WAY = LIFECYCLE.transition(
    "lose_truck_under_way", when={S.IN_PROGRESS}, to=S.IN_PROGRESS, by=_LOST_OR_ENDED_BY
)
NONE_UNDER_WAY = LIFECYCLE.transition(
    "none_under_way", when={S.IN_PROGRESS}, to=S.FULLY_FILLED, by=_LOST_OR_ENDED_BY
)
"""The only truck that had set out was lost, or got another driver. The others have not set out."""
LOSE_TRUCK_WHILE_OPEN = LIFECYCLE.transition(
    "lose_truck_while_open", when={S.PARTIALLY_FILLED}, to=S.PARTIALLY_FILLED, by=_LOST_OR_ENDED_BY
)
LOSE_ONLY_TRUCK_WHILE_OPEN = LIFECYCLE.transition(
    "lose_only_truck_while_open", when={S.PARTIALLY_FILLED}, to=S.ACTIVE, by=_LOST_OR_ENDED_BY
)
LOSE_TRUCK_AFTER_EXPIRY = LIFECYCLE.transition(
    "lose_truck_after_expiry", when={S.EXPIRED}, to=S.EXPIRED, by=_LOST_OR_ENDED_BY
)
LAPSE = LIFECYCLE.transition("lapse", when={S.FULLY_FILLED, S.IN_PROGRESS}, to=S.EXPIRED, by=_LOST_BY)
"""The last truck was lost, and its slot is not offered again."""
CANCEL_LAST_TRUCK = LIFECYCLE.transition(
    "cancel_last_truck", when={S.FULLY_FILLED, S.IN_PROGRESS, S.EXPIRED}, to=S.CANCELLED, by=_ENDED_BY
)
SET_OUT = LIFECYCLE.transition(
    "set_out", when={S.FULLY_FILLED}, to=S.IN_PROGRESS, by=(DRIVER, TRANSPORTER, CUSTOMER, ADMIN)
)
"""A truck sets out, or the broadcast becomes full while a truck is under way."""
COMPLETE = LIFECYCLE.transition(
    "complete", when={S.IN_PROGRESS}, to=S.COMPLETED, by=(DRIVER, TRANSPORTER, CUSTOMER, ADMIN, TIMER)
)
"""The last truck delivers, or is lost after the others have delivered."""
CONTINUE = LIFECYCLE.transition("continue_partial", when={S.EXPIRED}, to=S.FULLY_FILLED, by=(CUSTOMER,))
CANCEL = LIFECYCLE.transition("cancel", when={*OPEN, S.FULLY_FILLED}, to=S.CANCELLED, by=(CUSTOMER, ADMIN))
EXPIRE = LIFECYCLE.transition("expire", when={*OPEN}, to=S.EXPIRED, by=(TIMER, ADMIN))


def after_loss(
    status: S, *, open_slots: int, filled: int, has_set_out: bool, cancelled: bool
) -> Transition[S]:
    """Return the transition of a broadcast that has lost a truck whose slot is not offered again.

    `open_slots`, `filled`: how many other slots are open, and how many have a truck. `has_set_out`: whether another truck
    of the broadcast has set out. `cancelled`: whether the slot of the lost truck was cancelled; otherwise it expired.
    Raises ValueError for a status in which no truck is assigned.
    """
    last = not filled and not open_slots
    if status == S.PARTIALLY_FILLED:
        return LOSE_TRUCK_WHILE_OPEN if filled else LOSE_ONLY_TRUCK_WHILE_OPEN
    if status == S.EXPIRED:
        return CANCEL_LAST_TRUCK if last and cancelled else LOSE_TRUCK_AFTER_EXPIRY
    if status not in LAPSE.when:
        raise ValueError(f"a broadcast that is {status} has no truck to lose")
    if last:
        return CANCEL_LAST_TRUCK if cancelled else LAPSE
    if status == S.FULLY_FILLED:
        return LOSE_TRUCK
    return LOSE_TRUCK_UNDER_WAY if has_set_out else NONE_UNDER_WAY
