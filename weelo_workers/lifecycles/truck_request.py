"""The lifecycle of a truck request, which is one slot of a broadcast."""

from weelo_workers.contracts.statuses import TruckRequestStatus as S
from weelo_workers.lifecycles.lifecycle import Lifecycle
from weelo_workers.lifecycles.parties import ADMIN, CUSTOMER, DRIVER, SYSTEM, TIMER, TRANSPORTER

FILLED = frozenset({S.ASSIGNED, S.ACCEPTED, S.COMPLETED})

OPEN = frozenset({S.SEARCHING, S.HELD})
"""In these states no truck is assigned to the slot."""

LIFECYCLE = Lifecycle(
    "truck request",
    initial=S.SEARCHING,
    final=frozenset({S.COMPLETED, S.CANCELLED, S.EXPIRED}),
    created_by=(CUSTOMER,),
)

HOLD = LIFECYCLE.transition("hold", when={S.SEARCHING}, to=S.HELD, by=(TRANSPORTER,))
RELEASE = LIFECYCLE.transition(
    "release", when={S.HELD}, to=S.SEARCHING, by=(TRANSPORTER, TIMER, CUSTOMER, SYSTEM)
)
ASSIGN = LIFECYCLE.transition("assign", when={S.SEARCHING, S.HELD}, to=S.ASSIGNED, by=(TRANSPORTER,))
ACCEPT = LIFECYCLE.transition("accept", when={S.ASSIGNED}, to=S.ACCEPTED, by=(DRIVER,))
REASSIGN = LIFECYCLE.transition("reassign", when={S.ACCEPTED}, to=S.ASSIGNED, by=(TRANSPORTER,))
"""The truck gets another driver, who has not answered yet."""
REOPEN = LIFECYCLE.transition(
    "reopen", when={S.ASSIGNED, S.ACCEPTED}, to=S.SEARCHING, by=(DRIVER, TRANSPORTER, TIMER)
)
COMPLETE = LIFECYCLE.transition("complete", when={S.ASSIGNED, S.ACCEPTED}, to=S.COMPLETED, by=(DRIVER, ADMIN))
CANCEL = LIFECYCLE.transition(
    "cancel",
    when={S.SEARCHING, S.HELD, S.ASSIGNED, S.ACCEPTED},
    to=S.CANCELLED,
    by=(CUSTOMER, DRIVER, ADMIN),
)
EXPIRE = LIFECYCLE.transition(
    "expire", when={S.SEARCHING, S.HELD}, to=S.EXPIRED, by=(TIMER, DRIVER, TRANSPORTER, ADMIN)
)
"""The deadline of the broadcast has passed, or the truck is lost and no other one is searched for."""
