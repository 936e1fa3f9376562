"""The lifecycle of a hold: slots reserved for one transporter until trucks are named for them or the hold ends."""

from weelo_workers.contracts.statuses import HoldStatus as S
from weelo_workers.lifecycles.lifecycle import Lifecycle
from weelo_workers.lifecycles.parties import ADMIN, CUSTOMER, SYSTEM, TIMER, TRANSPORTER

LIFECYCLE = Lifecycle("hold", initial=S.OPEN, final=frozenset(S) - {S.OPEN}, created_by=(TRANSPORTER,))

CONFIRM = LIFECYCLE.transition("confirm", when={S.OPEN}, to=S.CONFIRMED, by=(TRANSPORTER,))
RELEASE = LIFECYCLE.transition("release", when={S.OPEN}, to=S.RELEASED, by=(TRANSPORTER, CUSTOMER, SYSTEM))
"""The transporter gives the slots up, or one of the two blocks the other."""
EXPIRE = LIFECYCLE.transition("expire", when={S.OPEN}, to=S.EXPIRED, by=(TIMER, TRANSPORTER))
"""The time of the hold has passed. If its timer is late, the next accept or hold of a transporter makes this transition."""
# The hold's broadcast was cancelled or has expired.
END = LIFECYCLE.transition("end", when={S.OPEN}, to=S.ENDED, by=(CUSTOMER, TIMER, ADMIN))
