"""A broadcast's life: asked, told in rings, filled truck by truck, driven; or cancelled, or expired."""

from weelo_workers.contracts.statuses import BroadcastStatus as S
from weelo_workers.lifecycles.lifecycle import Lifecycle

OPEN = frozenset({S.CREATED, S.BROADCASTING, S.ACTIVE, S.PARTIALLY_FILLED})
"""What "one per customer" counts, and what transporters may still accept."""

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
CANCEL = LIFECYCLE.transition("cancel", when={*OPEN, S.FULLY_FILLED}, to=S.CANCELLED)
EXPIRE = LIFECYCLE.transition("expire", when={*OPEN}, to=S.EXPIRED)
