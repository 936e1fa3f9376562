"""A hold's life: slots kept from others for a while, until trucks are named for them, or they come back."""

from weelo_workers.contracts.statuses import HoldStatus as S
from weelo_workers.lifecycles.lifecycle import Lifecycle

LIFECYCLE = Lifecycle("hold", initial=S.OPEN, final=frozenset(S) - {S.OPEN})

CONFIRM = LIFECYCLE.transition("confirm", when={S.OPEN}, to=S.CONFIRMED)
RELEASE = LIFECYCLE.transition("release", when={S.OPEN}, to=S.RELEASED)
EXPIRE = LIFECYCLE.transition("expire", when={S.OPEN}, to=S.EXPIRED)
# With the broadcast, cancelled or expired.
END = LIFECYCLE.transition("end", when={S.OPEN}, to=S.ENDED)
