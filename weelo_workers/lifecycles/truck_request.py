"""The lifecycle of a truck request, which is one slot of a broadcast."""

from weelo_workers.contracts.statuses import TruckRequestStatus as S
from weelo_workers.lifecycles.lifecycle import Lifecycle

FILLED = frozenset({S.ASSIGNED, S.ACCEPTED, S.COMPLETED})

OPEN = frozenset({S.SEARCHING, S.HELD})
"""In these states no truck is assigned to the slot."""

LIFECYCLE = Lifecycle(
    "truck request", initial=S.SEARCHING, final=frozenset({S.COMPLETED, S.CANCELLED, S.EXPIRED})
)

HOLD = LIFECYCLE.transition("hold", when={S.SEARCHING}, to=S.HELD)
RELEASE = LIFECYCLE.transition("release", when={S.HELD}, to=S.SEARCHING)
ASSIGN = LIFECYCLE.transition("assign", when={S.SEARCHING, S.HELD}, to=S.ASSIGNED)
ACCEPT = LIFECYCLE.transition("accept", when={S.ASSIGNED}, to=S.ACCEPTED)
REOPEN = LIFECYCLE.transition("reopen", when={S.ASSIGNED}, to=S.SEARCHING)
COMPLETE = LIFECYCLE.transition("complete", when={S.ACCEPTED}, to=S.COMPLETED)
CANCEL = LIFECYCLE.transition("cancel", when={S.SEARCHING, S.HELD, S.ASSIGNED, S.ACCEPTED}, to=S.CANCELLED)
EXPIRE = LIFECYCLE.transition("expire", when={S.SEARCHING, S.HELD}, to=S.EXPIRED)
