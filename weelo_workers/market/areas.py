"""The area of a broadcast: the scope of the policy with which it began."""

from __future__ import annotations

from weelo_workers.lifecycles.policy import DEFAULT_SCOPE
from weelo_workers.models import Broadcast

AREA_OF = f"COALESCE(b.policy_scope, '{DEFAULT_SCOPE}')"
"""The expression in SQL for the area of the row `b` of `broadcasts`. It is `area_of` in SQL."""


def area_of(broadcast: Broadcast) -> str:
    """Return the name of the area of this broadcast. One from before policies is in the area `default`."""
    return broadcast.policy_scope or DEFAULT_SCOPE
