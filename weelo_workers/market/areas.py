"""The area of a broadcast: the scope of the policy with which it began."""

from __future__ import annotations

from collections.abc import Collection

from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.lifecycles.policy import DEFAULT_SCOPE
from weelo_workers.models import Broadcast

AREA_OF = f"COALESCE(b.policy_scope, '{DEFAULT_SCOPE}')"
"""The expression in SQL for the area of the row `b` of `broadcasts`. It is `area_of` in SQL."""


def area_of(broadcast: Broadcast) -> str:
    """Return the name of the area of this broadcast. A broadcast that is older than policies is in the area `default`."""
    return broadcast.policy_scope or DEFAULT_SCOPE


def ensure_known(area: str | None, known: Collection[str]) -> None:
    """Raise Rejected(VALIDATION_ERROR) if a caller names an area that does not exist. None: all areas."""
    if area is not None and area not in known:
        message = f"must be one of: {', '.join(known)}"
        raise Rejected(
            Code.VALIDATION_ERROR, f"area: {message}", {"errors": [{"field": "area", "message": message}]}
        )
