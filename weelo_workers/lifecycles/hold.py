"""The lifecycle of a hold: slots reserved for one transporter until trucks are named for them or the hold ends."""

from weelo_workers.contracts.statuses import HoldStatus as S
from weelo_workers.lifecycles.lifecycle import Lifecycle

LIFECYCLE = Lifecycle("hold", initial=S.OPEN, final=frozenset(S) - {S.OPEN})

CONFIRM = LIFECYCLE.transition("confirm", when={S.OPEN}, to=S.CONFIRMED)
RELEASE = LIFECYCLE.transition("release", when={S.OPEN}, to=S.RELEASED)
EXPIRE = LIFECYCLE.transition("expire", when={S.OPEN}, to=S.EXPIRED)
# The hold's broadcast was cancelled or has expired.
END = LIFECYCLE.transition("end", when={S.OPEN}, to=S.ENDED)
