"""The check of pushes, which reads FCM's latest answers."""

from __future__ import annotations

from collections.abc import Iterator

from weelo_workers.doctor.check import Examination, check
from weelo_workers.notifications import push_results

LEAST_FAILED = 3
LEAST_MINUTES = 2
"""A burst within one minute is not reported: FCM refuses single requests now and then, and they are retried."""


@check(
    "fcm-away",
    needs=("redis",),
    remedy="look at the credentials of FCM, the network and Firebase's status page; phones with a closed app get no offers",
)
def fcm_away(_look: Examination) -> Iterator[str]:
    """Find out whether FCM has accepted fewer than half of the pushes for some minutes."""
    recent = push_results.recent()
    total = recent.accepted + recent.failed
    if (
        recent.failed >= LEAST_FAILED
        and recent.minutes_with_failures >= LEAST_MINUTES
        and recent.accepted < recent.failed
    ):
        yield (
            f"pushes: FCM has accepted {recent.accepted} of {total} within {push_results.MINUTES} min; the last reason: {recent.why}"
        )
