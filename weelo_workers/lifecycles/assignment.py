"""An assignment's life: a truck and its driver on a slot, from the promise to the delivery."""

from weelo_workers.contracts.statuses import AssignmentStatus as S
from weelo_workers.lifecycles.lifecycle import Lifecycle

OVER = frozenset({S.COMPLETED, S.DRIVER_DECLINED, S.CANCELLED})
LIVE = frozenset(S) - OVER
"""Occupies its slot, its driver and its vehicle."""

REVERTIBLE = frozenset({S.PENDING, S.DRIVER_ACCEPTED})
UNDER_WAY = LIVE - REVERTIBLE
"""The truck is driving for the customer: too late to cancel."""

LIFECYCLE = Lifecycle("assignment", initial=S.PENDING, final=OVER)

CANCEL = LIFECYCLE.transition("cancel", when={*REVERTIBLE}, to=S.CANCELLED)
